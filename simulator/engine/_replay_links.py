"""The links that can hold messages up: all others are left out, which changes no result."""

from collections import defaultdict
from collections.abc import Hashable, Mapping

import numpy as np

from simulator.engine._replay_patterns import NOBODY, Floats, Ints, Pattern, Routes

_ROUNDING = 1e-9


def deciding(
    bandwidth: Floats,
    patterns: Mapping[int, Pattern],
    copies: Mapping[int, int],
    streams: Mapping[int, Hashable],
) -> tuple[Ints, Floats]:
    r"""Return the place of each link that can hold anybody up, -1 for the others, and their bandwidth.

    A link is left out if

    - it could carry all at once that can ever be on it: of each stream, whose uses never overlap, the one
      that needs most;
    - all that crosses it crosses another link with as large a part of its bandwidth; or
    - what links that stay let through is never too much: with :math:`w_{fl}` the bytes of flow `f` on link `l`
      and `e(f)` another link that it crosses,
      :math:`\sum_e B_e \max_{e(f)=e} w_{fl}/w_{fe} \le B_l`.

    Parameters
    ----------
    bandwidth : numpy.ndarray of float64
        Bytes/s, shape (links,).
    patterns, copies, streams : mapping by number of the use
        What each does, how many may be under way at a time, and uses of which stream never overlap.
    """
    most = _most(bandwidth, patterns, copies, streams)
    kept = most > bandwidth * (1 + _ROUNDING)
    kept &= _first_of_alike(bandwidth, patterns, kept)
    for first in (True, False):
        kept &= ~_fed(bandwidth, patterns, kept, first=first)
    place = np.full(len(bandwidth), NOBODY)
    place[kept] = np.arange(int(kept.sum()))
    return place, bandwidth[kept]


def _most(
    bandwidth: Floats,
    patterns: Mapping[int, Pattern],
    copies: Mapping[int, int],
    streams: Mapping[int, Hashable],
) -> Floats:
    """Return the bytes/s that can be on each link at most."""
    by_stream: dict[Hashable, list[int]] = defaultdict(list)
    for number in patterns:
        by_stream[streams[number]].append(number)
    most = np.zeros(len(bandwidth))
    for members in by_stream.values():
        peak = np.zeros(len(bandwidth))
        for number in members:
            peak = np.maximum(peak, copies[number] * _peak(patterns[number], len(bandwidth)))
        most += peak
    return most


def _peak(pattern: Pattern, links: int) -> Floats:
    """Return the bytes/s that a use puts on each link at most, whatever step each of its senders is at."""
    sender, step = np.nonzero(pattern.route != NOBODY)
    routes = pattern.ways.taken(pattern.route[sender, step])
    lengths = np.diff(routes.start)
    load = routes.shares * np.repeat(pattern.cap[sender, step], lengths)
    if pattern.route.shape[1] == 1:
        return np.bincount(routes.edges, weights=load, minlength=links).astype(np.float64)
    keys, place = np.unique(np.repeat(sender, lengths) * links + routes.edges, return_inverse=True)
    most = np.zeros(len(keys))
    np.maximum.at(most, place, load)
    return np.bincount(keys % links, weights=most, minlength=links).astype(np.float64)


def _ways(patterns: Mapping[int, Pattern], kept: np.ndarray) -> Routes:
    """Return the different ways of all uses over the links that are kept so far, by their old numbers."""
    place = np.where(kept, np.arange(len(kept)), NOBODY)
    found = list({id(pattern.ways): pattern.ways for pattern in patterns.values()}.values())
    parts = [ways.on(place) for ways in found]
    lengths = np.concatenate([np.diff(ways.start) for ways in parts])
    return Routes(
        start=np.concatenate(([0], np.cumsum(lengths))),
        edges=np.concatenate([ways.edges for ways in parts]),
        shares=np.concatenate([ways.shares for ways in parts]),
    )


def _first_of_alike(bandwidth: Floats, patterns: Mapping[int, Pattern], kept: np.ndarray) -> np.ndarray:
    """Return one link of each class that the same ways cross with the same parts of its bandwidth."""
    ways = _ways(patterns, kept)
    generator = np.random.default_rng(0)  # a random projection: rows that agree in it are equal
    marks = np.repeat(generator.uniform(1, 2, len(ways.start) - 1), np.diff(ways.start))
    projected = np.bincount(ways.edges, weights=marks * ways.shares, minlength=len(bandwidth)) / bandwidth
    mantissa, exponent = np.frexp(projected)
    inside = np.flatnonzero(kept)
    _, first = np.unique(np.ldexp(np.round(mantissa * 2**36), exponent)[inside], return_index=True)
    chosen = np.zeros(len(bandwidth), dtype=bool)
    chosen[inside[first]] = True
    return chosen


def _fed(bandwidth: Floats, patterns: Mapping[int, Pattern], kept: np.ndarray, *, first: bool) -> np.ndarray:
    """Return the links for which too little comes through the first, or the last, link of each way."""
    ways, links = _ways(patterns, kept), len(bandwidth)
    lengths = np.diff(ways.start)
    some = np.flatnonzero(lengths)
    gate = (ways.start[:-1] if first else ways.start[1:] - 1)[some]
    feeder = np.repeat(ways.edges[gate], lengths[some])
    ratio = ways.shares / np.repeat(ways.shares[gate], lengths[some])
    keys, place = np.unique(ways.edges * links + feeder, return_inverse=True)
    worst = np.zeros(len(keys))
    np.maximum.at(worst, place, ratio)
    through = np.bincount(keys // links, weights=worst * bandwidth[keys % links], minlength=links)
    feeders = np.zeros(links, dtype=bool)
    feeders[feeder] = True
    return (through <= bandwidth * (1 + _ROUNDING)) & ~feeders
