"""The compiled core on SimPy's clock: processes let held lanes go on, and hear when watched ones have sent."""

from collections.abc import Callable

import numpy as np
import simpy
from simpy.events import EventPriority

from simulator.errors import CheckError
from simulator.network._core_calendar import earliest, take
from simulator.network._core_run import INSTANT, advance, begin, instant, nudge
from simulator.network._core_state import CULPRIT, ENDED, HELD, MESSAGES, STATUS, TOLD, State, state_of
from simulator.network.lanes import Ints, Lanes

SLICE = 1_000_000  # messages between two looks at the keyboard and the progress bar
_AFTER_ALL_OTHERS = EventPriority(9)  # of the events of one instant; SimPy itself uses 0 and 1


class _Alarm(simpy.Event):
    """Rings at an instant, after everything else that happens there or before it."""

    def __init__(
        self, env: simpy.Environment, at: float, ring: Callable[[simpy.Event], None], late: bool
    ) -> None:
        super().__init__(env)
        self.at = at
        self.callbacks.append(ring)
        self._ok, self._value = True, None  # as SimPy's own Timeout: triggered when made
        env.schedule(self, _AFTER_ALL_OTHERS if late else EventPriority(0), max(0.0, at - env.now))


class LiveLanes:
    """Lanes that share links while SimPy runs other processes.

    Nudges of one instant are collected and take effect together after all else that happens there. Between
    two events of SimPy the core runs ahead by itself, until a watched lane has sent something. So SimPy is
    woken once for each instant at which a process has to hear of something.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    lanes : Lanes
        Senders; those that are held have one phase of `NEVER` messages without bytes.
    held : numpy.ndarray of int64
        Lanes that end a message when they are nudged, and never else.
    watched : numpy.ndarray of int64
        Lanes whose ends are to be told.
    tell : callable
        Called with a watched lane and how many of its messages have ended in all, when one has.
    progress : callable, optional
        Called now and then with how many messages have ended.

    Attributes
    ----------
    state : State
        The tables and counters of the core.

    References
    ----------
    .. [1] SimPy documentation, "Events" and "Real-time and scheduling": one agenda, ordered by time and priority.
    """

    def __init__(
        self,
        env: simpy.Environment,
        lanes: Lanes,
        held: Ints,
        watched: Ints,
        tell: Callable[[int, int], None],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self._env, self._tell, self._progress = env, tell, progress
        self.state: State = state_of(lanes)
        self.state.lanes["state"][held] = HELD
        self.state.lanes["watched"][watched] = 1
        begin(self.state, float(env.now))
        self._nudged: list[int] = []
        self._alarm: _Alarm | None = None
        self._set(env.now, late=True)

    def nudge(self, lane: int) -> None:
        """Let a held lane end a message now."""
        self._nudged.append(lane)
        if self._alarm is None or self._alarm.at > self._env.now:
            self._set(self._env.now, late=True)

    def unfinished(self) -> list[int]:
        """Return the lanes that are not through, held ones left out."""
        blocked: list[int] = np.flatnonzero(self.state.lanes["state"] < ENDED).tolist()
        return blocked

    def _set(self, at: float, *, late: bool) -> None:
        self._alarm = _Alarm(self._env, at, self._go_on if late else self._report, late)

    def _go_on(self, alarm: simpy.Event) -> None:
        """Do what is due now, then run ahead as far as nobody else can interfere."""
        if alarm is not self._alarm:
            return  # an earlier one took its place
        state, now = self.state, float(self._env.now)
        if len(self._nudged) > len(state.ended):
            raise CheckError("more nudges at one instant than there are lanes")
        for lane in self._nudged:
            nudge(state, lane)
        self._nudged.clear()
        earliest(state.calendar)
        instant(state, now, take(state.calendar, now * (1 + INSTANT), state.batch))
        if not state.counters[TOLD]:
            now = self._run_ahead(np.nextafter(self._env.peek(), 0.0))
        if state.counters[STATUS]:
            raise CheckError(f"a message of lane {state.counters[CULPRIT]} ended without all of its bytes")
        if state.counters[TOLD]:
            self._set(now, late=False)
        elif now < np.inf:
            self._set(now, late=True)
        else:
            self._alarm = None

    def _run_ahead(self, until: float) -> float:
        """Go on until an instant or until there is something to tell; return when what is next is due."""
        counters = self.state.counters
        while True:
            most = counters[MESSAGES] + SLICE
            now = advance(self.state, until, most)
            if self._progress is not None:
                self._progress(int(counters[MESSAGES]))
            if counters[MESSAGES] < most or counters[TOLD] or counters[STATUS]:
                return now

    def _report(self, alarm: simpy.Event) -> None:
        """Tell of the watched lanes that have sent."""
        if alarm is not self._alarm:
            raise CheckError("a report of the network was overtaken")
        state = self.state
        told: list[int] = state.told[: state.counters[TOLD]].tolist()
        state.counters[TOLD] = 0
        self._set(self._env.now, late=True)
        for lane in sorted(told):
            state.lanes["watched"][lane] = 1
            self._tell(lane, int(state.lanes["sent"][lane]))
