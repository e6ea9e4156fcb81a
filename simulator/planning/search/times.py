"""Seconds of a step for all layouts that share a structure: a bound from below for all, the exact time for some."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.engine._task_order import Plan, plan_of
from simulator.planning.search.cells import ENDS, FULL, NOTHING, PREDICTION, Book, Cell, Key, Policy
from simulator.planning.search.exchange import Exchanged, Optimizer
from simulator.planning.search.structure import Again, Cut, Structure
from simulator.planning.search.tariff import Tariff
from workloads.step_graph import Compute
from workloads.training import Training

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Column = tuple[Cut | str, Policy]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Candidates of one structure: which strategy, way to compute again, and cell each has."""

    strategy: Ints
    again: Ints
    cell: Ints

    def __len__(self) -> int:
        return len(self.cell)


class Clock:
    """Times of the candidates of one structure and number of microbatches.

    Parameters
    ----------
    structure : Structure
        The pipeline.
    microbatches : int
        Of a rank.
    again : sequence of Again
        Ways to compute again.
    book : Book
        Seconds of cells.
    cells : array of int
        Which of them the members have.
    tariffs : sequence of Tariff
        Of the layout of each.
    optimizer : Optimizer
        What computes once a step.
    """

    def __init__(
        self,
        structure: Structure,
        microbatches: int,
        again: Sequence[Again],
        book: Book,
        cells: Ints,
        tariffs: Sequence[Tariff],
        optimizer: Optimizer,
    ) -> None:
        self.structure, self.microbatches, self.book, self.cells = structure, microbatches, book, cells
        self.tariffs, self.optimizer = tariffs, optimizer
        sample = book.cells[cells[0]]
        table = structure.counts(again)
        layers, self.counts, self.row, self.order = table.columns, table.often, table.row, table.order
        ended = [_ends(structure, sample, kind) for kind in range(len(structure.kinds))]
        bases = [_base(one) for one in again]
        names = list(dict.fromkeys(name for some in ended for name in some))
        ends: list[Column] = [
            (name, policy)
            for name in names
            for policy in (dict.fromkeys(bases) if name.startswith(PREDICTION) else [NOTHING])
        ]
        self.columns: list[Column] = [*layers, *ends]
        more = np.zeros((*self.counts.shape[:2], len(ends)))
        for place, kind in enumerate(self._kind_of_row):
            for column, (name, policy) in enumerate(ends):
                if name in ended[kind]:
                    own = [policy == base or not str(name).startswith(PREDICTION) for base in bases]
                    more[own, place, column] = sample.seconds["F", name, NOTHING].times
        self.counts = np.concatenate([self.counts, more], axis=2)

    @cached_property
    def _kind_of_row(self) -> list[int]:
        kinds = {part.like: at for at, part in enumerate(self.structure.kinds)}
        found = [0] * (int(self.row.max()) + 1)
        for part in self.structure.parts:
            found[self.row[part.stage, part.chunk]] = kinds[part.like]
        return found

    def column(self, task: str, what: str) -> Floats:
        """Return a number of every column, shape (cells, columns)."""
        keys: list[Key] = [
            (task, place, NOTHING if task == "F" else policy) for place, policy in self.columns
        ]
        return np.array([self.book.column(key, what)[self.cells] for key in keys]).T

    @property
    def backward(self) -> tuple[str, ...]:
        """Return the tasks of a backward."""
        return ("I", "W") if self.structure.split else ("B",)

    def parts(self, task: str, what: str = "whole") -> Floats:
        """Return the seconds of a task of every part, shape (ways to compute again, rows, cells)."""
        found: Floats = self.counts @ self.column(task, what).T
        return found

    def bound(self, *, rough: bool = False) -> Floats:
        """Return seconds that a step takes at least, shape (ways to compute again, cells).

        A stage starts when the first microbatch has come down to it, does all its work, and what it sends back
        comes up to the first stage.

        Parameters
        ----------
        rough : bool
            Whether of a backward only its computations count, which whatever is computed again only adds to.
        """
        structure, loop = self.structure, len(self.structure.routes) == 1
        what = "whole" if loop else "work"  # tasks side by side take the longer of computing and sending
        forward, behind = self.parts("F", what), "work" if rough else what
        back = sum((self.parts(task, behind) for task in self.backward), np.zeros_like(forward))
        share = self.microbatches / structure.copies
        rows = self.row
        most = np.zeros_like(forward[:, 0])
        last = {kinds: stage for stage, kinds in enumerate(map(tuple, rows.tolist()))}
        for kinds, stage in last.items():
            work = share * (forward[:, list(kinds)].sum(axis=1) + back[:, list(kinds)].sum(axis=1))
            if loop:
                ahead = list(rows[:stage, 0])
                work = work + forward[:, ahead].sum(axis=1)
                if not structure.split:
                    work = work + back[:, ahead].sum(axis=1)
            np.maximum(most, work, out=most)
        return most + self.begin

    def work(self) -> Floats:
        """Return the seconds that the busiest stage computes, shape (ways to compute again, cells)."""
        share = self.microbatches / self.structure.copies
        tasks = sum((self.parts(task, "work") for task in self.backward), self.parts("F", "work"))
        kinds = dict.fromkeys(map(tuple, self.row.tolist()))
        found: Floats = share * np.max([tasks[:, list(rows)].sum(axis=1) for rows in kinds], axis=0)
        return found

    def pressed(self, exchanged: Sequence[Exchanged]) -> Floats:
        """Return seconds that a step on one stage takes at least if every microbatch exchanges something.

        Parameters
        ----------
        exchanged : sequence of Exchanged
            Of each member.

        Returns
        -------
        array of float
            s, shape (ways to compute again, cells).
        """
        known = {id(one): one for one in exchanged}
        told = {
            key: np.array([one.pressed(place) for place, _ in self.columns]) for key, one in known.items()
        }
        more = np.array([told[id(one)] for one in exchanged])
        ahead = np.maximum(self.column("F", "launch"), self.column("F", "held") + more[..., 0])
        ahead = np.maximum(ahead, more[..., 1])
        back = np.maximum(self.column("B", "whole"), self.column("B", "held") + more[..., 2])
        often = self.counts[:, 0]
        forward, behind, beside = often @ ahead.T, often @ back.T, often @ more[..., 3].T
        found: Floats = self.begin + self.microbatches * (forward + np.maximum(behind, beside))
        return found

    @cached_property
    def begin(self) -> Floats:
        """Return the fixed seconds of a step, shape (cells,)."""
        hosts = [self.training(cell).software.host for cell in range(len(self.cells))]
        fixed = {host: Compute(name="step", law="step", variant=host) for host in hosts}
        seconds = {host: self.optimizer.seconds([one], self.tariffs[0]) for host, one in fixed.items()}
        return np.array([seconds[host] for host in hosts])

    def training(self, member: int) -> Training:
        """Return a step with the slices of a member; its layout may be another one."""
        found: Training = self.book.cells[int(self.cells[member])].training
        return found

    @cached_property
    def plan(self) -> Plan:
        """Return the nodes of the schedule."""
        one = self.structure
        orders = one.schedule.order(one.pp, self.microbatches, one.chunks)
        return plan_of(orders, one.routes)

    def exact(self, lanes: Lanes, exchanged: Sequence[Exchanged]) -> Floats:
        """Return the seconds of a step of some candidates.

        Parameters
        ----------
        lanes : Lanes
            Which.
        exchanged : sequence of Exchanged
            What each exchanges.

        Returns
        -------
        array of float
            s, shape (lanes,).
        """
        from simulator.planning.search.exact import Exact

        return Exact(self, lanes, exchanged).seconds()


def _base(again: Again) -> Policy:
    """Return how a layer is computed again that no number of layers leaves out."""
    return FULL if again[0] == "full" else (again[0], again[1] if again[0] == "selective" else ())


def _ends(structure: Structure, cell: Cell, kind: int) -> list[str]:
    """Return the blocks of the model's ends that a kind of part holds."""
    wanted = structure.ends(structure.kinds[kind])
    there = [str(place) for task, place, _ in cell.seconds if task == "F" and isinstance(place, str)]
    return [name for end in ENDS if end in wanted for name in there if name.startswith(f"{end} ")]
