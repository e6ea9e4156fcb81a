"""Which algorithm, protocol and channels NCCL would choose, and what it holds them to cost."""

import math

from simulator.collectives import _nccl_graphs, _nccl_p2p, _nccl_tables
from simulator.collectives._nccl_case import Candidate, Case, eligible
from simulator.collectives._nccl_graphs import Graph, Graphs, graphs
from simulator.collectives._nccl_machine import Machine, machine_of
from simulator.collectives._nccl_overrides import pairs
from simulator.collectives._nccl_price import price
from simulator.collectives._nccl_tables import ALGORITHMS, NEWEST, PROTOCOLS, Table, columns, release

__all__ = [
    "ALGORITHMS", "NEWEST", "OPERATIONS", "PROTOCOLS", "Candidate", "Graph", "Graphs", "Machine", "Table",
    "candidates", "choose", "columns", "graphs", "machine_of", "release",
]  # fmt: skip

OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", *_nccl_p2p.OPERATIONS)


def _case(op: str, size: float, machine: Machine, version: str, found: Graphs | None) -> Case:
    if op not in OPERATIONS:
        raise ValueError(f"NCCL has no operation {op!r}: {', '.join(OPERATIONS)}")
    if not (math.isfinite(size) and size >= 0):
        raise ValueError(f"size is a number of bytes, 0 or more; got {size}")
    if machine.ranks < 2:
        raise ValueError("one GPU exchanges nothing: there is no algorithm to choose")
    known, _ = _nccl_tables.release(version)
    return Case(op=op, machine=machine, table=known, graphs=found or _nccl_graphs.graphs(machine, version))


def _eligible(case: Case) -> list[tuple[str, str]]:
    return [(a, p) for a in ALGORITHMS for p in PROTOCOLS if eligible(case, a, p)]


def candidates(
    op: str,
    size: float,
    machine: Machine,
    release: str = NEWEST,
    *,
    algorithm: str | None = None,
    protocol: str | None = None,
    graphs: Graphs | None = None,
    operations: int = 1,
    fp8: bool = False,
) -> list[Candidate]:
    r"""Return every way that NCCL would price, in its order.

    .. math:: T = \lambda c + S / \beta'

    with :math:`\lambda` latency, :math:`\beta'` corrected algorithm bandwidth, :math:`c` operations grouped.

    Parameters
    ----------
    op : str
        A collective; empty for those of `_nccl_p2p.OPERATIONS`, which NCCL does not price.
    size : float
        Bytes as nccl-tests counts them: of the buffer, for all_gather and reduce_scatter
        of all ranks together.
    machine : Machine
        What NCCL sees.
    release : str
        NCCL release.
    algorithm, protocol : str, optional
        As in ``NCCL_ALGO`` and ``NCCL_PROTO``: ``ring,tree``, ``^ring``, ``tree;allgather:ring`` (2.24+).
    graphs : Graphs, optional
        Search results of the real machine, e.g. from its log; by default searched here.
    operations : int
        Equal operations that NCCL aggregates from one group, per channel.
    fp8 : bool
        Whether 8-bit floats are reduced.

    Raises
    ------
    ValueError
        An unknown operation, a size below 0, a single GPU, an override of unknown words.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/graph/tuning.cc, src/enqueue.cc.
    """
    case = _case(op, size, machine, release, graphs)
    allowed = pairs(op, case.table, algorithm, protocol)
    priced = [price(case, a, p, size, operations=operations, fp8=fp8) for a, p in _eligible(case)]
    left = [c for c in priced if (c.algorithm, c.protocol) in allowed and c.bandwidth_Bps > 0]
    if priced and not left and case.table.impossible_override == "ignored":
        return priced
    return left


def choose(
    op: str,
    size: float,
    machine: Machine,
    release: str = NEWEST,
    *,
    algorithm: str | None = None,
    protocol: str | None = None,
    graphs: Graphs | None = None,
    operations: int = 1,
    fp8: bool = False,
) -> Candidate:
    """Return what NCCL would run: the least price, the first in its order among equals.

    all_to_all, send_recv, gather and scatter are messages, which NCCL cuts by rule and never prices; their
    time here is our alpha-beta price (`_nccl_p2p.choose`).

    Parameters
    ----------
    op, size, machine, release, algorithm, protocol, graphs, operations, fp8
        As in `candidates`.

    Raises
    ------
    ValueError
        As `candidates`, or the overrides leave nothing (an error since 2.24, ignored before).
    """
    case = _case(op, size, machine, release, graphs)
    allowed = pairs(op, case.table, algorithm, protocol)
    if op in _nccl_p2p.OPERATIONS:
        return _nccl_p2p.choose(case, size, frozenset(p for _, p in allowed))
    found = candidates(
        op, size, machine, release,
        algorithm=algorithm, protocol=protocol, graphs=case.graphs, operations=operations, fp8=fp8,
    )  # fmt: skip
    if not found:
        possible = [f"{a}/{p}" for a, p in _eligible(case)]
        raise ValueError(
            f"NCCL {case.table.release} cannot run {op} with algorithm={algorithm} protocol={protocol} here; "
            f"possible: {', '.join(possible)}"
        )
    return min(found, key=lambda candidate: candidate.time_s)
