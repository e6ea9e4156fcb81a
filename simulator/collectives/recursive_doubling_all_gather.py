"""All-gather by exchanging all one has with ever farther partners."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import doubling, fold, folded_parts, folded_units

OP = "all_gather"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is the gathered result, a chunk the part of one rank."""
    unit = size / ranks
    group, pairs = fold(ranks)
    if pairs:
        yield [Message(guest, host, unit, (guest,)) for host, guest in pairs]
    yield from doubling(group, folded_parts(ranks), unit)
    if pairs:
        others = [(host, guest, tuple(c for c in range(ranks) if c != guest)) for host, guest in pairs]
        yield [Message(host, guest, unit * len(part), part) for host, guest, part in others]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lg p\,\alpha + (p-1)n/(pB)` for a power of two.

    Otherwise r = p - q ranks, q the power of two below, hand their part to a partner and get the rest at the
    end, and the slowest exchange is that of partners who stand for two:

    .. math::

       (\lg q + 2)\alpha + \Big(p + \sum_{k < \lg q} \big(2^k + \min(r, 2^k)\big)\Big)\frac{n}{pB}

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005; the second form follows from `steps`.
    """
    messages, units = folded_units(ranks)
    return messages * link.alpha + units * size / ranks / link.bandwidth
