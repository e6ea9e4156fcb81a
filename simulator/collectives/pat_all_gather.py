"""All-gather on as many shifted binomial trees as there are ranks, farthest distances first (PAT)."""

from collections.abc import Iterator

from simulator.collectives import _parallel_trees as trees
from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "all_gather"


def steps(ranks: int, size: float, *, aggregation: int | None = None) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is the gathered result, a chunk the part of one rank.

    Parameters
    ----------
    aggregation : int, optional
        Most parts that fit into one message; by default all of them.
    """
    for distance, offsets in trees.transfers(ranks, aggregation):
        yield [
            Message(
                rank,
                (rank - distance) % ranks,
                len(offsets) * size / ranks,
                tuple((rank + offset) % ranks for offset in offsets),
            )
            for rank in range(ranks)
        ]


def cost(ranks: int, size: float, link: AlphaBeta, *, aggregation: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`s\alpha + (p-1)n/(pB)`.

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
    startups = trees.messages(ranks, aggregation) * link.alpha
    return startups + (ranks - 1) / ranks * size / link.bandwidth
