r"""One training step without events: task times by formula, the longest way through the schedule, the account.

It is the same step graph and the same prices that `simulator.engine.replay` plays in events. Where nothing
shares a link both agree to rounding; for equal stages the longest way through a schedule is its published
closed form, (p - 1)(F + B) and the like. What comes out beside the time is which prices it is the sum of:

.. math:: T = \sum_i w_i t_i

so that the sensitivity to any input follows without asking again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine._ledger import Entry, Ledger, Sum
from simulator.engine._task_order import plan
from simulator.engine._task_time import Moment, Streams, Walked, gather
from simulator.engine._task_waits import Waits
from simulator.engine._task_work import TaskWork
from simulator.engine.result import Prices, Result, broken_down
from workloads.step_graph import StepGraph

Floats = NDArray[np.float64]
_BUSY = -1.0  # seconds of a task that depend on what still runs beside


@dataclass(frozen=True, slots=True)
class Solved:
    """A step and what its time is the sum of.

    Parameters
    ----------
    result : Result
        As the event engine gives it.
    entries : tuple of Entry
        The prices that its longest way holds.
    weights : tuple of float
        How often each.
    seconds : tuple of float
        Each price, s.
    """

    result: Result
    entries: tuple[Entry, ...]
    weights: tuple[float, ...]
    seconds: tuple[float, ...]


def solve(graph: StepGraph, prices: Prices) -> Solved:
    """Return what a step takes on an idle network.

    Parameters
    ----------
    graph : StepGraph
        The step.
    prices : Prices
        Seconds of everything.

    Raises
    ------
    CheckError
        A schedule that blocks itself.
    ValueError
        A step graph or prices that are wrong in themselves.

    References
    ----------
    .. [1] Narayanan et al., SC21, arXiv:2104.04473: 1F1B and its interleaved form.
    .. [2] Baccelli et al., Synchronization and Linearity, Wiley, 1992: schedules as (max, +) recursions.
    """
    return _Solver(graph, prices).solve()


class _Solver:
    def __init__(self, graph: StepGraph, prices: Prices) -> None:
        self.graph, self.plan = graph, plan(graph)
        self.ledger = Ledger(prices)
        self.work = TaskWork(graph, self.ledger)
        self.begins = [self.work.once(number, stage.before) for number, stage in enumerate(graph.stages)]
        self.walked = [Walked(Moment(0.0), {})]
        self.walked += [self.work.of(stage, variant) for stage, variant in self.plan.variants[1:]]
        self.streams = [Streams() for _ in graph.stages]
        self.accounts: list[dict[str, float]] = [defaultdict(float) for _ in graph.stages]
        self.late: dict[int, Walked] = {}  # nodes that began while their streams were busy
        self.waits = Waits(self.plan, prices, blocking=graph.boundary.blocking)

    def solve(self) -> Solved:
        """Follow the schedule, then the streams that only the end of the step waits for."""
        for begin, streams, accounts in zip(self.begins, self.streams, self.accounts, strict=True):
            streams.take(begin.left, Moment(0.0))
            _pay(accounts, begin)
        ends = self._run()
        self._count(ends)
        self._leave(ends)
        first = len(ends) - self.plan.stages
        finishes = [
            self._finish(stage, Moment(ends[first + stage], node=first + stage))
            for stage in range(self.plan.stages)
        ]
        step, spent = broken_down(self.accounts, [end.at for end in finishes])
        last = max(range(len(finishes)), key=lambda stage: finishes[stage].at)
        weighed = self._weigh(last, finishes[last], ends)
        entries, weights, seconds = zip(*weighed, strict=True) if weighed else ((), (), ())
        result = Result(step_s=step, breakdown_s=spent, ends_s=tuple(end.at for end in finishes))
        return Solved(result=result, entries=entries, weights=weights, seconds=seconds)

    def _run(self) -> list[float]:
        """Return when each node ends: it starts when the one before it and what it needs are there."""
        table, waits = self.plan, self.waits
        ends = [begin.end.at for begin in self.begins] + [-np.inf]
        after = slice(len(ends), None)
        lengths = self._lengths()[table.variant]
        append = ends.append
        for before, need, held, hop, length in zip(
            table.before[after].tolist(),
            table.need[after].tolist(),
            waits.held[after].tolist(),
            waits.hop[after].tolist(),
            lengths[after].tolist(),
            strict=True,
        ):
            start, there = ends[before] + held, ends[need] + hop
            start = max(start, there)
            append(start + length if length >= 0 else self._beside(len(ends), start))
        return ends

    def _lengths(self) -> Floats:
        """Return the seconds of each variant."""
        found = np.array([walked.end.at for walked in self.walked])
        for number, (stage, _) in enumerate(self.plan.variants):
            if number and self.work.ordered[stage]:
                found[number] = _BUSY
        return found

    def _beside(self, node: int, start: float) -> float:
        """Run a task while streams that it also uses may still be busy; return its end."""
        number, streams = int(self.plan.variant[node]), self.streams[int(self.plan.stage[node])]
        stage, variant = self.plan.variants[number]
        begin, walked = Moment(start, node=node), self.walked[number]
        busy = any(streams.free[name].at > start for name in self.work.ordered[stage] if name in streams.free)
        if busy and len(variant) == 1:
            walked = self.late[node] = self.work.behind(stage, variant, begin, streams.free)
            streams.take(walked.left)
            return walked.end.at
        streams.take(walked.left, begin)
        return start + walked.end.at

    def _count(self, ends: Sequence[float]) -> None:
        """Put the time of all nodes into the accounts of their stages."""
        often = np.bincount(self.plan.variant, minlength=len(self.walked)).tolist()
        for node, late in self.late.items():
            often[self.plan.variant[node]] -= 1
            _pay(self.accounts[self.plan.stage[node]], late)
        for (stage, _), walked, times in zip(self.plan.variants, self.walked, often, strict=True):
            _pay(self.accounts[stage], walked, times)
        way, bubble = self.waits.totals(ends)
        for accounts, sent, idle in zip(self.accounts, way.tolist(), bubble.tolist(), strict=True):
            accounts["exposed_pipeline"] += sent
            accounts["bubble"] += idle

    def _leave(self, ends: Sequence[float]) -> None:
        """Run what tasks leave for the end of the step, where it cannot meet what tasks wait for."""
        leaves = np.array(
            [
                bool(walked.left) and not self.work.ordered[stage]
                for walked, (stage, _) in zip(self.walked, self.plan.variants, strict=True)
            ]
        )
        for node in np.flatnonzero(leaves[self.plan.variant]).tolist():
            walked = self.walked[self.plan.variant[node]]
            begin = Moment(ends[node] - walked.end.at, node=node)
            self.streams[self.plan.stage[node]].take(walked.left, begin)

    def _finish(self, stage: int, now: Moment) -> Moment:
        """Wait for what runs beside until the end of the step, then do what comes last."""
        accounts, streams = self.accounts[stage], self.streams[stage]
        now = streams.wait(now, accounts)
        after = self.work.once(stage, self.graph.stages[stage].after)
        _pay(accounts, after)
        streams.take(after.left, now)
        now = Moment(now.at + after.end.at, now, after.end)
        return streams.wait(now, accounts)

    def _weigh(self, stage: int, end: Moment, ends: Sequence[float]) -> list[tuple[Entry, float, float]]:
        """Return the prices on the longest way to a moment, how often each, and its seconds."""
        paid: list[Sum] = [{} for _ in self.streams]
        visits: dict[int, int] = defaultdict(int)
        sends: dict[int, int] = defaultdict(int)
        node = gather(end, paid[stage]).node
        while node >= self.plan.stages:
            node, pair = self.waits.came(node, ends)
            sends[pair] += 1
            if node < self.plan.stages:
                gather(self.begins[node].end, paid[node])
            elif node in self.late:
                node = gather(self.late[node].end, paid[self.plan.stage[node]]).node
            else:
                visits[int(self.plan.variant[node])] += 1
        for number, times in visits.items():
            gather(self.walked[number].end, paid[self.plan.variants[number][0]], times)
        return [*self._operations(paid), *self._sends(sends)]

    def _operations(self, paid: Sequence[Sum]) -> Iterator[tuple[Entry, float, float]]:
        for stage, total in enumerate(paid):
            for part, weight in sorted(total.items()):
                entry, seconds = self.ledger.entry(stage, part)
                yield entry, weight, seconds

    def _sends(self, often: Mapping[int, int]) -> Iterator[tuple[Entry, float, float]]:
        for pair, times in sorted(often.items()):
            seconds = self.waits.price(pair)
            if seconds:
                yield Entry(*self.plan.pairs[pair]), float(times), seconds


def _pay(accounts: dict[str, float], walked: Walked, times: float = 1.0) -> None:
    for name, seconds in walked.accounts.items():
        accounts[name] += times * seconds
