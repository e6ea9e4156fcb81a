"""What the bytes of many pairs put on the edges at once, where they spread over all their ways."""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine._replay_pieces import Floats, Ints

if TYPE_CHECKING:
    from simulator.engine._replay_ways import Ways

Terms = Iterator[tuple[Ints, Floats]]  # pieces by number, and the bytes on each


class Spread:
    """The pieces that pairs of GPUs use, for all pairs between the same switches at once.

    Parameters
    ----------
    ways : Ways
        Between the GPUs; their policy must be to spread.
    """

    def __init__(self, ways: "Ways") -> None:
        self._ways, self._gpus = ways, len(ways.gpus)

    def terms(self, src: Ints, dst: Ints, amounts: Floats) -> Terms:
        """Yield pieces and the bytes on them.

        Parameters
        ----------
        src, dst : array of int
            GPUs by number, shape (pairs,).
        amounts : array of float
            Bytes, shape (pairs,).
        """
        machine, relays = self._tables
        inside = machine[src] == machine[dst]
        relay = src
        if self._ways.rail:
            rail = np.array(self._ways.rail)
            other = relays[machine[src], rail[dst]]
            relay = np.where(inside | (rail[src] == rail[dst]) | (other < 0), src, other)
        near = np.flatnonzero(inside | (relay != src))
        yield from self._each(src[near], np.where(inside, dst, relay)[near], amounts[near])
        far = np.flatnonzero(~inside)
        yield from self._joined(relay[far], dst[far], amounts[far])

    def _each(self, src: Ints, dst: Ints, amounts: Floats) -> Terms:
        """Yield what goes by ways that each pair has for itself."""
        known, place = np.unique(src * self._gpus + dst, return_inverse=True)
        total = np.bincount(place, weights=amounts, minlength=len(known))
        numbers, carried = [], []
        for pair, amount in zip(known.tolist(), total.tolist(), strict=True):
            for number, part in self._ways.alone(*divmod(pair, self._gpus)):
                numbers.append(number)
                carried.append(part * amount)
        yield np.array(numbers, dtype=np.int64), np.array(carried)

    def _joined(self, src: Ints, dst: Ints, amounts: Floats) -> Terms:
        """Yield what goes from machine to machine."""
        if not len(src):
            return
        (outs, leaving), (ins, entering) = self._ways.outs.table, self._ways.ins.table
        keys = outs[src] * (int(ins.max()) + 1) + ins[dst]
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.diff(keys[order], prepend=-1, append=-1))
        for begin, end in pairwise(bounds.tolist()):
            members = order[begin:end]
            one, other, sizes = src[members], dst[members], amounts[members]
            joins = self._ways.joins(int(one[0]), int(other[0]))
            if not joins:
                yield from self._each(one, other, sizes)
            part = sizes / max(1, len(joins))
            for i, middle, j in joins:
                yield leaving[one, i], part
                yield entering[other, j], part
                yield np.array(middle, dtype=np.int64), np.full(len(middle), part.sum())

    @cached_property
    def _tables(self) -> tuple[Ints, Ints]:
        """Return the machine of each GPU by number, and which GPU of a machine is on which rail, else -1."""
        ways = self._ways
        numbers = {host: at for at, host in enumerate(dict.fromkeys(ways.host))}
        relays = np.full((len(numbers), max(ways.rail, default=0) + 1), -1)
        for (host, rail), at in ways.on_rail.items():
            relays[numbers[host], rail] = at
        return np.array([numbers[host] for host in ways.host]), relays
