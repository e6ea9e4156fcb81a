"""What no algorithm can beat, and where two of them are equally fast."""

from math import inf

from simulator.collectives._alpha_beta import AlphaBeta
from simulator.collectives._rounds import rounds
from simulator.errors import unknown

_LEAST_SENT = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1}


def least_sent(op: str, ranks: int, size: float) -> float:
    r"""Return the least bytes that the busiest rank sends, without help in the network.

    :math:`2(p-1)n/p` for an all-reduce, :math:`(p-1)n/p` for an all-gather, reduce-scatter or all-to-all.

    References
    ----------
    .. [1] Chan et al., CCPE 19(13), 2007. [2] Patarasuk, Yuan, JPDC 69(2), 2009.
    """
    if op not in _LEAST_SENT:
        raise unknown("operation", op, list(_LEAST_SENT))
    return _LEAST_SENT[op] * (ranks - 1) / ranks * size


def least_startups(ranks: int) -> int:
    """Return the least start-ups in a row until all ranks can have heard of all: the logarithm rounded up.

    References
    ----------
    .. [1] Chan et al., CCPE 19(13), 2007: one message at a time for each rank.
    """
    return rounds(ranks)


def torus_all_to_all(side: int, size: float, link: AlphaBeta) -> float:
    r"""Return the least seconds of an all-to-all on a torus of even largest side k: :math:`nk/(8B)`.

    Of p ranks each half sends the other :math:`pn/4` bytes, over the :math:`2p/k` links that a cut across the
    longest axis severs in that direction.

    References
    ----------
    .. [1] Dally, Towles, Principles and practices of interconnection networks, 2004: the
       bisection of a k-ary n-cube.
    """
    return size * side / (8 * link.bandwidth)


def doubling_or_ring(ranks: int, link: AlphaBeta) -> float:
    r"""Return the bytes above which a ring all-reduce beats recursive doubling, for a power of two of ranks.

    :math:`n^* = \alpha B\,(2(p-1) - \lg p)/(\lg p - 2(p-1)/p)`, both costs being equal there.
    """
    if ranks < 4:
        return inf  # as many bytes, fewer start-ups
    doublings = rounds(ranks)
    return link.alpha * link.bandwidth * (2 * (ranks - 1) - doublings) / (doublings - 2 * (ranks - 1) / ranks)
