"""What NCCL holds the bandwidth of each algorithm to be, as bytes of the operation each second.

References
----------
.. [1] NVIDIA/nccl v2.30.7-1 and the tags that the tables name, src/graph/tuning.cc.
"""

import math

from simulator.collectives._nccl_case import Case
from simulator.collectives._nccl_graphs import Graph


def bandwidth(case: Case, algorithm: str, protocol: str) -> float:
    """Return bytes/s that a very large operation tends to, as NCCL counts its bytes; 0 is switched off."""
    graph = case.graph(algorithm)
    if graph is None:
        return 0.0
    return _FORMULAS[algorithm](case, graph, protocol)


def _raw(case: Case, graph: Graph) -> float:
    return graph.channels * (graph.intra if case.machine.nodes <= 2 else graph.inter)


def _ring(case: Case, graph: Graph, protocol: str) -> float:
    machine, table = case.machine, case.table
    rate = _raw(case, graph)
    if protocol == "LL":
        reduces = case.op in ("all_reduce", "reduce")
        share = table.ring_ll["network" if machine.nodes > 1 else "reducing" if reduces else "moving"]
        rate = min(case.ll_cap(), rate * share)
    elif protocol == "LL128":
        ranks = "one_rank_per_node" if machine.gpus_per_node == 1 else "several_ranks_per_node"
        rate = min(rate * table.ring_ll128[ranks], graph.channels * case.cap("ring_ll128"))
    return rate * machine.ranks / case.steps


def _tree(case: Case, graph: Graph, protocol: str) -> float:
    rate = min(0.92 * _raw(case, graph), graph.channels * case.cap("tree"))
    if protocol == "LL":
        rate = min(rate / 3.8, case.ll_cap())
    elif protocol == "LL128":
        share = 7 / 9 if case.machine.nodes == 1 else 120 / 128
        rate = min(rate * share, graph.channels * case.cap("tree_ll128"))
    return rate * (case.table.simple_tree_share if graph.pattern == "simple" else 1.0) / 2


def _pat(case: Case, graph: Graph, _protocol: str) -> float:
    return case.table.pat_share * _raw(case, graph)


def _collnet_chain(_case: Case, graph: Graph, _protocol: str) -> float:
    return graph.channels * graph.intra / 2


def _collnet_direct(case: Case, graph: Graph, _protocol: str) -> float:
    local = case.machine.gpus_per_node
    if case.moves:
        return local * min(graph.intra, 0.9 * graph.inter)
    shared = local / graph.channels
    hopper = case.table.collnet_direct_hopper if case.machine.compute_capability >= 90 else 1.0
    return graph.channels * graph.intra / (shared - (shared - 1) / 2) * hopper / 2


def _nvls(case: Case, graph: Graph, _protocol: str) -> float:
    return _NVLS[case.table.nvls_bandwidth](case, graph, False)


def _nvls_tree(case: Case, graph: Graph, _protocol: str) -> float:
    return _NVLS[case.table.nvls_bandwidth](case, graph, True)


def _nvls_per_channel(case: Case, graph: Graph, tree: bool) -> float:
    nodes = case.machine.nodes
    if tree:
        return _raw(case, graph) * case.table.nvls_tree_ratio * nodes / (2 * (nodes - 1))
    return _raw(case, graph) * case.table.nvls_ratio


def _nvls_least_link(case: Case, graph: Graph, tree: bool) -> float:
    local = case.machine.gpus_per_node
    if case.moves and case.table.nvls_gather == "own_links":
        return graph.channels * min(graph.intra * (local - 1) / local, 0.9 * graph.inter)
    halved = tree and case.machine.nodes > 2
    rate = graph.channels * min(graph.intra, graph.inter / 2 if halved else graph.inter)
    return rate if case.moves else rate * case.table.nvls_ratio


def _nvls_efficiency(case: Case, graph: Graph, tree: bool) -> float:
    machine, heads = case.machine, graph.channels
    local = machine.gpus_per_node
    both_ways = 2.0 if case.op == "all_reduce" else (local - 1) / local
    inside = graph.intra * case.table.nvls_efficiency[case.architecture] * (heads - 1) / heads * both_ways
    outside = graph.inter * (2 if tree and machine.nodes <= 2 else 1)
    rate = heads * min(inside, outside, case.cap("nvls_tree") if tree else math.inf)
    return rate if case.moves else rate * machine.ranks / (2 * (machine.ranks - 1))


_NVLS = {
    "per_channel": _nvls_per_channel,
    "least_link": _nvls_least_link,
    "efficiency": _nvls_efficiency,
}
_FORMULAS = {
    "ring": _ring,
    "tree": _tree,
    "collnet_direct": _collnet_direct,
    "collnet_chain": _collnet_chain,
    "nvls": _nvls,
    "nvls_tree": _nvls_tree,
    "pat": _pat,
}
