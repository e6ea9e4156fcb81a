"""A folder of results, read back: its tables, and the manifest of what they were made from."""

import csv
import io
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.errors import InputError

TABLES = ("results.csv", "pareto.csv", "rejected.csv", "sensitivity.csv")
_WRITERS = ("sweep", "plan", "merge")
MOST_BYTES = 64 * 2**20  # of a table: more is for a spreadsheet or a notebook
Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a folder holds.

    Parameters
    ----------
    folder : Path
        As typed.
    manifest : mapping
        Of the run.
    tables : dict
        Rows by file name, as text.
    texts : dict
        The same files as they are.
    """

    folder: Path
    manifest: Mapping[str, Any]
    tables: dict[str, list[Row]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the name of the command."""
        return command_of(self.command[1:])

    @property
    def command(self) -> list[str]:
        """Return the command line."""
        return [str(word) for word in self.manifest["command"]]


def command_of(words: list[str]) -> str:
    """Return the name of a command among its words, before which options of all commands may stand."""
    return next((word for word in words if word in _WRITERS), words[0])


def read_result(folder: Path) -> Result:
    """Return a folder of results.

    Raises
    ------
    InputError
        No such folder, no manifest or no table in it, or files that are no such thing.
    """
    manifest = read_manifest(folder / "manifest.toml")
    texts: dict[str, str] = {}
    for name in TABLES:
        path = folder / name
        if path.is_file():
            if path.stat().st_size > MOST_BYTES:
                raise InputError(str(path), f"has more than {MOST_BYTES // 2**20} MiB")
            try:
                texts[name] = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(str(path), f"cannot be read: {error}") from None
    if TABLES[0] not in texts:
        raise InputError(str(folder), f"has no {TABLES[0]}", hint="a folder that commsim wrote with -o")
    tables = {name: _rows(folder / name, text) for name, text in texts.items()}
    if not tables[TABLES[0]]:
        raise InputError(str(folder / TABLES[0]), "has a header but no rows")
    return Result(folder=folder, manifest=manifest, tables=tables, texts=texts)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest.

    Raises
    ------
    InputError
        It is not there, no TOML, or not of this program.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"is no TOML: {error}") from None
    command = found.get("command")
    words = isinstance(command, list) and len(command) > 1 and all(isinstance(word, str) for word in command)
    if found.get("product") != "commsim" or not words:
        raise InputError(str(path), "is no manifest of commsim")
    return found


def _rows(path: Path, text: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text))
    try:
        header = next(reader, [])
        rows = [dict(zip(header, row, strict=True)) for row in reader]
    except (csv.Error, ValueError) as error:
        raise InputError(str(path), f"is no table, line {reader.line_num}: {error}") from None
    if not header or len(set(header)) < len(header):
        raise InputError(str(path), "has no header, or columns of one name")
    return rows
