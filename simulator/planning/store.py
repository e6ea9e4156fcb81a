"""Finished points of a sweep on disk, one SQLite file a folder: whatever stops a run, they are still there.

The key of a point is a hash of all that its answer rests on: no answer is taken for another question's. Each answer
has a checksum; one that was damaged is as good as none, and a file that cannot be read as a whole is made anew of what
can be.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import TracebackType
from typing import Any

from simulator.errors import CommsimError, InputError, UsageError
from simulator.manifest import product_version
from simulator.planning._store_lock import Lock

_PACKAGES = ("simulator", "topologies", "workloads")
_KINDS = (".py", ".toml", ".csv")
_WAIT_S = 1.0  # for another process that writes; longer and Ctrl-C would seem not to work
_MAGIC = b"SQLite format 3\0"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, point TEXT, answer TEXT, hash TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
)
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

    Attributes
    ----------
    damaged : int
        Answers that were there and cannot be trusted any more.

    Raises
    ------
    UsageError
        The folder cannot be made, the file cannot be written, or another process works on it.
    InputError
        The file is there and is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.damaged = path, 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot be made: {error.strerror}", where="-o") from None
        self._lock = Lock(path)
        try:
            self._base = self._opened()
        except BaseException:
            self._lock.release()
            raise

    def _opened(self) -> sqlite3.Connection:
        """Return the file opened; one that is damaged is saved first."""
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) or not self._ours():
                raise self._said(error) from None
        self._save()
        with self._faults():
            return self._open()

    def _open(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.path, timeout=_WAIT_S)
        try:
            with base:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = NORMAL")
                for line in _TABLES:
                    base.execute(line)
                base.execute("SELECT key, point, answer, hash FROM answer LIMIT 1")
                if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise sqlite3.DatabaseError("malformed")
        except BaseException:
            base.close()
            raise
        return base

    def _ours(self) -> bool:
        """Tell whether a file begins as a database does: then it was one."""
        with suppress(OSError), self.path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
        return False

    def _save(self) -> None:
        """Put a new file with all answers that can still be read into the place of a damaged one."""
        part = self.path.with_name(f".{self.path.name}.part")
        part.unlink(missing_ok=True)
        kept = list(_readable(self.path))
        with self._faults():
            base = sqlite3.connect(part)
            try:
                with base:
                    for line in _TABLES:
                        base.execute(line)
                    base.executemany("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?)", kept)
            finally:
                base.close()
            for ending in ("-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            os.replace(part, self.path)  # noqa: PTH105
        self.damaged += 1

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        self._lock.release()

    def find(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the answers that are there and whole, by key; `damaged` counts the others."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Any] = {}
        with self._faults():
            for first in range(0, len(wanted), _AT_ONCE):
                some = wanted[first : first + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, answer, hash FROM answer WHERE key IN ({marks})"  # noqa: S608  marks only
                for name, text, told in self._base.execute(query, some):
                    if _checked(name, text) == told:
                        found[name] = json.loads(text)
                    else:
                        self.damaged += 1
        return found

    def keep(self, name: str, point: Mapping[str, Any], answer: str) -> None:
        """Write one answer, JSON text, for good before this returns."""
        with self._faults(), self._base:
            row = (name, json.dumps(point), answer, _checked(name, answer))
            self._base.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?)", row)

    def note(self, name: str, text: str) -> None:
        """Write a fact about all answers."""
        with self._faults(), self._base:
            self._base.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, text))

    def noted(self, name: str) -> str | None:
        """Return a fact, None if it was never written."""
        with self._faults():
            row = self._base.execute("SELECT text FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._said(error) from None
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be used: {error.strerror}", where="-o") from None

    def _said(self, error: sqlite3.DatabaseError) -> CommsimError:
        if isinstance(error, sqlite3.OperationalError):  # full disk, no permission, locked by another process
            return UsageError(f"{self.path}: cannot be used: {error}", where="-o")
        return InputError(str(self.path), f"is no store of a sweep: {error}")


def _checked(name: str, text: str) -> str:
    return sha256(f"{name}\0{text}".encode()).hexdigest()


def _readable(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield the answers of a damaged file that can still be read and are whole.

    A page that is damaged ends a walk over the table: it is walked from both ends.
    """
    seen: set[str] = set()
    for order in ("ASC", "DESC"):
        base = sqlite3.connect(path, timeout=_WAIT_S)
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            query = f"SELECT key, point, answer, hash FROM answer ORDER BY key {order}"  # noqa: S608
            for name, point, answer, told in base.execute(query):
                if name not in seen and isinstance(answer, str) and _checked(name, answer) == told:
                    seen.add(name)
                    yield name, point, answer, told
        base.close()
