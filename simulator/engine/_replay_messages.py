"""A collective of one stage as the messages of all its groups, held to what it takes on an idle network."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import cast

from simulator.collectives import COLLECTIVES
from simulator.engine._paths import Edge, Path, Paths
from simulator.engine._replay_words import Use
from simulator.engine.bundles import RINGS, Traffic
from simulator.engine.collective_plan import Plan
from simulator.errors import UsageError
from simulator.network.flows import Flow, Link, replay

MOST = 300_000  # messages of one step that are followed: a minute or so
_ALGORITHMS = {
    "all_reduce": "ring_all_reduce",
    "all_gather": "ring_all_gather",
    "reduce_scatter": "ring_reduce_scatter",
    "all_to_all": "pairwise_all_to_all",
    "send_recv": "ring_send_recv",
    "broadcast": "chain_broadcast",
    "reduce": "chain_reduce",
    "gather": "direct_gather",
    "scatter": "direct_scatter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One message of a use, with its place among them.

    Parameters
    ----------
    flow : Flow
        The message on real links alone; ``after`` holds places.
    rate : float
        Bytes/s that it is held to.
    share : float
        Part of its bytes that the links feel.
    slower : float
        How many times longer everything takes than the links need.
    """

    flow: Flow
    rate: float
    share: float
    slower: float

    def at(self, number: int, turn: int, copy: int, after: tuple[Hashable, ...]) -> Flow:
        """Return the message as it is sent for the ``turn``-th time; the first ones wait for ``after``."""
        place, flow = self.flow.id, self.flow
        weights = flow.weights or (1.0,) * len(flow.route)
        sized = flow.size > 0
        return Flow(
            id=(number, turn, place),
            route=(("own", number, copy, place), *flow.route) if sized else (),
            size=flow.size,
            after=tuple((number, turn, earlier) for earlier in flow.after) or after,
            delay=flow.delay * self.slower,
            latency=(flow.latency or 0.0) * self.slower,
            weights=(1.0, *(weight * self.share for weight in weights)) if sized else None,
        )


class Messages:
    """The messages of those uses of a step that can meet others.

    Parameters
    ----------
    traffic : Traffic
        Where the bytes go.
    uses : sequence of Use
        All of a step, by number.
    networked : set of int
        Numbers of those that can meet others.
    times : mapping
        How often each happens in a step.

    Raises
    ------
    UsageError
        More messages than can be followed.

    Notes
    -----
    Laid over idle links the messages take another time than measured collectives do. Each is held to the rate
    that makes it as much longer; where a price is below what links allow, the links feel fewer bytes.
    """

    def __init__(
        self, traffic: Traffic, uses: Sequence[Use], networked: set[int], times: Mapping[int, int]
    ) -> None:
        self._traffic, self._uses = traffic, uses
        self._bandwidth: dict[Hashable, Link] = {}
        total = sum(times[number] * self._count(uses[number]) for number in networked)
        if total > MOST:
            raise UsageError(
                f"--fidelity messages: {total} messages that can meet others, at most {MOST} are followed",
                where="--fidelity",
                hint="--fidelity fluid",
            )
        self._patterns = {number: self._pattern(uses[number]) for number in sorted(networked)}

    def links(self, times: Mapping[int, int]) -> dict[Hashable, Link]:
        """Return the links that are crossed, and one that holds each message to its rate."""
        found = dict(self._bandwidth)
        for number, patterns in self._patterns.items():
            for copy in range(times[number] if self._uses[number].gap < inf else 1):
                for pattern in patterns:
                    if pattern.flow.size:
                        found["own", number, copy, pattern.flow.id] = Link(pattern.rate)
        return found

    def flows(self, number: int, turn: int, after: tuple[Hashable, ...]) -> list[Flow]:
        """Return the messages of a use; the last one ends with all of them."""
        patterns = self._patterns[number]
        copy = turn if self._uses[number].gap < inf else 0
        flows = [pattern.at(number, turn, copy, after) for pattern in patterns]
        awaited = {earlier for flow in flows for earlier in flow.after}
        ends = tuple(flow.id for flow in flows if flow.id not in awaited)
        return [*flows, Flow(id=(number, turn), route=(), size=0.0, after=ends, latency=0.0)]

    def _count(self, use: Use) -> int:
        if use.target >= 0:
            return self._traffic.boundary(use.stage, use.target).messages
        return self._traffic.load(use.stage, use.axis, use.op).messages

    def _pattern(self, use: Use) -> list[Pattern]:
        """Return the messages of a use, slowed to what it takes on an idle network."""
        flows = list(self._laid(use))
        for flow in flows:
            for edge in flow.route:
                number = self._traffic.ways.number[edge]
                self._bandwidth[edge] = Link(float(self._traffic.ways.bandwidth[number]))
        idle = replay(self._bandwidth, flows)
        slower = use.seconds / idle.makespan
        found = []
        for flow in flows:
            begun = max((idle.finish[earlier] for earlier in flow.after), default=0.0)
            lasts = idle.finish[flow.id] - begun - flow.delay - (flow.latency or 0.0)
            rate = flow.size / (slower * lasts) if flow.size else inf
            found.append(Pattern(flow=flow, rate=rate, share=min(1.0, slower), slower=slower))
        return found

    def _laid(self, use: Use) -> Iterator[Flow]:
        """Yield the messages over real links, each after those of its own group that it waits for."""
        traffic, ways, place = self._traffic, self._traffic.ways, 0
        if use.target >= 0:
            for place, pair in enumerate(traffic.peers(use.stage, use.target)):
                path = _Ways(traffic, pair).path(0, 1)
                yield Flow(
                    id=place, route=path.edges, size=use.size, latency=path.latency, weights=path.shares
                )
            return
        module, own = COLLECTIVES[_ALGORITHMS[use.op]], {ways.gpus[gpu] for gpu in traffic.senders(use.stage)}
        for group in traffic.groups(use.axis, use.stage):
            rings = traffic.rings(group) if use.op in RINGS else [group]
            for ring in rings:
                paths = _Ways(traffic, ring)
                plan = Plan(
                    module=module,
                    ranks=len(ring),
                    size=use.size / len(rings),
                    paths=paths,
                    alpha=0.0,
                    gamma=0.0,
                    options={},
                )
                flows = plan.messages()
                places = {flow.id: place + at for at, flow in enumerate(flows)}
                place += len(flows)
                for flow in flows:
                    foreign = bool(flow.route) and cast(Edge, flow.route[0])[0] not in own
                    yield _placed(flow, places, foreign=foreign)


def _placed(flow: Flow, places: Mapping[Hashable, int], *, foreign: bool) -> Flow:
    """Return a flow with places for names; what another stage sends only waits, its own use loads links."""
    after = tuple(places[earlier] for earlier in flow.after)
    if foreign:
        return Flow(id=places[flow.id], route=(), size=0.0, after=after, latency=flow.latency)
    return replace(flow, id=places[flow.id], after=after)


class _Ways(Paths):
    """The paths between some GPUs as traffic takes them, spread over several ways where it does that."""

    def __init__(self, traffic: Traffic, gpus: Sequence[int]) -> None:
        ways = traffic.ways
        super().__init__(ways.graph, [ways.gpus[gpu] for gpu in gpus], ways)
        self._ways, self._gpus = ways, gpus

    def _between(self, src: int, dst: int) -> Path:
        ways = self._ways
        shares = ways.shares(self._gpus[src], self._gpus[dst])
        return Path(
            tuple(ways.edges[edge] for edge in shares),
            tuple(shares.values()),
            sum(float(ways.latency[edge]) * share for edge, share in shares.items()),
            min(float(ways.bandwidth[edge]) / share for edge, share in shares.items()),
        )
