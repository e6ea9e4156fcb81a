"""Broadcast from rank 0 as a scatter on a binomial tree and an all-gather around a ring."""

from collections.abc import Iterator

from simulator.collectives import binomial_scatter, ring_all_gather
from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "broadcast"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is the p-th part of the buffer."""
    yield from binomial_scatter.steps(ranks, size)
    yield from ring_all_gather.steps(ranks, size)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`(\lceil\lg p\rceil + p - 1)\alpha + 2(p-1)n/(pB)`.

    References
    ----------
    .. [1] Barnett et al., InterCom, SHPCC 1994. [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005.
       4.3.
    """
    return binomial_scatter.cost(ranks, size, link) + ring_all_gather.cost(ranks, size, link)
