"""What a command prints: one JSON object, CSV rows or a plain table, built whole before a byte goes out."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.errors import UsageError

JSON, CSV = "json", "csv"

# What the commands of one run share, under these keys of click's `Context.meta`.
ARGUMENTS = "commsim.arguments"  # the command line as typed
STARTED = "commsim.started"  # of the performance counter, s
COLOUR = "commsim.colour"  # False: no colour
SETTINGS = "commsim.settings"  # the file that defaults came from, empty if none did
FORM = "commsim.form"  # JSON or CSV; a table if left out
VERBOSITY = "commsim.verbosity"  # -1 with -q, 0, 1 with -v, 2 with -vv


def emit(
    result: Mapping[str, Any],
    table: Callable[[], Iterable[str]],
    *,
    rows: Sequence[Mapping[str, Any]] | None = None,
    inputs: Iterable[str | Path] = (),
    seed: int | None = None,
    warnings: Iterable[str] = (),
) -> None:
    """Print one result on stdout in the form asked for, remarks on stderr.

    Parameters
    ----------
    result : mapping
        What ``--json`` holds beside ``schema``, ``manifest`` and ``warnings``; SI units.
    table : callable
        Returns the lines for a person, the titles first.
    rows : sequence of mapping, optional
        What ``--csv`` prints; ``result["rows"]`` if left out.
    inputs, seed
        For the manifest.
    warnings : iterable of str
        What the reader should know; on stderr outside of JSON.
    """
    context, notes = click.get_current_context(), list(warnings)
    form = context.meta.get(FORM)
    if form == JSON:
        from simulator.manifest import SCHEMA, manifest

        clean = finite(result, "", notes)
        read = [*inputs, *filter(None, [context.meta.get(SETTINGS)])]
        made = manifest(read, seed=seed, command=context.meta[ARGUMENTS])
        whole = {"schema": SCHEMA, "manifest": made, "warnings": notes} | clean
        put(json.dumps(whole, allow_nan=False))
        return
    if form == CSV:
        from simulator.reports.tables import comma_separated

        text = comma_separated(finite(result["rows"] if rows is None else rows, "rows", notes)).rstrip("\n")
    else:
        first, *others = list(table()) or [""]
        text = "\n".join([click.style(first, bold=True) if colourful(sys.stdout) else first, *others])
    for note in notes:
        remark(f"warning: {note}")
    put(text)


def put(text: str) -> None:
    """Print text on stdout, all of it or with a fault.

    Raises
    ------
    UsageError
        Stdout was sent to where nothing can be written, a full disk for one.
    """
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise UsageError(f"standard output cannot be written: {error.strerror}") from None


def silence() -> None:
    """Let what is still on its way to stdout end nowhere, or Python complains about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def finite(value: Any, place: str, warnings: list[str]) -> Any:
    """Return a value that JSON can hold; what is not a finite number becomes None, with a warning."""
    if isinstance(value, Mapping):
        within = f"{place}." if place else ""
        return {str(key): finite(inner, f"{within}{key}", warnings) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner, f"{place}[{index}]", warnings) for index, inner in enumerate(value)]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        warnings.append(f"{place} cannot be given")
        return None
    return value


def remark(text: str, level: int = 0) -> None:
    """Say something on stderr: level 0 unless `-q`, 1 with `-v`, 2 with `-vv`."""
    if click.get_current_context().meta.get(VERBOSITY, 0) >= level:
        click.echo(text, err=True)


def colourful(stream: Any) -> bool:
    """Tell whether a stream takes colour: a terminal, and nobody asked for none."""
    context = click.get_current_context(silent=True)
    wanted = context is None or context.meta.get(COLOUR, True)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return bool(wanted and not plain and stream.isatty())


def save(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    UsageError
        The place named on the command line cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a name that is there after a power cut has its content
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}", where="-o") from None
