"""``commsim validate``: the referee."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.cli._fabric import FABRIC
from simulator.cli._options import INPUT_FILE, PERCENT, form_options
from simulator.cli._output import emit, remark
from simulator.errors import CheckError

if TYPE_CHECKING:
    from simulator.calibration.logs._log import LogRow
    from simulator.calibration.predictor import Predictor
    from simulator.calibration.setting import Setting
    from simulator.calibration.validate import Report


@click.group()
def command() -> None:
    """Hold predictions to measured runs."""


@command.command()
@click.argument("file", type=INPUT_FILE)
@click.option("--fabric", type=FABRIC, help="Where it was measured, if FILE does not say: a name or a file.")
@click.option("--limit", type=PERCENT, help="Fail (exit 4) if the mean error is larger, e.g. 12%.")
@form_options
def collectives(file: Path, fabric: str | None, limit: float | None) -> None:
    """Predict the collectives of FILE without looking at their times, then compare.

    FILE is a table with the columns of the shipped measurements, or the output of nccl-tests.
    """
    from simulator.calibration.logs._read import read_measured
    from simulator.calibration.validate import entries, validate
    from simulator.engine.fabric import is_file

    log = read_measured(file, need_time=False)
    predictor, setting = _ground(fabric)
    report = validate(log.rows, predictor, setting)
    inputs: list[str | Path] = [file, *([fabric] if fabric and is_file(fabric) else [])]
    notes = [f"{log.source}: {note}" for note in log.warnings] + list(report.warnings)
    remark(f"{len(log.rows)} rows read from {file} as {log.format}", level=1)
    result = {"rows": entries(report), "summary": report.summary, "by_basis": report.by_basis}
    emit(result, lambda: _table(report, limit), inputs=inputs, warnings=notes)
    if limit is not None:
        _check(report, limit)


def _ground(fabric: str | None) -> "tuple[Predictor, Callable[[LogRow], Setting]]":
    """Return the predictor, and what tells where a row ran."""
    from simulator.calibration.predictor import Predictor
    from simulator.calibration.setting import of_row

    if fabric is None:
        return Predictor(), of_row
    from simulator.errors import UsageError
    from simulator.planning.place import Fabric

    place = Fabric(fabric)

    def setting(row: "LogRow") -> "Setting":
        try:
            found = place.setting(row.op, row.gpus)
        except UsageError as error:
            raise ValueError(error.message) from None
        if found is None:
            raise ValueError(f"{fabric} does not say which GPU it holds: no library is known to run there")
        return found

    return place.predictor, setting


def _check(report: "Report", limit: float) -> None:
    mean = report.summary["mean_error"]
    if mean is None:
        raise CheckError("FAIL no row could be scored", where="--limit")
    if mean > limit:
        raise CheckError(
            f"FAIL mean {mean:.1%} > {limit:.3g}".replace(f"{limit:.3g}", f"{limit:.1%}"), where="--limit"
        )


def _table(report: "Report", limit: float | None) -> list[str]:
    from simulator.reports.tables import Column, lay_out

    worst = sorted((v for v in report.verdicts if v.error is not None), key=lambda v: -(v.error or 0.0))[:10]
    lines = ["worst rows"]
    lines += lay_out(
        [
            {
                "case": v.case_id,
                "measured_s": v.measured_s,
                "predicted_s": v.predicted_s,
                "error": f"{v.error:.1%}",
                "basis": v.basis,
            }
            for v in worst
        ],
        [Column("case"), Column("measured_s"), Column("predicted_s"), Column("error"), Column("basis")],
    )
    refused: dict[str, int] = {}
    for verdict in report.verdicts:
        if verdict.reason:
            refused[verdict.reason] = refused.get(verdict.reason, 0) + 1
    lines += [f"refused {count}: {reason}" for reason, count in sorted(refused.items())]
    for name, found in [*report.by_basis.items(), ("all", report.summary)]:
        mean, median, coverage = found["mean_error"], found["median_error"], found["coverage"]
        if mean is not None and median is not None and coverage is not None:
            lines.append(
                f"{name}: {found['predicted']} rows, mean {mean:.1%}, median {median:.1%}, "
                f"{coverage:.0%} inside the 90 % interval"
            )
    mean = report.summary["mean_error"]
    if limit is not None and mean is not None and mean <= limit:
        lines.append(f"PASS mean {mean:.1%} <= {limit:.1%}")
    return lines
