"""The referee of training runs: every row predicted by a fit that did not see it, beside what was measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from simulator.calibration.steps import fitted
from simulator.calibration.steps.case import Case, Refusal
from simulator.calibration.steps.corpus import Likeness, corpus, likeness
from simulator.calibration.steps.features import solved
from simulator.calibration.steps.measured import measured
from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.rows import read_case
from simulator.calibration.steps.words import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row: what was measured and predicted, or why it was refused.

    Parameters
    ----------
    case_id, status, reason : str
        ``predicted`` or ``refused``, and then why.
    measured_s, predicted_s, low_s, high_s : float or None
        Of one step.
    basis : str or None
        ``calibrated`` where the stack and the generation are among the fitted ones, else ``catalogue``.
    assumed : tuple of str
        What the row does not say.
    """

    case_id: str
    status: str
    reason: str | None = None
    measured_s: float | None = None
    predicted_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    basis: str | None = None
    assumed: tuple[str, ...] = ()

    @property
    def error(self) -> float | None:
        """Return |predicted / measured - 1|."""
        if self.predicted_s is None or not self.measured_s:
            return None
        return abs(self.predicted_s / self.measured_s - 1)


@cache
def _folds() -> dict[Likeness, int]:
    """Return which fold the shipped rows of a configuration belong to."""
    runs = corpus()
    return {likeness(case): int(fold) for case, fold in zip(runs.cases, runs.folds, strict=True)}


def predict(case: Case, times: Times) -> tuple[float, float, float, str]:
    """Return seconds of a step, the ends of the 90 % interval and the basis.

    A configuration that the shipped rows hold is predicted by the fit without its fold, whatever its case is called.
    """
    fold = _folds().get(likeness(case))
    seconds = solved(case, fitted.values(fold), times)[0].result.step_s
    low, high = fitted.band(case)
    basis = "calibrated" if fitted.known(case) else "catalogue"
    return seconds, seconds * low, seconds * high, basis


def judge(rows: Iterable[Row], say: Any = None) -> list[Verdict]:
    """Return one verdict a row, in order; nothing measured influences a prediction."""
    times, found = Times(), []
    for number, row in enumerate(rows):
        if say is not None:
            say(number)
        found.append(_judge(row, times))
    return found


def _judge(row: Row, times: Times) -> Verdict:
    case = read_case(row)
    if isinstance(case, Refusal):
        return Verdict(case_id=case.case_id, status="refused", reason=case.reason)
    result = measured(row, case)
    try:
        seconds, low, high, basis = predict(case, times)
    except ValueError as fault:
        return Verdict(case_id=case.case_id, status="refused", reason=str(fault))
    return Verdict(
        case_id=case.case_id,
        status="predicted",
        measured_s=None if result is None else result.seconds,
        predicted_s=seconds,
        low_s=low,
        high_s=high,
        basis=basis,
        assumed=case.assumed,
    )


def summary(verdicts: Sequence[Verdict]) -> Mapping[str, float | int | None]:
    """Return the counts, mean and median error and the coverage over the rows that are predicted and measured."""
    import numpy as np

    errors = [one.error for one in verdicts if one.error is not None]
    inside = [
        one.low_s <= one.measured_s <= one.high_s
        for one in verdicts
        if one.error is not None and one.low_s is not None and one.high_s is not None and one.measured_s
    ]
    predicted = sum(one.status == "predicted" for one in verdicts)
    return {
        "rows": len(verdicts),
        "predicted": predicted,
        "refused": len(verdicts) - predicted,
        "mean_error": float(np.mean(errors)) if errors else None,
        "median_error": float(np.median(errors)) if errors else None,
        "coverage": float(np.mean(inside)) if inside else None,
    }
