"""How far the order of two layouts can be trusted: pairs of measured runs that differ in little but their layout.

Much of an error is common to two steps of one model on one machine, so that their ratio is predicted better than
either. Of all pairs of runs of one source, model, accelerator and number of GPUs the ratio is compared with that of the
predictions that saw no run of that source.
"""

import csv
import io
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from math import log

import numpy as np

from simulator._toml import entries
from simulator.calibration.steps.corpus import corpus

SURE = 0.9  # of pairs
_CLEAR = (1.1, 1.2, 1.5)  # predicted ratios of which the share is told
_TRIED = [1 + step / 100 for step in range(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What pairs of runs say.

    Parameters
    ----------
    count, groups : int
        Pairs; sources, models and sizes that they are of.
    factor : float
        Within which the predicted ratio of two steps is of the measured one in 90 % of the pairs, each group
        counting alike.
    ordered : float
        Share of the pairs whose order is predicted right.
    apart : float
        The least predicted ratio from which on 90 % of the pairs are in the predicted order.
    clear : mapping of float to float
        The same of the pairs whose predicted ratio is so large or larger.
    """

    count: int
    groups: int
    factor: float
    ordered: float
    apart: float
    clear: Mapping[float, float]


@cache
def pairs() -> Pairs:
    """Return what the shipped runs say, as `counted` found it and ``pairs.toml`` keeps it."""
    text = (files("simulator.calibration") / "data" / "training" / "pairs.toml").read_text("utf-8")
    told = tomllib.loads(text)
    clear = {float(ratio): share for ratio, share in told.pop("clear").items()}
    return Pairs(clear=clear, **told)


def counted() -> Pairs:
    """Count the pairs of the shipped runs; each was predicted without its source."""
    path = files("simulator.calibration") / "data" / "training" / "predictions.csv"
    told = {row["case_id"]: row for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))}
    alike: dict[tuple[object, ...], list[tuple[float, float]]] = defaultdict(list)
    for case in corpus().cases:
        row = told[case.case_id]
        if row["measured_s"] and row["unseen_s"]:
            key = (case.group, case.model.name, case.system.gpu, case.system.gpus, case.precision,
                   case.seq_len, case.stack.family)  # fmt: skip
            each = case.global_batch * case.seq_len  # seconds a token: batches may differ
            alike[key].append((float(row["measured_s"]) / each, float(row["unseen_s"]) / each))
    weights, errors, right, ratios = [], [], [], []
    groups = 0
    for some in alike.values():
        found = [(log(a[0] / b[0]), log(a[1] / b[1])) for a, b in combinations(some, 2)]
        found = [(truth, guess) for truth, guess in found if truth and guess]
        groups += bool(found)
        for truth, guess in found:
            weights.append(1 / len(found))
            errors.append(abs(guess - truth))
            right.append((guess > 0) == (truth > 0))
            ratios.append(abs(guess))
    weight, error = np.array(weights), np.array(errors)
    order = np.argsort(error)
    reached = np.cumsum(weight[order]) / weight.sum()
    hit, ratio = np.array(right, dtype=float), np.array(ratios)

    def share(least: float) -> float:
        some = weight * (ratio >= least)
        return float((hit * some).sum() / some.sum())

    return Pairs(
        count=len(errors),
        groups=groups,
        factor=_rounded(np.exp(error[order][int(np.searchsorted(reached, SURE))])),
        ordered=_rounded(share(0.0)),
        apart=next(one for one in _TRIED if share(log(one)) >= SURE),
        clear={one: _rounded(share(log(one))) for one in _CLEAR},
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def as_toml(found: Pairs) -> str:
    """Return the text of ``pairs.toml``."""
    plain = {name: getattr(found, name) for name in ("count", "groups", "factor", "ordered", "apart")}
    head = "# Made by simulator.calibration.steps.pairs.counted from predictions.csv: see there."
    clear = {str(ratio): value for ratio, value in found.clear.items()}
    return "\n".join([head, *entries(plain), "", "[clear]", *entries(clear)]) + "\n"
