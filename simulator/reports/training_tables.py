"""What `validate training` shows: the rows of a short table or the worst of a long one, refusals, figures by basis."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from simulator.calibration.steps.referee import Report
from simulator.calibration.validate import Verdict
from simulator.reports.tables import Column, lay_out

FEW = 20  # rows up to which every one is shown, in the order of the table; else so many of the worst
REASONS = 12  # of refusals that are shown apart


def verdict_table(report: Report, limit: float | None) -> list[str]:
    """Return the lines for a person; ``limit`` is the mean error allowed, None: any."""
    listed = report.verdicts
    if len(listed) <= FEW:
        title, shown = f"{len(listed)} rows", list(listed)
    else:
        scored = [one for one in listed if one.error is not None]
        shown = sorted(scored, key=lambda one: -(one.error or 0.0))[:FEW]
        title = (
            f"worst {len(shown)} of {len(scored)} rows" if scored else f"{len(listed)} rows, none measured"
        )
    titles = ("case", "measured_s", "predicted_s", "error", "basis")
    lines = [
        title,
        *(lay_out([_row(one) for one in shown], [Column(key) for key in titles]) if shown else []),
    ]
    lines += _refusals(report)
    lines += [_line(basis, found) for basis, found in report.by_basis.items()]
    lines.append(_line("all", report.summary))
    mean = report.summary["mean_error"]
    if limit is not None and mean is not None and mean <= limit:
        lines.append(f"PASS mean {mean:.1%} <= {limit:.1%}")
    return lines


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "case": verdict.case_id,
        "measured_s": verdict.measured_s,
        "predicted_s": verdict.predicted_s,
        "error": None if verdict.error is None else f"{verdict.error:.1%}",
        "basis": verdict.basis or verdict.status,
    }


def _refusals(report: Report) -> list[str]:
    counts = Counter(one.reason for one in report.verdicts if one.reason)
    lines = [f"refused {count}: {reason}" for reason, count in counts.most_common(REASONS)]
    rest = sum(count for _, count in counts.most_common()[REASONS:])
    return [*lines, f"refused {rest} more: --json gives each reason"] if rest else lines


def _line(name: str, found: Mapping[str, float | int | None]) -> str:
    mean, median, coverage = found["mean_error"], found["median_error"], found["coverage"]
    counted = f"{name}: {found['predicted']} rows predicted"
    if found["refused"]:
        counted += f", {found['refused']} refused"
    if mean is None or median is None or coverage is None:
        return f"{counted}, none measured"
    return f"{counted}, mean {mean:.1%}, median {median:.1%}, {coverage:.0%} inside the 90 % interval"
