"""A ring over machines with several NICs: one ring a NIC, each with its part of the bytes.

One ring of all ranks leaves a machine by one NIC. Libraries run as many as there are NICs, turned so that
ring c enters and leaves by NIC c, and walk every other machine backwards, so that each hop stays on one rail.

References
----------
.. [1] NVIDIA/nccl 2.23, src/graph/search.cc: paired rings that cross NICs.
"""

from collections.abc import Callable, Hashable
from math import gcd, inf
from types import ModuleType

import networkx as nx

from simulator.collectives._alpha_beta import AlphaBeta
from simulator.engine._collective_lanes import messages_of
from simulator.engine._loads import Loads
from simulator.engine._paths import Routes
from simulator.engine.collective import FIDELITIES, CollectiveRun, Fidelity, outcome, run
from simulator.engine.collective_plan import Plan, lay
from simulator.errors import UsageError
from simulator.network.flows import Flow, Link, replay


def turned(ranks: int, per_node: int, channel: int, *, mesh: bool = False) -> list[int]:
    """Return the GPU of each rank of one ring: machines in order, turned by the channel, odd ones backwards.

    In a full mesh of GPUs, where each pair has a link of its own, the rings also take different strides.
    """
    strides = [s for s in range(1, per_node) if gcd(s, per_node) == 1] if mesh else []
    stride = strides[channel % len(strides)] if strides else 1
    order = []
    for first in range(0, ranks, per_node):
        around = [first + (channel + step * stride) % per_node for step in range(per_node)]
        order += around[::-1] if first // per_node % 2 else around
    return order


def _is_mesh(graph: nx.DiGraph) -> bool:
    return str(graph.graph.get("intra")) == "xgmi"


def run_rings(
    graph: nx.DiGraph,
    module: ModuleType,
    ranks: int,
    size: float,
    *,
    channels: int,
    fidelity: Fidelity = "formula",
    alpha: float = 0.0,
    router: Routes | None = None,
    progress: Callable[[int], object] | None = None,
) -> CollectiveRun:
    """Return how long a ring algorithm takes with its bytes spread over several turned rings.

    Parameters
    ----------
    graph, module, ranks, size, fidelity, alpha, router, progress
        As `simulator.engine.collective.run`.
    channels : int
        Rings; 1 is the plain algorithm.

    Raises
    ------
    UsageError
        Ranks that do not fill machines, an unknown fidelity.
    """
    per_node = int(graph.graph.get("gpus_per_node") or 1)
    if channels <= 1 or ranks <= per_node:
        return run(
            graph, module, ranks, size, fidelity=fidelity, alpha=alpha, router=router, progress=progress
        )
    if fidelity not in FIDELITIES:
        raise UsageError(f"unknown fidelity '{fidelity}'", hint=", ".join(FIDELITIES))
    if ranks % per_node:
        raise UsageError(f"{ranks} ranks do not fill machines of {per_node} GPUs")
    plans = [
        lay(
            graph,
            module,
            ranks,
            size / channels,
            placement=turned(ranks, per_node, channel, mesh=_is_mesh(graph)),
            alpha=alpha,
            router=router,
        )
        for channel in range(channels)
    ]
    return outcome(plans[0].paths, [plan.loads for plan in plans], _seconds(plans, fidelity, progress))


def outline(
    graph: nx.DiGraph,
    module: ModuleType,
    ranks: int,
    size: float,
    *,
    channels: int,
    alpha: float = 0.0,
    router: Routes | None = None,
) -> CollectiveRun:
    """Return the closed form of a ring algorithm from its first step alone: every later one is like it.

    Parameters and errors are those of `run_rings`. Counts nothing message by message, so thousands of ranks
    are no matter.
    """
    per_node = int(graph.graph.get("gpus_per_node") or 1)
    channels = channels if ranks > per_node and ranks % per_node == 0 else 1
    firsts = []
    for channel in range(channels):
        order = turned(ranks, per_node, channel, mesh=_is_mesh(graph)) if channels > 1 else None
        plan = lay(graph, module, ranks, size / channels, placement=order, alpha=alpha, router=router)
        loads = Loads(plan.paths)
        loads.add(next(iter(plan.phases())))
        firsts.append((plan, loads))
    steps = round(module.cost(ranks, 1.0, AlphaBeta(1.0, inf)))
    seconds = max(float(p.module.cost(ranks, p.size, p.slowest(one.pairs()))) for p, one in firsts)
    return outcome(firsts[0][0].paths, [one for _, one in firsts], seconds, times=steps)


def _seconds(plans: list[Plan], fidelity: Fidelity, progress: Callable[[int], object] | None) -> float:
    if fidelity == "formula":
        return max(plan.formula() for plan in plans)
    if fidelity == "messages":
        return messages_of(plans, progress)[0]
    links: dict[Hashable, Link] = {}
    flows: list[Flow] = []
    for channel, plan in enumerate(plans):
        flow, own = plan.bundle(channel)
        links |= plan.links() | own
        flows.append(flow)
    return replay(links, flows).makespan
