"""90 % bands of step times: counted on left-out runs, wider where runs of that sort were predicted worse.

Residuals log(measured / predicted) of runs that were left out are divided by the usual size of a residual of their
sort (kind of model, generation of GPU, stack), which for few runs is drawn towards that of the wider sort. Which
5 % and 95 % points the quotients have is counted and not assumed [1]_; the size that a run is divided by comes
from the other parts only, as it will for a run that is new.

References
----------
.. [1] Barber, Candes, Ramdas, Tibshirani, Predictive inference with the jackknife+, Annals of Statistics 49(1),
   2021, doi:10.1214/20-AOS1965: intervals from folds.
.. [2] Dunn, Wasserman, Ramdas, Distribution-free prediction sets for two-layer hierarchical models, JASA 118,
   2023, doi:10.1080/01621459.2022.2060112: groups that are new as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.case import Case

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
MISS = 0.05  # of each end of a 90 % band
SHRINK = 5.0  # runs of the wider sort that every sort is mixed with
DEPTHS = {"known": 3, "unknown": 1}
"""How fine the sorts of each band are: of a stack that nobody measured only the kind is known."""


@dataclass(frozen=True, slots=True)
class Band:
    """Ends of a 90 % band, by sort.

    Attributes
    ----------
    sizes : mapping of str to float
        Mean absolute residual by sort; ``""`` of all.
    low, high : float
        5 % and 95 % point of residuals over that.
    """

    sizes: Mapping[str, float]
    low: float
    high: float

    def logs(self, sort: Sequence[str]) -> tuple[float, float]:
        """Return both ends of log(measured / predicted)."""
        size = _size(self.sizes, sort)
        return self.low * size, self.high * size

    def factors(self, sort: Sequence[str]) -> tuple[float, float]:
        """Return both ends over the prediction."""
        low, high = np.exp(self.logs(sort)).tolist()
        return low, high


def sort_of(kind: str, generation: str = "", stack: str = "") -> tuple[str, ...]:
    """Return the sort of a run, from what matters most."""
    return tuple(part for part in (kind, generation, stack) if part)


def sorts(cases: Sequence[Case], basis: str) -> list[tuple[str, ...]]:
    """Return the sort of each case as fine as a band goes; ``basis`` is ``known`` or ``unknown``."""
    return [sort_of(case.kind, case.generation, case.stack.family)[: DEPTHS[basis]] for case in cases]


def learn(
    residuals: Floats, sorts: Sequence[tuple[str, ...]], parts: Sequence[object], weights: Floats
) -> Band:
    """Return the band that left-out residuals make.

    Parameters
    ----------
    residuals : array, shape (runs,)
        log(measured / predicted).
    sorts : sequence of tuple of str
        Of each run.
    parts : sequence
        Which runs were left out together.
    weights : array, shape (runs,)
        How much each counts.
    """
    size = np.abs(residuals)
    ratio = np.empty(len(residuals))
    where = np.array([str(part) for part in parts])
    for part in sorted(set(where.tolist())):
        mine = where == part
        others = _sizes(size, sorts, weights * ~mine)
        ratio[mine] = [
            residuals[place] / _size(others, sorts[place]) for place in np.flatnonzero(mine).tolist()
        ]
    low, high = -_point(-ratio, weights), _point(ratio, weights)
    return Band(_sizes(size, sorts, weights), min(low, -0.1), max(high, 0.1))


def crossed(
    residuals: Floats, sorts: Sequence[tuple[str, ...]], parts: Sequence[object], weights: Floats
) -> tuple[Floats, Floats, dict[str, Band]]:
    """Return both ends of each run's band, learnt from the parts that it is not in, and these bands by part."""
    low, high = np.empty((2, len(residuals)))
    where = np.array([str(part) for part in parts])
    bands = {}
    for part in sorted(set(where.tolist())):
        mine = where == part
        rest = np.flatnonzero(~mine).tolist()
        bands[part] = learn(residuals[rest], [sorts[at] for at in rest], where[rest].tolist(), weights[rest])
        for place in np.flatnonzero(mine).tolist():
            low[place], high[place] = bands[part].logs(sorts[place])
    return low, high, bands


def group_weights(groups: Sequence[str]) -> Floats:
    """Return weights by which every group counts alike, 1 in the mean."""
    sizes = {group: groups.count(group) for group in set(groups)}
    found = np.array([1.0 / sizes[group] for group in groups])
    return np.asarray(found / found.mean())


def _sizes(size: Floats, sorts: Sequence[tuple[str, ...]], weights: Floats) -> dict[str, float]:
    """Return the mean absolute residual of each sort, wider sorts mixed in."""
    sums: dict[tuple[str, ...], tuple[float, float]] = {}
    for one, sort, weight in zip(size.tolist(), sorts, weights.tolist(), strict=True):
        if weight <= 0:
            continue
        for depth in range(len(sort) + 1):
            total, count = sums.get(sort[:depth], (0.0, 0.0))
            sums[sort[:depth]] = (total + weight * one, count + weight)
    found: dict[tuple[str, ...], float] = {}
    for sort in sorted(sums, key=len):
        total, count = sums[sort]
        mixed = (total + SHRINK * found[sort[:-1]]) / (count + SHRINK) if sort else total / count
        found[sort] = mixed
    return {"/".join(sort): value for sort, value in found.items()}


def _size(sizes: Mapping[str, float], sort: Sequence[str]) -> float:
    """Return the size of the finest sort that is known."""
    for depth in range(len(sort), -1, -1):
        if (name := "/".join(sort[:depth])) in sizes:
            return sizes[name]
    raise KeyError("/".join(sort))


def _point(ratio: Floats, weights: Floats) -> float:
    """Return the 95 % point, one more run as far out as can be counted with the others."""
    order = np.argsort(ratio)
    reached = np.cumsum(weights[order]) / (weights.sum() + weights.mean())
    place = int(np.searchsorted(reached, 1 - MISS))
    return float(ratio[order[min(place, len(order) - 1)]])
