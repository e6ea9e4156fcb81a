"""In which order the tasks of all stages can run and what each waits for, as arrays, once for a schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine._task_places import hops
from simulator.errors import CheckError
from workloads.schedules._tasks import Orders, Routes, word
from workloads.step_graph import Kind, StepGraph, Task

Ints = NDArray[np.int64]
Variant = tuple[tuple[Kind, int, bool, bool], ...]  # tasks at a time: kind, chunk, first or last microbatch

_KINDS: tuple[Kind, ...] = ("F", "B", "W")
_NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Nodes in an order in which each comes after all that it waits for.

    First one node for the start of each stage, then one that nobody waits for long, then the tasks, at last one
    for the end of each stage. Of tasks that run together all but the last only wait.

    Parameters
    ----------
    stages : int
        How many.
    stage : array of int
        Of each node; all arrays have the shape (nodes,).
    before : array of int
        The node before it on its stage.
    need : array of int
        The node that it also waits for.
    hop, sent : array of int
        Which of ``pairs`` lies between ``need`` and it; between it and what waits for it.
    group : array of int
        The last node of those that run together with it.
    variant : array of int
        Which of ``variants`` runs in it; 0: nothing.
    pairs : tuple of (int, int)
        Stages between which bytes pass, the first entry stands for none.
    variants : tuple
        Stage and tasks, the first entry stands for none.
    """

    stages: int
    stage: Ints
    before: Ints
    need: Ints
    hop: Ints
    sent: Ints
    group: Ints
    variant: Ints
    pairs: tuple[tuple[int, int], ...]
    variants: tuple[tuple[int, Variant], ...]


class _Schedule:
    """The part of a step graph that a plan depends on, equal to another if it holds the same objects."""

    def __init__(self, orders: Orders, routes: Routes) -> None:
        self.orders, self.routes = orders, routes
        self._key = (tuple(id(tasks) for tasks in self.orders), self.routes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schedule) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def plan(graph: StepGraph) -> Plan:
    """Return the plan of a step; of steps with the same schedule it is worked out once.

    Raises
    ------
    ValueError
        Ways or tasks that cannot be.
    CheckError
        A schedule that blocks itself.
    """
    return plan_of(tuple(stage.tasks for stage in graph.stages), graph.routes)


def plan_of(orders: Orders, routes: Routes) -> Plan:
    """Return the plan of the tasks of all stages along the ways of their microbatches; errors as `plan`."""
    return _plan(_Schedule(orders, routes))


@lru_cache(maxsize=32)
def _plan(schedule: _Schedule) -> Plan:
    return _Planner(schedule).plan()


class _Planner:
    """Tasks of all stages one after another, stage by stage, as arrays of shape (tasks,)."""

    def __init__(self, schedule: _Schedule) -> None:
        self.orders = schedule.orders
        tasks = [task for order in self.orders for task in order]
        self.tasks, self.stages, self.count = tasks, len(self.orders), len(tasks)
        self.stage = np.repeat(np.arange(self.stages), [len(order) for order in self.orders])
        self.kind = _ints([_KINDS.index(task.kind) for task in tasks])
        self.microbatch = _ints([task.microbatch for task in tasks])
        self.chunk = _ints([task.chunk for task in tasks])
        closed = np.append(~np.array([task.beside for task in tasks[1:]], dtype=bool), True)[: self.count]
        lasts = np.flatnonzero(closed)
        self.group = lasts[np.searchsorted(lasts, np.arange(self.count))]
        self.chunks = int(self.chunk.max(initial=0)) + 1
        self.hops = hops(schedule.routes, self.orders)
        self.pairs: dict[tuple[int, int], int] = {(_NONE, _NONE): 0}

    def plan(self) -> Plan:
        """Return the plan."""
        need, source = self._needs()
        order = _ints(self._order(need.tolist()))
        offset, ends = self.stages + 1, self.stages + 1 + self.count
        place = np.empty(self.count + 1, dtype=np.int64)
        place[order] = offset + np.arange(self.count)
        firsts = np.searchsorted(self.stage, np.arange(self.stages + 1))
        before = np.append(_NONE, place[: self.count])[: self.count]
        filled = np.flatnonzero(firsts[1:] > firsts[:-1])
        before[firsts[filled]] = filled
        final = np.arange(self.stages)
        final[filled] = place[firsts[filled + 1] - 1]
        variant, variants = self._variants()
        start, stop = np.arange(offset), np.arange(ends, ends + self.stages)

        def whole(head: Ints | int, middle: Ints, tail: Ints | int) -> Ints:
            parts = (np.broadcast_to(head, offset), middle[order], np.broadcast_to(tail, self.stages))
            return np.concatenate(parts)

        return Plan(
            stages=self.stages,
            stage=whole(np.minimum(start, self.stages - 1), self.stage, np.arange(self.stages)),
            before=whole(start, before, final),
            need=whole(self.stages, np.where(need < 0, self.stages, place[need]), self.stages),
            hop=whole(0, self._between(source, self.stage), 0),
            sent=whole(0, self._between(self.stage, self._goals()), 0),
            group=whole(start, place[self.group], stop),
            variant=whole(0, variant, 0),
            pairs=tuple(self.pairs),
            variants=variants,
        )

    def _neighbours(self) -> tuple[Ints, Ints]:
        """Return the virtual stage before and behind each, by stage x chunks + chunk."""
        found = np.full((2, self.stages * self.chunks), _NONE)
        for (stage, chunk), hop in self.hops.items():
            if stage < self.stages and chunk < self.chunks:
                for row, other in enumerate((hop.before, hop.behind)):
                    if other is not None:
                        found[row, stage * self.chunks + chunk] = other[0] * self.chunks + other[1]
        return found[0], found[1]

    def _needs(self) -> tuple[Ints, Ints]:
        """Return the task that each waits for, and the stage from where bytes come; -1 for none."""
        before, behind = self._neighbours()
        here, kind = self.stage * self.chunks + self.chunk, self.kind
        other = np.where(kind == 0, before[here], behind[here])
        most = int(self.microbatch.max(initial=0)) + 1

        def key(kinds: Ints | int, places: Ints) -> Ints:
            found: Ints = (places * 3 + kinds) * most + self.microbatch
            return found

        table = np.full((self.stages * self.chunks + 1) * 3 * most, self.count)  # what nobody does never ends
        table[key(kind, here)] = self.group
        need = table[key(kind, other)]  # a place of -1 counts from the back, and is replaced
        need = np.where((kind == 0) & (other < 0), _NONE, need)
        need = np.where((kind == 1) & (other < 0), table[key(0, here)], need)
        own = table[key(1, here)]
        need = np.where(kind == 2, np.where(own == self.group, _NONE, own), need)
        source = np.where((kind == 2) | (other < 0), _NONE, other // self.chunks)
        return need, source

    def _goals(self) -> Ints:
        """Return the stage that waits for what each task brings forth, -1 for none."""
        before, behind = self._neighbours()
        here = self.stage * self.chunks + self.chunk
        goal = np.where(self.kind == 0, behind[here], before[here])
        found: Ints = np.where((self.kind == 2) | (goal < 0), _NONE, goal // self.chunks)
        return found

    def _between(self, source: Ints, target: Ints) -> Ints:
        """Return numbers of the pairs of stages between which bytes pass."""
        away = (source >= 0) & (target >= 0) & (source != target)
        code = np.where(away, source * self.stages + target, _NONE)
        distinct, which = np.unique(code, return_inverse=True)
        ends = [divmod(one, self.stages) if one >= 0 else (_NONE, _NONE) for one in distinct.tolist()]
        numbers = _ints([self.pairs.setdefault(pair, len(self.pairs)) for pair in ends])
        return numbers[which.reshape(-1)]

    def _order(self, need: Sequence[int]) -> list[int]:
        """Let every stage go as far as it can, again and again; return the tasks as they ran."""
        done = bytearray(self.count + 1)
        at = np.searchsorted(self.stage, np.arange(self.stages + 1)).tolist()
        stops, ready = at[1:], list(range(self.stages))
        waiting: dict[int, list[int]] = {}
        order: list[int] = []
        while ready:
            stage = ready.pop()
            for task in range(at[stage], stops[stage]):
                if need[task] >= 0 and not done[need[task]]:
                    waiting.setdefault(need[task], []).append(stage)
                    break
                done[task] = 1
                order.append(task)
                at[stage] += 1
                if task in waiting:
                    ready += waiting.pop(task)
        if len(order) < self.count:
            blocked = [
                (n, self.tasks[i]) for n, (i, stop) in enumerate(zip(at, stops, strict=False)) if i < stop
            ]
            words = [f"stage {stage} waits to run {word(task)}" for stage, task in blocked[:4]]
            raise CheckError(f"the schedule blocks itself: {'; '.join(words)}")
        return order

    def _variants(self) -> tuple[Ints, tuple[tuple[int, Variant], ...]]:
        """Return which variant runs in each task, and all of them."""
        edge = self._edges()
        code = ((self.stage * self.chunks + self.chunk) * 3 + self.kind) * 4 + edge
        alone = self.group == np.arange(self.count)
        alone[1:] &= alone[:-1]  # the one before is not beside it
        found = np.zeros(self.count, dtype=np.int64)
        _, first, which = np.unique(code[alone], return_index=True, return_inverse=True)
        found[alone] = 1 + which.reshape(-1)
        singles = np.flatnonzero(alone)[first].tolist()
        variants: list[tuple[int, Variant]] = [(_NONE, ())]
        variants += [(int(self.stage[task]), (self._task(task, edge),)) for task in singles]
        known: dict[tuple[int, ...], int] = {}
        for last in np.flatnonzero((self.group == np.arange(self.count)) & ~alone).tolist():
            start = last
            while self.group[start - 1] == last and start:
                start -= 1
            key = tuple(code[start : last + 1].tolist())
            if key not in known:
                known[key] = len(variants)
                one = tuple(self._task(task, edge) for task in range(start, last + 1))
                variants.append((int(self.stage[last]), one))
            found[last] = known[key]
        return found, tuple(variants)

    def _task(self, number: int, edge: Ints) -> tuple[Kind, int, bool, bool]:
        task: Task = self.tasks[number]
        return task.kind, task.chunk, bool(edge[number] & 1), bool(edge[number] & 2)

    def _edges(self) -> Ints:
        """Return 1 for the first microbatch of a chunk, 2 for the last one, 3 for one that is both, else 0.

        The last one is the last to give gradients: W, without any B, without those F.
        """
        first, last = np.full(self.chunks, _NONE), np.full(self.chunks, _NONE)
        for kind in range(len(_KINDS)):
            some = (self.stage == 0) & (self.kind == kind)
            last[self.chunk[some]] = self.microbatch[some]
        forward = (self.stage == 0) & (self.kind == 0)
        first[self.chunk[forward][::-1]] = self.microbatch[forward][::-1]
        found: Ints = (self.microbatch == first[self.chunk]) + 2 * (self.microbatch == last[self.chunk])
        return found


def _ints(values: Any) -> Ints:
    return np.array(values, dtype=np.int64)
