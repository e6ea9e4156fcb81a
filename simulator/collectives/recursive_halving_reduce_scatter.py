"""Reduce-scatter with ever closer partners over ever smaller halves."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import fold, folded_parts, folded_units, halving

OP = "reduce_scatter"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is each rank's buffer, a chunk what one ends with."""
    unit = size / ranks
    group, pairs = fold(ranks)
    if pairs:
        others = [(host, guest, tuple(c for c in range(ranks) if c != guest)) for host, guest in pairs]
        yield [Message(guest, host, unit * len(part), part, reduces=True) for host, guest, part in others]
    yield from halving(group, folded_parts(ranks), unit)
    if pairs:
        yield [Message(host, guest, unit, (guest,), reduces=True) for host, guest in pairs]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lg p\,\alpha + (p-1)/p\,(n/B + n\gamma)`, p a power of two.

    Otherwise the all-gather by recursive doubling run backwards, q the power of two below p and r = p - q:

    .. math::

       (\lg q + 2)\alpha + \Big(p + \sum_{k < \lg q} \big(2^k + \min(r, 2^k)\big)\Big)
       \Big(\frac{n}{pB} + \frac{n\gamma}{p}\Big)

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005; the second form follows from `steps`.
    """
    messages, units = folded_units(ranks)
    moving = units * size / ranks
    return messages * link.alpha + moving / link.bandwidth + link.reduction(moving)
