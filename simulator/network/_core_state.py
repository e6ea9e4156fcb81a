"""What the compiled core knows: tables of lanes and links, programmes, who is on which link, work lists."""

from typing import Any, NamedTuple

import numpy as np

from simulator.network._compiled import compiled
from simulator.network._core_calendar import Calendar, calendar
from simulator.network.lanes import Lanes

NONE = -1
BLOCKED, WAITING, STARTING, FLOWING, ENDED, HELD = range(6)  # states of a lane; HELD: ends when told to

FLOW = np.dtype(
    [
        ("rate", "f8"),  # bytes/s of the message under way, since `since`
        ("fresh", "f8"),  # the same, or what the sharing under way gives it
        ("stamp", "i4"),  # the sharing in which its rate was sought last
        ("bottleneck", "i4"),  # the link that holds it to its rate
        ("joined", "i4"),  # the route on whose links it stands
        ("open", "i1"),  # 1: its rate is sought; 0: found
    ],
    align=True,
)  # of each lane, apart from the rest: sharing goes through it again and again, and so less memory

LANE = np.dtype(
    [
        ("left", "f8"),  # bytes at `since`
        ("since", "f8"),  # s
        ("sent", "i8"),  # messages that have ended
        ("last", "i8"),  # of the phase: how many will have been sent at its end
        ("need", "i8"),  # how many of the partner's messages it waits for
        ("phase", "i4"),
        ("route", "i4"),  # of the message under way
        ("first_waiter", "i4"),  # lanes that wait for its messages, a list
        ("next_waiter", "i4"),
        ("state", "i1"),
        ("watched", "i1"),  # 1: its ends are to be told; 2: one is in `told`
    ],
    align=True,
)

LINK = np.dtype(
    [
        ("bandwidth", "f8"),
        ("used", "f8"),  # bytes/s of lanes whose rate is known
        ("open", "f8"),  # weight of lanes whose rate is sought
        ("level", "f8"),  # rate of the lanes that it holds
        ("key", "f8"),  # level at which it has to be looked at
        ("start", "i8"),  # of its members
        ("count", "i4"),  # members
        ("holds", "i4"),  # lanes whose bottleneck it is
        ("at", "i4"),  # place in the heap
        ("exact", "i4"),  # what to do at `key`, if that is exact: EASE or FILL; 0 if it may be too low
    ],
    align=True,
)

PHASE = np.dtype(
    [
        ("size", "f8"), ("delay", "f8"), ("count", "i8"),
        ("slot", "i4"), ("stride", "i4"), ("gate", "i4"), ("gate_end", "i4"),
    ],
    align=True,
)  # fmt: skip

GATE = np.dtype([("base", "i8"), ("stride", "i8"), ("partner", "i8")], align=True)

# places in `State.counters`
INSTANTS, SHARINGS, CHANGES, LOOKS, MESSAGES = range(5)  # work done
HEAP, OPENED, ENDINGS, STARTS, TOLD, SEEKING, STATUS, CULPRIT = range(
    5, 13
)  # lengths of lists; what went wrong
# values of STATUS
GOING, LOST_BYTES, NO_ROOM = range(3)


class State(NamedTuple):
    """Arrays that the compiled functions share. See the record types for the columns.

    Parameters
    ----------
    flows, lanes, links, phases, gates : numpy.ndarray
        Records; `flows` and `lanes` by lane.
    first_phase, last_phase : numpy.ndarray of int32, shape (lanes,)
        Which phases each lane goes through; the last one not included.
    partner_start, partners, slot_start, slots : numpy.ndarray
        As in `Lanes`.
    route_start, crossed, weights : numpy.ndarray
        The links of each route and their weights; no weights if all are 1.
    members : numpy.ndarray of int64
        On each link, its lanes: lane times 2**32 plus the hop of its route.
    place_start : numpy.ndarray of int64, shape (lanes,)
        Where the hops of each lane begin in `places`.
    places : numpy.ndarray of int32
        For each hop of each lane that is on links, its place among the members of that link.
    calendar : tuple
        See `calendar`.
    heap, keys : numpy.ndarray of int32 and float64, shape (links,)
        Links to be looked at, the lowest level first, and these levels.
    batch, ended, starting, opened, told : numpy.ndarray of int32, shape (lanes,)
        Work lists of one instant.
    counters : numpy.ndarray of int64
        Counters of work and the status.
    """

    flows: Any
    lanes: Any
    links: Any
    phases: Any
    gates: Any
    first_phase: Any
    last_phase: Any
    partner_start: Any
    partners: Any
    slot_start: Any
    slots: Any
    route_start: Any
    crossed: Any
    weights: Any
    members: Any
    place_start: Any
    places: Any
    calendar: Calendar
    heap: Any
    keys: Any
    batch: Any
    ended: Any
    starting: Any
    opened: Any
    told: Any
    counters: Any


def state_of(lanes: Lanes) -> State:
    """Return the state before anything was released."""
    p, count = lanes.programmes, len(lanes.programme)
    top = np.where(p.slot < 0, 0, p.slot + p.slot_stride * (p.count - 1) + 1)
    slots = np.maximum.reduceat(top, p.start[:-1])[lanes.programme]
    crossed = lanes.links.astype(np.int32)
    place_start, room = np.zeros(count + 1, np.int64), np.zeros(len(lanes.bandwidth), np.int64)
    uses = np.zeros(len(lanes.route_start), np.int64)
    _count_uses(slots, lanes.slot_start, lanes.slots, lanes.route_start, crossed, place_start, room, uses)
    np.minimum(room, count, out=room)
    records, flows = np.zeros(count, LANE), np.zeros(count, FLOW)
    first = p.start[lanes.programme].astype(np.int32)
    _clear(records, flows, first)
    batch, ended, starting, opened, told = (np.zeros(count, np.int32) for _ in range(5))
    return State(
        flows=flows,
        lanes=records,
        links=links_of(lanes.bandwidth, room),
        phases=_phases(lanes),
        gates=_gates(lanes),
        first_phase=first,
        last_phase=p.start[lanes.programme + 1].astype(np.int32),
        partner_start=lanes.partner_start,
        partners=lanes.partners.astype(np.int32),
        slot_start=lanes.slot_start,
        slots=lanes.slots.astype(np.int32),
        route_start=lanes.route_start,
        crossed=crossed,
        weights=np.empty(0) if lanes.weights is None else lanes.weights,
        members=np.zeros(int(room.sum()), np.int64),
        place_start=place_start,
        places=np.zeros(int(place_start[-1]), np.int32),
        calendar=calendar(count),
        heap=np.zeros(len(lanes.bandwidth), np.int32),
        keys=np.zeros(len(lanes.bandwidth)),
        batch=batch,
        ended=ended,
        starting=starting,
        opened=opened,
        told=told,
        counters=np.zeros(13, np.int64),
    )


@compiled
def _count_uses(
    slots: Any,
    slot_start: Any,
    routes: Any,
    route_start: Any,
    crossed: Any,
    places: Any,
    room: Any,
    uses: Any,
) -> None:
    """Count how many places each lane needs, summed up, and how many members each link can have."""
    for lane in range(len(slots)):
        longest = 0
        for at in range(slot_start[lane], slot_start[lane] + slots[lane]):
            route = routes[at]
            uses[route] += 1
            longest = max(longest, route_start[route + 1] - route_start[route])
        places[lane + 1] = places[lane] + longest
    for route in range(len(route_start) - 1):
        for at in range(route_start[route], route_start[route + 1]):
            room[crossed[at]] += uses[route]


@compiled
def _clear(lanes: Any, flows: Any, first: Any) -> None:
    """Let lanes stand before their first phase, on no link, with nobody waiting."""
    for number in range(len(lanes)):
        lane = lanes[number]
        lane.phase = first[number]
        lane.route = lane.first_waiter = lane.next_waiter = NONE
        flows[number].joined = flows[number].bottleneck = NONE


def links_of(bandwidth: Any, room: Any) -> Any:
    """Return links with room for so many members each."""
    links = np.zeros(len(bandwidth), LINK)
    links["bandwidth"] = bandwidth
    links["key"], links["at"] = np.inf, NONE
    links["start"] = np.cumsum(room) - room
    return links


def _phases(lanes: Lanes) -> Any:
    p = lanes.programmes
    table = np.zeros(len(p.count), PHASE)
    table["count"], table["size"], table["delay"] = p.count, p.size, p.delay
    table["slot"], table["stride"] = p.slot, p.slot_stride
    table["gate"], table["gate_end"] = p.gate_start[:-1], p.gate_start[1:]
    return table


def _gates(lanes: Lanes) -> Any:
    p = lanes.programmes
    table = np.zeros(len(p.gate_base), GATE)
    table["base"], table["stride"], table["partner"] = p.gate_base, p.gate_stride, p.gate_partner
    return table
