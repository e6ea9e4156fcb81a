"""What lies between two ranks: the links a message crosses, their latency and what they let through."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import networkx as nx

from simulator.errors import InfeasibleError
from topologies._graph import GraphNode

Edge = tuple[GraphNode, GraphNode]
_ADAPTERS = {"nic"}
_CANNOT_REDUCE = {"gpu", "nic", "cpu", "server", "gateway", "pcie"}


class Routes(Protocol):
    """Whatever knows the way from one node to another."""

    def route(self, src: GraphNode, dst: GraphNode, key: int = 0) -> Sequence[Edge]:
        """Return the edges in order."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way of a message.

    Parameters
    ----------
    edges : tuple of pairs of nodes
        Links it crosses.
    shares : tuple of float
        The part of its bytes that crosses each.
    latency : float
        Time until the first byte is there, s.
    bandwidth : float
        Bytes/s that its links let through when idle.
    """

    edges: tuple[Edge, ...]
    shares: tuple[float, ...]
    latency: float
    bandwidth: float


class Paths:
    """The paths between the ranks of one collective.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric; edges carry ``bandwidth_Bps`` and ``latency_s``.
    nodes : sequence of tuple
        The node of each rank.
    routes : Routes
        Chooses among ways.
    outside : bool
        Whether the switches that reduce are those of the network, beyond a GPU's adapter where it has one.
    """

    def __init__(
        self, graph: nx.DiGraph, nodes: Sequence[GraphNode], routes: Routes, *, outside: bool = False
    ) -> None:
        self._graph = graph
        self._nodes = nodes
        self._routes = routes
        self._outside = outside
        self._known: dict[tuple[int, int], Path] = {}
        self._rates: dict[Edge, float] = {}
        self._latencies: dict[Edge, float] = {}

    def path(self, src: int, dst: int) -> Path:
        """Return the path of a message; a negative rank is the switch next to the other end."""
        if (src, dst) not in self._known:
            found = self._between(src, dst) if min(src, dst) >= 0 else self._switch(src, dst)
            self._known[src, dst] = found
        return self._known[src, dst]

    def neighbours(self, rank: int) -> int:
        """Return how many other GPUs a rank is wired to directly."""
        node = self._nodes[rank]
        return sum(self._graph.nodes[other]["kind"] == "gpu" for other in self._graph.successors(node))

    def check_switch(self, ranks: Iterable[int]) -> None:
        """Raise InfeasibleError unless ranks that use one switch are next to one, or to a network of them."""
        nodes = [self._nodes[rank] for rank in sorted(ranks)]
        ways = [_ways_to_switch(self._graph, node, outside=self._outside) for node in nodes]
        switches = {frozenset(way[-1][1] for way in found) for found in ways}
        if len(switches) > 1 and not self._outside:
            raise InfeasibleError(
                f"the {len(ways)} ranks that should reduce in one switch are next to different ones",
                hint="an algorithm of several levels, as nvls_tree",
            )

    def bandwidth(self, edge: Edge) -> float:
        """Return bytes/s of a link."""
        if edge not in self._rates:
            self._rates[edge] = float(self._graph.edges[edge]["bandwidth_Bps"])
        return self._rates[edge]

    def latency(self, edges: Sequence[Edge]) -> float:
        """Return the latency of links in a row, s."""
        known = self._latencies
        for edge in edges:
            if edge not in known:
                known[edge] = float(self._graph.edges[edge]["latency_s"])
        return sum(known[edge] for edge in edges)

    def _between(self, src: int, dst: int) -> Path:
        edges = tuple(self._routes.route(self._nodes[src], self._nodes[dst]))
        slowest = min(self.bandwidth(edge) for edge in edges)
        return Path(edges, (1.0,) * len(edges), self.latency(edges), slowest)

    def _switch(self, src: int, dst: int) -> Path:
        """Return the way to or from the switch; it waits as long as a way through the switch would take."""
        node = self._nodes[max(src, dst)]
        ups = _ways_to_switch(self._graph, node, outside=self._outside)
        downs = [tuple((head, tail) for tail, head in reversed(way)) for way in ups]
        ways = ups if dst < 0 else downs
        bandwidth = len(ways) * min(self.bandwidth(edge) for way in ways for edge in way)
        latency = max(self.latency(up + down) for up, down in zip(ups, downs, strict=True))
        edges = tuple(edge for way in ways for edge in way)
        return Path(edges, (1 / len(ways),) * len(edges), latency, bandwidth)


def _ways_to_switch(graph: nx.DiGraph, gpu: GraphNode, *, outside: bool) -> list[tuple[Edge, ...]]:
    """Return the ways from a GPU to the switches next to it, straight or else through an adapter."""
    heads = list(graph.successors(gpu))
    adapters = [head for head in heads if graph.nodes[head]["kind"] in _ADAPTERS]
    ways: list[tuple[Edge, ...]] = [((gpu, head),) for head in (adapters if outside and adapters else heads)]
    while ways:
        found = [way for way in ways if graph.nodes[way[-1][1]]["kind"] not in _CANNOT_REDUCE]
        if found:
            best = max(graph.edges[way[-1]]["bandwidth_Bps"] for way in found)
            return [way for way in found if graph.edges[way[-1]]["bandwidth_Bps"] == best]
        ways = [
            (*way, (way[-1][1], head))
            for way in ways
            if graph.nodes[way[-1][1]]["kind"] in _ADAPTERS
            for head in graph.successors(way[-1][1])
            if head != gpu
        ]
    raise InfeasibleError(f"no switch that could reduce next to {gpu}", hint="one that reduces in GPUs")
