"""One process at a time: a lock that the system frees when its holder ends, however that happens."""

import os
from contextlib import suppress
from pathlib import Path

from simulator.errors import UsageError


class Lock:
    """A file beside another one that a process holds while it works on that.

    Parameters
    ----------
    path : Path
        What is worked on.

    Raises
    ------
    UsageError
        Another process holds it: the message names it. The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path.with_name(f".{path.name}.lock"), -1
        while self._file < 0:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise UsageError(f"{path}: cannot be used: {error.strerror}", where="-o") from None
            if not _taken(file):
                holder = os.read(file, 32).decode("ascii", "replace").strip() or "another one"
                os.close(file)
                raise UsageError(
                    f"{path.parent}: locked by process {holder}, which works on it",
                    where="-o",
                    hint="another folder, or wait until it ends",
                )
            if self._current(file):
                self._file = file
            else:  # its holder took the file away between our opening and our taking it
                os.close(file)
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def _current(self, file: int) -> bool:
        try:
            there = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(file))

    def release(self) -> None:
        """Let others work on it."""
        if self._file >= 0:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            self._file = -1


def _taken(file: int) -> bool:
    """Take the lock of an open file, if nobody has it; where a system has none, everybody does."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
