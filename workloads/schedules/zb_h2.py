"""ZB-H2: more forwards ahead, weight gradients later still; no bubble if F = B = W, at twice the memory."""

from workloads.schedules._tasks import Orders, Routes, loop, require
from workloads.schedules._zero_bubble import delayed, idle

SPLIT = True
CHUNKS = range(1, 2)
COPIES = 1
STAGGERED = True


def routes(stages: int, chunks: int = 1) -> Routes:
    """Return the way of a microbatch: down the stages."""
    require("zb_h2", stages, 1, chunks, CHUNKS)
    return loop(stages, chunks)


def order(stages: int, microbatches: int, chunks: int = 1) -> Orders:
    """Return the tasks of each stage in order: 2(p - i) - 1 forwards before the first B, W 2i backwards late.

    Raises
    ------
    ValueError
        Sizes below 1, more than one chunk.

    References
    ----------
    .. [1] Qi et al., Zero Bubble Pipeline Parallelism, arXiv:2401.10241, section 2.2.
    """
    require("zb_h2", stages, microbatches, chunks, CHUNKS)
    return delayed(stages, microbatches, 2 * stages - 1)


def bubble(
    stages: int, microbatches: int, chunks: int, forward: float, backward: float, weight: float
) -> float:
    """Return seconds that a stage is idle between its own first and last task: (p - 1)(F + B - 2W).

    Never below 0, and for W <= F: a longer W fills no more than F does, 2 min(F, W) instead of 2W. Exact for
    equal stages and m >= 2p - 1; fewer microbatches fill less, and what is returned for them,
    (p - 1)(F + B) - (m - 1) min(F, W), is a lower bound. The stages begin and end one after another: steps
    follow without a gap only if no stage waits for the others before its optimizer step.

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on one stage: F, gradients of the inputs B, of the weights W.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, section 2; section 4 for the optimizer step.
    """
    require("zb_h2", stages, microbatches, chunks, CHUNKS)
    return idle(stages, microbatches, 2 * stages - 1, forward, backward, weight)


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, until W, in those of one microbatch: 2p - 1.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, section 2, with what W needs counted as large as what B needs.
    """
    require("zb_h2", stages, microbatches, chunks, CHUNKS, stage)
    return float(min(microbatches, 2 * stages - 1))
