"""Fit the values of a profile to measured steps, held to their priors.

Gauss-Newton on logarithms: residuals log(predicted/measured) with a pseudo-Huber loss, and one residual for each
value's distance from its prior.

References
----------
.. [1] Huber, Robust Estimation of a Location Parameter, 1964; Charbonnier et al., 1997: the smooth form.
.. [2] Gelman et al., Bayesian Data Analysis, 3rd ed., section 14.8: priors as further observations.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.features import Features

Floats = NDArray[np.float64]
BEND = 0.06  # of a logarithm: larger residuals count linearly, smaller ones squared
STRENGTH = 1.0  # of the priors against the data
_STEP = 1e-4
_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Priors:
    """Values a profile starts from; those with a spread are fitted."""

    fixed: Mapping[str, float]
    names: tuple[str, ...]
    mean: Floats  # of the logarithm
    spread: Floats

    def profile(self, logs: Floats) -> dict[str, float]:
        """Return the profile of some logarithms."""
        return {**self.fixed, **dict(zip(self.names, np.exp(logs).tolist(), strict=True))}


@cache
def priors() -> Priors:
    """Return what ``priors.toml`` says."""
    path = files("simulator.calibration") / "data" / "training" / "priors.toml"
    table = tomllib.loads(path.read_text("utf-8"))
    free = {name: pair for name, pair in table.items() if isinstance(pair, list)}
    pairs = np.array(list(free.values()), dtype=float)
    return Priors(
        fixed={name: float(value) for name, value in table.items() if name not in free},
        names=tuple(free),
        mean=np.log(pairs[:, 0]),
        spread=pairs[:, 1],
    )


def fit(
    features: Features,
    measured: Floats,
    weights: Floats,
    start: Floats | None = None,
    *,
    strength: float = STRENGTH,
    prior: Priors | None = None,
) -> Floats:
    """Return the logarithms of the fitted values.

    Parameters
    ----------
    features : Features
        Steps as sums of prices.
    measured : array, shape (steps,)
        Seconds.
    weights : array, shape (steps,)
        How much each counts; 0: left out.
    start : array, optional
        Where to begin; the priors if left out.
    strength : float
        Of the priors.
    """
    known = prior or priors()
    logs = known.mean.copy() if start is None else start.copy()
    target = np.log(measured)
    used = weights > 0
    damp = 1e-3

    def residuals(at: Floats) -> Floats:
        out: Floats = np.log(features.seconds(known.profile(at))) - target
        return out

    def loss(rest: Floats, at: Floats) -> float:
        data = weights[used] * BEND**2 * (np.sqrt(1 + (rest[used] / BEND) ** 2) - 1)
        return float(2 * data.sum() + strength * BEND**2 * np.sum(((at - known.mean) / known.spread) ** 2))

    rest = residuals(logs)
    now = loss(rest, logs)
    for _ in range(_ROUNDS):
        slope = _slope(residuals, logs, rest)
        pull = weights / np.sqrt(1 + (rest / BEND) ** 2)
        hold = strength * BEND**2 / known.spread**2
        normal = slope.T @ (slope * pull[:, None]) + np.diag(hold)
        gradient = slope.T @ (pull * rest) + hold * (logs - known.mean)
        improved = False
        for _ in range(6):
            step = np.linalg.solve(normal + damp * np.diag(np.diag(normal)), -gradient)
            ahead = residuals(logs + step)
            then = loss(ahead, logs + step)
            if then < now:
                improved, damp = True, max(damp / 5, 1e-6)
                break
            damp *= 5
        if not improved:
            break
        small = now - then < 1e-6 * now
        logs, rest, now = logs + step, ahead, then
        if small:
            break
    return logs


def _slope(residuals: Callable[[Floats], Floats], logs: Floats, rest: Floats) -> Floats:
    """Return the derivatives of the residuals, shape (steps, values), by differences."""
    slope = np.empty((len(rest), len(logs)))
    for place in range(len(logs)):
        moved = logs.copy()
        moved[place] += _STEP
        slope[:, place] = (residuals(moved) - rest) / _STEP
    return slope


def row_weights(cells: Sequence[tuple[str, ...]]) -> Floats:
    """Return 1 / sqrt of how many rows share a cell: source, model and GPU, of which many are near copies."""
    counts: dict[tuple[str, ...], int] = {}
    for cell in cells:
        counts[cell] = counts.get(cell, 0) + 1
    return np.array([1 / np.sqrt(counts[cell]) for cell in cells])
