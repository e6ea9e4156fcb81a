"""Messages over links shared max-min fair, compiled: programmes of many senders, run to the end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import simpy

from simulator.errors import CheckError
from simulator.network._core_calendar import calendar
from simulator.network._core_state import CHANGES, INSTANTS, LOOKS, MESSAGES, SHARINGS
from simulator.network._core_together import fill_all, gather
from simulator.network.lanes import Book, Floats, Ints, Lanes
from simulator.network.live_lanes import LiveLanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run did.

    Parameters
    ----------
    lanes : Lanes
        What was run.
    finish : numpy.ndarray of float64, shape (lanes,)
        When the last message of each lane ended, s.
    makespan : float
        The last of these, s.
    messages, instants, solves, looks, changes : int
        Messages that ended; instants at which any did or started; of these, how often rates were shared
        anew; how often the members of a link were gone through for that; rates that changed.
    """

    lanes: Lanes
    finish: Floats
    makespan: float
    messages: int
    instants: int
    solves: int
    looks: int
    changes: int

    @property
    def carried(self) -> Floats:
        """Return the bytes that each link carried, shape (links,)."""
        return _carried(self.lanes)


def run(lanes: Lanes, *, progress: Callable[[int], object] | None = None) -> Ran:
    """Return when each lane is through if all are released at 0.

    Parameters
    ----------
    lanes : Lanes
        Senders.
    progress : callable, optional
        Called now and then with the messages that have ended.

    Raises
    ------
    CheckError
        Lanes that wait for each other for ever, or a message that ended without all of its bytes.
    """
    env = simpy.Environment()
    nobody = np.zeros(0, np.int64)
    live = LiveLanes(env, lanes, nobody, nobody, _unheard, progress=progress)
    env.run()
    blocked = live.unfinished()
    if blocked:
        some = ", ".join(map(str, blocked[:10])) + (", ..." if len(blocked) > 10 else "")
        raise CheckError(f"{len(blocked)} lanes never ended: {some}")
    finish = live.state.lanes["since"].copy()
    counters = live.state.counters
    return Ran(
        lanes=lanes,
        finish=finish,
        makespan=float(finish.max(initial=0.0)),
        messages=int(counters[MESSAGES]),
        instants=int(counters[INSTANTS]),
        solves=int(counters[SHARINGS]),
        looks=int(counters[LOOKS]),
        changes=int(counters[CHANGES]),
    )


@cache
def load() -> None:
    """Load all machine code now, or make it, so that what comes next can be timed."""
    run(batch(np.array([0, 1, 2]), np.array([0, 0]), 1.0, np.ones(1)))


def _unheard(lane: int, _: int) -> None:
    raise CheckError(f"lane {lane} was watched by nobody")


def _carried(lanes: Lanes) -> Floats:
    p = lanes.programmes
    phases = np.diff(p.start)[lanes.programme]
    within = np.arange(phases.sum()) - np.repeat(np.cumsum(phases) - phases, phases)
    phase = np.repeat(p.start[lanes.programme], phases) + within
    first = np.repeat(lanes.slot_start, phases) + p.slot[phase]
    sending = (p.slot[phase] >= 0) & (p.size[phase] > 0)
    phase, first = phase[sending], first[sending]
    turns = np.where(p.slot_stride[phase] > 0, p.count[phase], 1)
    turn = np.arange(turns.sum()) - np.repeat(np.cumsum(turns) - turns, turns)
    route = lanes.slots[np.repeat(first, turns) + turn * np.repeat(p.slot_stride[phase], turns)]
    size = np.repeat(p.size[phase] * p.count[phase] / turns, turns)
    on_route = np.bincount(route, weights=size, minlength=len(lanes.route_start) - 1)
    crossing = np.repeat(on_route, np.diff(lanes.route_start)).astype(np.float64)
    if lanes.weights is not None:
        crossing = crossing * lanes.weights
    return np.bincount(lanes.links, weights=crossing, minlength=len(lanes.bandwidth)).astype(np.float64)


def batch(
    route_start: Ints, links: Ints, size: Floats | float, bandwidth: Floats, *, weights: Floats | None = None
) -> Lanes:
    """Return one message a route, all released at 0.

    Parameters
    ----------
    route_start, links, bandwidth, weights : numpy.ndarray
        As in `Lanes`.
    size : numpy.ndarray of float64, shape (routes,), or float
        Bytes of each.
    """
    count = len(route_start) - 1
    sizes, programme = np.unique(np.broadcast_to(np.asarray(size, float), count), return_inverse=True)
    book = Book()
    for one in sizes.tolist():
        book.phase(1, one, slot=0)
        book.programme()
    return Lanes(
        programmes=book.made(),
        programme=programme,
        partner_start=np.zeros(count, np.int64),
        partners=np.zeros(0, np.int64),
        slot_start=np.arange(count),
        slots=np.arange(count),
        route_start=route_start,
        links=links,
        weights=weights,
        bandwidth=bandwidth,
    )


def together(route_start: Ints, links: Ints, size: float, bandwidth: Floats) -> Floats:
    """Return when each of many messages of one size ends that start together and meet nobody else.

    Whoever ends first was on the highest level, and who leaves from there frees nothing that others could
    use. So the first rates are the last ones, and one solve gives all ends.

    Parameters
    ----------
    route_start, links, bandwidth : numpy.ndarray
        As in `Lanes`; each route crosses at least one link.
    size : float
        Bytes of each.

    Returns
    -------
    numpy.ndarray of float64, shape (routes,)
        s.
    """
    crossed = links.astype(np.int32)
    first = np.zeros(len(bandwidth) + 1, np.int64)
    members = np.empty(len(links), np.int32)
    gather(route_start, crossed, first, members)
    rates = np.zeros(len(route_start) - 1)
    seeking, taken = (np.empty(len(bandwidth), np.int32) for _ in range(2))
    fill_all(
        route_start,
        crossed,
        first,
        members,
        bandwidth.copy(),
        seeking,
        calendar(len(bandwidth)),
        taken,
        rates,
    )
    return size / rates
