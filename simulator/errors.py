"""Faults that a user can mend, each with its exit status: usage 2, infeasible 3, failed check 4, input 5.

::

    CommsimError
      UsageError       2  what was typed: flag, name, value
      InfeasibleError  3  nothing fits or nothing meets the target
      CheckError       4  a stated limit or check failed
      InputError       5  an input file is missing, unreadable or wrong in itself
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

FEW = 5  # so many names are shown whole


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: what, and where in it (a key path or a line)."""

    message: str
    where: str = ""


class CommsimError(Exception):
    """A fault of the input, not of the program.

    Parameters
    ----------
    message : str
        The first line, whole by itself: names the input and the fault.
    where : str
        Flag, ``file:line`` or key path.
    hint : str
        One command or value that works.
    """

    code = "error"
    status = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.details: tuple[str, ...] = ()


class UsageError(CommsimError):
    """What was typed on the command line does not make sense."""

    code = "usage"
    status = 2


class InfeasibleError(CommsimError):
    """Nothing fits, or nothing meets the target."""

    code = "infeasible"
    status = 3


class CheckError(CommsimError):
    """A stated limit or check failed."""

    code = "check"
    status = 4


class InputError(CommsimError):
    """An input file is missing, unreadable or wrong in itself.

    Parameters
    ----------
    source : str
        The file as typed.
    faults : sequence of Fault or str
        Everything found wrong, reported together, ten at most.
    """

    code = "input"
    status = 5

    def __init__(self, source: str, faults: Sequence[Fault] | str, *, hint: str = "") -> None:
        listed = [Fault(faults)] if isinstance(faults, str) else list(faults)
        first = listed[0]
        more = f" (and {len(listed) - 1} more fault{'s' * (len(listed) > 2)})" if len(listed) > 1 else ""
        place = f"{source}: {first.where}" if first.where else source
        super().__init__(f"{place}: {first.message}{more}", where=place, hint=hint)
        self.details = tuple(f"{fault.where}  {fault.message}".strip() for fault in listed[1:10])


def nearest(name: str, names: Sequence[str], count: int = 3) -> list[str]:
    """Return the names that look most like ``name``, best first; by common start where nothing is close."""
    close = get_close_matches(name.lower(), names, n=count, cutoff=0.5)
    return close or [known for known in names if known.startswith(name[:3].lower())][:count]


def unknown(kind: str, name: str, names: Sequence[str], *, listing: str = "", where: str = "") -> UsageError:
    """Return the error for a name that nobody knows, with the nearest ones and where all are listed.

    Parameters
    ----------
    kind : str
        What the name should name, e.g. ``fabric``.
    name : str
        The name as typed.
    names : sequence of str
        The names that exist.
    listing : str
        The command that lists them all.
    where : str
        The flag or key it came from.
    """
    hint = ", ".join(nearest(name, list(names)) or (names if len(names) <= FEW else ()))
    if listing:
        hint = f"{hint}   (all: {listing})" if hint else listing
    return UsageError(f"unknown {kind} '{name}'", where=where, hint=hint)
