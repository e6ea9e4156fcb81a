"""Fit the laws of a training step and measure them on left-out runs: ``python -m simulator.calibration.steps.train``.

Writes into ``data/training``: ``fitted.toml`` (values of the laws and 90 % bands), ``accuracy.toml`` (errors on
left-out runs, worst runs, what each effect is worth) and ``predictions.csv`` (every run by the fits that did not see
it). Takes some minutes; nothing else needs it.

Nothing is chosen by what comes out: folds and groups stand in ``splits.toml``, priors in ``priors.toml``. In every
fit with runs left out the longest ways through the steps are those that all runs together gave; what such a fit
predicts is worked out with ways of its own.
"""

import csv
import io
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from simulator._toml import entries
from simulator.calibration.steps import bands
from simulator.calibration.steps.accuracy import WHOLE, Scores, accuracy_text
from simulator.calibration.steps.corpus import Corpus, corpus
from simulator.calibration.steps.features import Features
from simulator.calibration.steps.fits import LeftOut, left_out, line, predicted, settled
from simulator.calibration.steps.fitting import Priors, priors
from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.runs import FOLDS, corpus_hash
from simulator.calibration.steps.switches import SWITCHES
from simulator.calibration.steps.worth import Worth, worth

Floats = NDArray[np.float64]
ROUNDS = 3  # of finding the longest ways, fitting, and finding them again


@dataclass(frozen=True, slots=True)
class Fits:
    """The fits that ship.

    Attributes
    ----------
    whole : array, shape (values,)
        Logarithms fitted on all runs.
    folds : list of LeftOut
        Fitted without each of the five folds.
    """

    whole: Floats
    folds: list[LeftOut]


def main() -> None:
    """Fit, score, write."""
    folder = Path(str(files("simulator.calibration") / "data" / "training"))
    prior, whole, times = priors(), corpus(), Times()
    for switch in SWITCHES.values():
        switch.off(prior)  # a name that the profile has lost is better found now than in ten minutes
    with threadpool_limits(1, user_api="blas"):
        features, logs = settled(whole, prior, times, ROUNDS, say)
        fits, scores = scored(whole, features, logs, prior, times)
        effects = _effects(whole.take(whole.runs), logs, prior, times)
    known, unknown = _bands(whole, scores)
    (folder / "fitted.toml").write_text(_fitted_text(whole, fits, prior, {**known, **unknown}), "utf-8")
    (folder / "accuracy.toml").write_text(accuracy_text(whole, scores, effects), "utf-8")
    (folder / "predictions.csv").write_text(_predictions_text(whole, scores), "utf-8")
    say("", end=True)


def scored(
    whole: Corpus, features: Features, logs: Floats, prior: Priors, times: Times
) -> tuple[Fits, Scores]:
    """Return the fits without each fold, and every run as the fits without it predict it."""
    near = line(features, logs, prior)
    names = sorted(set(whole.groups.tolist()))
    say(f"fitting without each of {FOLDS} folds")
    folds = left_out(whole, features, near, prior, [whole.folds == fold for fold in range(FOLDS)])
    say(f"fitting without each of {len(names)} groups")
    groups = left_out(whole, features, near, prior, [whole.groups == name for name in names])
    alone = [whole.groups == name for name in names if (whole.runs & (whole.groups == name)).any()]
    lone = left_out(whole, features, near, prior, alone, whole.runs)
    seconds = {}
    every = [LeftOut(logs, np.full(len(whole.cases), True))]
    for name, fits in {"seen": every, "folds": folds, "unseen": groups, "unseen_alone": lone}.items():
        say(f"predicting what was left out: {name}")
        seconds[name] = predicted(whole, fits, prior, times)
    return Fits(logs, folds), _scores(whole, seconds)


def _scores(whole: Corpus, seconds: dict[str, Floats]) -> Scores:
    """Return predictions with bands that are learnt from folds or groups which a run is not in."""
    logs = np.log(whole.seconds)
    ends = {}
    for name, basis, parts, weights in _learnt(whole):
        low, high, _ = bands.crossed(
            logs - np.log(seconds[name]), bands.sorts(whole.cases, basis), parts, weights
        )
        ends[name] = (low, high)
    return Scores(seconds=seconds, ends=ends)


def _learnt(whole: Corpus) -> list[tuple[str, str, list[object], Floats]]:
    """Return which residuals make which band: by left-out fold or group, every group counting alike."""
    return [
        ("folds", "known", whole.folds.tolist(), np.ones(len(whole.cases))),
        ("unseen", "unknown", whole.groups.tolist(), bands.group_weights(whole.groups.tolist())),
    ]


def _bands(whole: Corpus, scores: Scores) -> tuple[dict[str, bands.Band], dict[str, bands.Band]]:
    """Return the bands that ship: of all runs, and for runs of a fold from the other folds."""
    found: list[dict[str, bands.Band]] = []
    for name, basis, parts, weights in _learnt(whole):
        rest = np.log(whole.seconds / scores.seconds[name])
        sorts = bands.sorts(whole.cases, basis)
        mine = {basis: bands.learn(rest, sorts, parts, weights)}
        if basis == "known":
            _, _, crossed = bands.crossed(rest, sorts, parts, weights)
            mine |= {f"known_{fold}": band for fold, band in crossed.items()}
        found.append(mine)
    return found[0], found[1]


def _effects(runs: Corpus, logs: Floats, prior: Priors, times: Times) -> dict[str, Worth]:
    say("finding the ways of the runs that effects are tried on")
    features = Features(runs.cases, prior.profile(logs), times)
    found = {}
    for name, switch in {WHOLE: None, **SWITCHES}.items():
        say(f"without: {name}")
        found[name] = worth(runs, features, logs, prior, switch, times)
    return found


def _fitted_text(whole: Corpus, fits: Fits, prior: Priors, known: dict[str, bands.Band]) -> str:
    stacks = sorted({f"{case.generation}/{case.stack.family}" for case in whole.cases})
    precisions = sorted({f"{case.generation}/{case.precision}" for case in whole.cases})
    lines = [
        "# Written by python -m simulator.calibration.steps.train; do not edit.",
        "# fits: values of the laws in the order of names; fold_k was fitted without the runs of fold k.",
        "# bands: mean |log(measured / predicted)| of left-out runs by sort, and how many of it the ends are away.",
        *entries({"corpus_sha256": corpus_hash(), "priors_sha256": priors_hash()}),
        *entries({"stacks": stacks, "precisions": precisions, "names": list(prior.names)}),
        "",
        "[fits]",
        *entries({"all": _values(fits.whole)}),
        *entries({f"fold_{fold}": _values(one.logs) for fold, one in enumerate(fits.folds)}),
    ]
    for name, band in known.items():
        lines += ["", f"[bands.{name}]", *entries({"low": _short(band.low), "high": _short(band.high)})]
        lines += [
            f"[bands.{name}.sizes]",
            *entries({sort: _short(size) for sort, size in band.sizes.items()}),
        ]
    return "\n".join(lines) + "\n"


def _predictions_text(whole: Corpus, scores: Scores) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [f"{name}_{end}_s" for name in scores.ends for end in ("low", "high")]
    writer.writerow(["case_id", "measured_s", *(f"{name}_s" for name in scores.seconds), *ends])
    for place, case in enumerate(whole.cases):
        values = [whole.seconds[place], *(column[place] for column in scores.seconds.values())]
        for name, both in scores.ends.items():
            values += [scores.seconds[name][place] * np.exp(end[place]) for end in both]
        writer.writerow([case.case_id, *("" if np.isnan(value) else f"{value:.6g}" for value in values)])
    return out.getvalue()


def priors_hash() -> str:
    """Return the SHA-256 of the priors, by which fitted values are known to belong to them."""
    text = (files("simulator.calibration") / "data" / "training" / "priors.toml").read_bytes()
    return sha256(text).hexdigest()


def _values(logs: Floats) -> list[float]:
    return [float(f"{value:.7g}") for value in np.exp(logs)]


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def say(text: str, *, end: bool = False) -> None:
    """Show how far it is, in one line and on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" if not end else "\r\x1b[K")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
