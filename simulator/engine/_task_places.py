"""Where a microbatch comes from and goes to: the virtual stages before and behind each on its way."""

from collections.abc import Sequence
from dataclasses import dataclass

from workloads.step_graph import Task

Place = tuple[int, int]  # stage, chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A virtual stage on its way: the one before and the one behind, None at an end."""

    before: Place | None
    behind: Place | None


def hops(routes: Sequence[Sequence[Place]], orders: Sequence[Sequence[Task]]) -> dict[Place, Hop]:
    """Return the neighbours of every virtual stage.

    Parameters
    ----------
    routes : sequence of sequence of (int, int)
        The ways of the microbatches.
    orders : sequence of sequence of Task
        Tasks of each stage.

    Raises
    ------
    ValueError
        A virtual stage on two ways, or on none although it has tasks; a first task that runs beside.
    """
    found: dict[Place, Hop] = {}
    for route in routes:
        for place, before, behind in zip(route, (None, *route), (*route[1:], None), strict=False):
            if place in found:
                raise ValueError(f"stage {place[0]}, chunk {place[1]}: the ways pass it twice")
            found[place] = Hop(before=before, behind=behind)
    for stage, tasks in enumerate(orders):
        if tasks and tasks[0].beside:
            raise ValueError(f"the first task of stage {stage} cannot run beside another")
        for chunk in {task.chunk for task in tasks}:
            if (stage, chunk) not in found:
                raise ValueError(f"stage {stage}, chunk {chunk}: has tasks but lies on no way")
    return found
