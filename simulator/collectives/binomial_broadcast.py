"""Broadcast from rank 0 on a binomial tree."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import tree_edges
from simulator.collectives._rounds import rounds

OP = "broadcast"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; the one chunk is the whole buffer."""
    for _, edges in tree_edges(ranks):
        yield [Message(parent, child, size, (0,)) for parent, child in edges]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil(\alpha + n/B)`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    return rounds(ranks) * link.message(size)
