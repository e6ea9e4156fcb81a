"""What became of the candidates of a search, axis by axis: how many fit, and how fast the fastest is at least."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from simulator.planning.search.classes import Group
from simulator.planning.search.survey import Survey

AXES = ("tp", "pp", "cp", "ep", "dp", "mbs", "sp", "schedule", "strategy", "recompute", "precision")


class _Line:
    """One value of an axis."""

    def __init__(self) -> None:
        self.size = self.fit = 0
        self.least = self.room = np.inf

    def add(self, fits: Any, least: Any, room: Any) -> None:
        self.size += fits.size
        self.fit += int(fits.sum())
        self.least = min(self.least, float(least.min(initial=np.inf)))
        self.room = min(self.room, float(room.min(initial=np.inf)))


def axes(survey: Survey) -> Iterable[dict[str, Any]]:
    """Yield, for each value of each axis, how many candidates there are, how many fit, and the fastest of them.

    Parameters
    ----------
    survey : Survey
        A search that was run.

    Yields
    ------
    dict
        ``gpus axis value evaluated fit at_least_s least_memory_bytes``: a bound from below of the fastest that
        fits, s, None if none does; bytes in tensors of the smallest.
    """
    table: dict[str, dict[Any, _Line]] = {name: defaultdict(_Line) for name in AXES}
    for group in survey.groups:
        least = group.least if group.clock is not None else np.full(group.fits.shape, np.inf)
        for axis, (names, where) in _named(survey, group).items():
            for name in dict.fromkeys(names):
                chosen = [place for place, one in enumerate(names) if one == name]
                part = tuple(chosen if at == where else slice(None) for at in range(3))
                table[axis][name].add(group.fits[part], least[part], group.room[part])
    for axis, lines in table.items():
        for value in sorted(lines, key=lambda one: (isinstance(one, str), one)):
            one = lines[value]
            yield {
                "fabric": survey.basis.options.fabric,
                "gpus": survey.basis.options.gpus,
                "axis": axis,
                "value": value,
                "evaluated": one.size,
                "fit": one.fit,
                "at_least_s": one.least if np.isfinite(one.least) else None,
                "least_memory_bytes": one.room,
            }


def _named(survey: Survey, group: Group) -> dict[str, tuple[list[Any], int]]:
    """Return, by axis, the value of each entry of a block's dimension, and which dimension that is."""
    members = group.members
    return {
        "tp": ([one.layout.tp for one in members], 2),
        "pp": ([one.layout.pp for one in members], 2),
        "cp": ([one.layout.cp for one in members], 2),
        "ep": ([one.layout.ep for one in members], 2),
        "dp": ([one.layout.dp for one in members], 2),
        "mbs": ([one.mbs for one in members], 2),
        "sp": ([one.inner[0] for one in members], 2),
        "precision": ([one.inner[1] for one in members], 2),
        "schedule": ([group.structure.name] * len(members), 2),
        "strategy": (list(survey.space.strategies), 0),
        "recompute": ([one[0] for one in group.again], 1),
    }
