"""Which way a flow takes: fewest hops, equal ones chosen by a hash of the flow, or along the rails."""

from zlib import crc32

import networkx as nx
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from topologies._graph import GraphNode, gpu_nodes

Route = tuple[tuple[GraphNode, GraphNode], ...]

POLICIES = ("ecmp", "shortest", "rail")
FAST_INSIDE = (
    "nvswitch",
    "nvlink_mesh",
    "xgmi",
)  # where a detour over a neighbour is cheaper than over spines

# Costs are hops, so that "fewest" is exact in floats; the two others are larger than any number of hops, the
# second larger than any number of the first.
_NETWORK = 2.0**14  # through an adapter: never out of a machine and back where a way inside exists
_RELAY = 2.0**24  # through a GPU that belongs to others
_MASK = 2**64 - 1


def mix(value: int) -> int:
    """Return 64 well-mixed bits of an integer, the same in every run.

    References
    ----------
    .. [1] Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
       doi:10.1145/2660193.2660195, the finaliser of SplitMix64.
    """
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Router:
    """Routes over one fabric; the graph must not change while it is in use.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric.
    policy : str
        ``ecmp``: fewest hops, ties by a hash of source, destination and key; ``shortest``: fewest hops,
        always the same; ``rail``: as ``ecmp``, but a flow for another rail first crosses to the neighbour on
        that rail (PXN), where the graph has rails and a fast link inside its machines.

    Notes
    -----
    GPUs pass on what is meant for others only over direct links between GPUs (ring, torus, NVLink mesh) or
    where there is no other way. A GPU therefore counts three times in the search: as a source, as reached
    from another GPU, as reached from anything else; leaving the last two is dear.

    References
    ----------
    .. [1] Hopps, Analysis of an equal-cost multi-path algorithm, RFC 2992, 2000.
    .. [2] NVIDIA, "Doubling all2all performance with NCCL 2.12", 2022: PXN.
    """

    def __init__(self, graph: nx.DiGraph, policy: str = "ecmp") -> None:
        if policy not in POLICIES:
            raise ValueError(f"routing policy '{policy}' is not one of {', '.join(POLICIES)}")
        self.policy = policy
        self._nodes: list[GraphNode] = list(graph)
        self._index = {node: index for index, node in enumerate(self._nodes)}
        self._salt = [mix(crc32(repr(node).encode())) for node in self._nodes]
        self._arrivals = _arrivals(graph, self._index)
        self._node_of = list(range(len(self._nodes))) + [i for i in self._arrivals for _ in range(2)]
        self._edges = _edges(graph, self._index, self._arrivals)
        size = len(self._node_of)
        tails = [tail for tail, heads in self._edges.items() for _ in heads]
        heads = [head for out in self._edges.values() for head, _ in out]
        costs = [cost for out in self._edges.values() for _, cost in out]
        self._backwards = csr_matrix((costs, (heads, tails)), shape=(size, size))
        self._distances: dict[int, np.ndarray] = {}
        self._kept = max(16, 2**25 // max(size, 1))  # tables of distances held at once: 256 MiB
        self._next: dict[tuple[int, int], tuple[int, ...]] = {}
        self._neighbour = _neighbours(graph) if policy == "rail" else {}
        self._place = {node: _place(graph, node) for node in gpu_nodes(graph)} if self._neighbour else {}

    def route(self, src: GraphNode, dst: GraphNode, key: int = 0) -> Route:
        """Return the edges that a flow passes, in order.

        Parameters
        ----------
        src, dst : tuple
            Nodes of the graph; the same node twice: no edges.
        key : int
            Tells flows between the same nodes apart, as a port number would.

        Raises
        ------
        ValueError
            A node that is not in the graph, or two that are not connected.
        """
        relay = self._relay(src, dst)
        if relay is None:
            return self._shortest(src, dst, key)
        return self._shortest(src, relay, key) + self._shortest(relay, dst, key)

    def _relay(self, src: GraphNode, dst: GraphNode) -> GraphNode | None:
        if not self._neighbour or src not in self._place or dst not in self._place:
            return None
        (host, rail), (other_host, other_rail) = self._place[src], self._place[dst]
        if host == other_host or rail == other_rail:
            return None
        return self._neighbour.get((host, other_rail))

    def _shortest(self, src: GraphNode, dst: GraphNode, key: int) -> Route:
        for node in (src, dst):
            if node not in self._index:
                raise ValueError(f"{node} is not in the graph")
        state, target = self._index[src], self._index[dst]
        bits = mix(self._salt[state] ^ mix(self._salt[target] ^ mix(key)))
        spread = self.policy != "shortest"
        nodes, node_of, known = self._nodes, self._node_of, self._next
        edges = []
        here = state
        while here != target:
            choices = known.get((target, state)) or self._choices(target, state, src)
            state = choices[bits % len(choices)] if spread else choices[0]
            if len(choices) > 1:
                bits = mix(bits)
            there = node_of[state]
            edges.append((nodes[here], nodes[there]))
            here = there
        return tuple(edges)

    def _choices(self, target: int, state: int, src: GraphNode) -> tuple[int, ...]:
        distance = self._distance(target)
        if not np.isfinite(distance[state]):
            raise ValueError(f"no way from {src} to {self._nodes[target]}: the graph is not connected")
        found = [head for head, cost in self._edges[state] if distance[head] + cost == distance[state]]
        self._next[target, state] = choices = tuple(
            sorted(found, key=lambda s: repr(self._nodes[self._node_of[s]]))
        )
        return choices

    def _distance(self, target: int) -> np.ndarray:
        if target not in self._distances:
            if len(self._distances) >= self._kept:
                self._distances.pop(next(iter(self._distances)))
            ends = self._arrivals.get(target, (target,))
            self._distances[target] = dijkstra(self._backwards, indices=ends, min_only=True)
        return self._distances[target]


def _arrivals(graph: nx.DiGraph, index: dict[GraphNode, int]) -> dict[int, tuple[int, int]]:
    """Return the two further states of each GPU: reached from a GPU, reached from anything else."""
    gpus = [index[node] for node, kind in graph.nodes(data="kind") if kind == "gpu"]
    return {gpu: (len(index) + 2 * k, len(index) + 2 * k + 1) for k, gpu in enumerate(gpus)}


def _edges(
    graph: nx.DiGraph, index: dict[GraphNode, int], arrivals: dict[int, tuple[int, int]]
) -> dict[int, list[tuple[int, float]]]:
    """Return, for each state, the states one edge on and what that costs."""
    kinds = dict(graph.nodes(data="kind"))
    edges: dict[int, list[tuple[int, float]]] = {}
    for tail_node, head_node in graph.edges:
        tail, head = index[tail_node], index[head_node]
        from_gpu, to_gpu = tail in arrivals, head in arrivals
        cost = 1.0 + (_NETWORK if "nic" in (kinds[tail_node], kinds[head_node]) else 0.0)
        reached = arrivals[head][0 if from_gpu else 1] if to_gpu else head
        edges.setdefault(tail, []).append((reached, cost))
        if from_gpu:
            direct, other = arrivals[tail]
            edges.setdefault(direct, []).append((reached, cost if to_gpu else cost + _RELAY))
            edges.setdefault(other, []).append((reached, cost + _RELAY))
    return edges


def _place(graph: nx.DiGraph, node: GraphNode) -> tuple[int, int]:
    """Return the machine and the rail of a GPU."""
    attributes = graph.nodes[node]
    return attributes["host"], attributes["rail"] % graph.graph["rails"]


def _neighbours(graph: nx.DiGraph) -> dict[tuple[int, int], GraphNode]:
    """Return the GPU of each machine that stands for each rail; none where a detour would not pay."""
    if graph.graph.get("intra") not in FAST_INSIDE or not graph.graph.get("rails"):
        return {}
    found: dict[tuple[int, int], GraphNode] = {}
    for node in gpu_nodes(graph):
        found.setdefault(_place(graph, node), node)
    return found
