"""A folder of results: tables as CSV, and beside them the manifest of what they were made from."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.cli._output import ARGUMENTS, STARTED, save
from simulator.errors import UsageError

MANIFEST = "manifest.toml"


def save_results(
    folder: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], inputs: Iterable[str] = ()
) -> list[str]:
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
    from simulator.manifest import manifest, text
    from simulator.reports.tables import comma_separated, flattened

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}", where="-o") from None
    context = click.get_current_context()
    for name, rows in tables.items():
        save(folder / name, comma_separated([flattened(row) for row in rows]).encode())
    made = manifest(inputs, command=context.meta[ARGUMENTS])
    made["wall_s"] = round(time.perf_counter() - context.meta.get(STARTED, time.perf_counter()), 3)
    save(folder / MANIFEST, text(made).encode())
    return [str(folder / name) for name in (*tables, MANIFEST)]
