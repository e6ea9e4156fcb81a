"""The handcrafted zero-bubble orders: 1F1B with weight gradients put off to where a stage would wait."""

from workloads.schedules._tasks import Orders, Tasks
from workloads.step_graph import Task


def delayed(stages: int, microbatches: int, held: int) -> Orders:
    """Return the tasks of each stage in order; each stage holds up to ``held`` microbatches.

    Parameters
    ----------
    stages, microbatches : int
        Sizes.
    held : int
        p for ZB-H1, 2p - 1 for ZB-H2. What earlier stages spend on forwards ahead, later ones spend on
        backwards whose weight gradients are still to be computed.
    """
    tasks = Tasks()
    forward, backward, weight = (
        [tasks[kind, number, 0, False] for number in range(microbatches)] for kind in ("F", "B", "W")
    )
    step = (held - 1) // (stages - 1) if stages > 1 else 1  # microbatches between neighbours there and back
    found = []
    for stage in range(stages):
        late = min(stage * step, microbatches)
        ahead = min(held - stage * step - 1, microbatches)
        order: list[Task] = forward[:ahead]
        for number in range(microbatches):
            order += forward[ahead + number : ahead + number + 1]
            order.append(backward[number])
            if number >= late:
                order.append(weight[number - late])
        found.append((*order, *weight[microbatches - late :]))
    return tuple(found)


def idle(stages: int, microbatches: int, held: int, forward: float, backward: float, weight: float) -> float:
    """Return the largest idle time of a stage between its own first and last task, s.

    The first stage waits (p - 1)(F + B) for its first microbatch to come back, less what it can do meanwhile:
    a task for all but one of the microbatches that it may hold, as long as the shorter of F and W.
    """
    filled = (min(microbatches, held) - 1) * min(forward, weight)
    return max(0.0, (stages - 1) * (forward + backward) - filled)
