"""The words every collective is written in: a link as alpha, bandwidth, gamma, and a message."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlphaBeta:
    """A link as the alpha-beta model sees it.

    Parameters
    ----------
    alpha : float
        Start-up time of a message, s.
    bandwidth : float
        Bytes/s in one direction; the beta of the literature is ``1 / bandwidth``.
    gamma : float
        Time to reduce one byte into a buffer, s.

    References
    ----------
    .. [1] Hockney, The communication challenge for MPP, Parallel Computing 20(3), 1994.
    """

    alpha: float
    bandwidth: float
    gamma: float = 0.0

    def message(self, size: float) -> float:
        """Return seconds from the start of a message of ``size`` bytes to its last byte."""
        return self.alpha + size / self.bandwidth

    def reduction(self, size: float) -> float:
        """Return seconds to reduce ``size`` bytes into a buffer."""
        return self.gamma * size


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one step.

    Parameters
    ----------
    src, dst : int
        Ranks. `SWITCH` stands for reduction and multicast hardware inside the switch; where a machine of
        several nodes has one in each, ``SWITCH - i`` is that of node i.
    size : float
        Bytes.
    chunks : tuple of int
        Which parts of the data move, so that a test can follow them.
    reduces : bool
        Whether the receiver adds what arrives to its own part (else it keeps it).
    streamed : bool
        Whether it flows on while the step before still arrives, piece by piece: it waits for what that step
        waited for, not for that step. All messages of a step agree on it.
    startups : int
        Start-up times it waits before it moves.
    """

    src: int
    dst: int
    size: float
    chunks: tuple[int, ...]
    reduces: bool = False
    streamed: bool = False
    startups: int = 1


SWITCH = -1
