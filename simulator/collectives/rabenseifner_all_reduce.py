"""All-reduce by recursive halving and doubling: a reduce-scatter, then an all-gather."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import doubling, fold, halving, joined
from simulator.collectives._rounds import power_below

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is the q-th part of the buffer, q the power of two below p."""
    group, pairs = fold(ranks)
    parts = [(i,) for i in range(len(group))]
    whole = joined(parts)
    if pairs:
        yield [Message(guest, host, size, whole, reduces=True) for host, guest in pairs]
    yield from halving(group, parts, size / len(group))
    yield from doubling(group, parts, size / len(group))
    if pairs:
        yield [Message(host, guest, size, whole) for host, guest in pairs]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`2\lg q\,\alpha + (1 - 1/q)(2n/B + n\gamma)`.

    q is the power of two below p; where it is not p, two more messages and a reduction of the whole buffer:
    :math:`2(\alpha + n/B) + n\gamma`.

    References
    ----------
    .. [1] Rabenseifner, ICCS 2004. [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005
    """
    power = power_below(ranks)
    moving = (power - 1) / power * size
    folded = 2 * link.message(size) + link.reduction(size) if power < ranks else 0.0
    startups = 2 * (power.bit_length() - 1) * link.alpha
    return startups + 2 * moving / link.bandwidth + link.reduction(moving) + folded
