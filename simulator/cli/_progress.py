"""How far a long command is: a bar on stderr, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from simulator.cli._output import VERBOSITY, colourful


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs; yields what to call once a finished piece.

    Parameters
    ----------
    title : str
        What stands before the bar.
    total : int
        Pieces.
    """
    with gauge(title) as tell:
        done = 0

        def one() -> None:
            nonlocal done
            done += 1
            tell(done, total)

        tell(0, total)
        yield one


@contextmanager
def gauge(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; yields what to call with how much is done, and of how much if known.

    The bar appears at the first call.

    Parameters
    ----------
    title : str
        What stands before the bar.
    """
    if not sys.stderr.isatty() or click.get_current_context().meta.get(VERBOSITY, 0) < 0:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed(),
        TextColumn("left"), Remaining(compact=True),
    )  # fmt: skip
    console = Console(stderr=True, no_color=not colourful(sys.stderr))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
