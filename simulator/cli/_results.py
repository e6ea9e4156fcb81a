"""A folder of results: tables as CSV, and beside them the manifest of what they were made from."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.cli._output import ARGUMENTS, STARTED, save
from simulator.errors import UsageError

MANIFEST = "manifest.toml"
Rows = Sequence[Mapping[str, Any]]


def save_results(folder: Path, tables: Mapping[str, Rows], inputs: Iterable[str] = ()) -> list[str]:
    """Write tables and the manifest into a folder, which is made if it is not there; return the paths.

    Parameters
    ----------
    folder : Path
        As typed.
    tables : mapping of str to rows
        By file name.
    inputs : iterable of str
        Files that were read, as typed.

    Raises
    ------
    UsageError
        The folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}", where="-o") from None
    for name, rows in tables.items():
        save_table(folder / name, rows)
    return [*(str(folder / name) for name in tables), str(save_manifest(folder / MANIFEST, inputs))]


def save_table(path: Path, rows: Rows) -> None:
    """Write rows as CSV, inner tables as columns of their own: ``breakdown_s.bubble``."""
    from simulator.reports.tables import comma_separated

    save(path, comma_separated(_flat(rows)).encode())


def _flat(rows: Rows) -> list[dict[str, Any]]:
    """Return rows with inner tables as columns, also where some rows have none."""
    from simulator.reports.tables import flattened

    flat = [flattened(row) for row in rows]
    inner = {key for row in rows for key, value in row.items() if isinstance(value, Mapping)}
    return [{key: value for key, value in row.items() if key not in inner} for row in flat]


def save_parquet(path: Path, rows: Rows) -> Path:
    """Write rows as Parquet; return the path.

    Raises
    ------
    UsageError
        The extra is missing, the file cannot be written.
    """
    import io

    import pandas as pd

    content = io.BytesIO()
    frame = pd.DataFrame(_flat(rows))
    for name in frame.columns:  # lists as text, as in the CSV
        if frame[name].map(lambda one: isinstance(one, (list, tuple))).any():
            frame[name] = frame[name].map(
                lambda one: str(list(one)) if isinstance(one, (list, tuple)) else one
            )
    try:
        frame.to_parquet(content)
    except ImportError:
        raise UsageError(
            "--parquet needs the extra 'parquet'", where="--parquet", hint="pip install 'commsim[parquet]'"
        ) from None
    save(path, content.getvalue())
    return path


def save_manifest(path: Path, inputs: Iterable[str] = ()) -> Path:
    """Write what a result was made from; return the path."""
    from simulator.manifest import manifest, text

    context = click.get_current_context()
    made = manifest(inputs, command=context.meta[ARGUMENTS])
    made["wall_s"] = round(time.perf_counter() - context.meta.get(STARTED, time.perf_counter()), 3)
    save(path, text(made).encode())
    return path
