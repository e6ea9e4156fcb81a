"""1F1B: a microbatch goes backward as soon as it can, so that a stage holds no more than are on their way."""

# ruff: noqa: N999  (the file name is the name of the schedule; the registry imports it by that)

from workloads.schedules._tasks import Orders, Routes, Tasks, loop, require

SPLIT = False
CHUNKS = range(1, 2)
COPIES = 1
STAGGERED = False


def routes(stages: int, chunks: int = 1) -> Routes:
    """Return the way of a microbatch: down the stages."""
    require("1f1b", stages, 1, chunks, CHUNKS)
    return loop(stages, chunks)


def order(stages: int, microbatches: int, chunks: int = 1) -> Orders:
    """Return the tasks of each stage in order: p - 1 - i forward, then one forward and one backward in turn.

    Raises
    ------
    ValueError
        Sizes below 1, more than one chunk.

    References
    ----------
    .. [1] Narayanan et al., PipeDream-Flush in arXiv:2006.09503 and arXiv:2104.04473, figure 3.
    """
    require("1f1b", stages, microbatches, chunks, CHUNKS)
    tasks = Tasks()
    forward = [tasks["F", number, 0, False] for number in range(microbatches)]
    backward = [tasks["B", number, 0, False] for number in range(microbatches)]
    found = []
    for stage in range(stages):
        ahead = min(stages - 1 - stage, microbatches)
        pairs = zip(forward[ahead:], backward, strict=False)
        steady = [task for pair in pairs for task in pair]
        found.append((*forward[:ahead], *steady, *backward[microbatches - ahead :]))
    return tuple(found)


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
    .. [1] Narayanan et al., arXiv:2104.04473, section 2.2.1.
    """
    require("1f1b", stages, microbatches, chunks, CHUNKS)
    return (stages - 1) * (forward + backward + weight)


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, in those of one microbatch: min(m, p - i).

    References
    ----------
    .. [1] Korthikanti et al., arXiv:2205.05198, section 4.2.3.
    """
    require("1f1b", stages, microbatches, chunks, CHUNKS, stage)
    return float(min(microbatches, stages - stage))
