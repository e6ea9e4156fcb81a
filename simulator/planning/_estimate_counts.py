"""What a step moves and multiplies, counted over its graph: bytes by axis, FLOPs that are done twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.collectives._bus_bandwidth import bus_factor
from simulator.engine.result import account
from workloads.layout import Layout
from workloads.step_graph import Collective, Compute, Operation, StepGraph

AXES = ("tensor", "pipeline", "data", "context", "expert")


@dataclass(frozen=True, slots=True)
class Done:
    """An operation and how often a rank of a stage does it in a step."""

    stage: int
    what: Operation
    times: float


def every(graph: StepGraph) -> Iterator[Done]:
    """Yield every operation of every stage with how often it happens."""
    ends = graph.ends
    for number, stage in enumerate(graph.stages):
        yield from (Done(number, one, 1.0) for one in (*stage.before, *stage.after))
        often = Counter(
            (
                task.kind,
                task.chunk,
                task.microbatch == ends[task.chunk][0],
                task.microbatch == ends[task.chunk][1],
            )
            for task in stage.tasks
        )
        for (kind, chunk, first, last), times in often.items():
            there = {"every": True, "first": first, "last": last}
            for block in stage.chunks[chunk].work.get(kind, ()):
                for one in block.operations:
                    if there[one.when]:
                        yield Done(number, one, float(times * block.repeat))


def sends(graph: StepGraph) -> dict[tuple[int, int], int]:
    """Return how often each stage sends to another one."""
    hops: dict[tuple[int, int], tuple[tuple[int, int] | None, tuple[int, int] | None]] = {}
    for route in graph.routes:
        for place, before, behind in zip(route, (None, *route), (*route[1:], None), strict=False):
            hops[place] = (before, behind)
    found: Counter[tuple[int, int]] = Counter()
    for number, stage in enumerate(graph.stages):
        for task in stage.tasks:
            before, behind = hops[number, task.chunk]
            goal = {"F": behind, "B": before, "W": None}[task.kind]
            if goal is not None and goal[0] != number:
                found[number, goal[0]] += 1
    return dict(found)


def communicated(graph: StepGraph, layout: Layout) -> dict[str, float]:
    """Return the bytes that a GPU sends in a step by axis, the mean over all GPUs.

    Of a collective of S bytes a rank sends S times the factor that turns algorithm into bus bandwidth.
    """
    total = dict.fromkeys(AXES, 0.0)
    for done in every(graph):
        if isinstance(done.what, Collective):
            ranks = layout.size(done.what.axis)
            if ranks > 1:
                axis = account(done.what).removeprefix("exposed_")
                total[axis] += done.times * done.what.size * bus_factor(done.what.op, ranks)
    total["pipeline"] += sum(sends(graph).values()) * graph.boundary.size
    return {axis: size / len(graph.stages) for axis, size in total.items()}


def flops(graph: StepGraph) -> float:
    """Return the FLOPs that the ranks of one of each stage do in a step."""
    return sum(done.times * done.what.flops for done in every(graph) if isinstance(done.what, Compute))
