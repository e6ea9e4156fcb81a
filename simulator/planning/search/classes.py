"""Candidates class by class: members of a class differ in layout and cell, its block in strategy and policy too."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search.structure import Again, Structure
from simulator.planning.search.times import Clock, Lanes
from workloads.layout import Layout

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Inner = tuple[bool, str, str]  # sequence parallel, precision, context


@dataclass(frozen=True, slots=True)
class Member:
    """A layout with the cell it has in a class."""

    layout: Layout
    mbs: int
    inner: Inner


@dataclass(slots=True)
class Group:
    """One class of candidates.

    Parameters
    ----------
    structure : Structure
        Its pipeline.
    microbatches : int
        Of a rank.
    again : list of Again
        Ways to compute again.
    members : list of Member
        Layouts with their cells.
    kept : array of int
        Numbers of their cells on the shelf of memory.
    """

    structure: Structure
    microbatches: int
    again: list[Again]
    members: list[Member]
    kept: Ints
    room: Floats = field(
        default_factory=lambda: np.zeros(0)
    )  # bytes in tensors, strategies x again x members
    fits: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    least: Floats = field(default_factory=lambda: np.zeros(0))  # s at least, shaped like ``fits``
    clock: Clock | None = None
    ready: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, dtype=bool)
    )  # members priced in full

    @property
    def timed(self) -> Clock:
        """Return its clock; ValueError where nothing of it fits."""
        if self.clock is None:
            raise ValueError("times of a class that does not fit in memory")
        return self.clock

    @property
    def size(self) -> int:
        """Return how many candidates there are."""
        return int(self.fits.size)


def flat(group: Group, places: Sequence[int] | Ints) -> Lanes:
    """Return candidates of a class by their place in the flattened block."""
    strategy, again, cell = np.unravel_index(np.asarray(places, dtype=np.int64), group.fits.shape)
    return Lanes(strategy, again, cell)
