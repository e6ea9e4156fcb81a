"""Into how many packets a pipelined message is cut."""

from math import ceil, floor, inf, sqrt

from simulator.collectives._alpha_beta import AlphaBeta
from simulator.errors import UsageError

MOST_PACKETS = 4096  # with so many, even a pipe of 40 stages is within 1 % of the time of endlessly many


def best_count(fill: int, size: float, link: AlphaBeta) -> float:
    r"""Return the number of packets, a real one, that minimises :math:`(f + K)(\alpha + n(1/B + \gamma)/K)`.

    Parameters
    ----------
    fill : int
        Steps f until the first packet is through, less one.
    size : float
        Bytes n.
    link : AlphaBeta
        As the packets see it.

    Returns
    -------
    float
        :math:`\sqrt{f n (1/B + \gamma)/\alpha}`; infinity where a start-up costs nothing.

    References
    ----------
    .. [1] Patarasuk, Yuan, JPDC 69(2), 2009.
    .. [2] Sanders, Speck, Träff, Parallel Computing 35(12), 2009
    """
    moving = fill * (size / link.bandwidth + link.reduction(size))
    if not moving:
        return 0.0
    return sqrt(moving / link.alpha) if link.alpha else inf


def whole_count(fill: int, size: float, link: AlphaBeta) -> int:
    """Return the best whole number of packets from 1 to `MOST_PACKETS`."""
    best = min(best_count(fill, size, link), MOST_PACKETS)
    return min(
        {max(1, floor(best)), max(1, ceil(best))}, key=lambda count: pipelined(fill, size, link, count)
    )


def pipelined(fill: int, size: float, link: AlphaBeta, packets: int) -> float:
    """Return seconds until ``packets`` packets are through: ``fill + packets`` steps, all alike."""
    return (fill + packets) * (link.message(size / packets) + link.reduction(size / packets))


def check_packets(packets: int) -> int:
    """Return ``packets``, or raise UsageError unless there is at least one."""
    if packets < 1:
        raise UsageError(f"need at least 1 packet, got {packets}")
    return packets
