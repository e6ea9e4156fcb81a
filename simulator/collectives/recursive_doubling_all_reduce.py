"""All-reduce by exchanging the whole buffer with ever farther partners."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import fold
from simulator.collectives._rounds import power_below

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ranks beyond a power of two hand their part to a partner first."""
    group, pairs = fold(ranks)
    if pairs:
        yield [Message(guest, host, size, (0,), reduces=True) for host, guest in pairs]
    distance = 1
    while distance < len(group):
        yield [Message(rank, group[i ^ distance], size, (0,), reduces=True) for i, rank in enumerate(group)]
        distance *= 2
    if pairs:
        yield [Message(host, guest, size, (0,)) for host, guest in pairs]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lg q\,(\alpha + n/B + n\gamma)`.

    q is the power of two below p. Where q is not p, two more messages and one more reduction: :math:`2(\alpha
    + n/B) + n\gamma`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    doublings = ranks.bit_length() - 1
    extra = power_below(ranks) < ranks
    return (doublings + 2 * extra) * link.message(size) + (doublings + extra) * link.reduction(size)
