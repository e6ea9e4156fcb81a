"""What a result was made from: versions, command line, hashes of every input, seed."""

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from simulator._toml import entries
from simulator.reading import digest

SCHEMA = 1
PACKAGES = ("click", "matplotlib", "networkx", "numpy", "pandas", "scipy", "simpy")


def product_version() -> str:
    """Return the version of commsim, or say that this checkout was never installed."""
    try:
        return version("commsim")
    except PackageNotFoundError:
        return "not installed"


def manifest(
    inputs: Iterable[str | Path] = (), *, seed: int | None = None, command: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what is needed to make a result again.

    Parameters
    ----------
    inputs : iterable of str or Path
        Files that were read, as typed.
    seed : int, optional
        Of the run, where chance plays a part.
    command : sequence of str
        The command line; that of this process if empty.

    Returns
    -------
    dict
        Keys ``product``, ``version``, ``commit`` (of a checkout, else None), ``command``, ``inputs`` (file ->
        SHA-256), ``catalogue`` (SHA-256), ``seed``, ``python``, ``packages``.
    """
    return {
        "product": "commsim",
        "version": product_version(),
        "commit": commit(),
        "command": ["commsim", *(command or sys.argv[1:])],
        "inputs": {str(path): digest(path) for path in inputs},
        "catalogue": _catalogue(),
        "seed": seed,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def text(made: Mapping[str, Any]) -> str:
    """Return a manifest as the text of a TOML file; what is None is left out."""
    plain = {name: value for name, value in made.items() if value is not None and not isinstance(value, dict)}
    lines = entries(plain)
    for name, value in made.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *entries(value)]
    return "\n".join(lines) + "\n"


@cache
def commit() -> str | None:
    """Return the commit of the checkout that runs, read off its files; None if it is none."""
    folder = Path(__file__).parent.parent / ".git"
    try:
        head = (folder / "HEAD").read_text("ascii").strip()
        if not head.startswith("ref: "):
            return head or None
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text("ascii").strip() or None
        packed = (folder / "packed-refs").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)


def _catalogue() -> str:
    whole = sha256()
    tables = (files("topologies") / "catalogue").iterdir()
    for table in sorted(tables, key=lambda table: table.name):
        if table.name.endswith(".toml"):
            whole.update(table.name.encode() + table.read_bytes())
    return whole.hexdigest()
