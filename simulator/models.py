"""MODEL wherever it is asked for: a name of the catalogue, our own TOML, a Hugging Face ``config.json``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.errors import Fault, InputError, unknown
from simulator.reading import parse_toml, read_text
from workloads import hugging_face
from workloads._model_files import build
from workloads.model import Model, ModelError, find, names

LISTING = "commsim list models"
LIMIT = 16 * 2**20  # bytes of a file that describes a model


def is_file(named: str) -> bool:
    """Tell whether a word means a file and no name of the catalogue."""
    if named in names():
        return False
    path = Path(named)
    return path.suffix in (".json", ".toml") or len(path.parts) > 1 or os.path.exists(named)  # noqa: PTH110


def resolve(named: str, *, where: str = "") -> Model:
    """Return the model that a word names.

    Parameters
    ----------
    named : str
        A name of the catalogue; a file ``.toml`` with the fields of `workloads.model.Model`, bare or in one
        table that names the model; any other file is read as a ``config.json``.
    where : str
        The flag that it came from.

    Raises
    ------
    UsageError
        No such name.
    InputError
        A file that is missing, unreadable or wrong in itself; all its faults are told.
    """
    if not is_file(named):
        if named in names():
            return find(named)
        raise unknown("model", named, names(), listing=LISTING, where=where)
    text = read_text(named, limit=LIMIT)
    try:
        if Path(named).suffix == ".toml":
            return _own(named, parse_toml(text, named))
        return hugging_face.read(text, named)
    except ModelError as error:
        raise InputError(named, [Fault(fault) for fault in error.faults]) from None


def _own(file: str, tables: Mapping[str, Any]) -> Model:
    name, row = Path(file).stem, tables
    if len(tables) == 1 and isinstance(table := next(iter(tables.values())), Mapping):
        name, row = next(iter(tables)), table
    return build(name, {"source": file, "checked": "read"} | dict(row))
