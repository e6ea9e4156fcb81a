"""Collectives whose steps are alike, as lanes by formula: rings, and all ranks sending to all others.

Where a step reduces and that takes time, or an algorithm is none of these, its messages are followed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulator.collectives import (
    direct_all_gather,
    direct_all_to_all,
    direct_reduce_scatter,
    one_shot_all_reduce,
    pairwise_all_to_all,
    ring_all_reduce,
    ring_reduce_scatter,
)
from simulator.engine._collective_repeats import rounds_of_ring
from simulator.engine._collective_sheet import Sheet
from simulator.engine.collective_plan import Plan
from simulator.network.lanes import Floats, Ints

_REDUCES = (ring_all_reduce, ring_reduce_scatter, direct_reduce_scatter, one_shot_all_reduce)
_TO_ALL = (direct_all_gather, direct_all_to_all, direct_reduce_scatter, one_shot_all_reduce)


@dataclass(frozen=True, slots=True)
class Alike:
    """A collective that is written by formula.

    Parameters
    ----------
    plan : Plan
        The collective.
    phases, messages : int
        How many.
    each : float
        Bytes of a message.
    write : callable
        Writes the lanes, given this and the sheet.
    routes : int
        Routes that they take.
    """

    plan: Plan
    phases: int
    messages: int
    each: float
    write: Callable[["Alike", Sheet], None]
    routes: int

    def sent(self) -> float:
        """Return the bytes sent by each rank."""
        return self.each * (self.messages // self.plan.ranks)


def alike(plan: Plan) -> Alike | None:
    """Return how to write a collective by formula; None where its messages have to be followed."""
    module, ranks = plan.module, plan.ranks
    if ranks == 1 or (plan.gamma and module in _REDUCES):
        return None
    part, pairs = plan.size / ranks, ranks * (ranks - 1)
    rounds = rounds_of_ring(module)
    if rounds:
        return Alike(plan, rounds * (ranks - 1), rounds * pairs, part, _ring, ranks)
    if module is pairwise_all_to_all:
        return Alike(plan, ranks - 1, pairs, part, _shifts, pairs)
    if module in _TO_ALL:
        each = plan.size if module is one_shot_all_reduce else part
        return Alike(plan, 1, pairs, each, _to_all, pairs)
    return None


def _ring(one: Alike, sheet: Sheet) -> None:
    """Write a lane a rank, which waits for what its neighbour sent in the step before."""
    plan, count = one.plan, one.plan.ranks
    rank: Ints = np.arange(count)
    routes, latency = sheet.routes(plan.paths, rank, (rank + 1) % count)
    delay, like = np.unique(plan.alpha + latency, return_inverse=True)
    gates: Ints = np.array([(0, 0, 1)], np.int64)
    programmes = [
        sheet.programme(np.array([(one.phases, one.each, wait, *_slot(one, 0), 1.0)]), gates)
        for wait in delay.tolist()
    ]
    before = sheet.lanes + (rank - 1) % count
    sheet.write(np.array(programmes)[like], rank, before, rank, routes)


def _shifts(one: Alike, sheet: Sheet) -> None:
    """Write a lane a rank, which sends to the next rank, then to the one after it, and so on.

    Before it sends its message k, counted from 0, to the rank k + 1 places on, both have received that of
    the step before: it from the rank k places back, the other from the next rank.
    """
    plan, count = one.plan, one.plan.ranks
    rank, turn = np.arange(count)[:, None], np.arange(count - 1)
    routes, latency = sheet.routes(
        plan.paths, np.repeat(np.arange(count), count - 1), ((rank + turn + 1) % count).ravel()
    )
    delay, like = np.unique((plan.alpha + latency).reshape(count, count - 1), axis=0, return_inverse=True)
    gates: Ints = np.zeros((count - 1, 2, 3), np.int64)
    gates[:, 1, 0] = turn  # the partner k places back; the first one is the next rank
    gates[:, :, 1] = turn[:, None]
    waits = gates[1:].reshape(-1, 3)
    programmes = [sheet.programme(_rows_of_shifts(one, waiting), waits) for waiting in delay]
    partners = np.concatenate([(rank + 1) % count, (rank - turn[1:]) % count], axis=1)
    sheet.write(
        np.array(programmes)[like.ravel()],
        np.arange(count) * (count - 1),
        sheet.lanes + partners.ravel(),
        np.arange(count) * (count - 1),
        routes,
    )


def _rows_of_shifts(one: Alike, delay: Floats) -> Floats:
    rows: Floats = np.zeros((len(delay), 6))
    rows[:, 0], rows[:, 1], rows[:, 2], rows[1:, 5] = 1.0, one.each, delay, 2.0
    rows[:, 3] = np.arange(len(delay)) if one.each else -1.0
    return rows


def _to_all(one: Alike, sheet: Sheet) -> None:
    """Write a lane a pair of ranks; all go at once."""
    plan, count = one.plan, one.plan.ranks
    src = np.repeat(np.arange(count), count - 1)
    dst = (np.arange(count - 1) + np.arange(1, count + 1)[:, None]).ravel() % count
    routes, latency = sheet.routes(plan.paths, src, dst)
    delay, like = np.unique(plan.alpha + latency, return_inverse=True)
    nobody: Ints = np.zeros((0, 3), np.int64)
    programmes = [
        sheet.programme(np.array([(1.0, one.each, wait, *_slot(one, 0), 0.0)]), nobody)
        for wait in delay.tolist()
    ]
    sheet.write(
        np.array(programmes)[like], np.zeros(len(src), np.int64), nobody[:, 0], np.arange(len(src)), routes
    )


def _slot(one: Alike, slot: int) -> tuple[int, int]:
    """Return slot and stride of messages that take one route, or none if they have no bytes."""
    return (slot if one.each else -1), 0
