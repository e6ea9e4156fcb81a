"""Reduce-scatter on as many shifted binomial trees as there are ranks, nearest distances first (PAT)."""

from collections.abc import Iterator

from simulator.collectives import _parallel_trees as trees
from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "reduce_scatter"


def steps(ranks: int, size: float, *, aggregation: int | None = None) -> Iterator[list[Message]]:
    """Yield the all-gather's messages backwards; ``size`` is each rank's buffer, a chunk what one ends with.

    Parameters
    ----------
    aggregation : int, optional
        Most parts that fit into one message; by default all of them.
    """
    for distance, offsets in reversed(list(trees.transfers(ranks, aggregation))):
        yield [
            Message(
                rank,
                (rank + distance) % ranks,
                len(offsets) * size / ranks,
                tuple((rank + distance + offset) % ranks for offset in offsets),
                reduces=True,
            )
            for rank in range(ranks)
        ]


def cost(ranks: int, size: float, link: AlphaBeta, *, aggregation: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`s\alpha + (p-1)/p\,(n/B + n\gamma)`.

    s is :math:`\lceil\lg p\rceil` where all parts that go the same way fit into one message.

    Parameters
    ----------
    aggregation : int, optional
        Most parts that fit into one message; by default all of them.

    References
    ----------
    .. [1] Jeaugey, PAT: a new algorithm for all-gather and reduce-scatter operations at scale,
       arXiv:2506.20252.
    """
    moving = (ranks - 1) / ranks * size
    startups = trees.messages(ranks, aggregation) * link.alpha
    return startups + moving / link.bandwidth + link.reduction(moving)
