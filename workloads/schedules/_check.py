"""Whether a schedule can run: every task once, on its way, and nobody waits for ever."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from workloads.schedules._clock import run
from workloads.schedules._faults import Fault, ScheduleError
from workloads.schedules._tasks import Orders, Routes, share, word
from workloads.step_graph import Kind, Task


def check(orders: Orders, routes: Routes, microbatches: int) -> None:
    """Check a schedule.

    Parameters
    ----------
    orders : tuple of tuple of Task
        Tasks of each stage in order.
    routes : tuple of tuple of (int, int)
        Ways of the microbatches through (stage, chunk).
    microbatches : int
        How many there are; the first ones take the first way, in equal shares.

    Raises
    ------
    ScheduleError
        With all that is wrong, by stage and task: a stage that is on no way or runs what is not its own, a
        forward, backward or, where there are any, weight gradient that is missing or run twice, a task beside
        none, stages that wait for each other.
    """
    faults = list(way_faults(routes, len(orders)))
    split = any(task.kind == "W" for order in orders for task in order)
    for stage, order in enumerate(orders):
        faults += [Fault(text, stage) for text in stage_faults(order, stage, routes, microbatches, split)]
    if not faults:
        faults = deadlocks(orders, routes)
    if faults:
        raise ScheduleError(faults)


def deadlocks(orders: Orders, routes: Routes) -> list[Fault]:
    """Return who waits for whom for ever; nothing if everybody comes to an end."""
    try:
        run(orders, routes, lambda _, __: 0.0)
    except ScheduleError as error:
        return list(error.faults)
    return []


def stage_faults(
    order: Sequence[Task], stage: int, routes: Routes, microbatches: int, split: bool
) -> Iterator[str]:
    """Yield what one stage runs that it must not, and the other way round."""
    kinds: tuple[Kind, ...] = ("F", "B", "W") if split else ("F", "B")
    wanted = {
        (kind, microbatch, chunk)
        for number, route in enumerate(routes)
        for place, chunk in route
        if place == stage
        for microbatch in share(number, len(routes), microbatches)
        for kind in kinds
    }
    yield from _counts(order, wanted)


def way_faults(routes: Routes, stages: int) -> Iterator[Fault]:
    """Yield what is wrong with the ways through that many stages."""
    if len({len(route) for route in routes}) > 1:
        yield Fault(f"routes of {' and '.join(str(len(route)) for route in routes)} places: must be as long")
    visits = Counter(place for route in routes for place in route)
    for (stage, chunk), count in visits.items():
        if not 0 <= stage < stages:
            yield Fault(f"a route goes through stage {stage}, there are only 0 to {stages - 1}")
        elif count > 1:
            yield Fault(f"the routes pass chunk {chunk} {count} times: a chunk is passed once", stage)
    for stage in range(stages):
        if not any(place == stage for place, _ in visits):
            yield Fault("no route goes through it", stage)


def _counts(order: Sequence[Task], wanted: set[tuple[Kind, int, int]]) -> Iterator[str]:
    have = Counter((task.kind, task.microbatch, task.chunk) for task in order)
    if missing := wanted - have.keys():
        yield f"never runs {_listed(missing)}"
    if foreign := have.keys() - wanted:
        yield f"runs {_listed(foreign)}, which is not its own"
    if twice := {key for key, count in have.items() if count > 1}:
        yield f"runs {_listed(twice)} more than once"
    if order and order[0].beside:
        yield f"{word(order[0])} runs beside the task before it, there is none"


def _listed(keys: Iterable[tuple[Kind, int, int]]) -> str:
    """Return tasks in words; microbatches in a row as ``F4 to F7``."""
    tasks = [Task(kind=kind, microbatch=microbatch, chunk=chunk) for kind, microbatch, chunk in keys]
    tasks.sort(key=lambda task: ("FBW".index(task.kind), task.chunk, task.microbatch))
    parts = []
    for _, run_of in groupby(
        enumerate(tasks), key=lambda pair: (pair[1].kind, pair[1].chunk, pair[1].microbatch - pair[0])
    ):
        row = [word(task) for _, task in run_of]
        parts += row if len(row) < 3 else [f"{row[0]} to {row[-1]}"]
    return ", ".join(parts)
