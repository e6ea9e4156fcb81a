"""All-to-all in p - 1 steps, in each of which every rank sends to one and receives from one."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message

OP = "all_to_all"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is a rank's send buffer, chunk s p + d goes from s to d."""
    for step in range(1, ranks):
        pairs = [(rank, (rank + step) % ranks) for rank in range(ranks)]
        yield [Message(src, dst, size / ranks, (src * ranks + dst,)) for src, dst in pairs]


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`(p-1)(\alpha + n/(pB))`.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005: MPICH's algorithm for long messages.
    """
    return (ranks - 1) * link.message(size / ranks)
