"""Parameter types and options that commands share; every fault is one sentence that names the flag."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from simulator import quantities
from simulator.cli._output import CSV, FORM, JSON
from simulator.errors import UsageError, unknown
from simulator.quantities import Quantity

# ruff: noqa: ARG002  the signatures are click's
T = TypeVar("T")
INPUT_FILE = click.Path(path_type=Path)  # existence is the reader's business: exit 5, not 2


def flag(parameter: click.Parameter | None) -> str:
    """Return what a user calls a parameter: ``--size`` or ``FILE``."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name if parameter else ""


class QuantityType(click.ParamType[float]):
    """One quantity with its unit, in SI inside."""

    def __init__(self, quantity: Quantity) -> None:
        self.quantity = quantity
        self.name = "n" if quantity is quantities.COUNT else quantity.kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the value in SI units."""
        return _read(self.quantity.read, value, param, self.quantity)


class Sweep(click.ParamType[tuple[float, ...]]):
    """Several values of one quantity: ``64,128``, ``64..2048`` (powers of two), ``64..2048+64`` (steps)."""

    def __init__(self, quantity: Quantity) -> None:
        self.quantity = quantity
        self.name = f"{'n' if quantity is quantities.COUNT else quantity.kind},.."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the values in SI units, each once, as ordered."""
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        return _read(lambda text: quantities.values(text, self.quantity), text, param, self.quantity)


def _read(read: Callable[[str], T], value: Any, param: click.Parameter | None, quantity: Quantity) -> T:
    try:
        return read(str(value))
    except ValueError as error:
        name = flag(param)
        raise UsageError(f"{name}: {error}", where=name, hint=quantity.hint(str(value))) from None


class Choice(click.ParamType[str]):
    """One name out of some; a wrong one is answered by the nearest.

    Parameters
    ----------
    kind : str
        What the names name.
    names : iterable of str or callable
        The names, asked for only when needed.
    listing : str
        The command that lists them all.
    """

    def __init__(
        self, kind: str, names: Iterable[str] | Callable[[], Iterable[str]], listing: str = ""
    ) -> None:
        self.kind = self.name = kind
        self.listing = listing
        self._names = names

    def names(self) -> list[str]:
        """Return all names."""
        return list(self._names() if callable(self._names) else self._names)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the names themselves where they are few, else the kind."""
        return self.kind.upper() if self.listing else f"[{'|'.join(self.names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name if there is one like this."""
        if value in self.names():
            return str(value)
        where = flag(param) if isinstance(param, click.Option) else ""
        raise unknown(self.kind, str(value), self.names(), listing=self.listing, where=where)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that go on from what was typed."""
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class NameOrFile(Choice):
    """A name of the catalogue or a file; what it stands for is found out by the command."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as typed; a word that is neither a name nor looks like a file is refused at once."""
        text = str(value)
        path = Path(text)
        if path.suffix or len(path.parts) > 1 or (value and os.path.exists(value)):  # noqa: PTH110  never raises
            return text
        return super().convert(text, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that go on from what was typed, and files."""
        found = super().shell_complete(ctx, param, incomplete)
        return [*found, CompletionItem(incomplete, type="file")]


class OutputFile(click.ParamType[Path]):
    """A file to write, refused before any work if it could not be written.

    Parameters
    ----------
    endings : str
        What its name may end in.
    """

    name = "file"

    def __init__(self, *endings: str) -> None:
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        path, where = Path(value), flag(param)
        if path.is_dir():
            raise UsageError(f"{value}: is a folder, not a file", where=where)
        if not path.parent.is_dir():
            raise UsageError(f"{value}: no such folder '{path.parent}'", where=where)
        if self.endings and path.suffix not in self.endings:
            hints = ", ".join(path.with_suffix(ending).name for ending in self.endings)
            raise UsageError(f"{value}: must end in {' '.join(self.endings)}", where=where, hint=hints)
        return path

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


@contextmanager
def usage(where: str) -> Iterator[None]:
    """Turn a ValueError of what was typed into a usage error that names the flag.

    Parameters
    ----------
    where : str
        The flag or the value as typed; it stands before the sentence unless that names it already.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise UsageError(text if where in text else f"{where}: {text}", where=where) from None


SIZE = QuantityType(quantities.SIZE)
RATE = QuantityType(quantities.RATE)
DURATION = QuantityType(quantities.DURATION)
PERCENT = QuantityType(quantities.PERCENT)
COUNT = QuantityType(quantities.COUNT)
SIZES = Sweep(quantities.SIZE)
NUMBERS = Sweep(quantities.COUNT)


def form_options(command: T) -> T:
    """Add ``--json`` and ``--csv``; `emit` knows which was asked for."""
    for form, text in ((CSV, "Print the rows as CSV, in full precision."), (JSON, "Print one JSON object.")):
        option = click.option(f"--{form}", is_flag=True, expose_value=False, callback=_form, help=text)
        command = option(command)  # type: ignore[type-var]  # click's own bound says no more than "callable"
    return command


def _form(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and context.meta.setdefault(FORM, option.name) != option.name:
        raise UsageError("--json and --csv exclude each other", where="--json")
