"""A collective laid over a fabric: its formula, its one bundle of bytes, its messages."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, prod
from types import ModuleType
from typing import Any

import networkx as nx

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._options import accepted, check_options, options
from simulator.collectives._rounds import near_square
from simulator.engine._collective_repeats import Repeated, rounds_of_ring
from simulator.engine._collective_sheet import Roads
from simulator.engine._loads import Loads
from simulator.engine._order import Order, phases
from simulator.engine._paths import Edge, Routes
from simulator.engine.placement import place
from simulator.errors import UsageError
from simulator.network.flows import Flow, Link
from topologies._routing import Router


@dataclass(frozen=True, kw_only=True)  # no slots: `loads` is worked out once
class Plan:
    """A collective laid over a fabric.

    Parameters
    ----------
    module : module
        The algorithm.
    ranks : int
        Ranks that take part.
    size : float
        Bytes, as nccl-tests counts them.
    paths : Roads
        Between the ranks.
    alpha, gamma : float
        Start-up of a message in software, s, on top of its path's latency; time to reduce one byte, s.
    options : dict
        Of the algorithm.
    """

    module: ModuleType
    ranks: int
    size: float
    paths: Roads
    alpha: float
    gamma: float
    options: dict[str, Any]

    def with_options(self, **more: Any) -> "Plan":
        """Return the plan with further options."""
        return replace(self, options=self.options | more)

    def phases(self) -> Iterator[list[Message]]:
        """Yield the messages that move together, phase by phase."""
        return phases(self.module.steps(self.ranks, self.size, **accepted(self.module.steps, self.options)))

    @cached_property
    def loads(self) -> Loads:
        """Return what all phases put on the links."""
        rounds = rounds_of_ring(self.module)
        if rounds and self.ranks > 1:
            return Repeated(self.paths, next(self.phases()), rounds * (self.ranks - 1))
        loads = Loads(self.paths)
        for phase in self.phases():
            loads.add(phase)
        return loads

    def formula(self) -> float:
        """Return the closed form on the slowest path between any two ranks that talk, s."""
        link = self.slowest(self.loads.pairs())
        return float(
            self.module.cost(self.ranks, self.size, link, **accepted(self.module.cost, self.options))
        )

    def messages(self, name: Hashable = "collective") -> list[Flow]:
        """Return each message as a flow of its own, with what it waits for."""
        flows: list[Flow] = []

        def add(route: Sequence[Edge], size: float, after: Sequence[Hashable], **waits: Any) -> Hashable:
            flows.append(
                Flow(id=(name, len(flows)), route=tuple(route), size=size, after=tuple(after), **waits)
            )
            return flows[-1].id

        def send(message: Message, after: Sequence[Hashable]) -> Hashable:
            path = self.paths.path(message.src, message.dst)
            waits = message.startups * (self.alpha + path.latency)
            return add(path.edges, message.size, after, latency=waits, weights=path.shares)

        def join(after: Sequence[Hashable], delay: float) -> Hashable:
            return after[0] if len(after) == 1 and not delay else add((), 0.0, after, delay=delay)

        order: Order[Hashable] = Order(send, join, self.gamma)
        for phase in self.phases():
            order.follow(phase)
        return flows

    def bundle(self, name: Hashable = "collective") -> tuple[Flow, dict[Hashable, Link]]:
        """Return all bytes as one flow with one rate of progress, and a private link that it needs.

        Alone it takes as long as its messages would if each link served alike those of one phase: the
        start-ups and reductions are its latency, and the private link holds it to the time that its phases
        need to drain.
        """
        waiting, total = self._clock()
        on_link = {edge: size for edge, size in self.loads.link_bytes().items() if size}
        if not on_link:
            return Flow(id=name, route=(), size=0.0, latency=total), {}
        needs = {edge: size / self.paths.bandwidth(edge) for edge, size in on_link.items()}
        busiest = max(needs, key=lambda edge: needs[edge])
        drain = max(total - waiting, needs[busiest])  # a link may need longer than ranks that wait for no one
        size = on_link[busiest] / self.loads.crowd(busiest)  # so that it gets the share of that many messages
        own: Hashable = ("bundle", name)
        flow = Flow(
            id=name,
            route=(own, *on_link),
            size=size,
            latency=max(0.0, total - drain),
            weights=(1.0, *(part / size for part in on_link.values())),
        )
        return flow, {own: Link(size / drain)}

    def links(self) -> dict[Hashable, Link]:
        """Return the links that the messages cross."""
        edges = {edge for src, dst in self.loads.pairs() for edge in self.paths.path(src, dst).edges}
        return {edge: Link(self.paths.bandwidth(edge), self.paths.latency([edge])) for edge in edges}

    def _clock(self) -> tuple[float, float]:
        """Return when the last rank is done if bytes cost nothing, and if they do."""
        drains: dict[Message, float] = {}

        def send(message: Message, after: Sequence[tuple[float, float]]) -> tuple[float, float]:
            started, done = _latest(after)
            path = self.paths.path(message.src, message.dst)
            wait = message.startups * (self.alpha + path.latency)
            return started + wait, done + wait + drains[message]

        def join(after: Sequence[tuple[float, float]], delay: float) -> tuple[float, float]:
            started, done = _latest(after)
            return started + delay, done + delay

        order: Order[tuple[float, float]] = Order(send, join, self.gamma)
        for phase in self.phases():
            drains = dict(zip(phase, self.loads.drains(phase), strict=True))
            order.follow(phase)
        return _latest([*order.sent.values(), *order.received.values()])

    def check_switches(self) -> None:
        """Raise InfeasibleError unless the ranks that reduce in one switch are next to one."""
        if not hasattr(self.module, "SWITCH"):  # an algorithm that never names one; counting it takes long
            return
        users: dict[int, set[int]] = defaultdict(set)
        for src, dst in self.loads.pairs():
            if min(src, dst) < 0:
                users[min(src, dst)].add(max(src, dst))
        for ranks in users.values():
            self.paths.check_switch(ranks)

    def slowest(self, pairs: Iterable[tuple[int, int]]) -> AlphaBeta:
        """Return the link that the slowest and narrowest path of some pairs of ranks looks like."""
        found = [self.paths.path(src, dst) for src, dst in pairs]
        latency = max((path.latency for path in found), default=0.0)
        return AlphaBeta(
            self.alpha + latency, min((path.bandwidth for path in found), default=inf), self.gamma
        )


def _latest(moments: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return max((m[0] for m in moments), default=0.0), max((m[1] for m in moments), default=0.0)


def lay(
    graph: nx.DiGraph,
    module: ModuleType,
    ranks: int,
    size: float,
    *,
    placement: Sequence[int] | None = None,
    alpha: float = 0.0,
    gamma: float = 0.0,
    router: Routes | None = None,
    **given: Any,
) -> Plan:
    """Return a collective laid over a fabric; for the parameters see `simulator.engine.collective.run`.

    Raises
    ------
    UsageError
        An option or a placement that there is not, or a number out of range.
    InfeasibleError
        Fewer GPUs than ranks, or no switch that reduces where the algorithm needs one.
    """
    for what, number, least in (
        ("ranks", ranks, 1),
        ("size", size, 0),
        ("alpha", alpha, 0),
        ("gamma", gamma, 0),
    ):
        if not (isfinite(number) and number >= least):
            raise UsageError(f"{what} must be a number from {least} on, got {number}")
    check_options(module, given)
    nodes = place(graph, ranks, placement, given.get("servers") or 0)
    paths = Roads(graph, nodes, router or Router(graph), outside=given.get("switch_levels", 1) > 1)
    shape = {} if "shape" in given or placement is not None else _shape(graph, module, ranks)
    plan = Plan(
        module=module, ranks=ranks, size=size, paths=paths, alpha=alpha, gamma=gamma, options=shape | given
    )
    plan = _informed(plan)
    plan.check_switches()
    return plan


def _shape(graph: nx.DiGraph, module: ModuleType, ranks: int) -> dict[str, tuple[int, ...]]:
    """Return the shape that a torus or the machines of a fabric give to an algorithm that has one."""
    known, dims, local = options(module), graph.graph.get("dims", ()), graph.graph.get("gpus_per_node", 1)
    if {"shape", "links"} <= known.keys() and dims and prod(dims) == ranks:
        return {"shape": tuple(reversed(dims))}  # the fabric's ranks run along its last dimension first
    if {"shape", "levels"} <= known.keys() and local > 1 and (ranks <= local or ranks % local == 0):
        inside = min(ranks, local)
        return {"shape": (inside, ranks // inside)}
    return {}


def _informed(plan: Plan) -> Plan:
    """Return the plan with the options that were left out and that its paths can tell."""
    missing = set(options(plan.module)) - set(plan.options)
    if "links" in missing:
        wired = min(plan.paths.neighbours(rank) for rank in range(plan.ranks))
        plan = plan.with_options(links=max(1, wired))
    if "levels" in missing:
        plan = plan.with_options(levels=_levels(plan))
    if "packets" in missing:
        shaped = accepted(plan.module.packet_count, plan.options)
        link = plan.slowest(plan.loads.pairs())
        plan = plan.with_options(packets=plan.module.packet_count(plan.ranks, plan.size, link, **shaped))
    return plan


def _levels(plan: Plan) -> list[AlphaBeta]:
    """Return the slowest link of each level: the first one in whose groups both ends of a message are."""
    shape = plan.options.get("shape") or near_square(plan.ranks)
    pairs: dict[int, set[tuple[int, int]]] = {level: set() for level in range(len(shape))}
    spans = [prod(shape[: level + 1]) for level in range(len(shape))]
    for src, dst in plan.loads.pairs():
        together = (
            level for level, span in enumerate(spans) if min(src, dst) < 0 or src // span == dst // span
        )
        pairs[next(together)].add((src, dst))
    return [plan.slowest(pairs[level]) for level in pairs]
