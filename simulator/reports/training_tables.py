"""What `validate training` shows: the worst rows, the reasons of refusals, the figures by basis."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.calibration.steps.referee import Verdict, summary
from simulator.reports.tables import Column, lay_out

_WORST = 20


def verdict_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the rows of the contract."""
    keys = ("case_id", "status", "reason", "measured_s", "predicted_s", "low_s", "high_s", "basis", "assumed")
    return [{key: getattr(one, key) for key in keys} for one in verdicts]


def verdict_table(
    verdicts: Sequence[Verdict], totals: Mapping[str, float | int | None], limit: float | None
) -> list[str]:
    """Return the lines for a person: the rows of a short file or the worst of a long one, then the totals."""
    scored = [one for one in verdicts if one.error is not None]
    worst = sorted(scored, key=lambda one: -(one.error or 0.0))[:_WORST] if len(scored) > _WORST else scored
    lines = [f"worst {len(worst)} of {len(scored)} rows" if len(scored) > _WORST else f"{len(scored)} rows"]
    lines += lay_out(
        [_row(one) for one in worst], [Column(key) for key in _row(Verdict(case_id="", status=""))]
    )
    lines += [
        f"refused {count}: {reason}"
        for reason, count in Counter(one.reason for one in verdicts if one.reason).most_common(12)
    ]
    for basis in ("calibrated", "catalogue"):
        mine = [one for one in verdicts if one.basis == basis]
        if mine:
            lines.append(_line(basis, summary(mine)))
    lines.append(_line("all", totals))
    mean = totals["mean_error"]
    if limit is not None and mean is not None and mean <= limit:
        lines.append(f"PASS mean {mean:.1%} <= {limit:.1%}")
    return lines


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "case": verdict.case_id,
        "measured_s": verdict.measured_s,
        "predicted_s": verdict.predicted_s,
        "error": None if verdict.error is None else f"{verdict.error:.1%}",
        "basis": verdict.basis,
    }


def _line(name: str, found: Mapping[str, float | int | None]) -> str:
    mean, median, coverage = found["mean_error"], found["median_error"], found["coverage"]
    if mean is None or median is None or coverage is None:
        return f"{name}: {found['predicted']} rows predicted, none measured"
    return (
        f"{name}: {found['predicted']} rows, mean {mean:.1%}, median {median:.1%}, "
        f"{coverage:.0%} inside the 90 % interval"
    )
