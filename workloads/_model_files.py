"""The models that ship: TOML files, one a family, one table a model."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from workloads.model import Mamba, Model, ModelError, Vision

_PARTS = {"vision": Vision, "mamba": Mamba}


def build(name: str, row: Mapping[str, Any]) -> Model:
    """Return a model from its table.

    Raises
    ------
    ModelError
        Unknown or missing keys, bad dimensions.
    """
    values: dict[str, Any] = dict(row)
    wrong = _keys(Model, row, "", ("name",))
    for key, kind in _PARTS.items():
        part = values.get(key)
        if part is None:
            continue
        if not isinstance(part, Mapping):
            wrong.append(f"{key} {part!r:.60} is no table")
        elif found := _keys(kind, part, f"{key}."):
            wrong += found
        else:
            values[key] = kind(**part)
    if wrong:
        raise ModelError(name, wrong)
    return Model(name=name, **values)


def _keys(kind: type, row: Mapping[str, Any], where: str, given: Sequence[str] = ()) -> list[str]:
    fields = {
        field.name: field.default is MISSING for field in dataclasses.fields(kind) if field.name not in given
    }
    found = []
    for key in row.keys() - fields.keys():
        near = get_close_matches(key, list(fields), n=1)
        found.append(f"unknown key '{where}{key:.60}'" + (f", did you mean '{near[0]}'?" if near else ""))
    return sorted(found) + [
        f"'{where}{key}' is missing" for key, needed in fields.items() if needed and key not in row
    ]


def parse(text: str) -> dict[str, Model]:
    """Return the models of one file by name.

    Raises
    ------
    ValueError
        A model without source, or as `build`; the message names it.
    """
    found = {}
    for name, row in tomllib.loads(text).items():
        if not row.get("source"):
            raise ValueError(f"model '{name}' has no source")
        found[name] = build(name, row)
    return found


@cache
def load() -> Mapping[str, Model]:
    """Return every model that ships, by name, families in the order of the alphabet."""
    found: dict[str, Model] = {}
    folder = files("workloads") / "models"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            more = parse(file.read_text(encoding="utf-8"))
            if twice := found.keys() & more.keys():
                raise ValueError(f"{file.name}: model '{min(twice)}' is there twice")
            found |= more
    return MappingProxyType(found)
