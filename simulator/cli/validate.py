"""``commsim validate``: the referee."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.cli._fabric import FABRIC
from simulator.cli._options import INPUT_FILE, PERCENT, form_options
from simulator.cli._output import emit, remark
from simulator.errors import CheckError, InputError

if TYPE_CHECKING:
    from simulator.calibration.logs._log import LogRow
    from simulator.calibration.predictor import Predictor
    from simulator.calibration.setting import Setting
    from simulator.calibration.validate import Report


TRAINING_COLUMNS = ("model", "gpu", "gpus", "seq_len", "global_batch", "tp", "pp")
"""Columns without which no row of a table of training runs could be predicted."""
MOST_RUNS = 20_000  # of one table; each takes some hundredths of a second
FEW = 60  # rows up to which a table shows every one, in the order of the file


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
    emit(result, lambda: _table(log.rows, report, limit), inputs=inputs, warnings=notes)
    if limit is not None:
        _check(report, limit)


@command.command()
@click.argument("file", type=INPUT_FILE)
@click.option("--limit", type=PERCENT, help="Fail (exit 4) if the mean error is larger, e.g. 10%.")
@form_options
def training(file: Path, limit: float | None) -> None:
    """Predict the training steps of FILE without looking at what they measured, then compare.

    FILE is a table with the columns of the shipped runs: model, gpu, gpus, layout, batches, software. A
    configuration that those hold is predicted by a fit that did not see it.
    """
    from simulator.calibration.steps.referee import entries, validate
    from simulator.cli._progress import progress
    from simulator.reading import parse_csv, read_text
    from simulator.reports.training_tables import verdict_table

    rows = parse_csv(read_text(file), str(file), TRAINING_COLUMNS)
    if len(rows) > MOST_RUNS:
        raise InputError(
            str(file), f"has {len(rows):,} rows, more than {MOST_RUNS:,}", hint="split the table"
        )
    remark(f"{len(rows)} rows read from {file}", level=1)
    with progress("predicting", len(rows)) as done:
        report = validate(rows, str(file), done)
    result = {"rows": entries(report), "summary": report.summary, "by_basis": report.by_basis}
    emit(result, lambda: verdict_table(report, limit), inputs=[file], warnings=report.warnings)
    if limit is not None:
        _limit(report.summary["mean_error"], limit)


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
    _limit(report.summary["mean_error"], limit)


def _limit(mean: float | None, limit: float) -> None:
    if mean is None:
        raise CheckError("FAIL no row could be scored", where="--limit")
    if mean > limit:
        raise CheckError(
            f"FAIL mean {mean:.1%} > {limit:.3g}".replace(f"{limit:.3g}", f"{limit:.1%}"), where="--limit"
        )


def _few(rows: "Sequence[LogRow]", report: "Report") -> list[str]:
    """Return every row of a short file, in its order."""
    from simulator.collectives._bus_bandwidth import bus_bandwidth
    from simulator.reports.tables import Column, lay_out

    table = []
    for row, verdict in zip(rows, report.verdicts, strict=True):
        one = {"op": row.op, "gpus": row.gpus, "size_bytes": row.size_bytes}
        one |= {"measured_s": verdict.measured_s, "predicted_s": verdict.predicted_s}
        if verdict.predicted_s and verdict.measured_s:
            rate = bus_bandwidth(row.op, row.gpus, row.size_bytes, verdict.measured_s)
            one |= {"ratio": f"{verdict.predicted_s / verdict.measured_s:.2f}", "busbw_Bps": rate}
        table.append(one)
    shown = ("op", "gpus", "size_bytes", "measured_s", "predicted_s", "ratio", "busbw_Bps")
    return list(lay_out(table, [Column(key) for key in shown]))


def _worst(report: "Report") -> list[str]:
    from simulator.reports.tables import Column, lay_out

    worst = sorted((v for v in report.verdicts if v.error is not None), key=lambda v: -(v.error or 0.0))[:10]
    lines = ["worst rows"]
    return lines + lay_out(
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


def _table(rows: "Sequence[LogRow]", report: "Report", limit: float | None) -> list[str]:
    lines = _few(rows, report) if len(rows) <= FEW else _worst(report)
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
