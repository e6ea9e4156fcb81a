"""What the stages of a replay share: the network, the mail between virtual stages, the account of delays."""

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import simpy

from simulator.engine._replay_program import Program
from simulator.engine._replay_sharing import Sharing
from simulator.engine._replay_words import NOWHERE, Use
from simulator.engine._task_places import Place
from simulator.engine.bundles import Traffic
from simulator.errors import UsageError
from simulator.network.flow_network import FlowNetwork

if TYPE_CHECKING:
    from simulator.engine._replay_lanes import LaneNetwork

Fold = Literal["auto", "on", "off"]
Progress = Callable[[int, int], object]  # told how many messages have ended, and of how many
Process = Generator[simpy.Event, Any, Any]
Key = tuple[str, int, Place]  # kind, microbatch, the virtual stage that waits
Moment = tuple[float, float]  # when bytes were sent and when they are there, s

MANY = 5000  # bundles from which the compiled core pays: loading it takes as long as they do without it
NOISE = 1e-9  # relative: what rounding may add to a duration


@dataclass(frozen=True, slots=True)
class Flight:
    """A use on its way: its number, when it was asked for, s, what it waited for, the event of its end."""

    number: int
    asked: float
    after: tuple[Hashable, ...]
    ended: simpy.Event


class Medium:
    """The one network that all jobs of a replay send over.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    uses : sequence of Use
        Of all jobs, by number.
    times : mapping
        How often each happens in all.
    traffic : Traffic, optional
        Where the bytes go, by the stages of the uses; without it nobody meets anybody.
    fidelity : str
        ``fluid``: a collective is one bundle; ``messages``: what can meet others is all its messages.
    fold : str
        Whether to send one of each class of messages that nobody can tell apart: ``auto``, ``on``, ``off``.
    watched : bool
        Whether to keep the `Flight` of each use that goes through the network.
    progress : callable, optional
        Called now and then with the messages that have ended, and with all.

    Attributes
    ----------
    sharing : Sharing or None
        What the uses do to the links.
    networked : set of int
        Numbers of the uses that the network must be asked for.
    flights : dict
        By id of the flow, if watched.
    seldom : set of int
        Numbers of networked uses that are hardly ever asked for, because what they take is known.
    """

    def __init__(
        self,
        env: simpy.Environment,
        uses: Sequence[Use],
        times: Mapping[int, int],
        traffic: Traffic | None,
        fidelity: Literal["fluid", "messages"],
        fold: Fold,
        *,
        watched: bool = False,
        progress: Progress | None = None,
    ) -> None:
        each = fidelity == "messages"
        self._env, self.uses, self.each, self._watched = env, uses, each, watched
        self._times, self._traffic, self._fold, self._progress = times, traffic, fold, progress
        self.seldom: set[int] = set()
        self.sharing = Sharing(traffic, uses, each=each) if traffic else None
        self.networked = self.sharing.networked if self.sharing else set()
        self.flights: dict[Hashable, Flight] = {}
        self._going: dict[Hashable, simpy.Event] = {}
        self._network: LaneNetwork | FlowNetwork | None = None
        if each and self.sharing and self.networked:
            self._network = self._made(self.sharing)  # outside of any process: it may refuse

    def ask(
        self, number: int, turn: int, after: tuple[Hashable, ...], name: Hashable, seconds: float
    ) -> simpy.Event:
        """Send a use for the ``turn``-th time; one that meets nobody takes its seconds."""
        earlier = [self._going[other] for other in after if other in self._going]
        if earlier:
            event = self._env.event()
            start = _Later(partial(self._start, number, turn, seconds), event)
            self._env.all_of(earlier).callbacks.append(start)
        else:
            event = self._start(number, turn, seconds)
        self._going[name] = event
        event.callbacks.append(partial(self._ended, name))
        if self._watched and number in self.networked:
            self.flights[name] = Flight(number, float(self._env.now), after, event)
        return event

    def unfinished(self) -> bool:
        """Tell whether anything that was sent never arrived."""
        return bool(self._going)

    def _ended(self, name: Hashable, _: simpy.Event) -> None:
        del self._going[name]

    def _start(self, number: int, turn: int, seconds: float) -> simpy.Event:
        """Send now; the event of the end has the time as its value."""
        if number in self.networked and self.sharing is not None:
            if self._network is None:
                self._network = self._made(self.sharing)
            if isinstance(self._network, FlowNetwork):
                return self._network.transfer(self.sharing.flow(number, turn))
            if number in self._network.carried:
                return self._network.ask(number)
        return self._env.timeout(seconds, float(self._env.now) + seconds)

    def _made(self, sharing: Sharing) -> "LaneNetwork | FlowNetwork":
        """Return the network; the compiled one is loaded where it pays."""
        often = sum(self._times[number] for number in self.networked - self.seldom)
        compiled = find_spec("numba") is not None
        if self.each and not compiled:
            raise UsageError(
                "--fidelity messages needs the package numba, which is not installed",
                where="--fidelity",
                hint="--fidelity fluid, or pip install numba",
            )
        if not self.each and (often < MANY or not compiled):
            return FlowNetwork(self._env, sharing.links(self._times))
        from simulator.engine._replay_lanes import of_bundles, of_messages

        if self.each and self._traffic is not None:
            about = self._traffic, sharing, self.uses, self._times
            return of_messages(self._env, *about, fold=self._fold, progress=self._progress)
        return of_bundles(self._env, sharing, self.uses, self._times)


class _Later:
    """Starts something when it is called, and passes its end on."""

    def __init__(self, start: Callable[[], simpy.Event], event: simpy.Event) -> None:
        self._start, self._event = start, event

    def __call__(self, _: simpy.Event) -> None:
        self._start().callbacks.append(self._pass)

    def _pass(self, ended: simpy.Event) -> None:
        self._event.succeed(ended.value)


class Wire:
    """All that is sent by one job, one step after another.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    program : Program
        What every stage does in a step.
    medium : Medium
        The network.
    first : int
        The number of the job's first use among all of the medium.

    Attributes
    ----------
    medium : Medium
        The network.
    first : int
        The number of the job's first use among all of the medium.
    networked : set of int
        Numbers, in the program, of the uses that the network must be asked for.
    streams : set of (int, str)
        Stages and lanes with any of them.
    slowed : dict
        By axis, seconds that contention added to the present step.
    messages : int
        Of one step.
    """

    def __init__(self, env: simpy.Environment, program: Program, medium: Medium, first: int = 0) -> None:
        uses, times = program.uses, program.times
        self._env, self.medium, self.first = env, medium, first
        self.networked = {use.number for use in uses if first + use.number in medium.networked}
        self.streams = {(use.stage, use.lane) for use in uses if use.number in self.networked}
        self._axes = tuple(use.axis for use in uses)
        self._uses = medium.uses[first : first + len(uses)]
        self._times = {first + number: often for number, often in times.items()}
        self._turns: Counter[int] = Counter()
        self.begin()
        self.messages = times.total()
        if medium.sharing and medium.each:
            loads = medium.sharing.loads
            self.messages = sum(loads[number].messages * often for number, often in self._times.items())

    def begin(self) -> None:
        """Begin a step: no mail, no delays."""
        self.slowed = dict.fromkeys(self._axes, 0.0)
        self._arrived: dict[Key, Moment | simpy.Event] = {}

    def ask(self, use: Use, after: tuple[Hashable, ...] = ()) -> tuple[simpy.Event, Hashable]:
        """Send now, but not before other flows have ended; return the event of the end and the flow's id.

        A use that meets nobody only waits its time.
        """
        turn = self._turns[use.number]
        self._turns[use.number] += 1
        sent = use.number != NOWHERE
        number = self.first + use.number if sent else NOWHERE
        name: Hashable = (number, turn) if sent else (NOWHERE, self.first, turn)
        return self.medium.ask(number, turn, after, name, use.seconds), name

    def count(self, use: Use, seconds: float) -> None:
        """Count what a use took, so that it is known how much longer than on an idle network this was."""
        if use.number in self.networked and seconds > use.seconds * (1 + NOISE):
            self.slowed[use.axis] += seconds - use.seconds

    def deliver(self, key: Key, sent: float, there: float) -> None:
        """Tell the virtual stage that waits for it when bytes were sent and when they are there."""
        waiting = self._arrived.get(key)
        self._arrived[key] = (sent, there)
        if isinstance(waiting, simpy.Event):
            waiting.succeed((sent, there))

    def fetch(self, key: Key) -> Process:
        """Wait until it is known when bytes are there; return a `Moment`."""
        found = self._arrived.get(key)
        if found is None:
            found = self._arrived[key] = self._env.event()
        if isinstance(found, simpy.Event):
            found = yield found
        return found

    def busy(self, step_s: float) -> dict[Hashable, float]:
        """Return the part of a step that the job keeps each link busy."""
        sharing = self.medium.sharing
        return sharing.busy(self._uses, self._times, step_s) if sharing and step_s else {}

    def users(self, step_s: float) -> Mapping[Hashable, Mapping[str, float]]:
        """Return, for the busiest link of each kind, the part of a step that each axis kept it busy."""
        sharing = self.medium.sharing
        return sharing.users(self._uses, self._times, step_s) if sharing and step_s else {}
