"""Finished points of a sweep on disk, one SQLite file a folder: whatever stops a run, they are still there.

The key of a point is a hash of all that its answer rests on: no answer is taken for another question's.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import TracebackType
from typing import Any

from simulator.errors import InputError, UsageError
from simulator.manifest import product_version

_PACKAGES = ("simulator", "topologies", "workloads")
_KINDS = (".py", ".toml", ".csv")
_WAIT_S = 1.0  # for another process that writes; longer and Ctrl-C would seem not to work
_AT_ONCE = 500  # keys in one query: SQLite takes 999 parameters


@cache
def product_hash() -> str:
    """Return the SHA-256 of the product itself: its version, code, catalogues and shipped measurements."""
    whole = sha256(product_version().encode())
    for package in _PACKAGES:
        for path, file in sorted(_walk(package, files(package)), key=lambda item: item[0]):
            whole.update(path.encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def _walk(path: str, folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        inner = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _walk(inner, entry)
        elif entry.name.endswith(_KINDS):
            yield inner, entry


def key(point: Mapping[str, Any], ground: Mapping[str, str]) -> str:
    """Return the key of a point.

    Parameters
    ----------
    point : mapping
        Its parameters by name; the order does not matter.
    ground : mapping of str to str
        Hashes of everything else that its answer rests on.
    """
    return sha256(json.dumps([point, ground], sort_keys=True).encode()).hexdigest()


class Store:
    """Answers by key in one file; use it in a ``with`` statement.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made if they are not there.

    Raises
    ------
    UsageError
        The folder cannot be made, or the file cannot be written.
    InputError
        The file is there and is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot be made: {error.strerror}", where="-o") from None
        with self._faults():
            self._base = sqlite3.connect(path, timeout=_WAIT_S)
        try:
            self._open()
        except BaseException:
            self._base.close()
            raise

    def _open(self) -> None:
        with self._faults(), self._base:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS answer "
                "(key TEXT PRIMARY KEY, point TEXT NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID"
            )
            self._base.execute("SELECT key, point, answer FROM answer LIMIT 1")

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def find(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the answers that are there, by key."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Any] = {}
        with self._faults():
            for first in range(0, len(wanted), _AT_ONCE):
                some = wanted[first : first + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, answer FROM answer WHERE key IN ({marks})"  # noqa: S608  marks only
                found |= {name: self._answer(text) for name, text in self._base.execute(query, some)}
        return found

    def _answer(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise InputError(str(self.path), "holds an answer that is not JSON; delete the file") from None

    def keep(self, name: str, point: Mapping[str, Any], answer: str) -> None:
        """Write one answer, JSON text, for good before this returns."""
        with self._faults(), self._base:
            row = (name, json.dumps(point), answer)
            self._base.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", row)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # full disk, no permission, locked by another process
            raise UsageError(f"{self.path}: cannot be used: {error}", where="-o") from None
        except sqlite3.DatabaseError as error:
            raise InputError(str(self.path), f"is no store of a sweep: {error}") from None
