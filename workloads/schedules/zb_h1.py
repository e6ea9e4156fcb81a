"""ZB-H1: 1F1B whose weight gradients fill the tail; a third of its bubble at its memory."""

from workloads.schedules._tasks import Orders, Routes, loop, require
from workloads.schedules._zero_bubble import delayed, idle

SPLIT = True
CHUNKS = range(1, 2)
COPIES = 1
STAGGERED = True


def routes(stages: int, chunks: int = 1) -> Routes:
    """Return the way of a microbatch: down the stages."""
    require("zb_h1", stages, 1, chunks, CHUNKS)
    return loop(stages, chunks)


def order(stages: int, microbatches: int, chunks: int = 1) -> Orders:
    """Return the tasks of each stage in order: as 1F1B, but stage i begins with W after i backwards.

    Raises
    ------
    ValueError
        Sizes below 1, more than one chunk.

    References
    ----------
    .. [1] Qi et al., Zero Bubble Pipeline Parallelism, arXiv:2401.10241, section 2.1.
    """
    require("zb_h1", stages, microbatches, chunks, CHUNKS)
    return delayed(stages, microbatches, stages)


def bubble(
    stages: int, microbatches: int, chunks: int, forward: float, backward: float, weight: float
) -> float:
    """Return seconds that a stage is idle between its own first and last task: (p - 1)(F + B - W).

    That is for m >= p and W <= F. A longer W fills no more of the tail than F does, and fewer microbatches
    than stages fill less of it: (p - 1)(F + B) - (min(m, p) - 1) min(F, W). Exact for equal stages. If W > B
    the last stages end after the first one: steps follow without a gap only if no stage waits for the others.

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on one stage: F, gradients of the inputs B, of the weights W.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, section 2.
    """
    require("zb_h1", stages, microbatches, chunks, CHUNKS)
    return idle(stages, microbatches, stages, forward, backward, weight)


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, until W, in those of one microbatch: p.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, section 2, with what W needs counted as large as what B needs.
    """
    require("zb_h1", stages, microbatches, chunks, CHUNKS, stage)
    return float(min(microbatches, stages))
