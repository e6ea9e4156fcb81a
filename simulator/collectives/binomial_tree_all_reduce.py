"""All-reduce as a reduce to rank 0 followed by a broadcast, both on a binomial tree."""

from collections.abc import Iterator

from simulator.collectives import binomial_broadcast, binomial_reduce
from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; the one chunk is the whole buffer."""
    yield from binomial_reduce.steps(ranks, size)
    yield from binomial_broadcast.steps(ranks, size)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil(2\alpha + 2n/B + n\gamma)`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    return binomial_reduce.cost(ranks, size, link) + binomial_broadcast.cost(ranks, size, link)
