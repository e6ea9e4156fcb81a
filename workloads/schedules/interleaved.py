"""Interleaved 1F1B: each stage holds several chunks of the model, which divide the bubble by their number."""

from workloads.schedules._tasks import ANY, Orders, Routes, Tasks, loop, require
from workloads.step_graph import Task

SPLIT = False
CHUNKS = range(2, ANY)
COPIES = 1
STAGGERED = False


def _require(stages: int, microbatches: int, chunks: int, stage: int = 0) -> None:
    require("interleaved", stages, microbatches, chunks, CHUNKS, stage)
    if microbatches % stages:
        near = [str(n) for n in (microbatches // stages * stages, -(-microbatches // stages) * stages) if n]
        raise ValueError(
            f"schedule interleaved: {microbatches} microbatches are no multiple of {stages} stages;"
            f" try {' or '.join(near)} microbatches, or 1f1b"
        )


def routes(stages: int, chunks: int = 2) -> Routes:
    """Return the way of a microbatch: down the stages, again for each chunk."""
    require("interleaved", stages, 1, chunks, CHUNKS)
    return loop(stages, chunks)


def order(stages: int, microbatches: int, chunks: int = 2) -> Orders:
    """Return the tasks of each stage in order: groups of p microbatches take turns on the chunks.

    Raises
    ------
    ValueError
        Sizes below 1, less than two chunks, microbatches that the stages do not divide.

    References
    ----------
    .. [1] Narayanan et al., arXiv:2104.04473, section 2.2.2 and figure 4.
    """
    _require(stages, microbatches, chunks)
    tasks = Tasks()
    forward, backward = list[Task](), list[Task]()
    for first in range(0, microbatches, stages):
        for chunk in range(chunks):
            group = range(first, first + stages)
            forward += [tasks["F", number, chunk, False] for number in group]
            backward += [tasks["B", number, chunks - 1 - chunk, False] for number in group]
    found = []
    for stage in range(stages):
        ahead = min(2 * (stages - 1 - stage) + (chunks - 1) * stages, len(forward))
        pairs = zip(forward[ahead:], backward, strict=False)
        steady = [task for pair in pairs for task in pair]
        found.append((*forward[:ahead], *steady, *backward[len(backward) - ahead :]))
    return tuple(found)


def bubble(
    stages: int, microbatches: int, chunks: int, forward: float, backward: float, weight: float
) -> float:
    """Return seconds that a stage is idle: (p - 1)(F + B + W)/v, exact for equal stages.

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on all chunks of one stage: F, gradients of the inputs B, of the weights W.

    References
    ----------
    .. [1] Narayanan et al., arXiv:2104.04473, section 2.2.2.
    """
    _require(stages, microbatches, chunks)
    return (stages - 1) * (forward + backward + weight) / chunks


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, in those of one microbatch on all its chunks.

    2(p - 1 - i) + (v - 1)p + 1 chunks: on the first stage p(1 + (p - 1)/(pv)) microbatches.

    References
    ----------
    .. [1] Korthikanti et al., arXiv:2205.05198, section 4.2.3.
    """
    _require(stages, microbatches, chunks, stage)
    held = 2 * (stages - 1 - stage) + (chunks - 1) * stages + 1
    return min(held, microbatches * chunks) / chunks
