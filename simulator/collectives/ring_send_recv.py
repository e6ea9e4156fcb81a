"""Send and receive: every rank sends its buffer to the next one, all at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "send_recv"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of the one step; a chunk is the buffer of one rank."""
    if ranks > 1:
        yield [Message(rank, (rank + 1) % ranks, size, (rank,)) for rank in range(ranks)]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`\alpha + n/B`.

    References
    ----------
    .. [1] Hockney, Parallel Computing 20(3), 1994.
    """
    return link.message(size) if ranks > 1 else 0.0
