"""Fits with some runs left out, and the steps that they were not shown."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.corpus import Corpus
from simulator.calibration.steps.features import Features, solved
from simulator.calibration.steps.fitting import BEND, Priors, fit
from simulator.calibration.steps.prices import Times

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Say = Callable[[str], None]
_STEP = 1e-4
_TURNS = 30


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Values fitted without some runs.

    Attributes
    ----------
    logs : array, shape (values,)
        Logarithms of the fitted values.
    hidden : array of bool, shape (runs,)
        Runs to be predicted; neither they nor any that is like them was fitted on.
    """

    logs: Floats
    hidden: Mask


@dataclass(frozen=True, slots=True)
class Line:
    """Log seconds near some values: the level, and its slope along each value's logarithm."""

    at: Floats
    level: Floats
    slope: Floats

    def fit(self, corpus: Corpus, weights: Floats, prior: Priors) -> Floats:
        """Return the logarithms that fit best if log seconds were straight lines in them."""
        target, hold = np.log(corpus.seconds), BEND**2 / prior.spread**2
        move = np.zeros(len(self.at))
        for _ in range(_TURNS):
            rest = self.level + self.slope @ move - target
            pull = weights / np.sqrt(1 + (rest / BEND) ** 2)
            normal = self.slope.T @ (self.slope * pull[:, None]) + np.diag(hold)
            gradient = self.slope.T @ (pull * rest) + hold * (self.at + move - prior.mean)
            step = np.linalg.solve(normal, -gradient)
            move += step
            if np.abs(step).max() < _STEP:
                break
        return np.asarray(self.at + move)


def line(features: Features, logs: Floats, prior: Priors) -> Line:
    """Return log seconds of all runs as straight lines near some values."""
    level = np.log(features.seconds(prior.profile(logs)))
    slope = np.empty((len(level), len(logs)))
    for place in range(len(logs)):
        moved = logs.copy()
        moved[place] += _STEP
        slope[:, place] = (np.log(features.seconds(prior.profile(moved))) - level) / _STEP
    return Line(logs, level, slope)


def settled(corpus: Corpus, prior: Priors, times: Times, rounds: int, say: Say) -> tuple[Features, Floats]:
    """Return all runs as sums of prices and the values fitted to them; the ways are found in each round."""
    logs: Floats | None = None
    profile = prior.profile(prior.mean)
    for turn in range(rounds):
        say(f"finding the ways, round {turn + 1} of {rounds}")
        features = Features(corpus.cases, profile, times)
        logs = fit(features, corpus.seconds, corpus.weights, logs, prior=prior)
        profile = prior.profile(logs)
    if logs is None:
        raise ValueError(f"wanted a round or more, got {rounds}")
    return features, logs


def left_out(
    corpus: Corpus,
    features: Features,
    near: Line,
    prior: Priors,
    masks: Iterable[Mask],
    fitted_on: Mask | None = None,
) -> list[LeftOut]:
    """Return the values fitted without each set of runs.

    Parameters
    ----------
    corpus : Corpus
        All runs.
    features : Features
        The same as sums of prices: longest ways as all runs together gave them.
    near : Line
        At the values of all runs, from where each fit begins.
    prior : Priors
        What values are held to.
    masks : iterable of array of bool
        Runs to leave out, those like them too.
    fitted_on : array of bool, optional
        Runs that may be fitted on at all.
    """
    found = []
    for hidden in masks:
        seen = ~corpus.like(hidden) & (True if fitted_on is None else fitted_on)
        weights = np.where(seen, corpus.weights, 0.0)
        start = near.fit(corpus, weights, prior)
        logs = fit(features, corpus.seconds, weights, start, prior=prior)
        found.append(LeftOut(logs, hidden))
    return found


def predicted(corpus: Corpus, fits: Sequence[LeftOut], prior: Priors, times: Times) -> Floats:
    """Return seconds of each run by the fit that it was hidden from, ways found anew; nan for others."""
    seconds = np.full(len(corpus.cases), np.nan)
    for one in fits:
        profile = prior.profile(one.logs)
        for place in np.flatnonzero(one.hidden):
            seconds[place] = solved(corpus.cases[place], profile, times)[0].result.step_s
    return seconds
