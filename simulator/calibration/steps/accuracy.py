"""The errors of left-out runs that ship: how they are counted, written and read."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator._toml import entries
from simulator.calibration.steps.corpus import Corpus
from simulator.calibration.steps.runs import FILES, corpus_hash, shipped
from simulator.calibration.steps.scoring import (
    Mask,
    by_group,
    by_kind,
    errors,
    held,
    noise,
    short,
    tables,
    worst,
)
from simulator.calibration.steps.switches import SWITCHES
from simulator.calibration.steps.worth import Worth

Floats = NDArray[np.float64]
WORST, WORST_VTRAIN = 20, 5  # runs that are named, of either table
WHOLE = "whole model"  # the effect that is none: nothing switched off


@dataclass(frozen=True, slots=True)
class Scores:
    """Predictions of all runs by fits that did not see them.

    Attributes
    ----------
    seconds : mapping of str to array, shape (runs,)
        ``seen``: fitted on all runs; ``folds``: without the run's fold; ``unseen``: without its group;
        ``unseen_alone``: the same, and nothing of vTrain in the fit. nan where a fit has nothing to say.
    ends : mapping of str to (array, array)
        Both ends of log(measured / predicted), learnt without the run's fold or group.
    """

    seconds: Mapping[str, Floats]
    ends: Mapping[str, tuple[Floats, Floats]]


@cache
def accuracy() -> dict[str, Any]:
    """Return the shipped accuracy on left-out runs."""
    text = (files("simulator.calibration") / "data" / "training" / "accuracy.toml").read_text("utf-8")
    return tomllib.loads(text)


def accuracy_text(whole: Corpus, scores: Scores, effects: Mapping[str, Worth]) -> str:
    """Return ``accuracy.toml``."""
    found: dict[str, Any] = {
        "corpus_sha256": corpus_hash(),
        "rows": _rows(whole),
        **_by_table(whole, scores),
        "noise": noise(whole.take(whole.runs)),
        "groups": by_group(whole, {name: scores.seconds[name] for name in ("folds", "unseen")}),
        "effects": {name: _effect(name, one) for name, one in effects.items()},
    }
    lines = [
        "# Written by python -m simulator.calibration.steps.train; do not edit.",
        "# Errors |predicted / measured - 1| of step times. seen: fitted on all runs; folds: without the run's fold",
        "# (equal configurations together); unseen: without its group of sources; unseen_alone: the same, and",
        "# vtrain.csv left out of the fit too.",
    ]
    for path, plain in tables((), found):
        lines += ["", f"[{'.'.join(_key(part) for part in path)}]"] if path else []
        lines += entries(plain)
    lists = {
        "worst": [
            *worst(whole, scores.seconds["folds"], scores.seconds["unseen"], whole.runs, WORST),
            *worst(whole, scores.seconds["folds"], scores.seconds["unseen"], ~whole.runs, WORST_VTRAIN),
        ],
        "refused": [{"case_id": one.case_id, "reason": one.reason} for one in whole.refused],
    }
    for name, listed in lists.items():
        for one in listed:
            lines += ["", f"[[{name}]]", *entries(one)]
    return "\n".join(lines) + "\n"


def _rows(whole: Corpus) -> dict[str, Any]:
    return {
        name: {"rows": len(shipped(name)), "scored": sum(table == name for table in whole.tables)}
        for name in FILES
    }


def _by_table(whole: Corpus, scores: Scores) -> dict[str, Any]:
    """Return the errors of the runs, of vTrain's, multi-node and single-node, and of one table left out."""
    several = np.array([case.system.gpus > case.system.gpus_per_node for case in whole.cases])
    korthikanti = np.array([case.group.startswith("Korthikanti") for case in whole.cases])
    found: dict[str, Any] = {"runs": {}, "vtrain_multi": {}, "vtrain_single": {}, "korthikanti": {}}
    for name, seconds in scores.seconds.items():
        known = np.isfinite(seconds)
        found["runs"][name] = by_kind(whole, seconds, whole.runs & known)
        found["runs"][name]["mean_of_groups"] = _mean_of_groups(whole, seconds, whole.runs & known)
        for label, mine in (
            ("vtrain_multi", ~whole.runs & several & known),
            ("vtrain_single", ~whole.runs & ~several & known),
            ("korthikanti", korthikanti & known),
        ):
            if mine.any():
                found[label][name] = errors(seconds[mine], whole.seconds[mine])
    for name, ends in scores.ends.items():
        found["runs"][name]["band"] = _bands(whole, scores.seconds[name], ends, whole.runs)
        found["vtrain_multi"][name] |= _held(whole, scores.seconds[name], ends, ~whole.runs & several)
        found["vtrain_single"][name] |= _held(whole, scores.seconds[name], ends, ~whole.runs & ~several)
    return found


def _mean_of_groups(whole: Corpus, seconds: Floats, among: Mask) -> float:
    error = np.abs(seconds / whole.seconds - 1)
    groups = set(whole.groups[among].tolist())
    return short(np.mean([error[among & (whole.groups == group)].mean() for group in groups]))


def _bands(whole: Corpus, seconds: Floats, ends: tuple[Floats, Floats], among: Mask) -> dict[str, Any]:
    """Return coverage and width of all and of each kind."""
    kinds = sorted(set(whole.kinds[among].tolist()))
    found: dict[str, Any] = {"all": _held(whole, seconds, ends, among)}
    return found | {kind: _held(whole, seconds, ends, among & (whole.kinds == kind)) for kind in kinds}


def _held(whole: Corpus, seconds: Floats, ends: tuple[Floats, Floats], among: Mask) -> dict[str, Any]:
    low, high = ends
    return held((low[among], high[among]), seconds[among], whole.seconds[among])


def _effect(name: str, one: Worth) -> dict[str, Any]:
    found: dict[str, Any] = {"says": SWITCHES[name].says} if name in SWITCHES else {}
    found |= {"unseen": short(one.unseen), "seen": short(one.seen), "runs": one.runs}
    if one.before is not None and one.after is not None:
        found |= {"before": short(one.before), "after": short(one.after)}
    return found


def _key(part: str) -> str:
    return part if part.replace("_", "").isalnum() and part.isascii() else f'"{part}"'
