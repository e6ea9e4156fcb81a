"""One collective on one fabric, as a formula, as one bundle of bytes, or message by message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import networkx as nx

from simulator.engine._collective_lanes import Tally, messages_of
from simulator.engine._loads import Loads
from simulator.engine._paths import Edge, Paths, Routes
from simulator.engine.collective_plan import Plan, lay
from simulator.errors import UsageError
from simulator.network.flows import replay

Fidelity = Literal["formula", "fluid", "messages"]
FIDELITIES: tuple[Fidelity, ...] = ("formula", "fluid", "messages")


@dataclass(frozen=True, slots=True)
class CollectiveRun:
    """What one collective did.

    Parameters
    ----------
    time_s : float
        From the start to the last byte, s.
    steps : int
        Phases of messages that go together.
    messages : int
        Messages of all ranks.
    volume_bytes_per_rank : float
        Bytes sent by the rank that sends most.
    bottleneck : tuple of edge and float, or None
        The link that is busy for the largest part of the time, and that part; None if no byte moved. Above 1
        the formula, which knows no links shared by several ranks, promises more than the link can carry.
    link_bytes : dict
        Bytes on each link that carried any.
    """

    time_s: float
    steps: int
    messages: int
    volume_bytes_per_rank: float
    bottleneck: tuple[Edge, float] | None
    link_bytes: dict[Edge, float]


def run(
    graph: nx.DiGraph,
    module: ModuleType,
    ranks: int,
    size: float,
    *,
    fidelity: Fidelity = "formula",
    placement: Sequence[int] | None = None,
    alpha: float = 0.0,
    gamma: float = 0.0,
    router: Routes | None = None,
    progress: Callable[[int], object] | None = None,
    **given: Any,
) -> CollectiveRun:
    """Return how long a collective takes on an otherwise idle fabric, and what it loads.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric.
    module : module
        The algorithm, a file of `simulator.collectives`.
    ranks : int
        Ranks that take part.
    size : float
        Bytes, as nccl-tests counts them.
    fidelity : str
        ``formula``: the closed form on the slowest path; ``fluid``: one bundle of bytes on all links;
        ``messages``: each message by itself.
    placement : sequence of int, optional
        The GPU of each rank; by default rank i sits on the i-th GPU.
    alpha : float
        Start-up time of a message in software, s, on top of the latency of its path.
    gamma : float
        Time to reduce one byte, s.
    router : Routes, optional
        Chooses among ways; by default fewest hops, equal ones by a hash.
    progress : callable, optional
        Called now and then with how many messages have ended, where there are many.
    **given
        Options of the algorithm. What it could know from the fabric is taken from there unless given: the
        number of packets, the shape of a torus or of machines, the links of each level, the cables to
        neighbours.

    Raises
    ------
    UsageError
        A fidelity, an option or a placement that there is not, or a number out of range.
    InfeasibleError
        Fewer GPUs than ranks, no switch that reduces where the algorithm needs one, or more messages than fit
        into memory.
    """
    if fidelity not in FIDELITIES:
        raise UsageError(f"unknown fidelity '{fidelity}'", hint=", ".join(FIDELITIES))
    plan = lay(
        graph, module, ranks, size, placement=placement, alpha=alpha, gamma=gamma, router=router, **given
    )
    if fidelity == "messages":
        seconds, counted = messages_of([plan], progress)
        return outcome(plan.paths, counted or [plan.loads], seconds)
    return outcome(plan.paths, [plan.loads], plan.formula() if fidelity == "formula" else _fluid(plan))


def _fluid(plan: Plan) -> float:
    flow, own = plan.bundle()
    return replay(plan.links() | own, [flow]).makespan


def outcome(paths: Paths, parts: Sequence[Loads | Tally], seconds: float, times: int = 1) -> CollectiveRun:
    """Return what loads that run side by side come to.

    Parameters
    ----------
    paths : Paths
        Between the ranks.
    parts : sequence of Loads or Tally
        What each part puts on the links.
    seconds : float
        From the start to the last byte, s.
    times : int
        How often every part repeats.
    """
    on_link: dict[Edge, float] = {}
    for part in parts:
        for edge, size in part.link_bytes().items():
            if size:
                on_link[edge] = on_link.get(edge, 0.0) + times * size
    busy = {edge: size / paths.bandwidth(edge) / seconds for edge, size in on_link.items()}
    worst = max(busy, key=lambda edge: busy[edge], default=None)
    return CollectiveRun(
        time_s=seconds,
        steps=times * parts[0].phases,
        messages=times * sum(part.messages for part in parts),
        volume_bytes_per_rank=times * sum(part.sent() for part in parts),
        bottleneck=None if worst is None else (worst, busy[worst]),
        link_bytes=on_link,
    )
