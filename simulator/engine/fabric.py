"""FABRIC: a name of the catalogue, grown as wanted, or a file with the GPUs that it has."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx as nx

from simulator.errors import Fault, InputError, UsageError, unknown
from simulator.reading import parse_toml, read_text
from topologies import _fabrics
from topologies._graph import gpu_nodes
from topologies.from_file import GraphFault
from topologies.from_file import build as read_graph

LARGEST = 2**17  # GPUs of a fabric that is grown: its graph then takes half a GiB
GRAPHS = (".json", ".graphml", ".gml")
USUAL = (16, 8, 4)  # GPUs of a named fabric when nobody says how many: the first that it can have


def is_file(fabric: str) -> bool:
    """Tell whether FABRIC means a file: its name ends like one, or there is one."""
    path = Path(fabric)
    if path.suffix in (*GRAPHS, ".toml") or len(path.parts) > 1:
        return True
    return fabric not in _fabrics.names() and os.path.exists(fabric)  # noqa: PTH110  a long name is no fault


def load(fabric: str, gpus: int | None) -> tuple[nx.DiGraph, Mapping[str, Any] | None]:
    """Return the graph that FABRIC stands for, and what was measured on it.

    Parameters
    ----------
    fabric : str
        A name of the catalogue, or a file ``.json .graphml .gml .toml``.
    gpus : int, optional
        GPUs that must be there. A named fabric grows to them; left out, a file has all of its own.

    Returns
    -------
    networkx.DiGraph
        With ``gpus`` GPUs or, from a graph file, at least as many.
    mapping or None
        The other tables of a TOML file, as `calibrate` writes them beside ``[fabric]``; None for all else.

    Raises
    ------
    UsageError
        An unknown name, a count that the fabric cannot have.
    InputError
        A file that is missing or wrong in itself.
    """
    if not is_file(fabric):
        if fabric not in _fabrics.names():
            listing = "commsim list fabrics"
            raise unknown("fabric", fabric, list(_fabrics.names()), listing=listing, where="--fabric")
        return _grow(fabric, gpus), None
    if Path(fabric).suffix == ".toml":
        return _from_table(fabric, gpus)
    return _from_graph(fabric, gpus), None


def _grow(name: str, gpus: int | None) -> nx.DiGraph:
    if gpus is None:
        return _usual(lambda count: _fabrics.build(name, count))
    with _usage("--gpus"):
        return _fabrics.build(name, _bounded(gpus))


def _bounded(gpus: int) -> int:
    """Return the number; ValueError if a graph of so many would fill the memory."""
    if gpus > LARGEST:
        raise ValueError(f"{gpus} GPUs; at most {LARGEST} are grown")
    return gpus


def _usual(build: Callable[[int], nx.DiGraph]) -> nx.DiGraph:
    """Return the fabric with a usual number of GPUs; ValueError if it can have none of them."""
    faults = []
    for gpus in USUAL:
        try:
            return build(gpus)
        except ValueError as error:
            faults.append(error)
    raise faults[0]


def _from_graph(file: str, gpus: int | None) -> nx.DiGraph:
    path = Path(file)
    if path.is_file() and path.suffix not in GRAPHS:
        raise InputError(file, f"is no graph file: wanted {' '.join(GRAPHS)} or .toml")
    try:
        graph = read_graph(read_text(path), path.suffix.removeprefix("."), file)
    except GraphFault as error:
        raise InputError(file, [Fault(fault.message, fault.where) for fault in error.faults]) from None
    there = len(gpu_nodes(graph))
    if gpus is not None and gpus > there:
        raise _too_many(file, gpus, there)
    return graph


def _from_table(file: str, gpus: int | None) -> tuple[nx.DiGraph, Mapping[str, Any]]:
    """Return the fabric of a ``[fabric]`` table: ``base = NAME`` of the catalogue, or a family with its keys.

    A key ``gpus`` says how many there are; without it the fabric grows.
    """
    tables = parse_toml(read_text(file), file)
    table = tables.pop("fabric", None)
    if not isinstance(table, dict):
        raise InputError(file, "has no table [fabric]")
    if tables.get("kind") != "profile":
        _refuse_others(file, tables, "")
    there, base = table.pop("gpus", None), table.get("base")
    if base is not None:
        _refuse_others(file, {key: value for key, value in table.items() if key != "base"}, "fabric.")
    if there is not None and (isinstance(there, bool) or not isinstance(there, int) or there < 1):
        raise InputError(file, [Fault("must be a whole number from 1 on", "fabric.gpus")])

    def build(count: int) -> nx.DiGraph:
        count = _bounded(count)
        return _fabrics.build_from_table(table, count) if base is None else _fabrics.build(str(base), count)

    try:
        graph = _usual(build) if there is None else build(there)
    except ValueError as error:
        raise InputError(file, [Fault(str(error), "fabric")]) from None
    if gpus is None:
        return graph, tables
    if there is not None and gpus > there:
        raise _too_many(file, gpus, there)
    with _usage("--gpus"):
        return build(gpus), tables


def _refuse_others(file: str, table: Mapping[str, Any], trail: str) -> None:
    """Refuse what nothing would read: a mistyped key must not be overlooked."""
    if table:
        raise InputError(file, [Fault(f"unknown key '{key}'", f"{trail}{key}") for key in table])


def _too_many(file: str, gpus: int, there: int) -> UsageError:
    return UsageError(f"--gpus {gpus}: {file} has {there} GPUs", where="--gpus", hint=f"--gpus {there}")


@contextmanager
def _usage(flag: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise UsageError(text if flag in text else f"{flag}: {text}", where=flag) from None
