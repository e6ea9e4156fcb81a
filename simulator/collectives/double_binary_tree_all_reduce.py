"""All-reduce in packets on two binary trees at once: up to rank 0, then down again."""

from collections.abc import Iterator

from simulator.collectives import double_binary_tree_broadcast, double_binary_tree_reduce
from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._packets import check_packets

OP = "all_reduce"


def packet_count(ranks: int, size: float, link: AlphaBeta) -> int:
    """Return the best number of packets of a broadcast, which both phases use."""
    return double_binary_tree_broadcast.packet_count(ranks, size, link)


def steps(ranks: int, size: float, *, packets: int = 1) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is a packet, the even ones go by the first tree."""
    yield from double_binary_tree_reduce.steps(ranks, size, packets=packets)
    yield from double_binary_tree_broadcast.steps(ranks, size, packets=packets)


def cost(ranks: int, size: float, link: AlphaBeta, *, packets: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`(2h + K - 2)(2\alpha + 2n/(KB) + n\gamma/K)`.

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
    up = double_binary_tree_reduce.cost(ranks, size, link, packets=count)
    return up + double_binary_tree_broadcast.cost(ranks, size, link, packets=count)
