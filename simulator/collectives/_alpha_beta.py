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


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one step.

    Parameters
    ----------
    src, dst : int
        Ranks; `SWITCH` stands for reduction and multicast hardware inside the switch.
    size : float
        Bytes.
    chunks : tuple of int
        Which parts of the data move, so that a test can follow them.
    reduces : bool
        Whether the receiver adds what arrives to its own part (else it keeps it).
    """

    src: int
    dst: int
    size: float
    chunks: tuple[int, ...]
    reduces: bool = False


SWITCH = -1
