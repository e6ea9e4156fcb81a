"""Hold predictions to a file of measured collectives; no measured column is looked at until it is scored."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from simulator.calibration.logs._log import LogRow
from simulator.calibration.predictor import Prediction, Predictor
from simulator.calibration.setting import Setting, of_row

LEFT_OUT = "are predicted but left out of the summary's errors"
UNSTATED = "inter_link is blank: which network joins the nodes?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row of the file: what was predicted for it, or why nothing was.

    Attributes
    ----------
    status : str
        ``predicted`` or ``refused``.
    reason : str or None
        One sentence where it was refused.
    measured_s, predicted_s, low_s, high_s : float or None
        Seconds.
    basis : str or None
        From where the prediction comes.
    """

    case_id: str
    status: str
    reason: str | None = None
    measured_s: float | None = None
    predicted_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    basis: str | None = None

    @property
    def error(self) -> float | None:
        """Return |predicted / measured - 1|, None where one of them is missing."""
        if self.predicted_s is None or not self.measured_s:
            return None
        return abs(self.predicted_s / self.measured_s - 1)


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts in the order of the file, their summary, and what the reader should know."""

    verdicts: tuple[Verdict, ...]
    summary: dict[str, float | int | None]
    by_basis: dict[str, dict[str, float | int | None]]
    warnings: tuple[str, ...]


def validate(
    rows: Sequence[LogRow],
    predictor: Predictor,
    setting: Callable[[LogRow], Setting] = of_row,
) -> Report:
    """Return predictions of measured rows beside what was measured.

    Parameters
    ----------
    rows : sequence of LogRow
        The file; rows without a time are predicted all the same.
    predictor : Predictor
        Predicts a row that its measurements hold without it.
    setting : callable
        Where a row ran; raises ValueError with a sentence where that is not said.
    """
    blind = [replace(row, time_s=None, time_in_place_s=None, spike=False) for row in rows]
    settings = [_setting(row, setting) for row in blind]
    asked = [
        (one, row.size_bytes) for one, row in zip(settings, rows, strict=True) if isinstance(one, Setting)
    ]
    predictions = predictor.predict(asked)
    answers = iter(predictions)
    verdicts = []
    for row, one in zip(rows, settings, strict=True):
        name = row.case_id or f"{row.series_id or row.op}|{row.line}"
        if isinstance(one, str):
            verdicts.append(Verdict(case_id=name, status="refused", reason=one, measured_s=row.time_s))
        else:
            verdicts.append(_verdict(name, row, one, next(answers)))
    spikes = sum(row.spike and row.time_s is not None for row in rows)
    scored = [v for v, row in zip(verdicts, rows, strict=True) if not row.spike]
    bases = sorted({v.basis for v in verdicts if v.basis})
    return Report(
        tuple(verdicts),
        summary(verdicts, scored),
        {
            basis: summary([v for v in verdicts if v.basis == basis], [v for v in scored if v.basis == basis])
            for basis in bases
        },
        (*_assumed(predictions), *([f"{spikes} outlier rows {LEFT_OUT}"] if spikes else [])),
    )


def _assumed(predictions: Iterable[Prediction]) -> list[str]:
    """Return what rows did not say and was filled in, and for how many."""
    counts = Counter(what for one in predictions for what in one.assumed)
    return [f"assumed for {count} rows: {what}" for what, count in sorted(counts.items())]


def _setting(row: LogRow, setting: Callable[[LogRow], Setting]) -> Setting | str:
    try:
        return setting(row)
    except ValueError as error:
        return str(error)


def _verdict(name: str, row: LogRow, one: Setting, answer: Prediction) -> Verdict:
    if answer.basis == "catalogue" and one.transport.startswith("unstated") and not row.inter_link:
        return Verdict(case_id=name, status="refused", reason=UNSTATED, measured_s=row.time_s)
    return Verdict(
        case_id=name,
        status="predicted",
        measured_s=row.time_s,
        predicted_s=answer.time_s,
        low_s=answer.low_s,
        high_s=answer.high_s,
        basis=answer.basis,
    )


def summary(verdicts: Iterable[Verdict], scored: Sequence[Verdict]) -> dict[str, float | int | None]:
    """Return counts over all verdicts, and errors and coverage over the scored ones that are measured."""
    listed = list(verdicts)
    known = [v for v in scored if v.error is not None]
    errors = np.array([v.error for v in known], dtype=float)
    inside = [
        v.low_s <= v.measured_s <= v.high_s
        for v in known
        if v.low_s is not None and v.high_s is not None and v.measured_s is not None
    ]
    return {
        "rows": len(listed),
        "predicted": sum(v.status == "predicted" for v in listed),
        "refused": sum(v.status == "refused" for v in listed),
        "mean_error": float(errors.mean()) if len(errors) else None,
        "median_error": float(np.median(errors)) if len(errors) else None,
        "coverage": sum(inside) / len(inside) if inside else None,
    }


def entries(report: Report) -> list[dict[str, object]]:
    """Return the verdicts as ``commsim validate --json`` prints them."""
    return [asdict(verdict) for verdict in report.verdicts]
