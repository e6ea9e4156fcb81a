"""Which links two jobs wanted at the same time, and by how much that was too much."""

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import cast

import numpy as np

from simulator.engine._replay_wire import Flight, Medium

Edge = Hashable
_ROUNDING = 1e-9  # of a link's capacity


def contested(medium: Medium, firsts: Sequence[int]) -> dict[tuple[int, int], dict[Edge, float]]:
    r"""Return how contested each link was between two jobs, s, for those that were at all.

    With :math:`u_l(t)` the sum of the parts of link `l` that all uses under way at `t` fill on an idle network,
    this is :math:`\int \max(0, u_l(t) - 1)\,dt` over the times at which both jobs are on the link. Messages may
    fill a link for a while that their collective does not in the mean: then it is :math:`\int u_l(t)\,dt`.

    Parameters
    ----------
    medium : Medium
        After the replay, watched.
    firsts : sequence of int
        The number of each job's first use.
    """
    if medium.sharing is None:
        return {}
    felt = {number: medium.sharing.felt(number) for number in medium.networked}
    edges = list(dict.fromkeys(edge for parts in felt.values() for edge in parts))
    place = {edge: at for at, edge in enumerate(edges)}
    wants = {
        number: (
            bisect_right(firsts, number) - 1,
            np.array([place[edge] for edge in parts]),
            np.array(list(parts.values())),
        )
        for number, parts in felt.items()
    }
    parts_of = np.zeros((len(firsts), len(edges)))  # of each link, what each job wants now
    pairs = list(combinations(range(len(firsts)), 2))
    found = np.zeros((len(pairs), len(edges)))
    last, enough = 0.0, 0.0 if medium.each else 1.0
    for at, sign, number in _changes(medium.flights):
        if at > last:
            excess = np.maximum(0.0, parts_of.sum(axis=0) - enough - _ROUNDING)
            if excess.any():
                there = parts_of > _ROUNDING
                for row, (one, other) in enumerate(pairs):
                    found[row] += (at - last) * excess * (there[one] & there[other])
            last = at
        job, where, parts = wants[number]
        parts_of[job, where] += sign * parts
    return {
        pair: {edges[at]: float(row[at]) for at in np.flatnonzero(row)}
        for pair, row in zip(pairs, found, strict=True)
        if row.any()
    }


def _changes(flights: dict[Hashable, Flight]) -> list[tuple[float, int, int]]:
    """Return when each use came onto its links and left them, in order of time."""
    ends = {name: float(cast(float, flight.ended.value)) for name, flight in flights.items()}
    found = []
    for name, flight in flights.items():
        begun = max(flight.asked, *(ends.get(earlier, 0.0) for earlier in flight.after), 0.0)
        found += [(begun, 1, flight.number), (ends[name], -1, flight.number)]
    return sorted(found)
