"""All-gather around a ring: each part goes round once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_gather

OP = "all_gather"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is the gathered result, a chunk the part of one rank."""
    yield from ring_gather(range(ranks), [(rank,) for rank in range(ranks)], size / ranks)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`(p-1)(\alpha + n/(pB))`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    return (ranks - 1) * link.message(size / ranks)
