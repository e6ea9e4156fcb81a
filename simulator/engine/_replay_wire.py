"""What the stages of a replay share: the network, the mail between virtual stages, the account of delays."""

from collections import Counter
from collections.abc import Generator, Hashable, Mapping
from typing import Any, Literal

import simpy

from simulator.engine._replay_messages import Messages
from simulator.engine._replay_program import Program
from simulator.engine._replay_sharing import Sharing
from simulator.engine._replay_words import Use
from simulator.engine._task_places import Place
from simulator.engine.bundles import Traffic
from simulator.network.flow_network import FlowNetwork
from simulator.network.traffic import Flow

Process = Generator[simpy.Event, Any, Any]
Key = tuple[str, int, Place]  # kind, microbatch, the virtual stage that waits
Moment = tuple[float, float]  # when bytes were sent and when they are there, s

NOISE = 1e-9  # relative: what rounding may add to a duration


class Wire:
    """All that is sent in a step.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    program : Program
        What every stage does.
    traffic : Traffic, optional
        Where the bytes go; without it nobody meets anybody.
    fidelity : str
        ``fluid``: a collective is one bundle; ``messages``: what can meet others is all its messages.

    Attributes
    ----------
    networked : set of int
        Numbers of the uses that the network must be asked for.
    streams : set of (int, str)
        Stages and lanes with any of them.
    slowed : dict
        By axis, seconds that contention added.
    """

    def __init__(
        self,
        env: simpy.Environment,
        program: Program,
        traffic: Traffic | None,
        fidelity: Literal["fluid", "messages"],
    ) -> None:
        uses, self._times, each = program.uses, program.times, fidelity == "messages"
        self._env = env
        self._sharing = Sharing(traffic, uses, each=each) if traffic else None
        self.networked = self._sharing.networked if self._sharing else set()
        self.streams = {(use.stage, use.lane) for use in uses if use.number in self.networked}
        self.slowed = {use.axis: 0.0 for use in uses}
        self._turns: Counter[int] = Counter()
        self._arrived: dict[Key, Moment | simpy.Event] = {}
        self._source: Sharing | Messages | None = self._sharing
        if traffic and each:
            self._source = Messages(traffic, uses, self.networked, self._times)
        self._network = FlowNetwork(env, self._source.links(self._times)) if self._source else None
        self.messages = self._times.total()
        if self._sharing and each:
            loads = self._sharing.loads
            self.messages = sum(loads[number].messages * times for number, times in self._times.items())

    def ask(self, use: Use, after: tuple[Hashable, ...] = ()) -> tuple[simpy.Event, Hashable]:
        """Send now, but not before other flows have ended; return the event of the end and the flow's id.

        A use that meets nobody only waits its time.
        """
        turn = self._turns[use.number]
        self._turns[use.number] += 1
        if use.number in self.networked and self._source is not None:
            flows = self._source.flows(use.number, turn, after)
        else:
            flows = [Flow(id=(use.number, turn), route=(), size=0.0, after=after, latency=use.seconds)]
        if self._network is None:
            raise ValueError("a step without a network has nobody to ask")
        events = [self._network.transfer(flow) for flow in flows]
        return events[-1], flows[-1].id

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
        """Return the part of a step that each link was busy."""
        return self._sharing.busy(self._times, step_s) if self._sharing and step_s else {}

    def users(self, step_s: float) -> Mapping[Hashable, Mapping[str, float]]:
        """Return, for the busiest link of each kind, the part of a step that each axis kept it busy."""
        return self._sharing.users(self._times, step_s) if self._sharing and step_s else {}

    def unfinished(self) -> bool:
        """Tell whether anything that was sent never arrived."""
        return bool(self._network and self._network.unfinished())
