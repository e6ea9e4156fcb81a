"""The compiled network of a replay: each use some senders that a starter lets go, and a lane that ends with them."""

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import inf
from typing import Literal

import numpy as np
import simpy

from simulator.engine._collective_memory import check_tables
from simulator.engine._replay_links import deciding
from simulator.engine._replay_patterns import NOBODY, Floats, Ints, Pattern, Routes, pattern_of
from simulator.engine._replay_sharing import Sharing
from simulator.engine._replay_words import Use
from simulator.engine._replay_writer import Writer
from simulator.engine.bundles import Traffic
from simulator.errors import UsageError
from simulator.network.folding import fold as quotient_of
from simulator.network.lanes import NEVER, Lanes
from simulator.network.live_lanes import LiveLanes

MOST = 2_000_000_000  # messages that are followed: some minutes
COPIES = 4  # sends between two stages that may be under way at a time; the next one waits in the queue
PAYS = 50_000  # messages from which it pays to look for symmetry
Fold = Literal["auto", "on", "off"]
Progress = Callable[[int, int], object]  # told how many messages have ended, and of how many
Copy = tuple[int, int]  # a use by number, and which of those that may be under way side by side


class LaneNetwork:
    """Senders of all uses of a step that share links, on SimPy's clock.

    A use that can meet others is a set of lanes, written once. Asking for it nudges a starter, and when all of
    its lanes have sent once more, the event of the asking succeeds. Copies of a use that may overlap have
    lanes of their own.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    bandwidth : numpy.ndarray of float64
        Of the links by number, bytes/s, shape (links,).
    patterns : mapping of int to Pattern
        What each use does, by its number.
    copies : mapping of int to int
        Of each, how many may be under way at a time.
    times : mapping of int to int
        How often each happens.
    streams : mapping of int to hashable
        Uses of one stream are never under way at the same time.
    folded : bool
        Whether to simulate one of each class of senders that nobody can tell apart.
    progress : callable, optional
        Called now and then with the messages that have ended, and with all.

    Attributes
    ----------
    carried : frozenset of int
        Numbers of the uses that meet others on a link; all others take what they take on an idle network.
    classes : int
        Lanes that are simulated.

    Raises
    ------
    UsageError
        More messages than can be followed.
    InfeasibleError
        Tables that do not fit into memory.
    """

    def __init__(
        self,
        env: simpy.Environment,
        bandwidth: Floats,
        patterns: Mapping[int, Pattern],
        copies: Mapping[int, int],
        times: Mapping[int, int],
        streams: Mapping[int, Hashable],
        *,
        folded: bool,
        progress: Progress | None = None,
    ) -> None:
        self._env = env
        self._steps = {number: 1 if one.senders > 1 else one.steps for number, one in patterns.items()}
        self._free = {number: deque(range(copies[number])) for number in patterns}
        self._queue: dict[int, deque[simpy.Event]] = {number: deque() for number in patterns}
        self._going: dict[Copy, simpy.Event] = {}
        place, few = deciding(bandwidth, patterns, copies, streams)
        met = {number: one for number, one in patterns.items() if (place[one.ways.edges] != NOBODY).any()}
        self.carried = frozenset(met)
        if not met:
            return
        lanes, starters, watched, marks = _written(few, place, met, copies, times)
        standing: Ints = np.arange(len(lanes.programme))
        if folded:
            quotient = quotient_of(lanes, marks)
            lanes, standing = quotient.lanes, quotient.lane_class
        self.classes = len(lanes.programme)
        total = _checked(lanes)
        self._starter = {copy: int(standing[lane]) for copy, lane in starters.items()}
        self._watched = {int(standing[lane]): copy for copy, lane in watched.items()}
        held, heard = (np.array([*found], np.int64) for found in (self._starter.values(), self._watched))
        tell = None if progress is None else lambda done: progress(min(done, total), total)
        self._live = LiveLanes(env, lanes, held, heard, self._tell, progress=tell)

    def ask(self, number: int) -> simpy.Event:
        """Start a use now; return the event of its end, whose value is that time in s.

        Where as many as there are copies are under way, it starts when the first of them has ended.
        """
        event = self._env.event()
        if self._free[number]:
            self._begin(number, event)
        else:
            self._queue[number].append(event)
        return event

    def _begin(self, number: int, event: simpy.Event) -> None:
        copy = self._free[number].popleft()
        self._going[number, copy] = event
        self._live.nudge(self._starter[number, copy])

    def _tell(self, lane: int, sent: int) -> None:
        number, copy = self._watched[lane]
        if sent % self._steps[number]:
            return  # some of its messages are to come
        self._going.pop((number, copy)).succeed(float(self._env.now))
        self._free[number].append(copy)
        if self._queue[number]:
            self._begin(number, self._queue[number].popleft())


def _checked(lanes: Lanes) -> int:
    """Return how many messages there are, if they can be followed and the tables fit into memory."""
    total = lanes.messages
    if total > MOST:
        raise UsageError(
            f"--fidelity messages: {total:,} messages that can meet others, at most {MOST:,} are followed",
            where="--fidelity",
            hint="--fidelity fluid",
        )
    check_tables(lanes)
    return total


def of_bundles(
    env: simpy.Environment, sharing: Sharing, uses: Sequence[Use], times: Mapping[int, int]
) -> LaneNetwork:
    """Return a network on which each use is one bundle of bytes on the links that decide."""
    places: dict[Hashable, int] = {}
    patterns = {}
    for number in sorted(sharing.networked):
        use, felt = uses[number], sharing.felt(number)
        size = sharing.loads[number].unit * use.size
        edges = np.array([places.setdefault(edge, len(places)) for edge in felt], np.int64)
        # links are counted in time, capacity 1: of its seconds a use fills a part of each
        shares = np.array([*felt.values()], float) * use.seconds / size
        patterns[number] = Pattern(
            size=size,
            steps=1,
            ways=Routes(start=np.array([0, len(felt)]), edges=edges, shares=shares),
            route=np.zeros((1, 1), np.int64),
            delay=np.zeros((1, 1)),
            givers=(),
            cap=np.full((1, 1), size / use.seconds),
        )
    copies = {number: times[number] if uses[number].gap < inf else 1 for number in patterns}
    return LaneNetwork(env, np.ones(len(places)), patterns, copies, times, _streams(uses), folded=False)


def of_messages(
    env: simpy.Environment,
    traffic: Traffic,
    sharing: Sharing,
    uses: Sequence[Use],
    times: Mapping[int, int],
    *,
    fold: Fold = "auto",
    progress: Progress | None = None,
) -> LaneNetwork:
    """Return a network on which each message of a use that can meet others is sent.

    Parameters
    ----------
    env, traffic, sharing, uses, times
        As `LaneNetwork` and `Sharing` take them.
    fold : str
        Whether to look for symmetry; ``auto`` does so where it pays.
    progress : callable, optional
        As `LaneNetwork` takes it.
    """
    patterns = {number: pattern_of(traffic, uses[number]) for number in sorted(sharing.networked)}
    total = sum(times[number] * pattern.senders * pattern.steps for number, pattern in patterns.items())
    copies = {number: min(times[number], COPIES) if uses[number].gap < inf else 1 for number in patterns}
    folded = total >= PAYS if fold == "auto" else fold == "on"
    return LaneNetwork(
        env, traffic.ways.bandwidth, patterns, copies, times, _streams(uses), folded=folded, progress=progress
    )


def _streams(uses: Sequence[Use]) -> dict[int, Hashable]:
    return {use.number: (use.stage, use.lane) for use in uses}


def _written(
    few: Floats,
    place: Ints,
    patterns: Mapping[int, Pattern],
    copies: Mapping[int, int],
    times: Mapping[int, int],
) -> tuple[Lanes, dict[Copy, int], dict[Copy, int], Ints]:
    """Return the lanes of all uses, who starts each and who ends with it, and marks of those that may be alike."""
    writer = Writer(few)
    writer.book.phase(NEVER)
    held = writer.book.programme()
    starters: dict[Copy, int] = {}
    watched: dict[Copy, int] = {}
    marks: list[Ints] = []
    for number, pattern in patterns.items():
        for copy in range(copies[number]):
            starters[number, copy] = starter = writer.lane(held, [])
            senders = writer.add(pattern, times[number], place, starter)
            watched[number, copy] = senders[0]
            if len(senders) > 1:
                gates = [(sender, pattern.steps, pattern.steps) for sender in range(len(senders))]
                writer.book.phase(times[number], gates=gates)
                watched[number, copy] = writer.lane(writer.book.programme(), senders)
            own = np.full(writer.count - starter, 3 * len(watched))
            own[0] += 1
            own[-1] += 2 * (len(senders) > 1)
            marks.append(own)
    return writer.lanes(), starters, watched, np.concatenate(marks)
