"""Fit the shipped predictor and measure it on the held-out splits: ``python -m simulator.calibration.train``.

Writes ``data/fitted.toml`` (parameters, interval factors, what they were fitted on) and ``data/accuracy.toml``
(errors on the splits of ``data/splits.toml``). Takes about half an hour on one core; nothing else needs it.

Every basis is fitted twice, on halves of the points drawn by a hash: a shipped point is predicted by the half
that did not see it, everything else by the mean of both.
"""

import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator._toml import entries
from simulator.calibration import kriging, referee
from simulator.calibration.corpus import Corpus, corpus_hash, shipped, splits
from simulator.calibration.fitted import BASES, LIBRARIES, half_of
from simulator.calibration.intervals import factors
from simulator.calibration.mechanism import prior
from simulator.calibration.training import BLOCKS, fit, left_out

Floats = NDArray[np.float64]
FIT_POINTS = 1800  # most points that parameters are fitted on; all that may be seen are then kriged on
FABRIC_GROUPS = 4  # whole fabrics are scored by parameters that saw no fabric of their group


def main() -> None:
    """Fit, score, write."""
    folder = Path(str(files("simulator.calibration") / "data"))
    fitted: dict[str, tuple[list[Floats], dict[str, list[float]]]] = {}
    for family in LIBRARIES:
        corpus = shipped(family)
        for basis in BASES:
            _say(f"{family} {basis}")
            halves = half_of(corpus)
            parameters = [_fit(corpus.take(halves == half), basis) for half in (0, 1)]
            interval = _interval(corpus, halves, parameters, basis)
            fitted[f"{family}.{basis}"] = (parameters, interval)
    (folder / "fitted.toml").write_text(_fitted_text(fitted), "utf-8")
    (folder / "accuracy.toml").write_text(referee.accuracy_text(score(_say)), "utf-8")


def score(say: "referee.Say") -> list[referee.Scored]:
    """Return the predictions of every held-out point, by parameters and neighbours that did not see it."""
    found: list[referee.Scored] = []
    for family in LIBRARIES:
        corpus = shipped(family)
        for basis, folds in _folds(corpus).items():
            for place, (hidden, unseen) in enumerate(folds):
                say(f"{family} {basis} held out {place + 1} of {len(folds)}")
                seen = corpus.take(~unseen)
                parameters = _fit(seen, basis)
                interval = _interval(seen, half_of(seen), [parameters, parameters], basis)
                found += referee.score(corpus, hidden, basis, parameters, interval)
    return found


def _folds(corpus: Corpus) -> dict[str, list[tuple[list[NDArray[np.bool_]], NDArray[np.bool_]]]]:
    """Return for each basis: sets of points predicted together, and all points the parameters may not see."""
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
    errors, deviations = np.full((2, len(corpus.log_us)), np.nan)
    for half, values in enumerate(parameters):
        error, deviation = left_out(corpus, blocks, values)
        mine = halves != half
        errors[mine], deviations[mine] = error[mine], deviation[mine]
    return factors(corpus, errors, deviations)


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _fitted_text(fitted: dict[str, tuple[list[Floats], dict[str, list[float]]]]) -> str:
    names = [f"{table}.{key}" for table, key in prior().names] + list(kriging.NAMES)
    lines = [
        "# Written by python -m simulator.calibration.train; do not edit.",
        "# half_0, half_1: logarithms of the mechanism's parameters, then the covariance's encoded parameters, in",
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
