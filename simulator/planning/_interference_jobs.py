"""The jobs of one fabric made ready for the engine: a training step, or one collective, at its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from simulator.engine._replay_ways import Ways
from simulator.engine.bundles import RINGS, Traffic
from simulator.engine.jobs import Job
from simulator.errors import UsageError
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_options import Options
from simulator.planning._estimate_step import Step, prepared
from simulator.planning._interference_check import fault_of
from simulator.planning._interference_place import in_machines, machines, seated
from simulator.planning._interference_read import Asked, Noise, Tenancy
from simulator.planning.place import Fabric
from workloads.layout import Layout
from workloads.step_graph import Block, Boundary, Chunk, Collective, Operation, Stage, StepGraph, Task

MOST_PAIRWISE = 4096  # GPUs of an exchange of all with all: 17 million pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """One job made ready.

    Parameters
    ----------
    asked : Asked
        What the file says.
    seats : tuple of int
        The GPU of each rank.
    job : Job
        One step of it from time 0 on.
    step : Step or None
        The training step; None for noise.
    """

    asked: Asked
    seats: tuple[int, ...]
    job: Job
    step: Step | None


class _Seat(Desk):
    """The desk of one job: of the whole fabric it sees its own GPUs."""

    def __init__(self, place: Fabric, graph: nx.DiGraph, ways: Ways, seats: Sequence[int]) -> None:
        super().__init__(place)
        self._graph, self._shared, self._seats = graph, ways, seats
        self._laid: dict[Layout, Traffic] = {}

    def graph(self, gpus: int) -> nx.DiGraph:  # noqa: ARG002  the fabric is there already
        return self._graph

    def traffic(self, layout: Layout) -> Traffic:
        if layout not in self._laid:
            self._laid[layout] = Traffic(self._graph, layout, self._seats, ways=self._shared)
        return self._laid[layout]


def ready(tenancy: Tenancy, options: Mapping[str, Options], graph: nx.DiGraph) -> list[Ready]:
    """Return the jobs in the order of their names, priced at their places.

    Parameters
    ----------
    tenancy : Tenancy
        As read.
    options : mapping
        Of the training jobs by name, as `checked_jobs` returns them.
    graph : networkx.DiGraph
        The fabric.

    Raises
    ------
    UsageError
        Places that cannot be.
    InfeasibleError
        No room on the fabric, or in the memory of its GPUs.
    InputError
        What else is wrong with a job.
    """
    seats = seated(tenancy.jobs, graph)
    place, ways = Fabric(tenancy.fabric), Ways(graph)
    found = []
    for asked in sorted(tenancy.jobs, key=lambda asked: asked.name):
        own = seats[asked.name]
        if asked.noise is not None:
            _few_pairs(asked)
            traffic = Traffic(graph, Layout(dp=asked.gpus), own, ways=ways)
            found.append(Ready(asked=asked, seats=own, job=_loop(asked.noise, traffic), step=None))
            continue
        _whole(asked, own, graph)
        desk = _Seat(place, graph, ways, own)
        with fault_of(tenancy, asked):
            step = prepared(options[asked.name], desk)
        job = Job(graph=step.graph, prices=step.prices, traffic=desk.traffic(step.layout))
        found.append(Ready(asked=asked, seats=own, job=job, step=step))
    return found


def _few_pairs(asked: Asked) -> None:
    """Refuse an exchange between more pairs of ranks than can be followed over the graph."""
    if asked.noise is not None and asked.noise.algorithm == "pairwise" and asked.gpus > MOST_PAIRWISE:
        raise UsageError(
            f"job '{asked.name}': {asked.gpus} GPUs pairwise, at most {MOST_PAIRWISE} are followed",
            where="gpus",
            hint='algorithm = "ring", or several jobs',
        )


def _whole(asked: Asked, seats: Sequence[int], graph: nx.DiGraph) -> None:
    """Refuse a training job whose ranks do not fill machines in order: its groups are priced as if they did."""
    rooms = machines(graph)
    per_node = max(map(len, rooms.values()))
    if not in_machines(seats, rooms.values(), per_node):
        raise UsageError(
            f"job '{asked.name}': a training job fills one machine of {per_node} GPUs after another, "
            f"its ranks sit on parts of several",
            where="gpus_at",
            hint=f'blocks of {per_node}, as in gpus_at = "0-{per_node - 1}", or placement = "striped"',
        )


class _Linked:
    """Prices of a collective that keeps its busiest link busy: that time, and its steps' latencies.

    Parameters
    ----------
    traffic : Traffic
        Where its bytes go.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of the collective."""
        if not isinstance(operation, Collective):
            return 0.0
        load = self._traffic.load(stage, operation.axis, operation.op)
        drain = operation.size * float(load.busy.max(initial=0.0))
        return drain + self._steps(operation.op) * self._latency(operation.op, stage)

    def transfer(self, source: int, target: int) -> float:  # noqa: ARG002  as `Prices` says
        """Return 0: there is one stage."""
        return 0.0

    def exposed(self, operation: Collective) -> float:  # noqa: ARG002
        """Return 1: nothing runs beside it."""
        return 1.0

    def _steps(self, op: str) -> int:
        ranks = self._traffic.layout.dp
        return {"all_reduce": 2 * (ranks - 1), "gather": 1, "scatter": 1, "send_recv": 1}.get(op, ranks - 1)

    def _latency(self, op: str, stage: int) -> float:
        """Return the latency of a step: of the worst hop of a ring, else of the longest way of the first GPU."""
        (group,) = self._traffic.groups("dp", stage)
        ways = self._traffic.ways
        pairs = [(group[0], other) for other in group[1:]]
        if op in RINGS:
            rings = self._traffic.rings(group)
            pairs = [pair for ring in rings for pair in zip(ring, ring[1:] + ring[:1], strict=True)]
        return max(
            sum(float(ways.latency[edge]) * part for edge, part in ways.shares(*pair).items())
            for pair in pairs
        )


def _loop(noise: Noise, traffic: Traffic) -> Job:
    """Return one round of a collective as a step.

    Pairwise, a reduction or a gathering of all sends what an all-to-all of the same size does; an all-reduce
    is one of each.
    """
    ops = [noise.op]
    if noise.algorithm == "pairwise":
        ops = ["all_to_all"] * (2 if noise.op == "all_reduce" else 1)
    size = float(noise.size)
    sent = tuple(Collective(name=noise.op, op=op, axis="dp", size=size) for op in ops)
    block = Block(name="round", operations=sent)
    stage = Stage(chunks=(Chunk(layers=1, work={"F": (block,)}),), tasks=(Task(kind="F", microbatch=0),))
    graph = StepGraph(
        stages=(stage,),
        routes=(((0, 0),),),
        boundary=Boundary(size=1.0),
        microbatches=1,
        tokens=1.0,
        model_flops=1.0,
    )
    return Job(graph=graph, prices=_Linked(traffic), traffic=traffic)
