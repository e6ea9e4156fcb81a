"""What `list` and `show` know: catalogue files by their tables, folders of plugins by their docstrings.

Nothing here imports a plugin: a list must be there at once.
"""

import ast
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import click

from simulator.cli._options import Choice
from simulator.collectives import COLLECTIVES
from simulator.errors import unknown
from simulator.planning import presets
from topologies import TOPOLOGIES
from topologies._catalogue import read_data, to_si
from workloads import model
from workloads.schedules import SCHEDULES
from workloads.strategies import STRATEGIES

PLUGINS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "collectives": ("simulator.collectives", COLLECTIVES),
    "schedules": ("workloads.schedules", SCHEDULES),
    "strategies": ("workloads.strategies", STRATEGIES),
    "topologies": ("topologies", TOPOLOGIES),
}


PROFILES = "profiles"  # fabrics that were measured, from the runs that ship
MODELS = "models"
PRESETS = "presets"  # scenarios of training steps


def kinds() -> list[str]:
    """Return every kind of thing that can be listed."""
    files_there = (file.name for file in (files("topologies") / "catalogue").iterdir())
    tables = [name.removesuffix(".toml") for name in files_there if name.endswith(".toml")]
    return sorted([*PLUGINS, PROFILES, MODELS, PRESETS, *tables])


def names(kind: str) -> list[str]:
    """Return the names of one kind."""
    if kind == MODELS:
        return list(model.names())
    return list(PLUGINS[kind][1]) if kind in PLUGINS else list(_table(kind))


def rows(kind: str) -> list[dict[str, Any]]:
    """Return everything of one kind, a mapping each with its ``name``, in SI units."""
    if kind in PLUGINS:
        return [{"name": name, "about": text(kind, name).split("\n")[0]} for name in names(kind)]
    if kind == MODELS:
        from simulator.reports.model_sheet import row

        return [row(model.find(name)) for name in names(kind)]
    return [
        {"name": name} | dict(to_si(key, value) for key, value in values.items())
        for name, values in _table(kind).items()
    ]


def text(kind: str, name: str, function: str = "") -> str:
    """Return what the file of a plugin, or a function in it, says about itself; empty if nothing."""
    tree = ast.parse(files(PLUGINS[kind][0]).joinpath(f"{name}.py").read_text(encoding="utf-8"))
    found: ast.Module | ast.FunctionDef | None = tree
    if function:
        defined = (node for node in tree.body if isinstance(node, ast.FunctionDef))
        found = next((node for node in defined if node.name == function), None)
    return (ast.get_docstring(found) if found else None) or ""


def _table(kind: str) -> dict[str, dict[str, Any]]:
    if kind == PROFILES:
        from simulator.calibration.measured import profiles

        return profiles()
    if kind == PRESETS:
        return {name: dict(presets.table(name)) for name in presets.names()}
    return tomllib.loads(read_data(f"{kind}.toml"))


def singular(kind: str) -> str:
    """Return the word for one of a kind."""
    for plural, one in (("ies", "y"), ("ches", "ch"), ("s", "")):
        if kind.endswith(plural):
            return kind.removesuffix(plural) + one
    return kind


class KindType(Choice):
    """A kind of thing, in the singular or the plural."""

    def __init__(self) -> None:
        super().__init__("kind", kinds, listing="commsim list")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the plural."""
        plural = next((kind for kind in kinds() if value == singular(kind)), str(value))
        return super().convert(plural, param, ctx)


def check_name(kind: str, name: str) -> None:
    """Raise UsageError unless there is a thing of that name."""
    if name not in names(kind):
        raise unknown(singular(kind), name, names(kind), listing=f"commsim list {kind}")
