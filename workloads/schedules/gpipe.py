"""GPipe: all microbatches forward, then all backward, the last one first."""

from workloads.schedules._tasks import Orders, Routes, Tasks, loop, require

SPLIT = False
CHUNKS = range(1, 2)
COPIES = 1
STAGGERED = False


def routes(stages: int, chunks: int = 1) -> Routes:
    """Return the way of a microbatch: down the stages."""
    require("gpipe", stages, 1, chunks, CHUNKS)
    return loop(stages, chunks)


def order(stages: int, microbatches: int, chunks: int = 1) -> Orders:
    """Return the tasks of each stage in order.

    Raises
    ------
    ValueError
        Sizes below 1, more than one chunk.

    References
    ----------
    .. [1] Huang et al., GPipe, arXiv:1811.06965, figure 2.
    """
    require("gpipe", stages, microbatches, chunks, CHUNKS)
    tasks = Tasks()
    forward = [tasks["F", number, 0, False] for number in range(microbatches)]
    backward = [tasks["B", number, 0, False] for number in reversed(range(microbatches))]
    return ((*forward, *backward),) * stages


def bubble(
    stages: int, microbatches: int, chunks: int, forward: float, backward: float, weight: float
) -> float:
    """Return seconds that a stage is idle: (p - 1)(F + B + W), exact for equal stages.

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on one stage: F, gradients of the inputs B, of the weights W.

    References
    ----------
    .. [1] Huang et al., GPipe, arXiv:1811.06965, section 2.3: O(K - 1) of M + K - 1 steps.
    """
    require("gpipe", stages, microbatches, chunks, CHUNKS)
    return (stages - 1) * (forward + backward + weight)


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, in those of one microbatch: all m.

    References
    ----------
    .. [1] Narayanan et al., arXiv:2104.04473, section 2.2.1.
    """
    require("gpipe", stages, microbatches, chunks, CHUNKS, stage)
    return float(microbatches)
