"""A fabric as arrays: where each edge begins and ends, which machine each node is in, what lies next to it."""

from collections.abc import Hashable
from itertools import chain, repeat

import networkx as nx
import numpy as np

from simulator.engine._replay_mesh import Edge
from simulator.engine._replay_pieces import Floats, Ints
from topologies._graph import GraphNode

Neighbours = tuple[Ints, Ints, Ints]  # where those of each node start, which nodes they are, over which edges

NOWHERE = -1


class Wiring:
    """A fabric as arrays.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric; it must not change while this is in use.

    Attributes
    ----------
    nodes, edges : list of tuple
        By number.
    tail, head : numpy.ndarray
        The node that each edge leaves and the one it enters, by number, shape (edges,).
    bandwidth, latency : numpy.ndarray
        Of each edge, bytes/s and s, shape (edges,).
    hosts : list
        The machine of each node as the fabric calls it, None for what is in none.
    machine : numpy.ndarray
        The machine of each node by number, `NOWHERE` for what is in none, shape (nodes,).
    gpu, nic : numpy.ndarray
        Whether a node is one, shape (nodes,).
    kinds : numpy.ndarray
        A number for what kinds of nodes each edge joins, in this order, shape (edges,).
    """

    def __init__(self, graph: nx.DiGraph) -> None:
        self.nodes: list[GraphNode] = [*graph]
        self.place = {node: at for at, node in enumerate(self.nodes)}
        beyond = [heads for _, heads in graph.adjacency()]
        degrees = np.array([len(heads) for heads in beyond], dtype=np.int64)
        tails = chain.from_iterable(map(repeat, self.nodes, degrees.tolist()))
        self.edges: list[Edge] = [*zip(tails, chain.from_iterable(beyond), strict=True)]
        about = [*chain.from_iterable(heads.values() for heads in beyond)]
        count = len(about)
        self.bandwidth: Floats = np.array([edge["bandwidth_Bps"] for edge in about], dtype=float)
        self.latency: Floats = np.array([edge["latency_s"] for edge in about], dtype=float)
        self.tail: Ints = np.repeat(np.arange(len(self.nodes)), degrees)
        heads = map(self.place.__getitem__, chain.from_iterable(beyond))
        self.head: Ints = np.fromiter(heads, np.int64, count)
        self.hosts = [about.get("host") for about in graph._node.values()]
        numbers: dict[Hashable, int] = {None: NOWHERE}
        inside = [numbers.setdefault(host, len(numbers) - 1) for host in self.hosts]
        self.machine: Ints = np.array(inside, dtype=np.int64)
        sorts: dict[Hashable, int] = {"gpu": 0, "nic": 1}
        sort = np.array([sorts.setdefault(node[0], len(sorts)) for node in self.nodes], dtype=np.int64)
        self.gpu, self.nic = sort == 0, sort == 1
        self.kinds: Ints = sort[self.tail] * len(sorts) + sort[self.head]
        order = np.argsort(self.head, kind="stable")
        entering = np.bincount(self.head, minlength=len(self.nodes))
        self.onward: Neighbours = _starts(degrees), self.head, np.arange(count)
        self.back: Neighbours = _starts(entering), self.tail[order], order


class Beside(dict[GraphNode, list[tuple[GraphNode, int]]]):
    """What each node leads to, or what leads to it, with the numbers of the edges, listed when asked for.

    Parameters
    ----------
    wiring : Wiring
        The fabric.
    neighbours : Neighbours
        Its own, one way.
    """

    def __init__(self, wiring: Wiring, neighbours: Neighbours) -> None:
        super().__init__()
        self._wiring, self._neighbours = wiring, neighbours

    def __missing__(self, node: GraphNode) -> list[tuple[GraphNode, int]]:
        """List the neighbours of a node in the order of the edges."""
        start, others, edges = self._neighbours
        at = self._wiring.place[node]
        some = slice(start[at], start[at + 1])
        nodes = [self._wiring.nodes[other] for other in others[some].tolist()]
        self[node] = [*zip(nodes, edges[some].tolist(), strict=True)]
        return self[node]


def _starts(lengths: Ints) -> Ints:
    """Return where each of some rows starts if they stand one after another, shape (rows + 1,)."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))
