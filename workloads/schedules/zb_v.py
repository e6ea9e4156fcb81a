"""ZB-V: two chunks a stage, down and back up; no bubble if F = B = W, at the memory of 1F1B."""

from collections import Counter

from workloads.schedules._clock import run, usual
from workloads.schedules._tasks import Orders, Routes, Tasks, require, vee
from workloads.step_graph import Kind, Task

SPLIT = True
CHUNKS = range(2, 3)
COPIES = 1
STAGGERED = True


def routes(stages: int, chunks: int = 2) -> Routes:
    """Return the way of a microbatch: down the stages through chunk 0, back up through chunk 1."""
    require("zb_v", stages, 1, chunks, CHUNKS)
    return vee(stages)


def order(stages: int, microbatches: int, chunks: int = 2) -> Orders:
    """Return the tasks of each stage in order.

    A stage runs forwards until it holds 2p chunks. From then on each backward is followed by its W and makes
    room for one forward, the two chunks in turn; in the tail what is left of W fills the gaps. Less than
    2p - 1 microbatches have the order of 2p - 1 without those that there are not.

    Raises
    ------
    ValueError
        Sizes below 1, other than two chunks.

    References
    ----------
    .. [1] Qi et al., Zero Bubble Pipeline Parallelism, arXiv:2401.10241, ZB-V.
    """
    require("zb_v", stages, microbatches, chunks, CHUNKS)
    full = max(microbatches, 2 * stages - 1)
    tasks = Tasks()
    found = []
    for stage in range(stages):
        whole = _stage(tasks, stages, full, stage)
        found.append(tuple(task for task in whole if task.microbatch < microbatches))
    return tuple(found)


def _stage(tasks: Tasks, stages: int, microbatches: int, stage: int) -> list[Task]:
    found: list[Task] = []
    done: Counter[tuple[Kind, int]] = Counter()

    def add(chunk: int, *kinds: Kind) -> None:
        for kind in kinds:
            found.append(tasks[kind, done[kind, chunk], chunk, False])
            done[kind, chunk] += 1

    below = stages - 1 - stage
    for _ in range(2 * below + 1):
        add(0, "F")
    for _ in range(stage):
        add(1, "F")
        add(0, "F")
    for _ in range(below + 1):
        add(1, "F", "B", "W")
    while done["F", 1] < microbatches:
        if done["F", 0] < microbatches:
            add(0, "F")
        add(0, "B", "W")
        add(1, "F", "B", "W")
    for _ in range(stage):  # nothing goes forward any more: what is upstream needs B first
        add(0, "B")
        add(1, "B")
    for _ in range(below + 1):
        add(0, "B", "W")
    for chunk in (1, 0):
        while done["W", chunk] < microbatches:
            add(chunk, "W")
    return found


def bubble(
    stages: int, microbatches: int, chunks: int, forward: float, backward: float, weight: float
) -> float:
    """Return seconds that a stage is idle between its own first and last task: 0 if F = B = W, m >= 2p - 1.

    No closed form is published for other times or less microbatches: there the order is run, with at most 4p
    microbatches, as more of them change nothing. For W <= F <= B it comes to (p - 1)(B - W).

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on both chunks of one stage: F, gradients of the inputs B, of the weights W.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, ZB-V.
    """
    require("zb_v", stages, microbatches, chunks, CHUNKS)
    if forward == backward == weight and microbatches >= 2 * stages - 1:
        return 0.0
    orders = order(stages, min(microbatches, 4 * stages))
    seconds = usual(forward / 2, backward / 2, weight / 2)
    return max(run(orders, routes(stages), seconds).idle)


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, until W, in those of one microbatch: p.

    Less than 2p - 1 microbatches leave it at (m + 1 + i)/2, and never more than m.

    References
    ----------
    .. [1] Qi et al., arXiv:2401.10241, ZB-V: the limit of 1F1B, alike on all stages.
    """
    require("zb_v", stages, microbatches, chunks, CHUNKS, stage)
    return min(2 * stages, 2 * microbatches, microbatches + 1 + stage) / 2
