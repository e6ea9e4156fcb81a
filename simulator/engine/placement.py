"""Which rank sits on which node of the graph."""

from collections.abc import Sequence

import networkx as nx

from simulator.errors import InfeasibleError, UsageError
from topologies._graph import GraphNode, gpu_nodes


def place(
    graph: nx.DiGraph, ranks: int, order: Sequence[int] | None = None, servers: int = 0
) -> tuple[GraphNode, ...]:
    """Return the node of each rank, and behind them those of separate servers.

    Parameters
    ----------
    graph : networkx.DiGraph
        A fabric with GPUs ``("gpu", i)``.
    ranks : int
        How many ranks.
    order : sequence of int, optional
        The GPU of each rank; by default rank i sits on the i-th GPU.
    servers : int
        Machines that serve the ranks: nodes of kind ``server`` where the fabric has such, else further GPUs.

    Raises
    ------
    InfeasibleError
        More ranks or servers than the fabric has places.
    UsageError
        An order of another length, or one that names a GPU twice or one that is not there.
    """
    gpus = gpu_nodes(graph)
    if ranks > len(gpus):
        raise InfeasibleError(f"{ranks} ranks need as many GPUs, the fabric has {len(gpus)}")
    chosen = list(range(ranks)) if order is None else list(order)
    if len(chosen) != ranks or len(set(chosen)) != ranks or not set(chosen) <= set(range(len(gpus))):
        raise UsageError(
            f"a placement of {ranks} ranks must name {ranks} different GPUs of 0 to {len(gpus) - 1}"
        )
    homes: list[GraphNode] = sorted(node for node, kind in graph.nodes(data="kind") if kind == "server")
    if not homes:
        taken = set(chosen)
        homes = [gpu for number, gpu in enumerate(gpus) if number not in taken]
    if servers > len(homes):
        raise InfeasibleError(f"{servers} servers need as many places, the fabric has {len(homes)} left")
    return tuple(gpus[number] for number in chosen) + tuple(homes[:servers])
