"""Shortest ways among some nodes of a fabric: all of them with the part that each takes, or one by a hash."""

from collections import deque
from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np

from topologies._graph import GraphNode
from topologies._routing import mix

Piece = tuple[tuple[int, float], ...]  # edges by number, each with the part of the bytes that crosses it


class Mesh:
    """Shortest ways among some nodes of a fabric, not through a GPU.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric.
    nodes : sequence of tuple
        Those that a way may pass; GPUs only begin or end it.
    number : mapping of edge to int
        The number of each edge.
    bandwidth : numpy.ndarray
        Bytes/s of each edge, shape (edges,).
    spread : bool
        Whether bytes take all shortest ways, in proportion to the bandwidth of each hop; else one of them.
    """

    def __init__(
        self,
        graph: nx.DiGraph,
        nodes: Sequence[GraphNode],
        number: Mapping[tuple[GraphNode, GraphNode], int],
        bandwidth: np.ndarray,
        *,
        spread: bool,
    ) -> None:
        self._number, self._bandwidth, self._spreads = number, bandwidth, spread
        inside = set(nodes)
        self._ahead = {n: sorted((h for h in graph.successors(n) if h in inside), key=repr) for n in inside}
        self._behind: dict[GraphNode, list[GraphNode]] = {node: [] for node in inside}
        for node, heads in self._ahead.items():
            for head in heads:
                self._behind[head].append(node)
        self._distances: dict[GraphNode, dict[GraphNode, int]] = {}

    def hops(self, one: GraphNode, other: GraphNode) -> int | None:
        """Return the hops from one node to another, None if there is no way."""
        return self._distance(other).get(one)

    def choice(self, one: GraphNode, other: GraphNode, bits: int) -> int:
        """Return a number that tells the ways apart that different bits may choose."""
        number = 0
        for node, head in self._walk(one, other, bits):
            number = number * (len(self._ahead[node]) + 1) + self._ahead[node].index(head)
        return number

    def piece(self, one: GraphNode, other: GraphNode, bits: int) -> Piece | None:
        """Return the edges of the way or ways, None if there is none."""
        if self.hops(one, other) is None:
            return None
        if not self._spreads:
            return tuple((self._number[edge], 1.0) for edge in self._walk(one, other, bits))
        return self._spread(one, other)

    def _spread(self, one: GraphNode, other: GraphNode) -> Piece:
        number, bandwidth = self._number, self._bandwidth
        layer, found = {one: 1.0}, []
        while other not in layer:
            below: dict[GraphNode, float] = {}
            for node, part in layer.items():
                heads = self._heads(node, other)
                total = sum(float(bandwidth[number[node, head]]) for head in heads)
                for head in heads:
                    edge = number[node, head]
                    share = part * float(bandwidth[edge]) / total
                    found.append((edge, share))
                    below[head] = below.get(head, 0.0) + share
            layer = below
        return tuple(found)

    def _walk(self, one: GraphNode, other: GraphNode, bits: int) -> list[tuple[GraphNode, GraphNode]]:
        edges = []
        while one != other:
            heads = self._heads(one, other)
            edges.append((one, heads[bits % len(heads)]))
            bits = mix(bits) if len(heads) > 1 else bits
            one = edges[-1][1]
        return edges

    def _heads(self, node: GraphNode, goal: GraphNode) -> list[GraphNode]:
        distance = self._distance(goal)
        return [head for head in self._ahead[node] if distance.get(head, -1) == distance[node] - 1]

    def _distance(self, goal: GraphNode) -> dict[GraphNode, int]:
        """Return the hops to a node from all that can reach it."""
        if goal not in self._distances:
            known, ahead = {goal: 0}, deque([goal])
            while ahead:
                node = ahead.popleft()
                for tail in self._behind[node] if node == goal or node[0] != "gpu" else ():
                    if tail not in known:
                        known[tail] = known[node] + 1
                        ahead.append(tail)
            self._distances[goal] = known
        return self._distances[goal]
