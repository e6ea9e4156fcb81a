"""Patterns put one behind the other into lanes, each with a link of its own that holds it to its rate."""

from collections.abc import Sequence

import numpy as np

from simulator.engine._replay_patterns import NOBODY, Floats, Ints, Pattern, Routes
from simulator.network.lanes import Book, Lanes


class Writer:
    """Write lanes.

    Parameters
    ----------
    bandwidth : numpy.ndarray of float64
        Of the links that lanes share, bytes/s, shape (links,).

    Attributes
    ----------
    book : Book
        Programmes so far.
    count : int
        Lanes so far.
    """

    def __init__(self, bandwidth: Floats) -> None:
        self.book, self.count = Book(), 0
        self._programme: list[Ints] = []
        self._partners: list[Ints] = []  # of some lanes alike: shape (lanes, partners)
        self._slots: list[int] = []  # how many each of them has
        self._routes: list[Routes] = []
        self._bandwidth = [bandwidth]
        self._links = len(bandwidth)

    def lane(self, programme: int, partners: Sequence[int]) -> int:
        """Add a lane that sends nothing over links; return its number."""
        none = np.zeros(0, np.int64)
        routes = Routes(start=np.zeros(1, np.int64), edges=none, shares=np.zeros(0))
        return self._add(np.array([programme]), np.array([partners], np.int64), 0, routes)[0]

    def add(self, pattern: Pattern, turns: int, place: Ints, starter: int | None = None) -> range:
        """Add the senders of a pattern that is done so many times; return their numbers.

        Each time they wait for one more message of the starter. Edges have a place among the links, or -1.
        """
        senders, columns = pattern.route.shape
        partners = [np.full((senders, 1), starter)] if starter is not None else []
        partners += [self.count + givers for givers in pattern.givers]
        waits = np.concatenate(partners, axis=1) if partners else np.zeros((senders, 0), np.int64)
        kinds, kind = np.unique(
            np.concatenate((pattern.delay, pattern.route != NOBODY), axis=1), axis=0, return_inverse=True
        )
        programmes = np.array([self._write(pattern, row, turns, starter is not None) for row in kinds])
        shared = pattern.ways.on(place).taken(np.where(pattern.route < 0, 0, pattern.route).ravel())
        cap = np.where(pattern.route < 0, 1.0, pattern.cap).ravel()
        own = self._links + np.arange(len(cap))
        self._bandwidth.append(cap)
        self._links += len(cap)
        ends = shared.start[1:]
        routes = Routes(
            start=shared.start + np.arange(len(cap) + 1),
            edges=np.insert(shared.edges, ends, own),
            shares=np.insert(shared.shares, ends, 1.0),
        )
        return self._add(programmes[kind.ravel()], waits, columns, routes)

    def lanes(self) -> Lanes:
        """Return all lanes."""
        widths = np.repeat([p.shape[1] for p in self._partners], [len(p) for p in self._partners])
        slots = np.repeat(self._slots, [len(p) for p in self._partners])
        starts = [np.diff(routes.start) for routes in self._routes]
        total = int(slots.sum())
        return Lanes(
            programmes=self.book.made(),
            programme=np.concatenate(self._programme),
            partner_start=np.cumsum(widths) - widths,
            partners=np.concatenate([p.ravel() for p in self._partners]),
            slot_start=np.cumsum(slots) - slots,
            slots=np.arange(total),
            route_start=np.concatenate(([0], np.cumsum(np.concatenate(starts)))).astype(np.int64),
            links=np.concatenate([routes.edges for routes in self._routes]),
            weights=np.concatenate([routes.shares for routes in self._routes]),
            bandwidth=np.concatenate(self._bandwidth),
        )

    def _add(self, programme: Ints, partners: Ints, slots: int, routes: Routes) -> range:
        self._programme.append(programme)
        self._partners.append(partners)
        self._slots.append(slots)
        self._routes.append(routes)
        self.count += len(programme)
        return range(self.count - len(programme), self.count)

    def _write(self, pattern: Pattern, row: Floats, turns: int, waits: bool) -> int:
        """Write a programme: each time the first step waits for the starter, the others for what came before.

        ``row`` holds the delays of the steps and which of them send.
        """
        columns = len(row) // 2
        if pattern.steps == 1:
            size, slot = (pattern.size, 0) if row[1] else (0.0, -1)
            gates = [(0, 1, 1)] if waits else []
            self.book.phase(turns, size, delay=float(row[0]), slot=slot, gates=gates)
            return self.book.programme()
        for turn in range(turns):
            step = 0
            while step < pattern.steps:
                column = min(step, columns - 1)
                alike = 1 if columns > 1 or step == 0 else pattern.steps - step
                gates = [(0, turn + 1, 0)] if waits and step == 0 else []
                partner = 1 if waits else 0
                for givers in pattern.givers if step else ():
                    which = min(step - 1, givers.shape[1] - 1)
                    gates.append((partner + which, turn * pattern.steps + step, 1))
                    partner += givers.shape[1]
                sends = bool(row[columns + column])
                size, slot = (pattern.size, column) if sends else (0.0, -1)
                self.book.phase(alike, size, delay=float(row[column]), slot=slot, gates=gates)
                step += alike
        return self.book.programme()


def alone(pattern: Pattern) -> Lanes:
    """Return the senders of a pattern with no other limit than their own rates."""
    writer = Writer(np.zeros(0))
    writer.add(pattern, 1, np.full(int(pattern.ways.edges.max(initial=0)) + 1, -1))
    return writer.lanes()
