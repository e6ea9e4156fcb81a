"""What NCCL ran at each size of a series: by its own rules where the machine is known, or by force."""

from collections.abc import Sequence

import numpy as np

from simulator.calibration._pieces import spread
from simulator.collectives import _nccl
from simulator.profile import Series

UNKNOWN = "unknown"
MOST_SIZES = 200  # asked about in one series; one between two of them is taken for the smaller


def labels(series: Series, machine: _nccl.Machine | None) -> list[tuple[str, str]]:
    """Return algorithm and protocol at each size, ``unknown`` where nobody can tell.

    Parameters
    ----------
    series : Series
        NCCL's own rules are asked unless another library ran.
    machine : Machine, optional
        What NCCL saw.
    """
    algorithm, protocol = series.algorithm_forced, series.protocol_forced
    forced = (_single(algorithm, _nccl.ALGORITHMS), _single(protocol, _nccl.PROTOCOLS))
    if machine is None or machine.ranks < 2 or series.library not in ("", "nccl"):
        return [forced] * len(series.sizes)
    asked = spread(np.array(series.sizes, dtype=float), MOST_SIZES)
    try:
        chosen = [_choice(series, series.sizes[k], machine) for k in asked]
    except ValueError:  # a version or an override that NCCL would not take: what was forced is all we know
        return [forced] * len(series.sizes)
    nearest = np.searchsorted(asked, np.arange(len(series.sizes)), side="right") - 1
    return [chosen[k] for k in nearest]


def _choice(series: Series, size: int, machine: _nccl.Machine) -> tuple[str, str]:
    release = series.library_version or _nccl.NEWEST
    found = _nccl.choose(
        series.op,
        size,
        machine,
        release,
        algorithm=series.algorithm_forced or None,
        protocol=series.protocol_forced or None,
    )
    return found.algorithm, found.protocol


def _single(forced: str, names: Sequence[str]) -> str:
    """Return the one name that was forced, else ``unknown``."""
    plain = forced.lower().replace("_", "")
    return next((name for name in names if name.lower().replace("_", "") == plain), UNKNOWN)
