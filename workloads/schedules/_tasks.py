"""What the schedules share: tasks made once, ways of a microbatch through the stages, checks of sizes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import lcm

from workloads.step_graph import Kind, Task

Orders = tuple[tuple[Task, ...], ...]
Routes = tuple[tuple[tuple[int, int], ...], ...]

ANY = 1 << 20  # chunks: no schedule asks for so many, it stands for "no limit"


class Tasks(dict[tuple[Kind, int, int, bool], Task]):
    """Tasks by (kind, microbatch, chunk, beside), each made once: all stages of an order share them."""

    def __missing__(self, key: tuple[Kind, int, int, bool]) -> Task:
        """Make a task that nobody asked for before."""
        kind, microbatch, chunk, beside = key
        task = self[key] = Task(kind=kind, microbatch=microbatch, chunk=chunk, beside=beside)
        return task


def loop(stages: int, chunks: int) -> Routes:
    """Return the one way down the stages, again for each chunk: virtual stage = chunk x stages + stage."""
    return (tuple((stage, chunk) for chunk in range(chunks) for stage in range(stages)),)


def vee(stages: int) -> Routes:
    """Return the way down the stages through chunk 0 and back up through chunk 1."""
    down = tuple((stage, 0) for stage in range(stages))
    return (down + tuple((stage, 1) for stage in reversed(range(stages))),)


def both_ways(stages: int) -> Routes:
    """Return two ways: down the stages through chunk 0, up through chunk 1."""
    return (
        tuple((stage, 0) for stage in range(stages)),
        tuple((stage, 1) for stage in reversed(range(stages))),
    )


def share(route: int, routes: int, microbatches: int) -> range:
    """Return which microbatches take a route: the first ones the first, equal shares in order."""
    first, end = (-(-microbatches * number // routes) for number in (route, route + 1))
    return range(first, end)


def groups(order: Sequence[Task]) -> Iterator[tuple[Task, ...]]:
    """Yield what a stage runs at a time: a task together with those that are ``beside`` it."""
    start = 0
    for index in range(1, len(order) + 1):
        if index == len(order) or not order[index].beside:
            yield tuple(order[start:index])
            start = index


def word(task: Task) -> str:
    """Return a task as people and schedule files write it: ``F3``, and ``F3.1`` in chunk 1."""
    return f"{task.kind}{task.microbatch}" + (f".{task.chunk}" if task.chunk else "")


def require(name: str, stages: int, microbatches: int, chunks: int, allowed: range, stage: int = 0) -> None:
    """Check the sizes that every schedule is asked for.

    Raises
    ------
    ValueError
        Less than one stage or microbatch, chunks that the schedule does not have, a stage that there is not.
    """
    if stages < 1:
        raise ValueError(f"schedule {name} on {stages} stages: must be 1 or more")
    if microbatches < 1:
        raise ValueError(f"schedule {name} of {microbatches} microbatches: must be 1 or more")
    if chunks not in allowed:
        least, most = allowed[0], allowed[-1]
        wanted = f"exactly {least}" if most == least else f"{least} or more"
        hint = "; without chunks it is 1f1b" if name == "interleaved" else ""
        raise ValueError(f"schedule {name} with {chunks} chunks a stage: takes {wanted}{hint}")
    if not 0 <= stage < stages:
        raise ValueError(f"schedule {name}: no stage {stage}, there are 0 to {stages - 1}")


def peaks(orders: Orders, routes: Routes) -> tuple[float, ...]:
    """Return the activations that each stage holds at its peak, in those of one microbatch on all of it.

    From the start of a forward until the end of its W, or of its B on a stage without any W. Of tasks that
    run together the forward takes before the others free.

    Parameters
    ----------
    orders : tuple of tuple of Task
        Of each stage.
    routes : tuple of tuple of (int, int)
        Ways of the microbatches; a chunk is the share of its stage that its way passes at a time.
    """
    visits = [Counter(stage for stage, _ in route) for route in routes]
    found = []
    for stage, order in enumerate(orders):
        whole = lcm(*(count[stage] for count in visits if count[stage]))  # whole numbers stay exact
        part = {
            chunk: whole // count[stage]
            for count, route in zip(visits, routes, strict=True)
            for place, chunk in route
            if place == stage
        }
        last = "W" if any(task.kind == "W" for task in order) else "B"
        held, peak = 0, 0
        for group in groups(order):
            held += sum(part[task.chunk] for task in group if task.kind == "F")
            peak = max(peak, held)
            held -= sum(part[task.chunk] for task in group if task.kind == last)
        found.append(peak / whole)
    return tuple(found)
