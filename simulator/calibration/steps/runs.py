"""The measured training runs that ship with the product: rows, their sources, and what is held out.

``data/training/runs.csv`` and ``vtrain.csv`` hold what differs from run to run, ``sources.toml`` what a
source has in common, its address and licence, ``splits.toml`` the folds.
"""

import csv
import io
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

FILES = ("runs", "vtrain")
FOLDS = 5
SALT = "commsim training folds 1"


def _text(name: str) -> str:
    return (files("simulator.calibration") / "data" / "training" / name).read_text("utf-8")


@cache
def sources() -> dict[str, dict[str, Any]]:
    """Return who measured the runs by key: name, address, licence, notes, common columns."""
    return tomllib.loads(_text("sources.toml"))


@cache
def shipped(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a shipped table in the columns of a user's one.

    Parameters
    ----------
    name : str
        ``runs`` (public pages, papers and logs) or ``vtrain`` (published with vTrain).
    """
    if name not in FILES:
        raise ValueError(f"no table '{name}' of training runs; there are {', '.join(FILES)}")
    return tuple(_expanded(row) for row in csv.DictReader(io.StringIO(_text(f"{name}.csv"))))


def _expanded(row: dict[str, str]) -> dict[str, str]:
    source = sources()[row["source"]]
    full = {**row, "source": source["name"], "source_url": source["base"] + row.get("where", "")}
    full.pop("where", None)
    filled = {**source.get("usual", {})}
    for column, values in source.get("by_gpu", {}).items():
        filled[column] = values.get(row["gpu"], "")
    return full | {column: value for column, value in filled.items() if not full.get(column)}


def corpus_hash() -> str:
    """Return the SHA-256 of the shipped rows, for manifests and fitted values."""
    return sha256("".join(_text(f"{name}.csv") for name in FILES).encode()).hexdigest()


@cache
def splits() -> dict[str, Any]:
    """Return what is held out: ``groups`` of sources, ``runs`` and ``vtrain`` folds by configuration."""
    return tomllib.loads(_text("splits.toml"))


def assign(keys: Iterable[tuple[str, str]], *, salt: str = SALT) -> dict[str, int]:
    """Return the fold of each configuration, 0 to 4.

    Configurations of one stratum are ordered by the SHA-256 of salt and key and dealt in turn, so that every
    fold has its share of each source; a key in several strata belongs to the first by name.

    Parameters
    ----------
    keys : iterable of (str, str)
        Stratum (the group of the source) and configuration key.
    salt : str
        Fixed before the first fit.
    """
    home: dict[str, str] = {}
    for stratum, key in sorted(set(keys)):
        home.setdefault(key, stratum)
    strata: Mapping[str, list[str]] = defaultdict(list)
    for key, stratum in home.items():
        strata[stratum].append(key)
    folds: dict[str, int] = {}
    for stratum in sorted(strata):
        ordered = sorted(strata[stratum], key=lambda key: sha256(f"{salt}|{key}".encode()).digest())
        start = sha256(f"{salt}|{stratum}".encode()).digest()[0]
        folds |= {key: (start + place) % FOLDS for place, key in enumerate(ordered)}
    return folds
