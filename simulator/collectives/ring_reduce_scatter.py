"""Reduce-scatter around a ring: each partial sum goes round once and ends where it belongs."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_reduce

OP = "reduce_scatter"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is each rank's buffer, a chunk what one ends with."""
    yield from ring_reduce(range(ranks), [(rank,) for rank in range(ranks)], size / ranks)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`(p-1)(\alpha + n/(pB) + n\gamma/p)`.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009 [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005,
       4.2.
    """
    return (ranks - 1) * (link.message(size / ranks) + link.reduction(size / ranks))
