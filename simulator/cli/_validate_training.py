"""``commsim validate training``: a table of measured training runs against what the product says of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.cli._options import INPUT_FILE, PERCENT, form_options
from simulator.cli._output import emit, remark
from simulator.cli._progress import progress
from simulator.errors import CheckError

if TYPE_CHECKING:
    from simulator.calibration.steps.referee import Report
    from simulator.calibration.steps.words import Row

REQUIRED = ("model", "gpu", "gpus", "seq_len", "global_batch", "tp", "pp")
"""Columns without which no row of a table could be predicted."""
WORST = 10
MOST_ROWS = 20_000
_SHOWN = 10  # reasons of refusals that are shown apart


@click.command()
@click.argument("file", type=INPUT_FILE)
@click.option("--limit", type=PERCENT, help="Fail (exit 4) if the mean error is larger, e.g. 12%.")
@form_options
def training(file: Path, limit: float | None) -> None:
    """Predict the training steps of FILE without looking at their results, then compare.

    FILE is a table with the columns of the shipped runs. A configuration that they hold is predicted by a fit
    that did not see it.
    """
    from simulator.calibration.steps.referee import entries, validate

    rows = _read(file)
    with progress("predicting", len(rows)) as done:
        report = validate(rows, str(file), done)
    result = {"rows": entries(report), "summary": report.summary, "by_basis": report.by_basis}
    emit(result, lambda: _table(report, limit), inputs=[file], warnings=report.warnings)
    if limit is not None:
        _check(report, limit)


def _read(file: Path) -> "Sequence[Row]":
    """Return the rows of a table, each with its line under the key ``""``."""
    from simulator.calibration.steps.runs import columns
    from simulator.errors import InputError
    from simulator.reading import parse_csv, read_text

    rows = parse_csv(read_text(file), str(file), REQUIRED)
    if len(rows) > MOST_ROWS:
        raise InputError(str(file), f"has {len(rows):,} rows, at most {MOST_ROWS:,} are predicted at once")
    if strange := [name for name in rows[0] if name and name not in columns()]:
        remark(f"warning: {file}: nothing is read from column {', '.join(strange)}")
    remark(f"{len(rows)} rows read from {file}", level=1)
    return rows
