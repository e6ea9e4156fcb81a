"""How long every candidate takes at least: roughly for all, closely for those that may be among the best.

To price a cell in full, each way to compute again, takes most of the time of a search with many cells, as mixtures of
experts have them. Then all cells are priced without any first; the candidates that look best are priced in full and
timed; and of the others only those are that the best found so far does not rule out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search.cells import NOTHING, Book, Cell, fill
from simulator.planning.search.classes import Group
from simulator.planning.search.structure import Cut
from simulator.planning.search.survey import Survey
from simulator.planning.search.times import Clock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_EACH = 3  # cells of a layout that are priced at first


class Bounds:
    """The bounds of a survey, and the cells that they are of.

    Parameters
    ----------
    survey : Survey
        Enumerated and pruned.
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.alive = [group for group in survey.groups if group.fits.any()]
        self.cells: list[Cell] = []
        self.number: list[
            Ints
        ] = []  # of the members of each class; those that never fit have that of another one
        self.filled = np.zeros(0, dtype=bool)
        self._collect()
        for group in self.alive:
            group.least = np.where(group.fits, 0.0, np.inf)
            group.ready = np.zeros(len(group.members), dtype=bool)

    @property
    def blocks(self) -> int:
        """Return how many blocks of operations are priced where all cells are, roughly."""
        cuts = dict.fromkeys(cut for group in self.alive for cut in group.structure.cuts())
        return len(self.cells) * len(self.survey.policies()) * len(cuts)

    def _collect(self) -> None:
        survey = self.survey
        known: dict[tuple[Any, ...], int] = {}
        for group in self.alive:
            number = np.zeros(len(group.members), dtype=np.int64)
            for place in np.flatnonzero(group.fits.any(axis=(0, 1))).tolist():
                member = group.members[place]
                key = (survey.slice(member), survey.links(member.layout))
                number[place] = known.setdefault(key, len(known))
                if number[place] == len(self.cells):
                    self.cells.append(Cell(survey.sample(member), survey.tariff(member.layout)))
            self.number.append(number)
        self.filled = np.zeros(len(self.cells), dtype=bool)

    def _fill(self, cells: list[Cell], policies: list[Any]) -> None:
        splits = {group.structure.split for group in self.alive}
        cuts: list[Cut] = list(dict.fromkeys(cut for group in self.alive for cut in group.structure.cuts()))
        basis = self.survey.basis
        fill(
            cells,
            cuts,
            policies,
            basis.profile,
            basis.site.device,
            whole=False in splits,
            split=True in splits,
        )

    def outline(self) -> None:
        """Bound all candidates by what their cells take when nothing is computed again."""
        self._fill(self.cells, [NOTHING])
        book = Book(self.cells)
        for group, number in zip(self.alive, self.number, strict=True):
            least = self._clock(group, number, book, [("none", (), 0)]).bound(rough=True)[0]
            group.least = np.where(group.fits, least, np.inf)

    def _clock(self, group: Group, number: Ints, book: Book, again: list[Any]) -> Clock:
        tariffs = [self.survey.tariff(member.layout) for member in group.members]
        return Clock(group.structure, group.microbatches, again, book, number, tariffs, self.survey.optimizer)

    def promising(self, layouts: int) -> NDArray[np.bool_]:
        """Return the best few cells of so many layouts that look best, shape (cells,)."""
        best: dict[tuple[Any, ...], dict[int, float]] = {}
        for group, number in zip(self.alive, self.number, strict=True):
            least = group.least.min(axis=(0, 1))
            for place in np.flatnonzero(np.isfinite(least)).tolist():
                at = group.members[place].layout
                mine = best.setdefault((at.tp, at.pp, at.cp, at.ep, at.dp, group.structure.name), {})
                cell = int(number[place])
                mine[cell] = min(mine.get(cell, np.inf), float(least[place]))
        chosen = sorted(best.values(), key=lambda one: min(one.values()))[:layouts]
        found = np.zeros(len(self.cells), dtype=bool)
        for mine in chosen:
            found[sorted(mine, key=mine.__getitem__)[:_EACH]] = True
        return found

    def below(self, limit: float) -> NDArray[np.bool_]:
        """Return the cells of which some candidate may take less than a limit, s, shape (cells,)."""
        least = np.full(len(self.cells), np.inf)
        for group, number in zip(self.alive, self.number, strict=True):
            np.minimum.at(least, number, group.least.min(axis=(0, 1)))
        found: NDArray[np.bool_] = least < limit
        return found

    def detail(self, wanted: NDArray[np.bool_] | None = None) -> None:
        """Price some cells in full, all if left out, and bound their candidates closely."""
        wanted = np.ones(len(self.cells), dtype=bool) if wanted is None else wanted
        new = np.flatnonzero(wanted & ~self.filled)
        self._fill([self.cells[place] for place in new.tolist()], self.survey.policies())
        self.filled |= wanted
        book = Book(self.cells)
        for group, number in zip(self.alive, self.number, strict=True):
            ready = self.filled[number] & group.fits.any(axis=(0, 1))
            if not (ready & ~group.ready).any():
                if group.clock is not None:
                    group.clock.book = book
                continue
            group.clock, group.ready = self._clock(group, number, book, group.again), ready
            close = np.where(group.fits, group.clock.bound(), np.inf)
            group.least = np.where(ready, np.maximum(close, group.least), group.least)
            if group.structure.pp == 1:
                self._press(group)

    def _press(self, group: Group) -> None:
        """Raise the bounds of strategies that exchange something in every microbatch."""
        for number, strategy in enumerate(self.survey.space.strategies):
            if strategy not in ("ddp", "zero1") and group.fits[number].any():
                every = [self.survey.exchanged(group, member, strategy) for member in group.members]
                close = np.where(group.ready, group.timed.pressed(every), 0.0)
                np.maximum(group.least[number], close, out=group.least[number])
