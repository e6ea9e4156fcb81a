"""The command line: one command a file (``what_if.py`` is ``what-if``), the only place that prints."""

from collections.abc import Sequence

from topologies._registry import Registry

COMMANDS = Registry(__name__, __path__)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of this process if left out.
    """
    from simulator.cli._main import main

    return main(argv)
