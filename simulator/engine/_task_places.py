"""Where a microbatch comes from and goes to: the virtual stages before and behind each on its way."""

from dataclasses import dataclass

from workloads.step_graph import StepGraph

Place = tuple[int, int]  # stage, chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A virtual stage on its way: the one before and the one behind, None at an end."""

    before: Place | None
    behind: Place | None


def hops(graph: StepGraph) -> dict[Place, Hop]:
    """Return the neighbours of every virtual stage.

    Raises
    ------
    ValueError
        A virtual stage on two ways, or on none although it has tasks; a first task that runs beside.
    """
    found: dict[Place, Hop] = {}
    for route in graph.routes:
        for place, before, behind in zip(route, (None, *route), (*route[1:], None), strict=False):
            if place in found:
                raise ValueError(f"stage {place[0]}, chunk {place[1]}: the ways pass it twice")
            found[place] = Hop(before=before, behind=behind)
    for number, stage in enumerate(graph.stages):
        if stage.tasks and stage.tasks[0].beside:
            raise ValueError(f"the first task of stage {number} cannot run beside another")
        for chunk in {task.chunk for task in stage.tasks}:
            if (number, chunk) not in found:
                raise ValueError(f"stage {number}, chunk {chunk}: has tasks but lies on no way")
    return found
