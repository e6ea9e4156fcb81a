r"""What NCCL holds an algorithm and a protocol to cost: :math:`T = \lambda c + S / \beta`.

References
----------
.. [1] NVIDIA/nccl v2.30.7-1, src/graph/tuning.cc, src/enqueue.cc.
"""

import math
from collections.abc import Sequence

from simulator.collectives._nccl_bandwidth import bandwidth
from simulator.collectives._nccl_case import Candidate, Case
from simulator.collectives._nccl_latency import latency

_FP8_FACTOR = 1024  # keeps 8-bit floats off long rings, where every hop rounds
_FP8_RANKS = 8


def price(
    case: Case, algorithm: str, protocol: str, size: float, *, operations: int = 1, fp8: bool = False
) -> Candidate:
    """Return the price of one algorithm and protocol.

    Parameters
    ----------
    case : Case
        What is run.
    algorithm, protocol : str
        How; `eligible` on this machine.
    size : float
        Bytes as NCCL counts them.
    operations : int
        Operations aggregated into one.
    fp8 : bool
        Whether 8-bit floats are reduced.
    """
    plain = bandwidth(case, algorithm, protocol)
    rate = plain * _tree_correction(case, algorithm, protocol, size)
    delay = latency(case, algorithm, protocol) * _plateau(case, algorithm, protocol, size)
    count = operations if algorithm == "ring" else math.ceil(operations / case.table.operations_per_latency)
    factor = _FP8_FACTOR if fp8 and algorithm == "ring" and case.machine.ranks > _FP8_RANKS else 1
    nvls = algorithm.startswith("nvls")
    return Candidate(
        algorithm=algorithm,
        protocol=protocol,
        channels=case.graphs.nvls_channels if nvls else case.graphs.channels,
        latency_s=delay,
        bandwidth_Bps=plain,
        time_s=(delay * count + size / rate) * factor if rate > 0 else math.inf,
    )


def _tree_correction(case: Case, algorithm: str, protocol: str, size: float) -> float:
    """Return the factor on a tree's bandwidth at one size, from 64 bytes up by octave."""
    rows = case.table.tree_correction
    row: Sequence[float] = ()
    if algorithm == "tree":
        row = rows[protocol]
    elif algorithm == "nvls_tree":
        where = case.table.nvls_tree_correction
        if case.architecture in where["architectures"] and case.machine.host_cpu in where["hosts"]:
            row = [*rows[protocol], rows[protocol][-1]]
    if case.op != "all_reduce" or size < 64:
        return 1.0
    octave = math.floor(math.log2(size / 64))
    return row[octave] if octave < len(row) else 1.0


def _plateau(case: Case, algorithm: str, protocol: str, size: float) -> float:
    """Return the factor on the latency of a large ring across nodes."""
    if (case.op, algorithm, protocol) != ("all_reduce", "ring", "Simple") or case.machine.nodes == 1:
        return 1.0
    per_rank = size / (case.graphs.channels * case.machine.ranks)
    return case.table.plateau_factor[case.architecture] if per_rank >= case.table.plateau_from else 1.0
