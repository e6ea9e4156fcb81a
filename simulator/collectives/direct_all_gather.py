"""All-gather in one step: each rank sends its part to all others at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import to_all_others

OP = "all_gather"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; ``size`` is the gathered result, a chunk the part of one rank."""
    yield from to_all_others(ranks, lambda src, _: (src,), size / ranks)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + (p-1)n/(pB)`.

    References
    ----------
    .. [1] MSCCL++, arXiv:2504.09014: the second step of its two-shot all-reduce.
    """
    return link.message((ranks - 1) / ranks * size) if ranks > 1 else 0.0
