"""Shortest ways among some nodes of a fabric: all of them with the part that each takes, or one by a hash."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from topologies._graph import GraphNode
from topologies._routing import mix

Edge = tuple[GraphNode, GraphNode]
Beyond = Mapping[
    GraphNode, list[tuple[GraphNode, int]]
]  # of each node, its neighbours one way, and the edges
Piece = tuple[tuple[int, float], ...]  # edges by number, each with the part of the bytes that crosses it
Layer = tuple[
    tuple[GraphNode, float], ...
]  # nodes equally far from a goal, each with the part that reaches it
Way = tuple[int, tuple[int, ...]]  # hops, pieces by number


class Mesh:
    """Shortest ways among some nodes of a fabric, not through a GPU.

    Nodes that the same others lead to are as far from everything else: distances are worked out once for all
    of them. Long ways that spread are kept in three pieces, out of the first node, through the middle, into the
    last one, of which the middle is that of many pairs.

    Parameters
    ----------
    ahead, behind : mapping of node to list of (node, int)
        What each node of the whole fabric leads to and what leads to it, with the numbers of the edges.
    nodes : collection of tuple
        Those that a way may pass; GPUs only begin or end it.
    bandwidth : numpy.ndarray
        Bytes/s of each edge, shape (edges,).
    spread : bool
        Whether bytes take all shortest ways, in proportion to the bandwidth of each hop; else one of them.
    keep : callable
        Stores a piece and returns its number.
    """

    def __init__(
        self,
        ahead: Beyond,
        behind: Beyond,
        nodes: Collection[GraphNode],
        bandwidth: np.ndarray,
        *,
        spread: bool,
        keep: Callable[[Piece], int],
    ) -> None:
        self._ahead, self._behind, self._inside = ahead, behind, set(nodes)
        self._bandwidth, self._spreads, self._keep = bandwidth, spread, keep
        self._goals: dict[GraphNode, int] = {}
        self._before: dict[GraphNode, list[GraphNode]] = {}
        self._into: dict[GraphNode, dict[GraphNode, int]] = {}
        self._out_of: dict[GraphNode, list[tuple[GraphNode, int]]] = {}
        self._goal: dict[frozenset[GraphNode], int] = {}
        self._far: list[dict[GraphNode, int]] = []  # by goal, hops from a node to the last one before it
        self._onward: dict[tuple[GraphNode, int], list[tuple[GraphNode, int]]] = {}
        self._layers: list[Layer] = []
        self._layer: dict[Layer, int] = {}  # a layer is long to compare: it goes by its number
        self._first: dict[tuple[GraphNode, int], tuple[int, int]] = {}
        self._middle: dict[tuple[int, int], tuple[int, int]] = {}
        self._last: dict[tuple[GraphNode, int], int] = {}
        self._ways: dict[tuple[GraphNode, GraphNode], Way | None] = {}
        self._whole: dict[tuple[int, ...], int] = {}

    def way(self, one: GraphNode, other: GraphNode, bits: int) -> Way | None:
        """Return the hops between two nodes and the numbers of the pieces of the way or ways, None if there is none.

        Bits choose among ways where bytes do not spread.
        """
        if one == other:
            return 0, ()
        if not self._spreads:
            return self._chosen(one, other, bits)
        if (one, other) not in self._ways:
            self._ways[one, other] = self._near(one, other) or self._far_away(one, other)
        return self._ways[one, other]

    def _near(self, one: GraphNode, other: GraphNode) -> Way | None:
        """Return the way or ways of one or two hops, None if there is none."""
        into = self._entering(other)
        if one in into:
            return 1, (self._keep(((into[one], 1.0),)),)
        hops = [(edge, into[head]) for head, edge in self._leaving(one) if head in into and head[0] != "gpu"]
        if not hops:
            return None
        rates = self._bandwidth[[edge for edge, _ in hops]].tolist() if len(hops) > 1 else [1.0]
        total = sum(rates)
        pairs = zip(hops, rates, strict=True)
        return 2, (self._keep(tuple([(edge, rate / total) for both, rate in pairs for edge in both])),)

    def _far_away(self, one: GraphNode, other: GraphNode) -> Way | None:
        """Return ways of three hops or more, in pieces."""
        goal = self._goal_of(other)
        if one not in self._far[goal]:
            return None
        if (one, goal) not in self._first:
            piece, layer = self._hop(((one, 1.0),), goal)
            self._first[one, goal] = self._keep(piece), self._numbered(layer)
        first, top = self._first[one, goal]
        if (top, goal) not in self._middle:
            piece, layer = self._between(self._layers[top], goal)
            self._middle[top, goal] = self._keep(piece), self._numbered(layer)
        middle, end = self._middle[top, goal]
        if (other, end) not in self._last:
            edges = self._entering(other)
            self._last[other, end] = self._keep(
                tuple([(edges[node], part) for node, part in self._layers[end]])
            )
        return self._far[goal][one] + 1, (first, middle, self._last[other, end])

    def _numbered(self, layer: Layer) -> int:
        """Return the number of a layer, the same for equal ones."""
        if layer not in self._layer:
            self._layer[layer] = len(self._layers)
            self._layers.append(layer)
        return self._layer[layer]

    def _chosen(self, one: GraphNode, other: GraphNode, bits: int) -> Way | None:
        """Return one of the ways."""
        far = self._far[self._goal_of(other)].get(one)
        if far is None:
            return None
        way = tuple(self._walk(one, other, bits))
        if way not in self._whole:
            self._whole[way] = self._keep(tuple((edge, 1.0) for edge in way))
        return far + 1, (self._whole[way],)

    def _between(self, layer: Layer, goal: int) -> tuple[Piece, Layer]:
        """Return the piece from some nodes to those just before a goal, and these."""
        far = self._far[goal]
        whole: list[tuple[int, float]] = []
        while far[layer[0][0]]:
            piece, layer = self._hop(layer, goal)
            whole += piece
        return tuple(whole), layer

    def _hop(self, layer: Layer, goal: int) -> tuple[Piece, Layer]:
        """Return the edges one hop nearer to a goal, and what is there."""
        found, below = [], dict[GraphNode, float]()
        for node, part in layer:
            heads = self._heads(node, goal)
            rates = self._bandwidth[[edge for _, edge in heads]].tolist() if len(heads) > 1 else [1.0]
            total = sum(rates)
            for (head, edge), rate in zip(heads, rates, strict=True):
                share = part * rate / total
                found.append((edge, share))
                below[head] = below.get(head, 0.0) + share
        return tuple(found), tuple(below.items())

    def _walk(self, one: GraphNode, other: GraphNode, bits: int) -> list[int]:
        goal, edges = self._goal_of(other), []
        while one != other:
            last = not self._far[goal][one]
            heads = [(other, dict(self._ahead[one])[other])] if last else self._heads(one, goal)
            one, edge = heads[bits % len(heads)]
            edges.append(edge)
            bits = mix(bits) if len(heads) > 1 else bits
        return edges

    def _heads(self, node: GraphNode, goal: int) -> list[tuple[GraphNode, int]]:
        """Return the nodes one hop nearer to a goal that is two hops away or more, and the edges to them."""
        if (node, goal) not in self._onward:
            far = self._far[goal]
            wanted = far[node] - 1
            found = [(head, edge) for head, edge in self._leaving(node) if far.get(head) == wanted]
            self._onward[node, goal] = (
                found if self._spreads else sorted(found, key=lambda found: repr(found[0]))
            )
        return self._onward[node, goal]

    def _goal_of(self, node: GraphNode) -> int:
        """Return the number of a goal, the same for all nodes that the same others lead to."""
        if node not in self._goals:
            before = frozenset(self._tails(node))
            if before not in self._goal:
                self._goal[before] = len(self._far)
                self._far.append(self._distances(before))
            self._goals[node] = self._goal[before]
        return self._goals[node]

    def _tails(self, node: GraphNode) -> list[GraphNode]:
        """Return what leads to a node."""
        if node not in self._before:
            self._before[node] = [*self._entering(node)]
        return self._before[node]

    def _entering(self, node: GraphNode) -> dict[GraphNode, int]:
        """Return what leads to a node, with the edges."""
        if node not in self._into:
            self._into[node] = {tail: edge for tail, edge in self._behind[node] if tail in self._inside}
        return self._into[node]

    def _leaving(self, node: GraphNode) -> list[tuple[GraphNode, int]]:
        """Return what a node leads to that a way may pass, with the edges."""
        if node not in self._out_of:
            self._out_of[node] = [(head, edge) for head, edge in self._ahead[node] if head in self._inside]
        return self._out_of[node]

    def _distances(self, goals: Iterable[GraphNode]) -> dict[GraphNode, int]:
        """Return the hops to the nearest of some nodes from all that can reach one."""
        frontier, hops = set(goals), 0
        known = dict.fromkeys(frontier, hops)
        while frontier:
            hops += 1
            reached = set[GraphNode]().union(*(self._tails(node) for node in frontier if node[0] != "gpu"))
            frontier = reached - known.keys()
            known.update(dict.fromkeys(frontier, hops))
        return known
