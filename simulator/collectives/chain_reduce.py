"""Reduce to rank 0 in packets along the chain of all ranks: the broadcast backwards."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._packets import check_packets, pipelined, whole_count

OP = "reduce"


def packet_count(ranks: int, size: float, link: AlphaBeta) -> int:
    r"""Return the best number of packets, :math:`\sqrt{(p-2)n(1/B + \gamma)/\alpha}`, as a whole number."""
    return whole_count(max(0, ranks - 2), size, link)


def steps(ranks: int, size: float, *, packets: int = 1) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is a packet."""
    for step in range(ranks - 2 + check_packets(packets) if ranks > 1 else 0):
        places = range(max(0, step - packets + 1), min(step + 1, ranks - 1))  # from the far end of the chain
        yield [
            Message(ranks - 1 - place, ranks - 2 - place, size / packets, (step - place,), reduces=True)
            for place in places
        ]


def cost(ranks: int, size: float, link: AlphaBeta, *, packets: int | None = None) -> float:
    r"""Return seconds on an idle network: :math:`(p - 2 + c)(\alpha + n/(cB) + n\gamma/c)` in c packets.

    Parameters
    ----------
    packets : int, optional
        c; by default the best number.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009: the pipelined chain.
    """
    if ranks == 1:
        return 0.0
    count = packet_count(ranks, size, link) if packets is None else check_packets(packets)
    return pipelined(ranks - 2, size, link, count)
