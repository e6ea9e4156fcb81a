"""Machines that are wired alike: a way inside one of them is that inside all the others, with other edges."""

from typing import TYPE_CHECKING

import numpy as np

from simulator.engine._replay_pieces import Ints
from simulator.engine._replay_wiring import NOWHERE

if TYPE_CHECKING:
    from simulator.engine._replay_ways import Ways


class Alike:
    """The ways inside machines, worked out in one of each kind.

    Two machines are of a kind if their nodes, numbered in the order of the fabric, are the same kinds of nodes
    and their edges, in that order too, join the same of these at the same bandwidth.

    Parameters
    ----------
    ways : Ways
        Between the GPUs; their policy must be to spread.
    """

    def __init__(self, ways: "Ways") -> None:
        self._ways = ways
        wiring = ways.wiring
        self.machine: Ints = wiring.machine[ways.seats]  # of each GPU
        machines = int(wiring.machine.max(initial=NOWHERE)) + 1
        home = np.flatnonzero(wiring.machine != NOWHERE)
        nodes, first = _grouped(home, wiring.machine[home], machines)
        local = np.zeros(len(wiring.nodes), dtype=np.int64)
        local[nodes] = np.arange(len(nodes)) - first[wiring.machine[nodes]]
        self.seat: Ints = local[ways.seats]  # where each GPU stands among the nodes of its machine
        owner = wiring.machine[wiring.tail]
        inner = np.flatnonzero((owner == wiring.machine[wiring.head]) & (owner != NOWHERE))
        self._edges, self._first = _grouped(inner, owner[inner], machines)
        sorts = (wiring.gpu + 2 * wiring.nic)[nodes]
        ends, rates = (
            np.stack((local[wiring.tail], local[wiring.head]))[:, self._edges],
            wiring.bandwidth[self._edges],
        )
        known: dict[tuple[bytes, ...], int] = {}
        self.kind = np.zeros(machines, dtype=np.int64)
        for at in range(machines):
            own, there = slice(self._first[at], self._first[at + 1]), slice(first[at], first[at + 1])
            key = sorts[there].tobytes(), ends[:, own].tobytes(), rates[own].tobytes()
            self.kind[at] = known.setdefault(key, len(known))
        order, start = _grouped(np.arange(machines), self.kind, len(known))
        self._members = [order[start[at] : start[at + 1]] for at in range(len(known))]
        self._turn = np.zeros(machines, dtype=np.int64)
        self._turn[order] = np.arange(machines) - start[self.kind[order]]
        self._tables: dict[tuple[int, int, int], Ints | None] = {}

    def pieces(self, src: int, dst: int, machines: Ints) -> Ints | None:
        """Return the pieces between two GPUs of a machine as they are in machines of its kind.

        Parameters
        ----------
        src, dst : int
            GPUs of one machine.
        machines : array of int
            Machines of its kind, shape (machines,).

        Returns
        -------
        numpy.ndarray or None
            By number, shape (pieces, machines); None where each machine must be asked for itself.
        """
        kind = int(self.kind[self.machine[src]])
        key = kind, int(self.seat[src]), int(self.seat[dst])
        if key not in self._tables:
            self._tables[key] = self._table(src, dst, self._members[kind])
        table = self._tables[key]
        return None if table is None else table[:, self._turn[machines]]

    def _table(self, src: int, dst: int, members: Ints) -> Ints | None:
        """Return the pieces of a way in every machine of a kind, shape (pieces, machines)."""
        if len(members) == 1 or not self._ways.meshed(src):
            return None
        at = int(self.machine[src])
        own = self._edges[self._first[at] : self._first[at + 1]]
        rows = []
        for number, _ in self._ways.alone(src, dst):
            piece = self._ways.piece(number)
            place = np.searchsorted(own, [edge for edge, _ in piece])
            if (own[np.minimum(place, len(own) - 1)] != [edge for edge, _ in piece]).any():
                return None  # the way leaves the machine
            edges = self._edges[self._first[members][:, None] + place]
            rows.append(self._ways.keep_all(edges, np.array([share for _, share in piece])))
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(members))


def _grouped(items: Ints, owner: Ints, owners: int) -> tuple[Ints, Ints]:
    """Return items owner by owner, in order, and where those of each start, shape (owners + 1,)."""
    order = np.argsort(owner, kind="stable")
    lengths = np.bincount(owner, minlength=owners)
    return items[order], np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))
