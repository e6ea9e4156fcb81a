"""Reduce-scatter in one step: each rank sends all others what they are to sum, at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import to_all_others

OP = "reduce_scatter"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; ``size`` is each rank's buffer, a chunk what one ends with."""
    yield from to_all_others(ranks, lambda _, dst: (dst,), size / ranks, reduces=True)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + (p-1)/p\,(n/B + n\gamma)`.

    References
    ----------
    .. [1] MSCCL++, arXiv:2504.09014: the first step of its two-shot all-reduce.
    """
    moving = (ranks - 1) / ranks * size
    return link.message(moving) + link.reduction(moving) if ranks > 1 else 0.0
