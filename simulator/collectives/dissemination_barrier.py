"""Barrier: each rank tells one ever farther above that it, and all it has heard of, are there."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._rounds import rounds

OP = "barrier"


def steps(ranks: int, size: float = 0.0) -> Iterator[list[Message]]:  # noqa: ARG001 (a barrier moves no data)
    """Yield the messages of each step, all empty; the chunks are the ranks heard of."""
    for k in range(rounds(ranks)):
        heard = [tuple((rank - i) % ranks for i in range(min(2**k, ranks))) for rank in range(ranks)]
        yield [Message(rank, (rank + 2**k) % ranks, 0.0, heard[rank]) for rank in range(ranks)]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:  # noqa: ARG001 (a barrier moves no data)
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil\alpha`, whatever ``size`` is.

    References
    ----------
    .. [1] Hensgen, Finkel, Manber, Two algorithms for barrier synchronization, Int. J. Parallel Programming
       17(1), 1988.
    """
    return rounds(ranks) * link.alpha
