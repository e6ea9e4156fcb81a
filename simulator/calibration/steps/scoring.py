"""Errors of predicted steps, counted in groups."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.case import Case, Stack
from simulator.calibration.steps.corpus import Corpus

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
KINDS = ("all", "dense", "moe", "hybrid")
FEWEST = 2  # runs of one configuration that show how far equal runs lie apart


def errors(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Return count, errors |predicted / measured - 1| and bias exp(mean log ratio) - 1 of some runs."""
    if not len(measured):
        return {"runs": 0}
    error = np.abs(predicted / measured - 1)
    return {
        "runs": len(measured),
        "mean_error": short(error.mean()),
        "median_error": short(np.median(error)),
        "p90_error": short(np.quantile(error, 0.9)),
        "bias": short(np.expm1(np.log(predicted / measured).mean())),
    }


def held(logs: tuple[Floats, Floats], predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Return coverage and median full width of bands, given as both ends of log(measured / predicted)."""
    low, high = logs
    residual = np.log(measured / predicted)
    inside = (low <= residual) & (residual <= high)
    return {"coverage": short(inside.mean()), "width": short(np.median(np.exp(high) - np.exp(low)))}


def by_kind(corpus: Corpus, predicted: Floats, among: Mask) -> dict[str, dict[str, Any]]:
    """Return the errors of all among some runs, and of each kind of model."""
    return {
        kind: errors(predicted[mine], corpus.seconds[mine])
        for kind in KINDS
        if (mine := among & ((corpus.kinds == kind) | (kind == "all"))).any()
    }


def by_group(corpus: Corpus, columns: dict[str, Floats]) -> dict[str, dict[str, Any]]:
    """Return each group's runs, and its mean error and bias by each column of predictions."""
    found: dict[str, dict[str, Any]] = {}
    for group in sorted(set(corpus.groups.tolist())):
        mine = corpus.groups == group
        found[group] = {"runs": int(mine.sum())}
        for name, predicted in columns.items():
            score = errors(predicted[mine], corpus.seconds[mine])
            found[group] |= {f"{name}_error": score["mean_error"], f"{name}_bias": score["bias"]}
    return found


def noise(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Return how far runs of one configuration and stack lie apart, mostly of other versions of it, by kind.

    Mean deviation from the median of equal runs: less error than that needs to know what a version changed.
    """
    alike: dict[Case, list[int]] = {}
    for place, case in enumerate(corpus.cases):
        stack = Stack(family=case.stack.family)
        key = replace(case, case_id="", source="", stack=stack, assumed=(), doubts=())
        alike.setdefault(key, []).append(place)
    found = {}
    for kind in ("dense", "moe"):
        several = [
            corpus.seconds[places]
            for places in alike.values()
            if len(places) >= FEWEST and corpus.cases[places[0]].kind == kind
        ]
        apart = np.concatenate([np.abs(some / np.median(some) - 1) for some in several])
        found[kind] = {
            "configurations": len(several),
            "runs": len(apart),
            "mean_deviation": short(apart.mean()),
            "worst_ratio": short(max(some.max() / some.min() for some in several)),
        }
    return found


def worst(corpus: Corpus, predicted: Floats, beside: Floats, among: Mask, count: int) -> list[dict[str, Any]]:
    """Return those among some runs that were predicted worst, with what another fit says of them."""
    order = np.argsort(-np.abs(predicted / corpus.seconds - 1) * among)[:count]
    return [
        {
            "case_id": corpus.cases[place].case_id,
            "group": corpus.cases[place].group,
            "kind": corpus.cases[place].kind,
            "measured_s": short(corpus.seconds[place]),
            "predicted_s": short(predicted[place]),
            "ratio": short(predicted[place] / corpus.seconds[place]),
            "unseen_ratio": short(beside[place] / corpus.seconds[place]),
            "doubts": list(corpus.cases[place].doubts),
        }
        for place in order.tolist()
    ]


def short(value: Any) -> float:
    """Return a number with four digits."""
    return float(f"{float(value):.4g}")


def tables(prefix: Sequence[str], found: dict[str, Any]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Return nested tables as flat ones with their path, plain values before tables, for a file of them."""
    plain = {key: value for key, value in found.items() if not isinstance(value, dict)}
    inner = [(key, value) for key, value in found.items() if isinstance(value, dict)]
    flat = [(tuple(prefix), plain)] if plain else []
    for key, value in inner:
        flat += tables((*prefix, key), value)
    return flat
