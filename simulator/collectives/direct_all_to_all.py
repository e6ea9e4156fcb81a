"""All-to-all in one step: each rank sends all others their parts at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import to_all_others

OP = "all_to_all"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; ``size`` is a rank's buffer, chunk s p + d goes from s to d."""
    yield from to_all_others(ranks, lambda src, dst: (src * ranks + dst,), size / ranks)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + (p-1)n/(pB)`, each port being full throughout.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009: the bandwidth bound, met here.
    """
    return link.message((ranks - 1) / ranks * size) if ranks > 1 else 0.0
