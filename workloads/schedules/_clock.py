"""When the tasks of a pipeline run: each as early as its stage and what it waits for allow, in O(tasks)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from workloads.schedules._faults import Fault, ScheduleError
from workloads.schedules._tasks import Orders, Routes, groups, word
from workloads.step_graph import Kind, Task

Seconds = Callable[[int, tuple[Task, ...]], float]
Transfer = float | Callable[[int, int], float]

_KINDS: tuple[Kind, ...] = ("F", "B", "W")
_LATER = -1.0  # end of a task that has not run yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """When each task starts and ends.

    Parameters
    ----------
    start, end : tuple of tuple of float
        Seconds, by stage and place in its order. Tasks that run together have both in common.
    busy : tuple of float
        Seconds that each stage works.
    """

    start: tuple[tuple[float, ...], ...]
    end: tuple[tuple[float, ...], ...]
    busy: tuple[float, ...]

    @property
    def makespan(self) -> float:
        """Return the seconds from 0 to the last end: a step at whose end all stages meet."""
        return max((times[-1] for times in self.end if times), default=0.0)

    @property
    def span(self) -> tuple[float, ...]:
        """Return the seconds of each stage from its own first start to its own last end."""
        pairs = zip(self.start, self.end, strict=True)
        return tuple(end[-1] - start[0] if end else 0.0 for start, end in pairs)

    @property
    def period(self) -> float:
        """Return the seconds from step to step where no stage waits for the others in between."""
        return max(self.span, default=0.0)

    @property
    def idle(self) -> tuple[float, ...]:
        """Return the seconds that each stage waits between its own first start and last end."""
        return tuple(span - busy for span, busy in zip(self.span, self.busy, strict=True))


def usual(forward: float, backward: float, weight: float = 0.0, pair: float | None = None) -> Seconds:
    """Return times that are alike on all stages, s: tasks that run together take their sum.

    Parameters
    ----------
    forward, backward, weight : float
        Of one task.
    pair : float, optional
        Of a group with a forward and a backward; left out, their sum.
    """
    seconds = {"F": forward, "B": backward, "W": weight}

    def of(_: int, group: tuple[Task, ...]) -> float:
        if len(group) == 1:
            return seconds[group[0].kind]
        kinds = [task.kind for task in group]
        if pair is not None and "F" in kinds and "B" in kinds:
            return pair
        return sum(seconds[kind] for kind in kinds)

    return of


def run(orders: Orders, routes: Routes, seconds: Seconds, transfer: Transfer = 0.0) -> Run:
    """Return when each task runs if every stage keeps to its order and waits for nothing else.

    A forward waits for the one before it on the way of its microbatch, a backward for its forward and for the
    backward after it on the way, W for its B.

    Parameters
    ----------
    orders : tuple of tuple of Task
        Of each stage; complete, see `workloads.schedules._check.check`.
    routes : tuple of tuple of (int, int)
        Ways of the microbatches through (stage, chunk).
    seconds : callable
        Time of what a stage runs at a time: (stage, tasks that run together) -> s, one task or several.
    transfer : float or callable
        Time on the way between two stages, s, or (from stage, to stage) -> s. It keeps neither of them busy.

    Raises
    ------
    ScheduleError
        Stages that wait for each other: who waits where for whom.
    """
    clock = _Clock(orders, routes, seconds, transfer)
    ready = list(range(len(orders)))
    while ready:
        ready += clock.advance(ready.pop())
    if clock.waits:
        raise ScheduleError([_deadlock(clock)])
    return Run(start=tuple(map(tuple, clock.start)), end=tuple(map(tuple, clock.end)), busy=tuple(clock.busy))


def rows(orders: Orders, times: Run) -> list[dict[str, str | int | float]]:
    """Return a row for each task: stage, kind, microbatch, chunk, start_s, end_s."""
    return [
        {
            "stage": stage,
            "kind": task.kind,
            "microbatch": task.microbatch,
            "chunk": task.chunk,
            "start_s": start,
            "end_s": end,
        }
        for stage, order in enumerate(orders)
        for task, start, end in zip(order, times.start[stage], times.end[stage], strict=True)
    ]


class _Clock:
    """State of a run. A task has a number, made of kind, place and microbatch: the index of its end."""

    def __init__(self, orders: Orders, routes: Routes, seconds: Seconds, transfer: Transfer) -> None:
        self.orders = orders
        self.seconds = seconds
        self.microbatches = 1 + max((task.microbatch for order in orders for task in order), default=0)
        self.places = [place for route in routes for place in route]
        self.place = {place: index for index, place in enumerate(self.places)}
        self.there, self.back = _delays(routes, transfer)
        # numbers count up: forwards, then backwards, then weight gradients, each by place and microbatch
        self.kinds = {kind: index * len(self.places) * self.microbatches for index, kind in enumerate(_KINDS)}
        self.ended = [_LATER] * (3 * len(self.places) * self.microbatches)
        self.start: list[list[float]] = [[] for _ in orders]
        self.end: list[list[float]] = [[] for _ in orders]
        self.busy = [0.0] * len(orders)
        self.waits: dict[int, list[int]] = {}  # number of a task -> stages that wait for it

    def name(self, number: int) -> tuple[Task, int]:
        """Return the task of a number, and its stage."""
        rest, microbatch = divmod(number, self.microbatches)
        kind, place = divmod(rest, len(self.places))
        stage, chunk = self.places[place]
        return Task(kind=_KINDS[kind], microbatch=microbatch, chunk=chunk), stage

    def advance(self, stage: int) -> list[int]:
        """Run a stage until it has to wait; return the stages that waited for what it did."""
        order, start, end = self.orders[stage], self.start[stage], self.end[stage]
        woken: list[int] = []
        while len(end) < len(order):
            stop = len(end) + 1
            while stop < len(order) and order[stop].beside:
                stop += 1
            group = order[len(end) : stop]
            begin = self.begin(stage, group, end[-1] if end else 0.0)
            if begin is None:
                break
            duration = self.seconds(stage, group)
            self.busy[stage] += duration
            for task in group:
                start.append(begin)
                end.append(begin + duration)
                number = self.number(task, self.place[stage, task.chunk])
                self.ended[number] = begin + duration
                if number in self.waits:
                    woken += self.waits.pop(number)
        return woken

    def number(self, task: Task, place: int) -> int:
        return self.kinds[task.kind] + place * self.microbatches + task.microbatch

    def begin(self, stage: int, group: tuple[Task, ...], now: float) -> float | None:
        """Return when tasks that run together can begin; None if that is not known yet."""
        for task in group:
            place = self.place[stage, task.chunk]
            number = self.number(task, place)
            needs: list[tuple[int, float]] = []
            if task.kind == "F":
                if (delay := self.there[place]) is not None:
                    needs = [(number - self.microbatches, delay)]
            elif task.kind == "B":
                needs = [(self.kinds["F"] + number - self.kinds["B"], 0.0)]
                if (delay := self.back[place]) is not None:
                    needs.append((number + self.microbatches, delay))
            elif len(group) == 1 or not any(_is_own(other, task) for other in group):
                needs = [(self.kinds["B"] + number - self.kinds["W"], 0.0)]
            for need, delay in needs:
                if self.ended[need] == _LATER:
                    self.waits.setdefault(need, []).append(stage)
                    return None
                now = max(now, self.ended[need] + delay)
        return now


def _is_own(other: Task, weight: Task) -> bool:
    """Tell whether a task is the backward of a weight gradient."""
    return other.kind == "B" and (other.microbatch, other.chunk) == (weight.microbatch, weight.chunk)


def _delays(routes: Routes, transfer: Transfer) -> tuple[list[float | None], list[float | None]]:
    """Return the seconds to each place from the one before and from the one after it; None where is none."""
    between = transfer if callable(transfer) else lambda _, __: transfer
    there: list[float | None] = []
    back: list[float | None] = []
    for route in routes:
        hops = list(pairwise(stage for stage, _ in route))
        there += [None, *(0.0 if a == b else between(a, b) for a, b in hops)]
        back += [*(0.0 if a == b else between(b, a) for a, b in hops), None]
    return there, back


def _deadlock(clock: _Clock) -> Fault:
    """Return the first ring of stages that wait for each other, or what one waits for that nobody runs."""
    stuck = {stage: number for number, stages in clock.waits.items() for stage in stages}
    stage, seen = min(stuck), list[int]()
    while stage not in seen:
        seen.append(stage)
        wanted, owner = clock.name(stuck[stage])
        if all(replace(task, beside=False) != wanted for task in clock.orders[owner]):
            return Fault(f"{_waiting(clock, stage, stuck)}, which nobody runs", stage)
        stage = owner
    ring = seen[seen.index(stage) :]
    if len(ring) == 1:
        return Fault(f"{_waiting(clock, stage, stuck)}, which has not run by then: put it before", stage)
    words = ", ".join(f"stage {member}: {_waiting(clock, member, stuck)}" for member in ring)
    return Fault(f"deadlock, each waits for the next ({words}); put one of these tasks earlier")


def _waiting(clock: _Clock, stage: int, stuck: dict[int, int]) -> str:
    place = len(clock.end[stage])
    wanted, owner = clock.name(stuck[stage])
    of = "" if owner == stage else f" of stage {owner}"
    at = "+".join(map(word, next(groups(clock.orders[stage][place:]))))
    return f"{at}, its task {place + 1}, waits for {word(wanted)}{of}"
