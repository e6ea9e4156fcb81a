"""The shipped runs as cases beside their seconds, and which fold each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.steps.case import Case, Refusal
from simulator.calibration.steps.fitting import row_weights
from simulator.calibration.steps.measured import measured
from simulator.calibration.steps.rows import read_case
from simulator.calibration.steps.runs import FILES, shipped, splits

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Likeness = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Runs that can be predicted and are measured.

    Attributes
    ----------
    cases : tuple of Case
        What ran.
    seconds : array, shape (runs,)
        Of one step, as measured.
    tables : tuple of str
        Where each stands: ``runs`` or ``vtrain``.
    folds : array of int, shape (runs,)
        Which of the five each belongs to.
    refused : tuple of Refusal
        Rows that cannot be predicted, or print no result that a step time follows from.
    """

    cases: tuple[Case, ...]
    seconds: Floats
    tables: tuple[str, ...]
    folds: NDArray[np.int64]
    refused: tuple[Refusal, ...]

    @property
    def groups(self) -> NDArray[np.str_]:
        """Return which rows are left out together."""
        return np.array([case.group for case in self.cases])

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Return ``dense``, ``moe`` or ``hybrid`` of each."""
        return np.array([case.kind for case in self.cases])

    @property
    def runs(self) -> Mask:
        """Tell which rows stand in the table of runs."""
        return np.array([table == "runs" for table in self.tables])

    @property
    def weights(self) -> Floats:
        """Return how much each row counts in a fit: many of one source, model and system are near copies."""
        return row_weights(
            [
                (case.group, case.model.family or case.model.name, case.system.gpu, str(case.system.gpus))
                for case in self.cases
            ]
        )

    def like(self, hidden: Mask) -> Mask:
        """Return the rows that a fit without the hidden ones may not see: those and all that are like them."""
        alike = [likeness(case) for case in self.cases]
        found = {one for one, mine in zip(alike, hidden, strict=True) if mine}
        return np.array([one in found for one in alike])

    def take(self, mask: Mask) -> "Corpus":
        """Return some of the runs."""
        chosen = np.flatnonzero(mask)
        return Corpus(
            tuple(self.cases[place] for place in chosen),
            self.seconds[chosen],
            tuple(self.tables[place] for place in chosen),
            self.folds[chosen],
            self.refused,
        )


def likeness(case: Case) -> Likeness:
    """Return what two rows of one configuration share, whatever they call the model and who printed them."""
    model, at = case.model, case.layout
    return (
        model.hidden,
        model.layers,
        model.experts,
        case.system.gpu,
        case.system.gpus,
        case.precision,
        *(at.tp, at.pp, at.cp, at.ep, at.dp),
        case.global_batch,
        case.micro_batch,
    )


@cache
def fold_of_key(table: str) -> dict[str, int]:
    """Return the fold of each configuration of a shipped table."""
    return {key: int(fold) for fold, keys in splits()[table].items() for key in keys}


@cache
def corpus(tables: Sequence[str] = FILES) -> Corpus:
    """Return the shipped runs.

    Raises
    ------
    ValueError
        A configuration that ``splits.toml`` holds in no fold.
    """
    cases, seconds, names, folds, refused = [], [], [], [], []
    for table in tables:
        for row in shipped(table):
            case = read_case(row)
            if isinstance(case, Refusal):
                refused.append(case)
                continue
            result = measured(row, case)
            if result is None:
                reason = "no step time, and none follows from what is printed"
                refused.append(Refusal(case_id=case.case_id, source=case.source, reason=reason))
                continue
            cases.append(case)
            seconds.append(result.seconds)
            names.append(table)
            folds.append(_fold(table, case))
    return Corpus(tuple(cases), np.array(seconds), tuple(names), np.array(folds), tuple(refused))


def _fold(table: str, case: Case) -> int:
    found = fold_of_key(table).get(case.configuration_key)
    if found is None:
        raise ValueError(f"{case.case_id}: splits.toml has no fold for '{case.configuration_key}'")
    return found


@cache
def folds_of_likeness() -> dict[Likeness, int]:
    """Return a fold that holds each shipped configuration; its fit saw nothing that is like it."""
    whole = corpus()
    return {likeness(case): int(fold) for case, fold in zip(whole.cases, whole.folds, strict=True)}
