"""The clock of the compiled core: instant by instant, messages end, others start, rates are shared anew."""

import numpy as np

from simulator.network._compiled import compiled, inlined
from simulator.network._core_calendar import earliest, set_due, take
from simulator.network._core_share import crossing, look_at, seek, share
from simulator.network._core_state import (
    BLOCKED,
    CHANGES,
    CULPRIT,
    ENDED,
    ENDINGS,
    FLOWING,
    HEAP,
    HELD,
    INSTANTS,
    LOST_BYTES,
    MESSAGES,
    NONE,
    OPENED,
    STARTING,
    STARTS,
    STATUS,
    TOLD,
    WAITING,
    State,
)

INSTANT = 1e-12  # times closer than this, relative, are one instant
SLACK = 1e-9  # relative, of the bytes of a message
NOTHING = 1e-300  # bytes; below, doubles have no digits left


@compiled
def release(s: State, number: int, now: float) -> None:
    """Let a lane send its next message, or wait for the first gate that is shut."""
    lane = s.lanes[number]
    phase = s.phases[lane.phase]
    turn = lane.sent - lane.last + phase.count
    shut = False
    for at in range(phase.gate, phase.gate_end):
        partner = s.partners[s.partner_start[number] + s.gates[at].partner]
        need = s.gates[at].base + s.gates[at].stride * turn
        if s.lanes[partner].sent < need:
            lane.need, lane.state = need, BLOCKED
            lane.next_waiter = s.lanes[partner].first_waiter
            s.lanes[partner].first_waiter = number
            shut = True
            break
    if not shut:
        lane.route = NONE
        if phase.slot >= 0:
            lane.route = s.slots[s.slot_start[number] + phase.slot + phase.stride * turn]
        if phase.delay > 0.0:
            lane.state = WAITING
            set_due(s.calendar, number, now + phase.delay)
        elif phase.size > 0.0:
            lane.state = STARTING
            s.starting[s.counters[STARTS]] = number
            s.counters[STARTS] += 1
        else:
            s.ended[s.counters[ENDINGS]] = number
            s.counters[ENDINGS] += 1


@compiled
def begin(s: State, now: float) -> None:
    """Release the first message of all lanes that are not held."""
    for number in range(len(s.lanes)):
        s.lanes[number].last = s.phases[s.lanes[number].phase].count
        if s.lanes[number].state != HELD:
            release(s, number, now)


@compiled
def nudge(s: State, number: int) -> None:
    """Let a held lane end a message at the next instant."""
    s.ended[s.counters[ENDINGS]] = number
    s.counters[ENDINGS] += 1


@compiled
def _end(s: State, now: float) -> None:
    """Let messages end, and release what waited for them, until nothing more happens at this instant."""
    lanes, counters = s.lanes, s.counters
    while counters[ENDINGS]:
        counters[ENDINGS] -= 1
        number = s.ended[counters[ENDINGS]]
        lane = lanes[number]
        lane.sent += 1
        counters[MESSAGES] += 1
        if lane.watched == 1:
            lane.watched = 2
            s.told[counters[TOLD]] = number
            counters[TOLD] += 1
        if lane.sent == lane.last:
            lane.phase += 1
            if lane.phase == s.last_phase[number]:
                lane.state, lane.since = ENDED, now
            else:
                lane.last += s.phases[lane.phase].count
        waiter, lane.first_waiter = lane.first_waiter, NONE
        if lane.state < ENDED:
            release(s, number, now)
        while waiter != NONE:
            after = lanes[waiter].next_waiter
            if lanes[waiter].need <= lane.sent:
                release(s, waiter, now)
            else:
                lanes[waiter].next_waiter, lane.first_waiter = lane.first_waiter, waiter
            waiter = after


@compiled
def _collect(s: State, now: float, due: int) -> int:
    """Sort those that are due: what ends, what starts; return how many had bytes on the way."""
    flowed = 0
    counters = s.counters
    for at in range(due):
        number = s.batch[at]
        lane = s.lanes[number]
        if lane.state == WAITING and s.phases[lane.phase].size > 0.0:
            lane.state = STARTING
            s.starting[counters[STARTS]] = number
            counters[STARTS] += 1
        else:
            if lane.state == FLOWING:
                size = s.phases[lane.phase].size
                rate = s.flows[number].rate
                lost = lane.left - rate * (now - lane.since)
                if abs(lost) > SLACK * size + 4 * INSTANT * now * rate + NOTHING:
                    counters[STATUS], counters[CULPRIT] = LOST_BYTES, number
                s.batch[flowed] = number
                flowed += 1
                lane.state = BLOCKED
            s.ended[counters[ENDINGS]] = number
            counters[ENDINGS] += 1
    return flowed


@compiled
def _leave(s: State, now: float, flowed: int) -> None:
    """Take those off their links that do not go on at once over the same ones."""
    left = 0
    for at in range(flowed):
        number = s.batch[at]
        lane, flow = s.lanes[number], s.flows[number]
        if lane.state == STARTING and lane.route == flow.joined:
            # who sends over the same links and when has not changed, so nor have the rates
            lane.state = FLOWING
            lane.left, lane.since = s.phases[lane.phase].size, now
            set_due(s.calendar, number, now + lane.left / flow.rate)
            continue
        s.batch[left] = number
        left += 1
        s.links[flow.bottleneck].holds -= 1
        start, place = s.route_start[flow.joined], s.place_start[number]
        for hop in range(s.route_start[flow.joined + 1] - start):
            link = s.links[s.crossed[start + hop]]
            link.used -= crossing(s, start + hop) * flow.rate
            link.exact = 0
            link.count -= 1
            here, last = s.places[place + hop], link.start + link.count
            moved = s.members[last]
            s.members[link.start + here] = moved
            s.places[s.place_start[moved >> 32] + (moved & 0xFFFFFFFF)] = here
            if not link.count:
                link.used = link.open = 0.0
    for at in range(left):
        flow = s.flows[s.batch[at]]
        for crossed in range(s.route_start[flow.joined], s.route_start[flow.joined + 1]):
            link = s.links[s.crossed[crossed]]
            if link.holds:
                look_at(s, s.crossed[crossed], link.level)
        flow.joined, flow.rate = NONE, 0.0


@compiled
def _join(s: State, now: float) -> None:
    """Put those that start on their links; who is alone there gets all at once, others are to be shared."""
    joined = 0
    for at in range(s.counters[STARTS]):
        number = s.starting[at]
        lane = s.lanes[number]
        if lane.state != STARTING:
            continue  # went on over the same links
        s.starting[joined] = number
        joined += 1
        lane.state, s.flows[number].joined = FLOWING, lane.route
        lane.left, lane.since = s.phases[lane.phase].size, now
        start = s.route_start[lane.route]
        for hop in range(s.route_start[lane.route + 1] - start):
            link = s.links[s.crossed[start + hop]]
            s.members[link.start + link.count] = (number << 32) + hop
            s.places[s.place_start[number] + hop] = link.count
            link.count += 1
    for at in range(joined):
        number = s.starting[at]
        if not _alone(s, number, now):
            seek(s, number, s.counters[INSTANTS])
    s.counters[STARTS] = 0


@inlined
def _alone(s: State, number: int, now: float) -> bool:
    """Give a lane all of its links if nobody else is on them; tell whether that is so."""
    flow = s.flows[number]
    rate, narrow, alone = np.inf, NONE, True
    for at in range(s.route_start[flow.joined], s.route_start[flow.joined + 1]):
        link = s.links[s.crossed[at]]
        if link.count > 1:
            alone = False
            break
        share = link.bandwidth / crossing(s, at)
        if share < rate:
            rate, narrow = share, s.crossed[at]
    if alone:
        for at in range(s.route_start[flow.joined], s.route_start[flow.joined + 1]):
            s.links[s.crossed[at]].used = crossing(s, at) * rate
        flow.rate = flow.fresh = rate
        flow.bottleneck = narrow
        s.links[narrow].holds, s.links[narrow].level = 1, rate
        s.counters[CHANGES] += 1
        set_due(s.calendar, number, now + s.lanes[number].left / rate)
    return alone


@compiled
def _settle(s: State, now: float) -> None:
    """Let new rates count from now on."""
    for at in range(s.counters[OPENED]):
        number = s.opened[at]
        lane, flow = s.lanes[number], s.flows[number]
        if flow.fresh != flow.rate:
            lane.left -= flow.rate * (now - lane.since)
            lane.since, flow.rate = now, flow.fresh
            s.counters[CHANGES] += 1
            set_due(s.calendar, number, now + max(0.0, lane.left) / flow.rate)
    s.counters[OPENED] = 0


@compiled
def instant(s: State, now: float, due: int) -> None:
    """Do all that happens at one instant, with those that are due in `State.batch`."""
    s.counters[INSTANTS] += 1
    flowed = _collect(s, now, due)
    _end(s, now)
    _leave(s, now, flowed)
    _join(s, now)
    if s.counters[HEAP]:
        share(s, s.counters[INSTANTS])
        _settle(s, now)


@compiled
def advance(s: State, until: float, most: int) -> float:
    """Go on until an instant, until so many messages have ended, or until a watched lane has; return when."""
    now = earliest(s.calendar)
    while now <= until and now < np.inf and s.counters[MESSAGES] < most:
        instant(s, now, take(s.calendar, now * (1.0 + INSTANT), s.batch))
        if s.counters[TOLD] or s.counters[STATUS]:
            break
        now = earliest(s.calendar)
    return now
