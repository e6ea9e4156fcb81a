"""Fit the shipped predictor and measure it on the held-out splits: ``python -m simulator.calibration.train``.

Writes ``data/fitted.toml`` (parameters, interval factors, what they were fitted on) and
``data/accuracy.toml`` (errors on the splits of ``data/splits.toml``). Takes about half an hour; nothing else
needs it.

Every basis is fitted twice, on halves of the points drawn by a hash: a shipped point is predicted by the half
that did not see it, everything else by the mean of both.
"""

import sys
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator._toml import entries
from simulator.calibration import components, referee
from simulator.calibration.corpus import Corpus, corpus_hash, shipped, splits
from simulator.calibration.fitted import BASES, LIBRARIES, half_of
from simulator.calibration.intervals import factors
from simulator.calibration.mechanism import prior
from simulator.calibration.training import BLOCKS, fit, left_out

Floats = NDArray[np.float64]
Interval = dict[str, list[float]]
Fold = tuple[list[NDArray[np.bool_]], NDArray[np.bool_]]
FIT_POINTS = 1800  # most points that parameters are fitted on; all that may be seen are then kriged on
FABRIC_GROUPS = 4  # whole fabrics are scored by parameters that saw no fabric of their group


def main() -> None:
    """Fit, score, write."""
    folder = Path(str(files("simulator.calibration") / "data"))
    fitted: dict[str, tuple[list[Floats], Interval]] = {}
    points: list[referee.Scored] = []
    for family in LIBRARIES:
        corpus = shipped(family)
        intervals = {}
        for basis, folds in _folds(corpus).items():
            found, intervals[basis] = score(corpus, basis, folds)
            points += found
        for basis in BASES:
            _say(f"{family} {basis}")
            halves = half_of(corpus)
            parameters = [_fit(corpus.take(halves == half), basis) for half in (0, 1)]
            if basis != "catalogue":  # of which the folds hold every point, and fairer
                intervals[basis] = _interval(corpus, halves, parameters, basis)
            fitted[f"{family}.{basis}"] = (parameters, intervals[basis])
    (folder / "fitted.toml").write_text(_fitted_text(fitted), "utf-8")
    (folder / "accuracy.toml").write_text(referee.accuracy_text(points), "utf-8")


def score(corpus: Corpus, basis: str, folds: Sequence[Fold]) -> tuple[list[referee.Scored], Interval]:
    """Return the held-out points, and the interval factors that all of them together give.

    No point is predicted by parameters or neighbours that saw it, and no interval by factors that did: with
    several folds they come from the other folds, with one from blocks left out of what is seen.
    """
    count = len(corpus.log_us)
    middle, deviation, fold_of = np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1)
    inner: dict[int, Interval] = {}
    for place, (hidden, unseen) in enumerate(folds):
        _say(f"{basis} held out {place + 1} of {len(folds)}")
        seen = corpus.take(~unseen)
        parameters = _fit(seen, basis)
        if len(folds) == 1:
            inner[place] = _interval(seen, half_of(seen), [parameters, parameters], basis)
        found, spread = referee.predicted(corpus, hidden, parameters)
        mine = np.isfinite(found)
        middle[mine], deviation[mine], fold_of[mine] = found[mine], spread[mine], place
    error = corpus.log_us - middle
    points: list[referee.Scored] = []
    for place in range(len(folds)):
        others = np.flatnonzero((fold_of >= 0) & (fold_of != place))
        interval = inner.get(place) or factors(corpus, others, error[others], deviation[others])
        mine = np.where(fold_of == place, middle, np.nan)
        points += referee.scored(corpus, mine, deviation, basis, interval)
    held = np.flatnonzero(fold_of >= 0)
    return points, factors(corpus, held, error[held], deviation[held])


def _folds(corpus: Corpus) -> dict[str, list[Fold]]:
    """Return the folds of each basis: sets of points predicted together, and all that the fit may not see."""
    series = np.array([s.series for s in corpus.settings])[corpus.points.which]
    held = splits()
    sizes = np.rint(corpus.sizes)
    by_size = np.array(
        [size in held["sizes"].get(name, ()) for name, size in zip(series, sizes, strict=True)]
    )
    by_count = np.isin(series, held["counts"]["series"])
    fabrics = _whole_fabrics(corpus, [np.isin(series, names) for names in held["fabrics"].values()])
    grouped = [fabrics[group::FABRIC_GROUPS] for group in range(FABRIC_GROUPS)]
    return {
        "calibrated": [([by_size], by_size)],
        "scaled": [([by_count], by_count)] if by_count.any() else [],
        "catalogue": [(masks, np.any(masks, axis=0)) for masks in grouped if masks],
    }


def _whole_fabrics(corpus: Corpus, masks: Iterable[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """Return the masks, each widened to every point that the predictor takes for the same fabric."""
    fabric = np.array([s.fabric for s in corpus.settings])[corpus.points.which]
    found: list[NDArray[np.bool_]] = []
    for mask in masks:
        whole = np.isin(fabric, fabric[mask])
        if whole.any() and not any((whole & other).any() for other in found):
            found.append(whole)
    return found


def _fit(corpus: Corpus, basis: str) -> Floats:
    count = len(corpus.log_us)
    if count > FIT_POINTS:
        chosen = np.random.default_rng(0).choice(count, FIT_POINTS, replace=False)
        corpus = corpus.take(np.sort(chosen))
    return fit(corpus, BLOCKS[basis](corpus))


def _interval(
    corpus: Corpus, halves: NDArray[np.int64], parameters: list[Floats], basis: str
) -> dict[str, list[float]]:
    """Return interval factors from errors of left-out blocks, each by the half that did not see the point."""
    blocks = BLOCKS[basis](corpus)
    parts = []
    for half, values in enumerate(parameters):
        places, error, deviation = left_out(corpus, blocks, values)
        mine = halves[places] != half
        parts.append((places[mine], error[mine], deviation[mine]))
    places, error, deviation = (np.concatenate(column) for column in zip(*parts, strict=True))
    return factors(corpus, places, error, deviation)


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _fitted_text(fitted: dict[str, tuple[list[Floats], Interval]]) -> str:
    names = [f"{table}.{key}" for table, key in prior().names] + list(components.NAMES)
    lines = [
        "# Written by python -m simulator.calibration.train; do not edit.",
        "# half_0, half_1: logarithms of the mechanism's parameters, then the covariance's encoded ones, in",
        "# the order of names; interval: 5 % and 95 % points of error over standard deviation by regime.",
        *entries({"corpus_sha256": corpus_hash(), "names": names}),
    ]
    for key, (halves, interval) in fitted.items():
        lines += ["", f"[{key}]"]
        lines += entries({f"half_{half}": _rounded(values) for half, values in enumerate(halves)})
        lines += ["", f"[{key}.interval]", *entries(interval)]
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
