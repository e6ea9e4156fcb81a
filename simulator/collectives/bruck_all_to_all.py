"""All-to-all in few steps: in step k each part travels on whose way to go has bit k set."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._rounds import rounds

OP = "all_to_all"


def _distances(ranks: int, k: int) -> list[int]:
    return [distance for distance in range(ranks) if distance >> k & 1]


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is a rank's send buffer, chunk s p + d goes from s to d."""
    for k in range(rounds(ranks)):
        messages = []
        for rank in range(ranks):
            ways = [((rank - distance % 2**k) % ranks, distance) for distance in _distances(ranks, k)]
            moving = tuple(src * ranks + (src + distance) % ranks for src, distance in ways)
            messages.append(Message(rank, (rank + 2**k) % ranks, len(moving) * size / ranks, moving))
        yield messages


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil\alpha + Sn/(pB)`.

    S counts the set bits of all numbers below p; for a power of two :math:`Sn/p = (n/2)\lg p`.

    References
    ----------
    .. [1] Bruck et al., IEEE TPDS 8(11), 1997
    """
    parts = sum(distance.bit_count() for distance in range(ranks))
    return rounds(ranks) * link.alpha + parts * size / ranks / link.bandwidth
