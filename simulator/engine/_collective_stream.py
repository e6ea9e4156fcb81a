"""Any collective as lanes: its messages are followed one by one, and like ones become one line of a programme.

A lane is the messages of a rank that come at one place of each phase: the next of them is never released
before the last one ended, because a rank sends once all that it sent before is done. The messages of a switch
wait for nobody of the switch; a lane of these is what goes to one rank, which takes one phase after another.
"""

from array import array
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from simulator.collectives._alpha_beta import Message
from simulator.engine._collective_sheet import GATES, Roads, Sheet, starts
from simulator.engine._order import Order
from simulator.engine.collective_plan import Plan

WIDE = 16  # messages to wait for from which on a lane waits for all of them, and all others for that lane

Sent = tuple[int, int]  # a lane, and how many of its messages have then ended
Reason = Hashable  # a rank with the place of its message in a phase, or the like: what a lane is known by


class Script:
    """The messages of one lane while they are written.

    Attributes
    ----------
    sent : int
        Messages so far.
    rows, gates : array
        As `Sheet.programme` takes them, flat.
    partners : dict of int to int
        Lanes that it waits for, by number, and their places.
    slots : array
        Routes.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.rows, self.gates, self.slots = array("d"), array("q"), array("q")
        self.partners: dict[int, int] = {}
        self._slot_of: dict[int, int] = {}
        self._count = 0  # of the messages alike that are not yet in `rows`; then what they are like
        self._kind: tuple[float, float, tuple[int, ...]] = (0.0, 0.0, ())
        self._base: tuple[int, ...] = ()
        self._stride: tuple[int, ...] = ()
        self._route = -1
        self._apart = False  # whether each takes a route of its own

    def send(self, size: float, delay: float, route: int, waits: dict[int, int]) -> int:
        """Write a message; return how many have been sent when it ends.

        Parameters
        ----------
        size, delay : float
            Bytes, s.
        route : int
            By number; -1 without bytes.
        waits : dict of int to int
            Of which lanes how many messages must have ended.
        """
        kind, needs = (size, delay, tuple(waits)), tuple(waits.values())
        if not (self._count and kind == self._kind and self._goes_on(route, needs)):
            self.close()
            self._kind, self._base, self._route, self._apart = kind, needs, route, False
        self._count += 1
        self.sent += 1
        return self.sent

    def _goes_on(self, route: int, needs: tuple[int, ...]) -> bool:
        """Tell whether a message continues the ones before, and keep its route if each has its own."""
        count = self._count
        if count == 1:
            self._stride = tuple(need - base for need, base in zip(needs, self._base, strict=True))
            self._apart = route != self._route
            if self._apart:
                self.slots.append(self._route)
        elif needs != tuple(b + s * count for b, s in zip(self._base, self._stride, strict=True)):
            return False
        if self._apart:
            self.slots.append(route)
        return self._apart or route == self._route

    def close(self) -> None:
        """Write down the messages alike that are still open."""
        if not self._count:
            return
        size, delay, lanes = self._kind
        slot = len(self.slots) - self._count if self._apart else self._slot(self._route)
        self.rows.extend((self._count, size, delay, slot, float(self._apart), len(lanes)))
        for at, lane in enumerate(lanes):
            partner = self.partners.setdefault(lane, len(self.partners))
            self.gates.extend((partner, self._base[at], self._stride[at] if self._count > 1 else 0))
        self._count = 0

    def _slot(self, route: int) -> int:
        if route < 0:
            return -1
        if route not in self._slot_of:
            self._slot_of[route] = len(self.slots)
            self.slots.append(route)
        return self._slot_of[route]


class Joint:
    """The moment when several others have come, and some seconds more."""

    __slots__ = ("moments", "sent")

    def __init__(self, moments: Sequence["Moment"], sent: Sent | None = None) -> None:
        self.moments = moments
        self.sent = sent  # by the lane that waits for all of them, if there is one


Moment = tuple[int, int, int] | Joint  # the destination of a message, its lane, how many this has then sent


class Stream:
    """Lanes of one collective, written phase by phase.

    Parameters
    ----------
    plan : Plan
        The collective.
    sheet : Sheet
        Where its lanes go; nobody else may write there until `written`.
    """

    def __init__(self, plan: Plan, sheet: Sheet) -> None:
        self._plan, self._sheet = plan, sheet
        self._paths: Roads = plan.paths
        self._first = sheet.lanes
        self._scripts: list[Script] = []
        self._lane: dict[Reason, int] = {}
        self._ordinal: Counter[Hashable] = Counter()
        self._routes: dict[tuple[int, int], tuple[int, float]] = {}

    def written(self) -> None:
        """Follow the collective to its end."""
        order: Order[Moment] = Order(self._send, self._join, self._plan.gamma)
        for phase in self._plan.phases():
            self._ordinal.clear()
            order.follow(phase)
        for script in self._scripts:
            script.close()
        self._write()

    def _send(self, message: Message, after: Sequence[Moment]) -> Moment:
        ends = message.src, message.dst
        sender = message.src if message.src >= 0 else ends
        self._ordinal[sender] += 1
        lane = self._lane_of((sender, self._ordinal[sender]))
        if ends not in self._routes:
            self._routes[ends] = (-1, self._paths.path(*ends).latency)
        route, latency = self._routes[ends]
        if route < 0 and message.size:
            route = self._sheet.route(self._paths, *ends)
            self._routes[ends] = (route, latency)
        delay = message.startups * (self._plan.alpha + latency)
        taken = route if message.size else -1
        sent = self._scripts[lane].send(message.size, delay, taken, self._waits(lane, after))
        return message.dst, lane, sent

    def _join(self, after: Sequence[Moment], delay: float) -> Moment:
        if not delay:
            return after[0] if len(after) == 1 else Joint(after)
        # only what a rank has received takes time to reduce, and it reduces one phase after another
        first = after[0]
        return self._waiting(("reduces", None if isinstance(first, Joint) else first[0]), after, delay)

    def _waiting(self, reason: Reason, after: Sequence[Moment], delay: float) -> Joint:
        """Return the moment that a lane of messages without bytes has waited for others."""
        lane = self._lane_of(reason)
        return Joint(after, (lane, self._scripts[lane].send(0.0, delay, -1, self._waits(lane, after))))

    def _waits(self, lane: int, after: Sequence[Moment]) -> dict[int, int]:
        """Return of which lanes how many messages must have ended, for a lane that sends one by one itself."""
        waits: dict[int, int] = {}
        for moment in after:
            for other, sent in (moment[1:],) if isinstance(moment, tuple) else self._all_of(moment):
                if other != lane and waits.get(other, 0) < sent:
                    waits[other] = sent
        return waits

    def _all_of(self, joint: Joint) -> Sequence[Sent]:
        if joint.sent is None and len(joint.moments) > WIDE:
            joint.sent = self._waiting(("all", joint), joint.moments, 0.0).sent
        if joint.sent is not None:
            return (joint.sent,)
        found: list[Sent] = []
        for moment in joint.moments:
            found += (moment[1:],) if isinstance(moment, tuple) else self._all_of(moment)
        return found

    def _lane_of(self, reason: Reason) -> int:
        if reason not in self._lane:
            self._lane[reason] = len(self._scripts)
            self._scripts.append(Script())
        return self._lane[reason]

    def _write(self) -> None:
        scripts, sheet = self._scripts, self._sheet
        programmes = [
            sheet.programme(
                np.array(script.rows).reshape(-1, GATES + 1), np.array(script.gates, np.int64).reshape(-1, 3)
            )
            for script in scripts
        ]
        partners, slots = array("q"), array("q")
        for script in scripts:
            partners.extend(script.partners)
            slots.extend(script.slots)
        sheet.write(
            np.array(programmes, np.int64),
            starts(np.array([len(script.partners) for script in scripts], np.int64))[:-1],
            np.array(partners, np.int64) + self._first,
            starts(np.array([len(script.slots) for script in scripts], np.int64))[:-1],
            np.array(slots, np.int64),
        )
        scripts.clear()
