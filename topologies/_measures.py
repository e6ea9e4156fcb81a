"""What can be counted on any fabric: nodes, cables and plugs, diameter, bandwidth between halves, safety."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from topologies._graph import GraphNode, gpu_nodes

_CAPACITY = 2**30  # SciPy's flows are 32-bit integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What somebody has to buy and plug in, each cable full duplex.

    Parameters
    ----------
    inside : int
        Cables, traces and buses between parts of one machine.
    network : int
        Cables between machines and switches.
    host_plugs, switch_plugs : int
        Ends of the network's cables in machines and in switches.
    switches : int
        Switches outside of machines.
    """

    inside: int
    network: int
    host_plugs: int
    switch_plugs: int
    switches: int


def wiring(graph: nx.DiGraph) -> Wiring:
    """Return the cables inside of machines and between them; parameter servers are machines."""
    machine = {
        node: node if about["kind"] == "server" else about.get("host")
        for node, about in graph.nodes(data=True)
    }
    cables: Counter[bool] = Counter()
    plugs: Counter[bool] = Counter()
    for tail, head, laid in graph.edges(data="cables"):
        inside = machine[tail] is not None and machine[tail] == machine[head]
        cables[inside] += laid or 1
        if not inside:  # each end is the tail of one direction
            plugs[machine[tail] is not None] += laid or 1
    return Wiring(
        inside=-(-cables[True] // 2),
        network=-(-cables[False] // 2),
        host_plugs=plugs[True],
        switch_plugs=plugs[False],
        switches=sum(place is None for place in machine.values()),
    )


def census(graph: nx.DiGraph) -> dict[str, int]:
    """Return how many nodes there are of each kind, most first, and how many full-duplex ``cables``."""
    kinds = Counter(str(kind) for _, kind in graph.nodes(data="kind"))
    cables = sum(laid or 1 for _, _, laid in graph.edges(data="cables"))
    return dict(kinds.most_common()) | {"cables": -(-cables // 2)}


def diameter(graph: nx.DiGraph) -> int:
    """Return the links between the two GPUs that are farthest apart, by the shortest way.

    Raises
    ------
    ValueError
        A GPU that another cannot reach.
    """
    index = {node: place for place, node in enumerate(graph)}
    matrix = csr_matrix(nx.to_scipy_sparse_array(graph, weight=None, dtype=np.int8))
    gpus = [index[node] for node in gpu_nodes(graph)]
    is_gpu = np.zeros(len(index), dtype=bool)
    is_gpu[gpus] = True
    farthest = 0
    for gpu in gpus:
        order, before = breadth_first_order(matrix, gpu)
        reached = order[is_gpu[order]]
        if len(reached) < len(gpus):
            raise ValueError("the graph is not connected: a GPU cannot be reached by another")
        node, hops = int(reached[-1]), 0
        while node != gpu:
            node, hops = int(before[node]), hops + 1
        farthest = max(farthest, hops)
    return farthest


def bisection(graph: nx.DiGraph) -> float:
    """Return bytes/s that the lower half of the ranks can send to the upper half, all at once; 0 for one GPU.

    Where the fabric is not symmetric, another split into halves may do worse. As exact as `flow`.
    """
    gpus = gpu_nodes(graph)
    half = len(gpus) // 2
    return flow(graph, gpus[:half], gpus[-half:]) if half else 0.0


def flow(graph: nx.DiGraph, sources: Iterable[GraphNode], sinks: Iterable[GraphNode]) -> float:
    """Return bytes/s that some nodes can send to others, all at once: the maximum flow.

    Exact where the rates have a common divisor; otherwise each is rounded to 1e-9 of the sum of all.

    References
    ----------
    .. [1] Ford, Fulkerson, Maximal flow through a network, Canadian Journal of Mathematics 8, 1956.
    """
    rates = [float(rate) for *_, rate in graph.edges(data="bandwidth_Bps")]
    if not rates:
        return 0.0
    step = _step(rates)
    capacities, index = _capacities(graph, [round(rate / step) for rate in rates], sources, sinks)
    return float(maximum_flow(capacities, index, index + 1).flow_value * step)


def cables_until_cut(graph: nx.DiGraph) -> int:
    """Return how many cables must be lost, the worst ones, until some GPU cannot reach another.

    Raises
    ------
    ValueError
        A single GPU, which nothing can be cut off from.

    References
    ----------
    .. [1] Menger, Zur allgemeinen Kurventheorie, Fundamenta Mathematicae 10, 1927: as many as there are
       paths without a common edge.
    """
    first, *others = gpu_nodes(graph)
    if not others:
        raise ValueError("a single GPU cannot be cut off from another")
    laid = [cables or 1 for *_, cables in graph.edges(data="cables")]
    capacities, _ = _capacities(graph, laid, (), ())
    index = {node: place for place, node in enumerate(graph)}
    # whatever the cut separates, one side of it lacks the first GPU
    return min(int(maximum_flow(capacities, index[first], index[other]).flow_value) for other in others)


def _capacities(
    graph: nx.DiGraph, rates: Sequence[int], sources: Iterable[GraphNode], sinks: Iterable[GraphNode]
) -> tuple[csr_matrix, int]:
    """Return the matrix of all edges, a common source before and a common sink behind; the source's row."""
    index = {node: place for place, node in enumerate(graph)}
    source, size = len(index), len(index) + 2
    ends = [(source, index[node]) for node in sources] + [(index[node], source + 1) for node in sinks]
    tails = [index[tail] for tail, _ in graph.edges] + [tail for tail, _ in ends]
    heads = [index[head] for _, head in graph.edges] + [head for _, head in ends]
    values = np.array([*rates, *[_CAPACITY] * len(ends)], dtype=np.int32)
    return csr_matrix((values, (tails, heads)), shape=(size, size)), source


def _step(rates: list[float]) -> float:
    """Return the unit in which rates are whole numbers, or nearly so where that would be too fine."""
    exact = math.gcd(*(int(rate) for rate in rates)) if all(rate == int(rate) for rate in rates) else 0
    coarse = sum(rates) / _CAPACITY
    return max(float(exact), coarse)
