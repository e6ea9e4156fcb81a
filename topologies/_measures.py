"""What can be counted on any fabric: nodes by kind, cables, diameter, bandwidth between the halves."""

import math
from collections import Counter

import networkx as nx
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from topologies._graph import gpu_nodes

_CAPACITY = 2**30  # SciPy's flows are 32-bit integers


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

    That is a maximum flow. Where the fabric is not symmetric, another split into halves may do worse. Exact
    where the rates have a common divisor; otherwise each is rounded to 1e-9 of the sum of all.

    References
    ----------
    .. [1] Ford, Fulkerson, Maximal flow through a network, Canadian Journal of Mathematics 8, 1956.
    """
    gpus = gpu_nodes(graph)
    half = len(gpus) // 2
    index = {node: place for place, node in enumerate(graph)}
    source, sink = len(index), len(index) + 1
    edges = [(index[tail], index[head], rate) for tail, head, rate in graph.edges(data="bandwidth_Bps")]
    if not half or not edges:
        return 0.0
    step = _step([rate for _, _, rate in edges])
    ends = [(source, index[node]) for node in gpus[:half]] + [(index[node], sink) for node in gpus[-half:]]
    tails = [tail for tail, _, _ in edges] + [tail for tail, _ in ends]
    heads = [head for _, head, _ in edges] + [head for _, head in ends]
    rates = [round(rate / step) for _, _, rate in edges] + [_CAPACITY] * len(ends)
    size = len(index) + 2
    capacities = csr_matrix((np.array(rates, dtype=np.int32), (tails, heads)), shape=(size, size))
    return float(maximum_flow(capacities, source, sink).flow_value * step)


def _step(rates: list[float]) -> float:
    """Return the unit in which rates are whole numbers, or nearly so where that would be too fine."""
    exact = math.gcd(*(int(rate) for rate in rates)) if all(rate == int(rate) for rate in rates) else 0
    coarse = sum(rates) / _CAPACITY
    return max(float(exact), coarse)
