"""The best candidates of a survey: exact times where a bound from below does not settle that others are better."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search.basis import Recipe
from simulator.planning.search.bounds import Bounds
from simulator.planning.search.classes import Group, Member, flat
from simulator.planning.search.structure import Again
from simulator.planning.search.survey import Survey
from simulator.planning.search.times import Lanes
from workloads.layout import Layout

Floats = NDArray[np.float64]
_FIRST = 64  # candidates of a class that are looked at before its rivals are
_MANY = 50_000  # blocks from which on it pays to price cells roughly first
_MOST = 20_000  # at a time
_ALIKE = 1e-9  # relative difference of times that are the same but for rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A candidate with its time by formula.

    Parameters
    ----------
    layout : Layout
        With its chunks.
    recipe : Recipe
        How it is run.
    step_s : float
        s.
    room : float
        Bytes in tensors of its fullest stage.
    score : float
        What it is judged by, s.
    """

    layout: Layout
    recipe: Recipe
    step_s: float
    room: float
    score: float

    @property
    def degrees(self) -> tuple[Any, ...]:
        """Return what tells layouts apart to a person: degrees and schedule."""
        return _degrees(self.layout, self.recipe.schedule)


def _degrees(at: Layout, schedule: str) -> tuple[Any, ...]:
    return (at.tp, at.pp, at.cp, at.ep, at.dp, schedule)


@dataclass(slots=True)
class Hunt:
    """Look for the best candidates of a survey.

    Parameters
    ----------
    survey : Survey
        All candidates, bounded.
    keep : int
        How many layouts are wanted, each by its best candidate.
    alone : callable
        Gives the seconds of a candidate that only the whole formula can tell; infinite where it cannot be.
    burdened : float
        What a second of computing counts for beside a second of the step: a GPU that computes draws more power.
    """

    survey: Survey
    keep: int
    alone: Callable[[Layout, Recipe], float]
    burdened: float = 0.0
    walked: int = 0  # candidates whose schedule was followed
    solved: int = 0  # those that only the whole formula could tell
    _best: dict[tuple[Any, ...], Found] = field(default_factory=dict)
    _more: dict[int, Floats] = field(default_factory=dict)

    def run(self) -> list[Found]:
        """Return the best, the fastest first."""
        heap: list[tuple[float, int, int]] = []
        orders: dict[int, tuple[Any, Floats]] = {}
        self._more.clear()
        for number, group in enumerate(self.survey.groups):
            if group.clock is not None:
                self._more[id(group)] = self._burden(group)
                ready = np.where(group.ready, group.least, np.inf)
                least = ready.ravel() + self._more[id(group)]
                there = np.flatnonzero(np.isfinite(least))
                places = there[np.argsort(least[there], kind="stable")]
                orders[number] = places, least[places]
                if len(places):
                    heapq.heappush(heap, (float(least[places[0]]), number, 0))
        while heap and heap[0][0] < self.limit:
            _, number, start = heapq.heappop(heap)
            places, least = orders[number]
            stop = int(np.searchsorted(least, self.limit))
            stop = min(stop, start + (_FIRST if start == 0 or self.limit == np.inf else _MOST))
            group = self.survey.groups[number]
            some = places[start:stop]
            own = self._own(group)[some % len(group.members)]
            self._look(group, some[least[start:stop] < own])
            if stop < len(places):
                heapq.heappush(heap, (float(least[stop]), number, stop))
        return sorted(self._best.values(), key=lambda one: one.score)[: self.keep]

    def narrowed(self, bounds: Bounds) -> list[Found]:
        """Return the best of all candidates, those that nothing can put among them priced roughly only."""
        if bounds.blocks < _MANY:
            bounds.detail()
            return self.run()
        bounds.outline()
        bounds.detail(bounds.promising(2 * self.keep))
        self.run()
        bounds.detail(bounds.below(self.limit))
        return self.run()

    def _own(self, group: Group) -> Floats:
        """Return the best score so far of the layout of each member: what is above it changes nothing."""
        found = [
            self._best.get(_degrees(self.survey.at(group, one), group.structure.name))
            for one in group.members
        ]
        return np.array([np.inf if one is None else one.score for one in found])

    def again(self, bounds: Bounds) -> list[Found]:
        """Return the best by another ``burdened``, nothing of the last time kept."""
        self._best.clear()
        bounds.detail()
        return self.run()

    def _burden(self, group: Group) -> Floats:
        """Return what is added to the seconds of each candidate."""
        if not self.burdened:
            return np.zeros(group.size)
        found: Floats = self.burdened * np.broadcast_to(group.timed.work(), group.fits.shape).ravel()
        return found

    @property
    def limit(self) -> float:
        """Return the score from which on nothing is among the best."""
        if len(self._best) < self.keep:
            return np.inf
        times = sorted(one.score for one in self._best.values())
        return times[self.keep - 1]

    def _look(self, group: Group, places: NDArray[np.int64]) -> None:
        if not len(places):
            return
        lanes = flat(group, places)
        seconds = self.survey.exact(group, lanes)
        self.walked += int(np.isfinite(seconds).sum())
        room = group.room.ravel()[places]
        more = self._more[id(group)][places]
        known = np.where(np.isnan(seconds), group.least.ravel()[places], seconds) + more
        for lane in np.argsort(known, kind="stable").tolist():
            time = float(seconds[lane])
            if known[lane] > self.limit:
                break
            member, again, strategy = self._of(group, lanes, lane)
            at, recipe = self.survey.at(group, member), self.survey.recipe(group, member, strategy, again)
            if np.isnan(time):
                time = self.alone(at, recipe)
                self.solved += 1
            score = time + float(more[lane])
            self._note(Found(layout=at, recipe=recipe, step_s=time, room=float(room[lane]), score=score))

    def _of(self, group: Group, lanes: Lanes, lane: int) -> tuple[Member, Again, str]:
        strategy = self.survey.space.strategies[lanes.strategy[lane]]
        return group.members[lanes.cell[lane]], group.again[lanes.again[lane]], strategy

    def _note(self, found: Found) -> None:
        """Keep a candidate if it is the best of its layout, of those equally fast the one that takes least memory."""
        if not np.isfinite(found.step_s):
            return
        known = self._best.get(found.degrees)
        if known is not None:
            same = found.score <= known.score * (1 + _ALIKE) and found.room < known.room
            if not same and found.score >= known.score * (1 - _ALIKE):
                return
        self._best[found.degrees] = found
