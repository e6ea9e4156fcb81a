"""Reduce to rank 0 in packets up two binary trees at once: the broadcast backwards."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._double_tree import fill, reduce_steps
from simulator.collectives._packets import check_packets, pipelined, whole_count
from simulator.collectives._rounds import rounds

OP = "reduce"


def packet_count(ranks: int, size: float, link: AlphaBeta) -> int:
    r"""Return the best whole number of packets, near :math:`\sqrt{(2h-2)n(1/B + \gamma)/\alpha}`."""
    return whole_count(max(0, 2 * rounds(ranks) - 2), size, link)


def steps(ranks: int, size: float, *, packets: int = 1) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is a packet, the even ones go up the first tree."""
    yield from reduce_steps(range(ranks), range(check_packets(packets)), size / packets)


def cost(ranks: int, size: float, link: AlphaBeta, *, packets: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`(2h + K - 2)(\alpha + n/(KB) + n\gamma/K)`.

    h levels, K packets. Exact where the ranks are a power of two; otherwise the trees' own depth stands for
    :math:`2h - 2`, which is that or less.

    Parameters
    ----------
    packets : int, optional
        K; by default the best number.

    References
    ----------
    .. [1] Sanders, Speck, Träff, Parallel Computing 35(12), 2009
    """
    count = packet_count(ranks, size, link) if packets is None else check_packets(packets)
    return pipelined(fill(ranks, count), size, link, count)
