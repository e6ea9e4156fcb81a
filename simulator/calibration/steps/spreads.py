"""How far a measured step may lie from the predicted one: 90 % bands from residuals of rows left out.

A residual is divided by the spread of its kind of row, which is shrunk towards that of wider kinds where rows
are few; the quantiles of what is left hold for all (split conformal prediction with normalised scores).

References
----------
.. [1] Lei et al., Distribution-Free Predictive Inference for Regression, JASA 113(523), 2018, section 5.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.case import Case

Floats = NDArray[np.float64]
TAILS = (0.05, 0.95)
WIDE_TAILS = (0.03, 0.97)  # of a stack never seen: errors are shared inside a source
_SHRINK = 8.0  # rows that the wider kind counts for
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Spreads of log(measured/predicted) by kind of row, and the quantiles of what they leave over."""

    spreads: dict[Path, float]
    low: float
    high: float

    def ends(self, path: Path) -> tuple[float, float]:
        """Return the factors on a predicted time between which 90 % of the measured ones lie."""
        while path not in self.spreads:
            path = path[:-1]
        spread = self.spreads[path]
        return float(np.exp(self.low * spread)), float(np.exp(self.high * spread))


def known_path(case: Case) -> Path:
    """Return the kinds of row that a case of a known stack belongs to, the widest first."""
    narrow = "16" if case.precision in ("bf16", "fp16", "fp32") else "8"
    return (case.kind, case.stack.family, case.generation, narrow)


def unknown_path(case: Case) -> Path:
    """Return the same where the stack is unknown: what the model is."""
    return (case.kind,)


def band(paths: Sequence[Path], residuals: Floats, tails: tuple[float, float] = TAILS) -> Band:
    """Return the band of some residuals log(measured/predicted)."""
    spreads: dict[Path, float] = {(): float(np.mean(np.abs(residuals)))}
    deepest = max(map(len, paths))
    for depth in range(1, deepest + 1):
        for path in sorted({path[:depth] for path in paths}):
            mine = np.abs(residuals[[one[:depth] == path for one in paths]])
            above = spreads[path[:-1]]
            spreads[path] = float((mine.sum() + _SHRINK * above) / (len(mine) + _SHRINK))
    scaled = residuals / np.array([spreads[path] for path in paths])
    count = len(scaled)
    outer = (max(0.0, tails[0] - 1 / count), min(1.0, tails[1] + 1 / count))  # the row asked for counts too
    low, high = np.quantile(scaled, outer)
    return Band(spreads, float(low), float(high))


def crossed(
    paths: Sequence[Path], residuals: Floats, parts: NDArray[Any], tails: tuple[float, float] = TAILS
) -> tuple[float, float]:
    """Return coverage and median full width of bands that never saw the part that they are asked about."""
    inside, widths = [], []
    for part in sorted(set(parts.tolist())):
        mine = parts == part
        rest = [path for path, own in zip(paths, mine, strict=True) if not own]
        found = band(rest, residuals[~mine], tails)
        for place in np.flatnonzero(mine).tolist():
            low, high = np.log(found.ends(paths[place]))
            inside.append(low <= residuals[place] <= high)
            widths.append(np.exp(high) - np.exp(low))
    return float(np.mean(inside)), float(np.median(widths))
