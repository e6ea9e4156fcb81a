"""All-gather by sending all one has to ranks ever farther below: fewest steps, any rank count."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._rounds import rounds

OP = "all_gather"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is the gathered result, a chunk the part of one rank."""
    for k in range(rounds(ranks)):
        count = min(2**k, ranks - 2**k)
        yield [
            Message(
                rank,
                (rank - 2**k) % ranks,
                count * size / ranks,
                tuple((rank + i) % ranks for i in range(count)),
            )
            for rank in range(ranks)
        ]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\lceil\lg p\rceil\alpha + (p-1)n/(pB)`.

    References
    ----------
    .. [1] Bruck et al., IEEE TPDS 8(11), 1997
    """
    return rounds(ranks) * link.alpha + (ranks - 1) / ranks * size / link.bandwidth
