"""Broadcast from rank 0 in packets down two binary trees at once."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._double_tree import broadcast_steps, fill
from simulator.collectives._packets import check_packets, pipelined, whole_count
from simulator.collectives._rounds import rounds

OP = "broadcast"


def packet_count(ranks: int, size: float, link: AlphaBeta) -> int:
    r"""Return the best number of packets, :math:`K^* = \sqrt{(2h-2)n/(\alpha B)}`, as a whole number."""
    return whole_count(max(0, 2 * rounds(ranks) - 2), size, AlphaBeta(link.alpha, link.bandwidth))


def steps(ranks: int, size: float, *, packets: int = 1) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is a packet, the even ones go down the first tree."""
    yield from broadcast_steps(range(ranks), range(check_packets(packets)), size / packets)


def cost(ranks: int, size: float, link: AlphaBeta, *, packets: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`(2h + K - 2)(\alpha + n/(KB))`, h levels, K packets.

    Exact where the ranks are a power of two; otherwise the trees' own depth stands for :math:`2h - 2`, which
    is that or less.

    Parameters
    ----------
    packets : int, optional
        K; by default the best number.

    References
    ----------
    .. [1] Sanders, Speck, Träff, Parallel Computing 35(12), 2009
    """
    without_gamma = AlphaBeta(link.alpha, link.bandwidth)
    count = packet_count(ranks, size, link) if packets is None else check_packets(packets)
    return pipelined(fill(ranks, count), size, without_gamma, count)
