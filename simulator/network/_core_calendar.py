"""When each lane is due: a tree of minima over blocks of 64, brought up to date where it was touched.

Level 0 holds the lanes themselves. A block is touched when one of its members changes, and then counted anew
when somebody asks for the earliest. So a change costs a store, and an instant at which many lanes are due
costs little more than one at which one is.
"""

from typing import Any

import numpy as np

from simulator.network._compiled import compiled, inlined, reordered

BLOCK = 64
Calendar = tuple[Any, Any, Any, Any, Any, Any, Any]  # due, three levels of minima, three of marks


def calendar(lanes: int) -> Calendar:
    """Return a calendar on which nobody is due."""
    sizes = [lanes]
    for _ in range(3):
        sizes.append(-(-sizes[-1] // BLOCK))
    due, *mins = (np.full(-(-size // BLOCK) * BLOCK, np.inf) for size in sizes)
    return (due, *mins, *(np.zeros(len(level), np.uint8) for level in mins))  # type: ignore[return-value]


@inlined
def set_due(c: Calendar, lane: int, instant: float) -> None:
    """Let a lane be due."""
    c[0][lane] = instant
    block = lane >> 6
    if not c[4][block]:
        c[4][block] = 1
        c[5][block >> 6] = 1
        c[6][block >> 12] = 1


@reordered
def _least(values: Any, start: int) -> float:
    least = np.inf
    for at in range(start, start + 64):
        least = min(least, values[at])
    return least


@compiled
def earliest(c: Calendar) -> float:
    """Return when the first lane is due; inf if none is."""
    due, one, two, three, mark_one, mark_two, mark_three = c
    least = np.inf
    for third in range(len(three)):
        if mark_three[third]:
            mark_three[third] = 0
            for second in range(third << 6, min((third + 1) << 6, len(two))):
                if mark_two[second]:
                    mark_two[second] = 0
                    for first in range(second << 6, min((second + 1) << 6, len(one))):
                        if mark_one[first]:
                            mark_one[first] = 0
                            one[first] = _least(due, first << 6)
                    two[second] = _least(one, second << 6)
            three[third] = _least(two, third << 6)
        least = min(least, three[third])
    return least


@compiled
def take(c: Calendar, horizon: float, taken: Any) -> int:
    """Write the lanes that are due until then into ``taken`` and return how many; they are due no more."""
    due, one, two, three = c[0], c[1], c[2], c[3]
    count = 0
    for third in range(len(three)):
        if three[third] <= horizon:
            for second in range(third << 6, min((third + 1) << 6, len(two))):
                if two[second] <= horizon:
                    for first in range(second << 6, min((second + 1) << 6, len(one))):
                        if one[first] <= horizon:
                            for lane in range(first << 6, (first + 1) << 6):
                                if due[lane] <= horizon:
                                    taken[count] = lane
                                    count += 1
                                    set_due(c, lane, np.inf)
    return count
