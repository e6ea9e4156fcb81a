"""All-reduce in one step: each rank sends its whole buffer to all others, and all sum."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import to_all_others

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; the one chunk is the whole buffer."""
    yield from to_all_others(ranks, lambda _, __: (0,), size, reduces=True)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + (p-1)(n/B + n\gamma)`.

    References
    ----------
    .. [1] MSCCL++, arXiv:2504.09014: the one-phase all-pairs all-reduce.
    """
    moving = (ranks - 1) * size
    return link.message(moving) + link.reduction(moving) if ranks > 1 else 0.0
