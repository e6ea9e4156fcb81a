"""Named fabrics: rows of ``catalogue/fabrics.toml`` that put hardware and a family together.

A row and the ``[fabric]`` table of a scenario file have the same keys: those of the family's ``build``, and

- ``node``, ``gpu``, ``nic``, ``switch``, ``pcie``, ``nvswitch``: names in the catalogue;
- ``link``, ``wan``, ``cable``, ... : names of links in the catalogue, with ``_metres`` for their length;
- what overrides the catalogue, with the unit in the key (``nic_bandwidth_GBps = 50``) or in the text
  (``nic_bandwidth = "400Gbps"``).
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any

import networkx as nx

from topologies import TOPOLOGIES
from topologies._catalogue import find, read_data, to_si
from topologies._compose import (
    CABLE_KEYS,
    COUNT_KEYS,
    MACHINE_KEYS,
    NAME_KEYS,
    TIER_KEYS,
    make_cable,
    make_machine,
    make_tier,
)
from topologies._hardware import Sourced
from topologies._quantity import bandwidth, seconds

ABOUT_KEYS = ("family", "about", "source", "checked", "notes", "assumed", "name")
CABLES = ("link", "wan", "server_link", "global_cable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric(Sourced):
    """A named fabric.

    Parameters
    ----------
    family : str
        The file in ``topologies`` that builds it.
    about : str
        One sentence.
    assumed : str
        Which of its numbers nobody published, and what stands in for them.
    table : mapping
        Its keys in SI units.
    """

    family: str
    about: str
    assumed: str = ""
    table: Mapping[str, Any]


@cache
def _fabrics() -> Mapping[str, Fabric]:
    found = {}
    for name, row in tomllib.loads(read_data("fabrics.toml"), parse_float=Decimal).items():
        table = normalise(row)
        words = {key: table.pop(key) for key in ABOUT_KEYS if key in table}
        found[name] = Fabric(**words | {"name": name, "table": MappingProxyType(table)})
    return MappingProxyType(found)


def names() -> tuple[str, ...]:
    """Return the names of all fabrics in alphabetical order."""
    return tuple(sorted(_fabrics()))


def describe(name: str) -> Fabric:
    """Return one fabric's row; ValueError with the nearest names if there is none."""
    return find(_fabrics(), name)


def build(name: str, gpus: int, *, gpus_per_node: int = 0) -> nx.DiGraph:
    """Return a named fabric grown to ``gpus``.

    Parameters
    ----------
    name : str
        As `names` lists them.
    gpus : int
        GPUs: a whole number of machines, or fewer than one machine has.
    gpus_per_node : int
        GPUs of each machine that take part; 0: all.

    Raises
    ------
    ValueError
        An unknown name, or a count that the fabric cannot have; the message names the nearest that it can.
    """
    fabric = describe(name)
    graph = _build(fabric.family, fabric.table, gpus, gpus_per_node)
    graph.graph.update(name=name, source=fabric.source, checked=fabric.checked, assumed=fabric.assumed)
    return graph


def build_from_table(table: Mapping[str, Any], gpus: int, *, gpus_per_node: int = 0) -> nx.DiGraph:
    """Return the fabric that a ``[fabric]`` table of a scenario describes, grown to ``gpus``.

    Raises
    ------
    ValueError
        No or an unknown family, unknown keys, wrong values, an impossible count.
    """
    row = normalise(table)
    family = row.pop("family", None)
    if family is None:
        raise ValueError('a fabric needs a family, e.g. family = "rail_optimized"')
    words = {key: row.pop(key) for key in ABOUT_KEYS if key in row}
    graph = _build(family, row, gpus, gpus_per_node)
    graph.graph.update({key: words[key] for key in ("name", "source", "checked", "assumed") if key in words})
    return graph


def normalise(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table in SI units; a key given twice, in two units, is an error."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        try:
            if key.endswith("_bandwidth"):
                inside, inner = key + "_Bps", bandwidth(value)
            elif key.endswith("_latency"):
                inside, inner = key + "_s", seconds(value)
            else:
                inside, inner = _checked(*to_si(key, value))
        except ValueError as error:
            raise ValueError(f"'{key}': {error}") from None
        if inside in found:
            raise ValueError(f"'{key}' says again what another key says")
        found[inside] = inner
    return found


def _checked(key: str, value: Any) -> tuple[str, Any]:
    """Return the pair if the value is of the kind that such a key holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key.endswith(("_Bps", "_s", "_metres")):
        if not number or not math.isfinite(value) or value < 0 or (value == 0 and key.endswith("_Bps")):
            raise ValueError(f"wanted a number above 0, got {value!r}")
    elif key in COUNT_KEYS:
        if not number or value != int(value) or value < 0:
            raise ValueError(f"wanted a whole number, got {value!r}")
    elif key in NAME_KEYS and not isinstance(value, str):
        raise ValueError(f"wanted text, got {value!r}")
    return key, value


def _build(family: object, table: Mapping[str, Any], gpus: int, gpus_per_node: int) -> nx.DiGraph:
    if family not in TOPOLOGIES or family == "from_file":
        near = get_close_matches(str(family), list(TOPOLOGIES), n=3, cutoff=0.4)
        raise ValueError(f"unknown family '{family}'" + (f", nearest: {', '.join(near)}" if near else ""))
    module = TOPOLOGIES[str(family)]
    parameters = dict(list(signature(module.build).parameters.items())[1:])
    _check_keys(table, parameters)
    arguments: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name == "machine":
            machine = make_machine(table)
            used = min(gpus_per_node, machine.gpus) if gpus_per_node else 0
            if gpus_per_node > machine.gpus:
                raise ValueError(
                    f"a machine of this fabric has {machine.gpus} GPUs, {gpus_per_node} are wanted"
                )
            arguments[name] = replace(machine, used=used)
        elif name == "tier":
            if parameter.default is Parameter.empty or "switch" in table or "switch_ports" in table:
                arguments[name] = make_tier(table)
        elif name in CABLES:
            if parameter.default is Parameter.empty or name in table or f"{name}_bandwidth_Bps" in table:
                arguments[name] = make_cable(name, table)
        elif name in table:
            arguments[name] = _typed(name, table[name], parameter)
    graph = module.build(gpus, **arguments)
    if "gpu" in table:
        graph.graph["gpu"] = table["gpu"]
    return graph


def _check_keys(table: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    known = {name for name in parameters if name not in ("machine", "tier", *CABLES)} | {"gpu"}
    for name in CABLES:
        if name in parameters or (name == "link" and "machine" in parameters):
            known |= {name} | {f"{name}{end}" for end in CABLE_KEYS}
    if "machine" in parameters:
        known |= set(MACHINE_KEYS)
    if "tier" in parameters:
        known |= set(TIER_KEYS)
    wrong = []
    for key in table:
        if key not in known:
            near = get_close_matches(key, sorted(_as_text(name) for name in known), n=1, cutoff=0.4)
            wrong.append(f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else ""))
    if wrong:
        raise ValueError("; ".join(wrong))


def _as_text(key: str) -> str:
    """Return a key as it is written where its value carries the unit."""
    return key.removesuffix("_Bps").removesuffix("_s")


def _typed(name: str, value: Any, parameter: Parameter) -> Any:
    """Return a value of the kind that the family asks for, or raise ValueError."""
    wanted = parameter.annotation
    if wanted is int and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"'{name}' must be a whole number, got {value!r}")
    if wanted is float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"'{name}' must be a number, got {value!r}")
    if wanted not in (int, float):
        if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
            raise ValueError(f"'{name}' must be a list of whole numbers from 1 on, got {value!r}")
        return tuple(value)
    return value
