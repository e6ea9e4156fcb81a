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
    if not sys.stderr.isatty() or click.get_current_context().meta.get(VERBOSITY, 0) < 0:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, no_color=not colourful(sys.stderr))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
