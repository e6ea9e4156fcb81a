"""Whether the tables of a collective fit into memory, asked before they are made."""

import os
from math import inf
from pathlib import Path

from simulator.engine._collective_alike import Alike
from simulator.errors import InfeasibleError
from simulator.network.lanes import Lanes

# bytes: measured, rounded up
_ROUTE = 250  # with what the router remembers of it
_CROSSING = 60
_LANE = 300
_LINE = 120  # of a programme, with a gate


def check_pairs(form: Alike) -> None:
    """Raise InfeasibleError if a collective that is written by formula would not fit into memory."""
    hops = len(form.plan.paths.passed(0, form.plan.ranks - 1))
    lanes = max(form.plan.ranks, form.routes // form.phases)
    needed = form.routes * (_ROUTE + hops * _CROSSING + _LINE) + lanes * _LANE
    _check(needed)


def check_tables(lanes: Lanes) -> None:
    """Raise InfeasibleError if lanes would not fit into memory once more, as the compiled core keeps them."""
    count = len(lanes.programme)
    _check(len(lanes.links) * _CROSSING // 2 + count * _LANE + len(lanes.programmes.count) * _LINE // 2)


def _check(needed: float) -> None:
    free = free_bytes()
    if needed > free:
        raise InfeasibleError(
            f"following every message needs tables of {needed / 2**30:.1f} GiB, "
            f"and {free / 2**30:.1f} GiB are free",
            hint="--fidelity fluid or formula, or fewer ranks",
        )


def free_bytes() -> float:
    """Return the memory that could be had now, bytes; infinity where the system does not tell.

    What is only cached counts as free, where the system says how much that is.
    """
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # no Linux: as POSIX tells
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return inf
