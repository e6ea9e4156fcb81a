"""Algorithm and bus bandwidth, as nccl-tests prints them.

References
----------
.. [1] NVIDIA, nccl-tests, doc/PERFORMANCE.md.
"""

from simulator.errors import unknown

_RING_TURNS = {  # how often a ring carries the part (p-1)/p of the buffer over each link
    "all_reduce": 2,
    "all_gather": 1,
    "reduce_scatter": 1,
    "all_to_all": 1,
    "gather": 1,
    "scatter": 1,
}
_WHOLE = ("broadcast", "reduce", "send_recv")


def bus_factor(op: str, ranks: int) -> float:
    """Return bus bandwidth over algorithm bandwidth.

    Raises
    ------
    UsageError
        An operation that nccl-tests has no factor for.
    """
    if op in _WHOLE:
        return 1.0
    if op not in _RING_TURNS:
        raise unknown("operation", op, [*_RING_TURNS, *_WHOLE])
    return _RING_TURNS[op] * (ranks - 1) / ranks


def algorithm_bandwidth(size: float, seconds: float) -> float:
    """Return bytes/s of the buffer."""
    return size / seconds


def bus_bandwidth(op: str, ranks: int, size: float, seconds: float) -> float:
    """Return bytes/s that a ring would push through each link to be as fast."""
    return algorithm_bandwidth(size, seconds) * bus_factor(op, ranks)
