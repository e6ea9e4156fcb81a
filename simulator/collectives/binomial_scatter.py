"""Scatter from rank 0 on a binomial tree: each child gets the parts of all below it."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import tree_edges
from simulator.collectives._rounds import rounds

OP = "scatter"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is the root's whole buffer, a chunk the part of one rank."""
    for reach, edges in tree_edges(ranks):
        below = [(parent, child, tuple(range(child, min(child + reach, ranks)))) for parent, child in edges]
        yield [Message(parent, child, len(part) * size / ranks, part) for parent, child, part in below]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil\alpha + (p-1)n/(pB)`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    return rounds(ranks) * link.alpha + (ranks - 1) / ranks * size / link.bandwidth
