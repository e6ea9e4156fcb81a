"""What the bytes of many pairs put on the edges at once, where they spread over all their ways."""

from collections.abc import Iterator
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine._replay_alike import Alike
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
        total = np.bincount(place, weights=amounts, minlength=len(known)).astype(np.float64)
        one, other = np.divmod(known, self._gpus)
        alike, odd = self._alike, [np.zeros(0, dtype=np.int64)]
        machine = alike.machine[one]
        near = np.flatnonzero((machine == alike.machine[other]) & (machine >= 0))
        odd.append(np.setdiff1d(np.arange(len(known)), near))
        wide = int(alike.seat.max(initial=0)) + 1
        keys = (alike.kind[machine[near]] * wide + alike.seat[one[near]]) * wide + alike.seat[other[near]]
        for members in _groups(keys):
            some = near[members]
            numbers = alike.pieces(int(one[some[0]]), int(other[some[0]]), machine[some])
            if numbers is None:
                odd.append(some)
            else:
                yield numbers.ravel(), np.tile(total[some], len(numbers))
        rest = np.concatenate(odd)
        yield from self._asked(one[rest], other[rest], total[rest])

    def _asked(self, src: Ints, dst: Ints, amounts: Floats) -> Terms:
        """Yield what goes by ways that are asked for pair by pair."""
        numbers, carried = [], []
        for one, other, amount in zip(src.tolist(), dst.tolist(), amounts.tolist(), strict=True):
            for number, part in self._ways.alone(one, other):
                numbers.append(number)
                carried.append(part * amount)
        yield np.array(numbers, dtype=np.int64), np.array(carried)

    def _joined(self, src: Ints, dst: Ints, amounts: Floats) -> Terms:
        """Yield what goes from machine to machine."""
        if not len(src):
            return
        (outs, leaving), (ins, entering) = self._ways.outs.table, self._ways.ins.table
        keys = outs[src] * (int(ins.max()) + 1) + ins[dst]
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        joins = [
            self._ways.joins(*pair) for pair in zip(src[first].tolist(), dst[first].tolist(), strict=True)
        ]
        width = np.array([len(found) for found in joins], dtype=np.int64)[place]
        apart = np.flatnonzero(width == 0)
        if len(apart):
            yield from self._each(src[apart], dst[apart], amounts[apart])
        for turn in range(int(width.max())):
            there = np.flatnonzero(width > turn)
            part, kind = amounts[there] / width[there], place[there]
            used = [found[turn] if turn < len(found) else (-1, (), -1) for found in joins]
            yield leaving[src[there], np.array([i for i, _, _ in used])[kind]], part
            yield entering[dst[there], np.array([j for _, _, j in used])[kind]], part
            middles = [middle for _, middle, _ in used]
            numbers = np.array([*chain.from_iterable(middles)], dtype=np.int64)
            total = np.bincount(kind, weights=part, minlength=len(joins))
            yield numbers, np.repeat(total, [len(middle) for middle in middles])

    @cached_property
    def _alike(self) -> Alike:
        return Alike(self._ways)

    @cached_property
    def _tables(self) -> tuple[Ints, Ints]:
        """Return the machine of each GPU by number, and which GPU of a machine is on which rail, else -1."""
        ways = self._ways
        numbers = {host: at for at, host in enumerate(dict.fromkeys(ways.host))}
        relays = np.full((len(numbers), max(ways.rail, default=0) + 1), -1)
        for (host, rail), at in ways.on_rail.items():
            relays[numbers[host], rail] = at
        return np.array([numbers[host] for host in ways.host]), relays


def _groups(keys: Ints) -> Iterator[Ints]:
    """Yield the places of each value among some that are 0 or more, in order of the values."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order], prepend=-1, append=-1))
    for begin, end in pairwise(bounds.tolist()):
        yield order[begin:end]
