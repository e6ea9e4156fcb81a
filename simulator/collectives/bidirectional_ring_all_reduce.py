"""All-reduce around a ring in both directions at once, half of the buffer each way."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_gather, ring_reduce, together

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step; chunks from p on are those that go backwards."""
    unit = size / (2 * ranks)
    halves = [(turn, [(rank + first,) for rank in range(ranks)]) for turn, first in ((1, 0), (-1, ranks))]
    yield from together(ring_reduce(range(ranks), parts, unit, turn=turn) for turn, parts in halves)
    yield from together(ring_gather(range(ranks), parts, unit, turn=turn) for turn, parts in halves)


def cost(ranks: int, size: float, link: AlphaBeta, *, links: int = 1) -> float:
    r"""Return seconds on an idle network: :math:`2(p-1)(\alpha + n/(plB)) + (p-1)n\gamma/p`.

    Parameters
    ----------
    links : int
        Links l that a rank has for it: 1 behind a switch, where both directions leave by the same port; 2 in
        a ring of cables, where each has its own.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009, for each direction.
    """
    part = size / ranks
    return (ranks - 1) * (2 * link.message(part / min(links, 2)) + link.reduction(part))
