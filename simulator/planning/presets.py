"""Scenarios in files: those that ship by name, and a user's own for `commsim compare`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.errors import unknown
from simulator.planning._estimate_options import read_table
from simulator.reading import parse_toml, read_text

ABOUT = ("about", "source", "checked", "notes")


@cache
def names() -> tuple[str, ...]:
    """Return the presets that ship."""
    folder = files("workloads") / "presets"
    return tuple(
        sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml"))
    )


@cache
def table(name: str) -> Mapping[str, Any]:
    """Return everything that a preset says, ``about`` and ``source`` too.

    Raises
    ------
    UsageError
        No such preset.
    """
    if name not in names():
        raise unknown("preset", name, names(), listing="commsim list presets", where="--preset")
    text = (files("workloads") / "presets" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def preset(name: str) -> dict[str, Any]:
    """Return the options of a preset."""
    return read_table(table(name), f"preset {name}", also=ABOUT)


def scenario(path: str) -> dict[str, Any]:
    """Return the options that a scenario file holds; a key ``preset`` stands for those of a preset.

    Raises
    ------
    InputError
        Missing, not TOML, unknown keys, values that cannot be; all are named.
    UsageError
        No such preset.
    """
    text = read_text(path)
    found = parse_toml(text, path)
    base = found.pop("preset", None)
    own = read_table(found, path, text, also=ABOUT)
    return (preset(str(base)) if base is not None else {}) | own
