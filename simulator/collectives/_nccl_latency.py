"""What NCCL holds the latency of each algorithm to be: the part of a price that does not grow with the data.

References
----------
.. [1] NVIDIA/nccl v2.30.7-1, src/graph/tuning.cc.
"""

import math

from simulator.collectives._nccl_case import Case
from simulator.collectives._nccl_tables import PROTOCOLS

_PAT_OVERLAP = 3.5  # network hops of PAT that overlap
_PAT_RANK = 2.8e-6  # s a rank that PAT walks over


def latency(case: Case, algorithm: str, protocol: str) -> float:
    """Return the part of the price that does not grow with the data, s, before corrections by size."""
    p = PROTOCOLS.index(protocol)
    local = case.local_hops()
    power = case.machine.host_cpu == "power" and case.machine.intra == "pcie"
    row = "ring" if power and (algorithm, protocol) == ("tree", "Simple") else algorithm
    formula = _FORMULAS[algorithm]
    return case.table.base_latency[algorithm][p] + formula(
        case, p, local[row][p], _network(case, algorithm, p)
    )


def _network(case: Case, algorithm: str, p: int) -> float:
    # With one rank a node nothing hides the hop: the tree's figure holds for everyone.
    row = "tree" if case.machine.gpus_per_node == 1 else algorithm
    plugin = case.machine.network_latency * (2 if PROTOCOLS[p] == "Simple" else 1)
    return case.table.hop_latency["network"][row][p] + plugin


def _depth(case: Case) -> int:
    return int(math.log2(case.machine.nodes))


def _ring(case: Case, p: int, hop: float, far: float) -> float:
    table, machine = case.table, case.machine
    simple = PROTOCOLS[p] == "Simple"
    if case.op in ("broadcast", "reduce"):
        if case.graphs.ring.alike:
            return case.hops()["ring"][p]
        return machine.ranks * case.hops()["tree" if simple else "ring"][p]
    if machine.nodes == 1:
        return case.steps * hop
    outside = machine.nodes - 1
    if case.op == "all_reduce":
        outside = 2 * machine.nodes - table.ring_network_steps_less
    overhead = table.network_overhead.get(machine.host_cpu, table.network_overhead["intel"])
    return (case.steps - outside) * max(hop, overhead * (3 if simple else 1)) + outside * far


def _tree(case: Case, _p: int, hop: float, far: float) -> float:
    return 2 * ((case.machine.gpus_per_node - 1) * hop + _depth(case) * far)


def _collnet_direct(case: Case, _p: int, hop: float, far: float) -> float:
    others = case.machine.gpus_per_node - 1
    return 2 * (min(1, others) * hop + others * case.table.collnet_direct_sync) + far


def _collnet_chain(case: Case, _p: int, hop: float, far: float) -> float:
    return 2 * (case.machine.gpus_per_node - 1) * hop + far


def _nvls(case: Case, _p: int, hop: float, far: float) -> float:
    return hop + (far if case.machine.nodes > 1 else 0.0)


def _nvls_tree(case: Case, _p: int, hop: float, far: float) -> float:
    across = {"linear": case.machine.nodes - 1, "logarithmic": _depth(case)}
    return hop + 2 * across[case.table.nvls_tree_latency] * far


def _pat(case: Case, _p: int, _hop: float, far: float) -> float:
    return _depth(case) * far / _PAT_OVERLAP + _PAT_RANK * case.machine.ranks


_FORMULAS = {
    "ring": _ring,
    "tree": _tree,
    "collnet_direct": _collnet_direct,
    "collnet_chain": _collnet_chain,
    "nvls": _nvls,
    "nvls_tree": _nvls_tree,
    "pat": _pat,
}
