"""Measured steps as sums of prices, so that thousands of profiles can be tried on all of them.

The longest way through a step changes little while a profile is fitted. So every step is solved once for a profile,
its weights are kept, and what a profile near by would give is the same sum with other prices; from time to time
the ways are found anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from simulator.calibration.steps.case import Case
from simulator.calibration.steps.prices import StepPrices, Times, exposure, slowdown
from simulator.calibration.steps.question import training_of
from simulator.calibration.steps.site import of_system
from simulator.engine.closed_form import Solved, solve
from simulator.engine.compute import Device, Work, lookup
from workloads.step_graph import Collective, Compute
from workloads.training_step import build

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Talk:
    """A price of communication: seconds alone, and the values that scale it."""

    seconds: float
    slowdown: str
    share: str
    part: str

    def value(self, profile: Mapping[str, float]) -> float:
        """Return its seconds by a profile."""
        seconds = self.seconds * lookup(profile, self.slowdown)
        if self.part == "whole":
            return seconds
        share = min(1.0, lookup(profile, self.share))
        return seconds * (share if self.part == "exposed" else 1 - share)


def solved(case: Case, profile: Mapping[str, float], times: Times) -> tuple[Solved, StepPrices]:
    """Return a case's step by formula, and the prices it was worked out with."""
    training = training_of(case)
    graph = build(training)
    prices = StepPrices(graph, case.layout, of_system(case.system, case.stack.released), profile, times)
    return solve(graph, prices), prices


class Features:
    """Cases as sums of prices.

    Parameters
    ----------
    cases : sequence of Case
        Configurations.
    profile : mapping
        Values at which the longest ways are found.
    times : Times
        Collectives.
    """

    def __init__(self, cases: Sequence[Case], profile: Mapping[str, float], times: Times) -> None:
        work: dict[tuple[Compute, Device], int] = {}
        talk: dict[Talk, int] = {}
        places: list[tuple[int, bool, int, float]] = []
        exact = []
        for row, case in enumerate(cases):
            answer, prices = solved(case, profile, times)
            device = of_system(case.system, case.stack.released).device
            exact.append(answer.result.step_s)
            for entry, weight in zip(answer.entries, answer.weights, strict=True):
                if isinstance(entry.what, Compute):
                    number = work.setdefault((entry.what, _hashable(device)), len(work))
                    places.append((row, True, number, weight))
                else:
                    number = talk.setdefault(_talk(entry, prices, profile), len(talk))
                    places.append((row, False, number, weight))
        self.exact: Floats = np.array(exact)
        self.work = Work([(one, device) for one, device in work])
        self.talk = list(talk)
        columns = [number if is_work else len(work) + number for _, is_work, number, _ in places]
        self.weights = csr_matrix(
            ([weight for *_, weight in places], ([row for row, *_ in places], columns)),
            shape=(len(cases), len(work) + len(talk)),
        )

    def seconds(self, profile: Mapping[str, float]) -> Floats:
        """Return the seconds of every step."""
        talked = np.array([one.value(profile) for one in self.talk])
        found: Floats = self.weights @ np.concatenate([self.work.seconds(profile), talked])
        return found


def _hashable(device: Device) -> Device:
    return device


def _talk(entry: object, prices: StepPrices, profile: Mapping[str, float]) -> Talk:
    what, stage, part = entry.what, entry.stage, entry.part  # type: ignore[attr-defined]
    if isinstance(what, Collective):
        setting = prices.setting(what, stage)
        seconds = prices.seconds(what, stage) / lookup(profile, slowdown(setting))
        return Talk(seconds, slowdown(setting), exposure(what), part)
    setting = prices.send(stage, what)
    seconds = prices.transfer(stage, what) / lookup(profile, slowdown(setting))
    return Talk(seconds, slowdown(setting), "", "whole")
