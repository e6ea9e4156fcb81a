"""The parallel aggregated trees of PAT: for each rank one binomial tree, all of them alike but shifted.

References
----------
.. [1] Jeaugey, PAT: a new algorithm for all-gather and reduce-scatter operations at scale, arXiv:2506.20252.
"""

from collections.abc import Iterator

from simulator.collectives._rounds import rounds
from simulator.errors import UsageError


def transfers(ranks: int, aggregation: int | None) -> Iterator[tuple[int, range]]:
    """Yield the messages of every rank in an all-gather: how far down they go, and with which parts.

    A part is named by how far its owner is above the sender. At distance ``2**d`` those go whose offset is a
    multiple of twice that and that the receiver's tree still reaches.
    """
    most = ranks if aggregation is None else aggregation
    if most < 1:
        raise UsageError(f"a message must hold at least 1 part, got {aggregation}")
    for d in reversed(range(rounds(ranks))):
        offsets = range(0, ranks - 2**d, 2 ** (d + 1))
        for first in range(0, len(offsets), most):
            yield 2**d, offsets[first : first + most]


def messages(ranks: int, aggregation: int | None) -> int:
    """Return how many messages each rank sends."""
    return sum(1 for _ in transfers(ranks, aggregation))
