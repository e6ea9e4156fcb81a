"""Prediction intervals that hold: split conformal, by basis and regime.

The kriging standard deviation says where a prediction is worse than elsewhere; how many of them make 90 % is
not assumed but counted on left-out points [1]_. Lower and upper end are counted apart, since collectives are
late more often than early.

References
----------
.. [1] Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113(523), 2018, doi:10.1080/01621459.2017.1307116.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.corpus import Corpus
from simulator.calibration.setting import Setting

Floats = NDArray[np.float64]
MISS = 0.05  # of each end of a 90 % interval
ENOUGH = 60  # left-out points below which a regime takes the factors of all points
_BANDS = ((0.0, 15.0, "small"), (15.0, 23.0, "middle"), (23.0, 99.0, "large"))  # octaves: 32 KiB, 8 MiB


def regime(setting: Setting, octave: float) -> str:
    """Return the regime of a point: inside one domain or between several, and the band of its size."""
    band = next(name for low, high, name in _BANDS if low <= octave < high)
    return f"{'between' if setting.transport else 'inside'}_{band}"


def regimes(settings: Sequence[Setting], which: NDArray[np.int64], octave: Floats) -> list[str]:
    """Return the regime of every point."""
    return [regime(settings[place], float(size)) for place, size in zip(which, octave, strict=True)]


def factors(
    corpus: Corpus, places: NDArray[np.int64], error: Floats, deviation: Floats
) -> dict[str, list[float]]:
    """Return the factors of the standard deviation at the two ends, by regime and for ``all``.

    Parameters
    ----------
    corpus : Corpus
        The points.
    places : array of int, shape (errors,)
        The point of each error.
    error, deviation : array, shape (errors,)
        log(measured / predicted) with the point left out, and its stated standard deviation.
    """
    ratio = error / deviation
    points = corpus.points.take(places)
    names = np.array(regimes(corpus.settings, points.which, points.octave))
    found = {"all": _ends(ratio)}
    for name in sorted(set(names.tolist())):
        mine = names == name
        if mine.sum() >= ENOUGH:
            found[name] = _ends(ratio[mine])
    return found


def _ends(ratio: Floats) -> list[float]:
    """Return the conformal 5 % and 95 % points, with the finite-sample correction."""
    if not len(ratio):
        return [-1.645, 1.645]  # a normal's, where nothing was left out
    beyond = min(1.0, (1 - MISS) * (1 + 1 / len(ratio)))
    ends = (-np.quantile(-ratio, beyond, method="higher"), np.quantile(ratio, beyond, method="higher"))
    return [float(f"{value:.4g}") for value in ends]


def ends(table: Mapping[str, Sequence[float]], name: str) -> tuple[float, float]:
    """Return the factors of a regime, those of all points where it has none of its own."""
    low, high = table.get(name, table["all"])
    return min(low, -0.1), max(high, 0.1)
