"""Max-min fair rates, compiled: only what a start or an end can change is looked at, from the lowest level up.

Rates are found as if all flows were raised together. A link is looked at when the rising level reaches

- the level at which it would be full, with those whose rate is sought at that level and all others at what
  they have; those whose rate is sought, and others that have more, are then held there; or
- the level of those that it holds, if it is not full there any more: their rates are then sought.

Everything below stays as it is. Keys are lower bounds of these levels, worked out from sums, and made exact
by a look at the members when they come to the top: so a key may be too low, never too high.

References
----------
.. [1] Bertsekas, Gallager, Data Networks, 2nd ed., 1992, section 6.5.2: an allocation is max-min fair if and
   only if each flow has a full link on which none is faster.
"""

from typing import Any

import numpy as np

from simulator.network._compiled import compiled, inlined
from simulator.network._core_state import HEAP, LOOKS, NONE, OPENED, SHARINGS, State

SAME = 1e-13  # relative; levels this close differ by rounding
EASE, FILL = 1, 2  # what to do with a link
MARGIN = 1e-9  # relative to the bandwidth; what rounding may have added to a link's sums since the last look


@inlined
def crossing(s: State, at: int) -> float:
    """Return the weight of one hop of a route."""
    return s.weights[at] if len(s.weights) else 1.0


@inlined
def look_at(s: State, number: int, level: float) -> None:
    """Have a link looked at when the rising level is there, or before."""
    if level < s.links[number].key:
        s.links[number].key = level
        place = s.links[number].at
        if place == NONE:
            place = s.counters[HEAP]
            s.counters[HEAP] += 1
        while place > 0:
            above = (place - 1) >> 2
            if s.keys[above] <= level:
                break
            s.heap[place], s.keys[place] = s.heap[above], s.keys[above]
            s.links[s.heap[place]].at = place
            place = above
        s.heap[place], s.keys[place] = number, level
        s.links[number].at = place


@inlined
def sink(s: State, number: int, place: int) -> None:
    """Put a link where the heap has a hole, or below."""
    heap, keys, links, size = s.heap, s.keys, s.links, s.counters[HEAP]
    key = links[number].key
    while True:
        first = 4 * place + 1
        best, least = NONE, key
        for below in range(first, min(first + 4, size)):
            if keys[below] < least:
                best, least = below, keys[below]
        if best == NONE:
            break
        heap[place], keys[place] = heap[best], least
        links[heap[place]].at = place
        place = best
    heap[place], keys[place] = number, key
    links[number].at = place


@inlined
def drop_top(s: State) -> None:
    """Take the first link off the heap."""
    top = s.links[s.heap[0]]
    top.at, top.key = NONE, np.inf
    s.counters[HEAP] -= 1
    if s.counters[HEAP]:
        sink(s, s.heap[s.counters[HEAP]], 0)


@inlined
def bound(link: Any) -> float:
    """Return a level below which the link needs no look."""
    level = np.inf
    spare = link.bandwidth * (1.0 - MARGIN) - link.used
    if link.open > 0.0:
        level = spare / link.open
    elif spare < 0.0:
        level = 0.0
    return min(level, link.level) if link.holds else level


@compiled
def seek(s: State, number: int, sharing: int) -> None:
    """Seek the rate of a lane on links; what it had is not counted on them any more."""
    lane = s.flows[number]
    before = lane.rate
    if before > 0.0:
        s.links[lane.bottleneck].holds -= 1
        lane.bottleneck = NONE
    lane.stamp, lane.open = sharing, 1
    s.opened[s.counters[OPENED]] = number
    s.counters[OPENED] += 1
    for at in range(s.route_start[lane.joined], s.route_start[lane.joined + 1]):
        link, weight = s.links[s.crossed[at]], crossing(s, at)
        link.used -= weight * before
        link.open += weight
        link.exact = 0
        look_at(s, s.crossed[at], bound(link))


@compiled
def ease(s: State, number: int, sharing: int) -> None:
    """Seek the rates of those that a link holds though it is not full any more."""
    link = s.links[number]
    for at in range(link.start, link.start + link.count):
        lane = s.members[at] >> 32
        if s.flows[lane].bottleneck == number and s.flows[lane].stamp != sharing:
            seek(s, lane, sharing)


@compiled
def fill(s: State, number: int, level: float, sharing: int) -> None:
    """Hold those at a level that seek a rate on a link or have more than this."""
    link = s.links[number]
    for place in range(link.start, link.start + link.count):
        lane = s.members[place] >> 32
        record = s.flows[lane]
        before = 0.0
        if record.stamp == sharing:
            if not record.open:
                continue
            record.open = 0
        elif record.rate > level * (1.0 + SAME):
            before = record.rate
            s.links[record.bottleneck].holds -= 1
            record.stamp, record.open = sharing, 0
            s.opened[s.counters[OPENED]] = lane
            s.counters[OPENED] += 1
        else:
            continue
        record.fresh, record.bottleneck = level, number
        link.holds += 1
        for at in range(s.route_start[record.joined], s.route_start[record.joined + 1]):
            other, weight = s.links[s.crossed[at]], crossing(s, at)
            other.used += weight * (level - before)
            other.exact = 0
            if before == 0.0:
                other.open -= weight
            elif other.holds and s.crossed[at] != number:
                look_at(s, s.crossed[at], other.level)  # it may not be full any more
    link.level = level


@compiled
def _level_with_others(s: State, number: int, level: float, sharing: int) -> float:
    """Return the level at which a link is full if those that have more give way: Newton's method, from below.

    What a link carries is a concave function of the level, in pieces straight, so a step never goes too far
    and the last one is exact.
    """
    link, giving = s.links[number], s.links[number].count + 1
    while True:
        used, seeking, count, lowest = 0.0, 0.0, 0, np.inf
        for at in range(link.start, link.start + link.count):
            record = s.flows[s.members[at] >> 32]
            weight = weight_of(s, s.members[at], record.joined)
            if record.open:
                seeking += weight
            elif record.fresh > level and record.stamp != sharing:
                seeking += weight
                count += 1
                lowest = min(lowest, record.fresh)
            else:
                used += weight * record.fresh
        if count >= giving or seeking == 0.0:  # never more than before, except by rounding
            return level
        giving = count
        level = (link.bandwidth - used) / seeking
        if level <= lowest:
            return level


@inlined
def weight_of(s: State, member: int, route: int) -> float:
    """Return the weight of a member of a link."""
    return s.weights[s.route_start[route] + (member & 0xFFFFFFFF)] if len(s.weights) else 1.0


@inlined
def look(s: State, number: int, sharing: int) -> None:
    """Make the key of a link exact, and note what is to be done there."""
    link = s.links[number]
    s.counters[LOOKS] += 1
    used, seeking, most, held = 0.0, 0.0, 0.0, False
    for at in range(link.start, link.start + link.count):
        lane = s.flows[s.members[at] >> 32]
        weight = weight_of(s, s.members[at], lane.joined)
        if lane.open:
            seeking += weight
        else:  # of one whose rate did not change yet, `fresh` is that rate
            used += weight * lane.fresh
            most = max(most, lane.fresh)
            held |= lane.bottleneck == number and lane.stamp != sharing
    link.used, link.open, link.exact = used, seeking, FILL
    level = np.inf
    if seeking > 0.0 or used > link.bandwidth * (1.0 + SAME):
        level = (link.bandwidth - used) / seeking if seeking > 0.0 else -np.inf
        if level < most:
            level = _level_with_others(s, number, level, sharing)
    if held:
        full = used >= link.bandwidth * (1.0 - SAME) and seeking == 0.0
        if not full and level > link.level * (1.0 + SAME):
            level, link.exact = link.level, EASE
        elif level > link.level * (1.0 - SAME) and level < np.inf:
            level = link.level
    link.key = max(level, link.key)


@compiled
def share(s: State, sharing: int) -> None:
    """Give everybody the fair rate, if the links where it can have changed are in the heap."""
    counters = s.counters
    counters[SHARINGS] += 1
    while counters[HEAP]:
        number = s.heap[0]
        link = s.links[number]
        if not link.exact:
            level = bound(link)
            if level > link.key:
                link.key = level
            else:
                look(s, number, sharing)
            if link.key == np.inf:
                drop_top(s)
            else:
                sink(s, number, link.at)
        elif link.exact == EASE:
            ease(s, number, sharing)
            link.key, link.exact = max(link.key, bound(link)), 0
            sink(s, number, link.at)
        else:
            level = link.key
            drop_top(s)
            fill(s, number, level, sharing)
