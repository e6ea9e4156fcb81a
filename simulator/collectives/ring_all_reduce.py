"""All-reduce around a ring: partial sums go round once, then the sums do."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_gather, ring_reduce

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is the p-th part of the buffer."""
    parts = [(rank,) for rank in range(ranks)]
    yield from ring_reduce(range(ranks), parts, size / ranks)
    yield from ring_gather(range(ranks), parts, size / ranks)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`2(p-1)(\alpha + n/(pB)) + (p-1)n\gamma/p`.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009 [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005,
       4.5.
    """
    part = size / ranks
    return (ranks - 1) * (2 * link.message(part) + link.reduction(part))
