"""Compile functions of arrays and numbers, once for all processes."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba.core

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function as machine code, kept on disk between processes.

    It may not make arrays: counting who still uses them would cost more than what it does.
    """
    return _kept(function)


def inlined(function: Function) -> Function:
    """Return a function that becomes part of each compiled one that calls it."""
    return _kept(function, inline="always")


def reordered(function: Function) -> Function:
    """Return a compiled function whose minima may be taken in any order; its numbers are never NaN."""
    return _kept(function, fastmath={"nnan", "nsz"})


def _kept(function: Function, **options: Any) -> Function:
    njit: Any = numba.njit
    config: Any = numba.core.config
    given, config.CACHE_DIR = config.CACHE_DIR, config.CACHE_DIR or _folder()
    about = {"error_model": "numpy", "_nrt": False} | options
    try:
        made: Function = njit(function, cache=True, **about)
    except RuntimeError:  # no folder that can be written: made anew by each process
        made = njit(function, **about)
    finally:
        config.CACHE_DIR = given
    return made


@cache
def _folder() -> str:
    """Return where machine code is kept: another folder for other sources, since one includes the next.

    Blank, which leaves it to numba, where nobody knows a home.
    """
    sources = sorted(Path(__file__).parent.glob("_c*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return ""
    return str(home / "commsim" / f"compiled-{digest}")
