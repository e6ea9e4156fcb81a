"""Fit the profile of training steps to the shipped runs and score it on rows left out.

``python -m simulator.calibration.steps.train`` writes ``fitted.toml`` and ``accuracy.toml``. The longest ways through
all steps are found once for the profile of all rows and kept for the fits that leave rows out; what those predict
of the rows left out is then worked out exactly, by the same solver as everywhere.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.spreads import TAILS, WIDE_TAILS, band, crossed, known_path, unknown_path
from simulator.calibration.steps.corpus import Corpus, corpus
from simulator.calibration.steps.features import Features, solved
from simulator.calibration.steps.fitting import Priors, fit, priors
from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.runs import corpus_hash

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Say = Callable[[str], None]
_ROUNDS = 2
_WORST = 20
ABLATIONS: dict[str, dict[str, float]] = {
    "narrow numbers no faster in products": {"gemm.share.hopper.fp8": 0.38, "gemm.share.blackwell.fp8": 0.29},
    "size of products (bytes, depth, waves)": {"gemm.bytes": 1e-6, "gemm.depth": 1e-6, "gemm.waves": 1e-6},
    "alignment of products": {name: 1.0 for name in priors().names if name.startswith("gemm.unaligned")},
    "memory-bound work": {
        name: 1e-6 for name in priors().names if name.startswith(("elementwise", "activation", "scores"))
    },
    "launching by the host": {name: 1e-9 for name in priors().names if name.startswith("host.layer")},
    "small experts": {"grouped.width": 1e-6, "grouped.rows": 1e-6},
    "age of kernels": {name: 1.0 for name in priors().names if name.startswith(("gemm.era", "grouped.era"))},
    "communication hidden whole": {name: 1e-6 for name in priors().names if name.startswith("exposed")},
    "time of a step that is nothing else": {"step": 1e-9},
}


def main() -> None:
    """Fit, score, write."""
    say = _say if sys.stderr.isatty() else _quiet
    runs = corpus()
    times = Times()
    known = priors()
    logs, features = _all(runs, times, known, say)
    folds, without = _folds(runs, features, logs, times, known, say)
    sources = _sources(runs, features, logs, times, known, say)
    target = files("simulator.calibration") / "data" / "training"
    with as_file(target) as folder:
        (folder / "fitted.toml").write_text(_fitted(runs, known, logs, without, folds, sources), "utf-8")
        found = _scores(runs, folds, sources)
        found["ablations"] = _ablations(runs, features, logs, known, say)
        (folder / "accuracy.toml").write_text(_toml(found), "utf-8")


def _all(runs: Corpus, times: Times, known: Priors, say: Say) -> tuple[Floats, Features]:
    logs = known.mean
    for turn in range(_ROUNDS + 1):
        say(f"steps solved by formula, round {turn + 1} of {_ROUNDS + 1}")
        features = Features(runs.cases, known.profile(logs), times)
        if turn < _ROUNDS:
            logs = fit(features, runs.seconds, runs.weights, logs)
    return logs, features


def _exact(runs: Corpus, rows: Mask, profile: dict[str, float], times: Times) -> Floats:
    """Return what a profile predicts of some rows, their longest ways found anew."""
    found = [solved(runs.cases[row], profile, times)[0].result.step_s for row in np.flatnonzero(rows)]
    return np.array(found)


def _folds(
    runs: Corpus, features: Features, logs: Floats, times: Times, known: Priors, say: Say
) -> tuple[Floats, dict[int, Floats]]:
    """Return each row as predicted by a fit without its fold, and those fits."""
    predicted, fits = np.zeros(len(runs.cases)), {}
    for fold in sorted(set(runs.folds.tolist())):
        say(f"fold {fold} left out")
        mine = runs.folds == fold
        fits[fold] = fit(features, runs.seconds, np.where(mine, 0.0, runs.weights), logs)
        predicted[mine] = _exact(runs, mine, known.profile(fits[fold]), times)
    return predicted, fits


def _sources(runs: Corpus, features: Features, logs: Floats, times: Times, known: Priors, say: Say) -> Floats:
    """Return each row as predicted by a fit without its source; vTrain's never help to predict other sources."""
    predicted = np.zeros(len(runs.cases))
    for group in sorted(set(runs.groups.tolist())):
        say(f"source {group} left out")
        mine = runs.groups == group
        weights = np.where(mine | ~runs.runs, 0.0, runs.weights)
        found = fit(features, runs.seconds, weights, known.mean)
        predicted[mine] = _exact(runs, mine, known.profile(found), times)
    del logs
    return predicted


def _fitted(
    runs: Corpus,
    known: Priors,
    logs: Floats,
    without: dict[int, Floats],
    folds: Floats,
    sources: Floats,
) -> str:
    bands = {
        "known": band([known_path(case) for case in runs.cases], np.log(runs.seconds / folds), TAILS),
        "unknown": band(
            [unknown_path(case) for case in _only(runs, runs.runs).cases],
            np.log(runs.seconds / sources)[runs.runs],
            WIDE_TAILS,
        ),
    }
    stacks = sorted({f"{case.stack.family} {case.generation}" for case in runs.cases})
    table: dict[str, Any] = {
        "corpus": corpus_hash(),
        "known": stacks,
        "all": known.profile(logs),
        "without": {str(fold): known.profile(found) for fold, found in without.items()},
        "band": {
            name: {
                "low": one.low,
                "high": one.high,
                "spread": {"/".join(path): value for path, value in one.spreads.items()},
            }
            for name, one in bands.items()
        },
    }
    return _toml(table)


def _only(runs: Corpus, mask: Mask) -> Corpus:
    return runs.take(mask)


def _error(runs: Corpus, predicted: Floats, mask: Mask) -> dict[str, float]:
    error = np.abs(predicted / runs.seconds - 1)[mask]
    bias = np.log(predicted / runs.seconds)[mask]
    return {
        "rows": int(mask.sum()),
        "mean": float(error.mean()),
        "median": float(np.median(error)),
        "p90": float(np.quantile(error, 0.9)),
        "bias": float(np.expm1(bias.mean())),
    }


def _by_kind(runs: Corpus, predicted: Floats, mask: Mask) -> dict[str, Any]:
    table = {"all": _error(runs, predicted, mask)}
    for kind in ("dense", "moe", "hybrid"):
        if (mask & (runs.kinds == kind)).any():
            table[kind] = _error(runs, predicted, mask & (runs.kinds == kind))
    return table


def _scores(runs: Corpus, folds: Floats, sources: Floats) -> dict[str, Any]:
    multi = np.array(["multi" in case.source for case in runs.cases]) & ~runs.runs
    single = ~runs.runs & ~multi
    found: dict[str, Any] = {
        "corpus": corpus_hash(),
        "refused": len(runs.refused),
        "sources": _by_kind(runs, sources, runs.runs),
        "folds": _by_kind(runs, folds, runs.runs),
        "vtrain": {
            "multi": {"without": _error(runs, sources, multi), "folds": _error(runs, folds, multi)},
            "single": {"without": _error(runs, sources, single), "folds": _error(runs, folds, single)},
        },
        "source": {
            group: {
                "left_out": _error(runs, sources, runs.groups == group),
                "folds": _error(runs, folds, runs.groups == group),
            }
            for group in sorted(set(runs.groups.tolist()))
        },
    }
    found["bands"] = _coverage(runs, folds, sources)
    found["worst"] = _worst(runs, folds)
    found["refusals"] = [{"case": one.case_id, "reason": one.reason} for one in runs.refused]
    return found


def _coverage(runs: Corpus, folds: Floats, sources: Floats) -> dict[str, Any]:
    inside, width = crossed(
        [known_path(case) for case in runs.cases], np.log(runs.seconds / folds), runs.folds, TAILS
    )
    mine = runs.take(runs.runs)
    out, wide = crossed(
        [unknown_path(case) for case in mine.cases],
        np.log(runs.seconds / sources)[runs.runs],
        mine.groups,
        WIDE_TAILS,
    )
    return {
        "known": {"coverage": inside, "width": width},
        "unknown": {"coverage": out, "width": wide},
    }


def _worst(runs: Corpus, folds: Floats) -> list[dict[str, Any]]:
    error = np.where(runs.runs, folds / runs.seconds - 1, 0.0)
    order = np.argsort(-np.abs(error))[:_WORST]
    return [
        {
            "case": runs.cases[place].case_id,
            "measured_s": float(runs.seconds[place]),
            "predicted_s": float(folds[place]),
            "doubts": "; ".join(runs.cases[place].doubts),
        }
        for place in order.tolist()
    ]


def _ablations(
    runs: Corpus, features: Features, logs: Floats, known: Priors, say: Say
) -> list[dict[str, Any]]:
    """Return what leaving an effect out costs after a fit without it, on rows it saw and on sources left out."""
    found = []
    for name, held in {"nothing left out": {}, **ABLATIONS}.items():
        say(f"without: {name}")
        free = np.array([one not in held for one in known.names])
        prior = Priors(
            fixed={**known.fixed, **held},
            names=tuple(np.array(known.names)[free].tolist()),
            mean=known.mean[free],
            spread=known.spread[free],
        )
        seen = features.seconds(
            prior.profile(fit(features, runs.seconds, runs.weights, logs[free], prior=prior))
        )
        left = np.zeros(len(runs.cases))
        for group in sorted(set(runs.groups[runs.runs].tolist())):
            mine = runs.groups == group
            weights = np.where(mine | ~runs.runs, 0.0, runs.weights)
            logs_left = fit(features, runs.seconds, weights, logs[free], prior=prior)
            left[mine] = features.seconds(prior.profile(logs_left))[mine]
        found.append(
            {
                "effect": name,
                "seen": _error(runs, seen, runs.runs)["mean"],
                "left_out": _error(runs, left, runs.runs)["mean"],
            }
        )
    return found


def _toml(table: dict[str, Any]) -> str:
    """Return a nested table as TOML; keys quoted, numbers short enough to read."""
    lines = ["# Written by python -m simulator.calibration.steps.train; do not edit."]

    def write(values: dict[str, Any], trail: tuple[str, ...]) -> None:
        plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
        if trail and plain:
            lines.append(f"\n[{'.'.join(map(_quoted, trail))}]")
        lines.extend(f"{_quoted(key)} = {_cell(value)}" for key, value in plain.items())
        for key, value in values.items():
            if isinstance(value, dict):
                write(value, (*trail, key))

    write(table, ())
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    return _listed(value)


def _listed(values: Sequence[Any]) -> str:
    def one(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{_quoted(key)} = {_cell(inner)}" for key, inner in value.items()) + " }"
        return _cell(value)

    return "[\n" + "".join(f"  {one(value)},\n" for value in values) + "]"


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _quiet(text: str) -> None:
    del text


if __name__ == "__main__":
    main()
