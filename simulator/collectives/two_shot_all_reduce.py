"""All-reduce in two steps: a direct reduce-scatter and a direct all-gather."""

from collections.abc import Iterator

from simulator.collectives import direct_all_gather, direct_reduce_scatter
from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of both steps; a chunk is the p-th part of the buffer."""
    yield from direct_reduce_scatter.steps(ranks, size)
    yield from direct_all_gather.steps(ranks, size)


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`2\alpha + (p-1)/p\,(2n/B + n\gamma)`.

    References
    ----------
    .. [1] MSCCL++, arXiv:2504.09014: the two-phase all-pairs all-reduce.
    """
    return direct_reduce_scatter.cost(ranks, size, link) + direct_all_gather.cost(ranks, size, link)
