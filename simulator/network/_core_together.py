"""Fair rates of many flows at once, compiled, without any state: one solve from scratch."""

from typing import Any

from simulator.network._compiled import compiled
from simulator.network._core_calendar import Calendar, earliest, set_due, take

SAME = 1 + 1e-14  # shares this close differ by rounding only


@compiled
def gather(route_start: Any, links: Any, first: Any, members: Any) -> None:
    """Write who is on each link; ``first``, which comes with zeros, says where its members begin."""
    for at in range(len(links)):
        first[links[at]] += 1
    total = 0
    for link in range(len(first)):
        total += first[link]
        first[link] = total
    for flow in range(len(route_start) - 2, -1, -1):
        for at in range(route_start[flow], route_start[flow + 1]):
            first[links[at]] -= 1
            members[first[links[at]]] = flow


@compiled
def fill_all(
    route_start: Any, links: Any, first: Any, members: Any, room: Any, seeking: Any, shares: Calendar,
    taken: Any, rates: Any,
) -> None:  # fmt: skip
    """Write the max-min fair rate of each flow by progressive filling.

    ``room`` comes with what each link can carry, ``rates`` with zeros, the others empty. Shares only grow as
    flows freeze, so old ones are bounds, and are brought up to date when they come to be the least.
    """
    for link in range(len(room)):
        seeking[link] = first[link + 1] - first[link]
        if seeking[link]:
            set_due(shares, link, room[link] / seeking[link])
    level = earliest(shares)
    while level < 1e300:
        for at in range(take(shares, level * SAME, taken)):
            link = taken[at]
            if not seeking[link]:
                continue
            share = max(level, room[link] / seeking[link])
            if share > level * SAME:
                set_due(shares, link, share)
                continue
            for place in range(first[link], first[link + 1]):
                flow = members[place]
                if rates[flow] == 0.0:
                    rates[flow] = share
                    for hop in range(route_start[flow], route_start[flow + 1]):
                        room[links[hop]] -= share
                        seeking[links[hop]] -= 1
        level = earliest(shares)
