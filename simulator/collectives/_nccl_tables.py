"""What one NCCL release takes for granted: constants and names of rules, read from ``nccl/*.toml``."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

ALGORITHMS = (
    "tree",
    "ring",
    "collnet_direct",
    "collnet_chain",
    "nvls",
    "nvls_tree",
    "pat",
)  # ties: first wins
PROTOCOLS = ("LL", "LL128", "Simple")
NEWEST = "2.30"
_UNITS = {"_us": 1e-6, "_GBps": 1e9, "_B": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Constants and rule names of one release, SI; the keys are explained in ``nccl/2.18.toml``.

    A list over protocols runs LL, LL128, Simple; a list over scale runs one, two, three or more nodes.
    """

    release: str
    source: str
    max_channels: int
    operations_per_latency: int
    override_prefixes: bool
    ring_always_allowed: bool
    impossible_override: str
    nvls_bandwidth: str
    nvls_gather: str
    nvls_tree_latency: str
    nvls_second_pass: bool
    nvls_ratio: float
    nvls_tree_ratio: float
    ring_network_steps_less: int
    collnet_direct_sync: float
    collnet_direct_hopper: float
    pat_share: float
    plateau_from: int
    simple_tree_share: float
    distribution: str
    tree_simple_chunk: str
    p2p_network_channels: str
    architectures: Mapping[str, int]
    algorithms: Mapping[str, list[str]]
    base_latency: Mapping[str, list[float]]
    hop_latency: Mapping[str, Mapping[str, list[float]]]
    network_overhead: Mapping[str, float]
    plateau_factor: Mapping[str, float]
    ll_cap: Mapping[str, list[float]]
    ring_ll: Mapping[str, float]
    ring_ll128: Mapping[str, float]
    channel_cap: Mapping[str, Mapping[str, list[float]]]
    tree_correction: Mapping[str, list[float]]
    nvls_tree_correction: Mapping[str, list[str]]
    nvls_efficiency: Mapping[str, float]
    nvls_channels: Mapping[str, list[int]]
    ll128_path: Mapping[str, str]
    nvlink: Mapping[str, float]
    nvlink_nominal: Mapping[str, float]
    pcie: Mapping[str, float]
    socket: Mapping[str, Mapping[str, float]]
    ladder: Mapping[str, Mapping[str, list[float]]]


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, Mapping):
        return {key: _scaled(inner, factor) for key, inner in value.items()}
    if isinstance(value, list):
        return [_scaled(inner, factor) for inner in value]
    return value * factor


def in_si(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``rows`` in s, bytes and bytes/s, the unit taken off each key."""
    plain: dict[str, Any] = {}
    for key, value in rows.items():
        unit = next((unit for unit in _UNITS if key.endswith(unit)), "")
        plain[key.removesuffix(unit)] = _scaled(value, _UNITS[unit]) if unit else value
    return plain


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping):
            both[key] = _merged(below[key], above[key])
    return both


def read_data(name: str) -> dict[str, Any]:
    """Return the tables of ``nccl/<name>.toml`` as written.

    Raises
    ------
    ValueError
        It names no source.
    """
    data = tomllib.loads((files("simulator.collectives") / "nccl" / f"{name}.toml").read_text("utf-8"))
    if not data.get("source"):
        raise ValueError(f"nccl/{name}.toml names no source")
    return data


def _with_bases(name: str) -> dict[str, Any]:
    data = read_data(name)
    base = data.pop("base", None)
    return _merged(_with_bases(base), data) if base else data


@cache
def columns() -> tuple[str, ...]:
    """Return the releases that have a table, oldest first."""
    names = (entry.name for entry in (files("simulator.collectives") / "nccl").iterdir())
    numbers = [match.group(1) for name in names if (match := re.fullmatch(r"(\d+\.\d+)\.toml", name))]
    return tuple(sorted(numbers, key=_number))


@cache
def table(column: str) -> Table:
    """Return one release's table.

    Raises
    ------
    ValueError
        No such column, or its file lacks a key or has one too many.
    """
    if column not in columns():
        raise ValueError(f"NCCL tables are {', '.join(columns())}; got {column!r}")
    rows = in_si(_with_bases(column))
    wanted = {field.name for field in fields(Table)}
    if rows.keys() != wanted:
        raise ValueError(f"nccl/{column}.toml: missing or unknown {sorted(rows.keys() ^ wanted)}")
    return Table(**rows)


def _number(version: str) -> tuple[int, int]:
    match = re.match(r"v?(\d+)\.(\d+)", version.strip())
    if match is None:
        raise ValueError(f"NCCL release {version!r} is no version: wanted e.g. 2.27 or 2.27.3")
    return int(match.group(1)), int(match.group(2))


def release(version: str = NEWEST) -> tuple[Table, str | None]:
    """Return the table that stands for an NCCL release and, where it is another release's, a warning.

    Parameters
    ----------
    version : str
        As NCCL prints it: ``2.27``, ``2.27.3``, ``v2.27.3-1``, ``2.27.3+cuda12.9``. A release between two
        tables takes the older one, one before the oldest the oldest, one after the newest the newest.

    Raises
    ------
    ValueError
        Not a version.
    """
    asked = _number(version)
    known = columns()
    older = [column for column in known if _number(column) <= asked]
    column = older[-1] if older else known[0]
    if _number(column) == asked:
        return table(column), None
    if not older:
        return table(column), f"NCCL {version} is older than every table; the one of {column} stands for it"
    if column == known[-1]:
        return table(column), f"NCCL {version} is newer than every table; the one of {column} stands for it"
    return table(column), f"NCCL {version} has no table of its own; the older one of {column} stands for it"
