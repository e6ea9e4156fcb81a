"""The command line: one command a file (``what_if.py`` is ``what-if``), the only place that prints."""

import gc
from collections.abc import Sequence

from topologies._registry import Registry

COMMANDS = Registry(__name__, __path__)
COLLECT = (100_000, 40, 20)  # for the garbage collector: of a large fabric nothing is garbage


def process() -> int:
    """Run the command line of this process and return its exit status."""
    gc.set_threshold(*COLLECT)
    return run()


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of this process if left out.
    """
    from simulator.cli._main import main

    return main(argv)
