"""The catalogue on disk: datasheet units in the keys, converted once, by decimal arithmetic, to SI."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

from topologies._hardware import Gpu, Link, Nic, Node, Price, Sourced, Switch

Row = TypeVar("Row", bound=Sourced)

# suffix in the file -> suffix inside, factor; longest first, for _GB also ends other words
UNITS = {
    "_TFLOPS": ("_flops", Decimal("1e12")),
    "_GBps": ("_Bps", Decimal("1e9")),
    "_GB": ("_bytes", Decimal("1e9")),
    "_ns": ("_s", Decimal("1e-9")),
    "_us": ("_s", Decimal("1e-6")),
    "_ms": ("_s", Decimal("1e-3")),
    "_W": ("_W", Decimal(1)),
    "_USD": ("_USD", Decimal(1)),
}


def to_si(key: str, value: object) -> tuple[str, object]:
    """Return a key and its value in SI units: ``("latency_ns", 330)`` becomes ``("latency_s", 3.3e-07)``.

    Values that are no numbers, or whose key carries no unit, come back as they are.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return key, value
    for suffix, (inside, factor) in UNITS.items():
        if key.endswith(suffix):
            return key.removesuffix(suffix) + inside, float(Decimal(str(value)) * factor)
    return key, float(value) if isinstance(value, Decimal) else value


def parse(text: str, kind: type[Row]) -> dict[str, Row]:
    """Return the rows of one catalogue file by name.

    Raises
    ------
    ValueError
        A row without source, with an unknown key or a bad number; the message names the row.
    """
    found = {}
    for name, row in tomllib.loads(text, parse_float=Decimal).items():
        values: dict[str, Any] = dict(to_si(key, value) for key, value in row.items())
        if "source" not in values:
            raise ValueError(f"'{name}' has no source")
        try:
            found[name] = kind(name=name, **values)
        except TypeError as error:
            raise ValueError(f"'{name}': {error}") from None
    return found


def read_data(name: str) -> str:
    """Return the text of a file of the catalogue folder."""
    return files("topologies").joinpath("catalogue", name).read_text(encoding="utf-8")


@cache
def _load(name: str, kind: type[Row]) -> Mapping[str, Row]:
    return MappingProxyType(parse(read_data(name), kind))


def gpus() -> Mapping[str, Gpu]:
    """Return every accelerator by name."""
    return _load("gpus.toml", Gpu)


def links() -> Mapping[str, Link]:
    """Return every link, cable and optic by name."""
    return _load("links.toml", Link)


def nics() -> Mapping[str, Nic]:
    """Return every network adapter by name."""
    return _load("nics.toml", Nic)


def switches() -> Mapping[str, Switch]:
    """Return every switch by name."""
    return _load("switches.toml", Switch)


def nodes() -> Mapping[str, Node]:
    """Return every machine by name."""
    return _load("nodes.toml", Node)


def prices() -> Mapping[str, Price]:
    """Return every price by name."""
    return _load("prices.toml", Price)


def find(rows: Mapping[str, Row], name: str) -> Row:
    """Return a row, or raise ValueError with the names that look most like it."""
    if name not in rows:
        near = get_close_matches(name, list(rows), n=3, cutoff=0.4)
        raise ValueError(
            f"'{name}' is not in the catalogue" + (f", nearest: {', '.join(near)}" if near else "")
        )
    return rows[name]
