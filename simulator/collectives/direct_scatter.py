"""Scatter from rank 0: the root sends each rank its part, all at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "scatter"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; ``size`` is the root's whole buffer, a chunk one rank's part."""
    if ranks > 1:
        yield [Message(0, rank, size / ranks, (rank,)) for rank in range(1, ranks)]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + (p-1)n/(pB)`, the root's port being full.

    References
    ----------
    .. [1] Chan et al., Collective communication: theory, practice, and experience, CCPE 19(13), 2007: the
       lower bound of a scatter, met here in bandwidth.
    """
    return link.message((ranks - 1) / ranks * size) if ranks > 1 else 0.0
