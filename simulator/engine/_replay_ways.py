"""The ways between GPUs in pieces that many pairs share: out of a machine, through switches, into another.

A router that searches the whole fabric for each pair needs minutes for thousands of GPUs. What leaves a
machine depends on the GPU alone, and what lies between two switches on these two: each is worked out once.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from zlib import crc32

import networkx as nx
import numpy as np

from simulator.engine._replay_mesh import Mesh, Piece
from topologies._graph import GraphNode, gpu_nodes
from topologies._routing import FAST_INSIDE, Router, mix

Exit = tuple[int, GraphNode, int]  # piece from a GPU to a switch outside, that switch, what the way costs
Part = tuple[int, float]  # piece by number, part of the bytes that takes it

POLICIES = ("spread", "ecmp")
SPREADING = ("infiniband", "slingshot", "efa")  # networks that spread the packets of one flow
_ADAPTER = 2**14  # a way through an adapter is dearer than any without, as for `topologies._routing.Router`


class Ways:
    """Ways between the GPUs of a fabric: fewest hops, on the rail of the destination where there are rails.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric; it must not change while this is in use.
    policy : str
        ``spread``: bytes take all shortest ways, in proportion to their bandwidth; ``ecmp``: each pair takes
        one of them, by a hash. Empty: by the network; those that route packet by packet spread.

    Raises
    ------
    ValueError
        A policy that there is not.

    References
    ----------
    .. [1] NVIDIA, "Adaptive routing", DOCA documentation, 2024: InfiniBand chooses a port for each packet.
    .. [2] De Sensi et al., An in-depth analysis of the Slingshot interconnect, SC20, arXiv:2008.08886.
    .. [3] Shalev et al., A cloud-optimized transport protocol for elastic and scalable HPC (EFA), IEEE Micro
       40(6), 2020: SRD sprays packets over many paths.
    .. [4] NVIDIA, "Doubling all2all performance with NCCL 2.12", 2022: rails and PXN.
    """

    def __init__(self, graph: nx.DiGraph, policy: str = "") -> None:
        inter = graph.graph.get("inter", "")
        self.policy = policy or ("spread" if inter in SPREADING else "ecmp")
        if self.policy not in POLICIES:
            raise ValueError(f"policy '{policy}' is not one of {', '.join(POLICIES)}")
        self.graph = graph
        self.edges = list(graph.edges)
        self.number = {edge: number for number, edge in enumerate(self.edges)}
        self.bandwidth = np.array([graph.edges[edge]["bandwidth_Bps"] for edge in self.edges], dtype=float)
        self.latency = np.array([graph.edges[edge]["latency_s"] for edge in self.edges], dtype=float)
        self.gpus = gpu_nodes(graph)
        about = graph.nodes
        self.host = [about[gpu].get("host", place) for place, gpu in enumerate(self.gpus)]
        self._rail = self._rails(graph)
        self._on_rail = {
            (self.host[place], rail): place for place, rail in reversed([*enumerate(self._rail)])
        }
        self._salt = [mix(crc32(repr(gpu).encode())) for gpu in self.gpus]
        self._whole: Router | None = None
        self._pieces: list[Piece] = [()]
        self._rooms: dict[object, list[GraphNode]] = {}  # by machine; None: what is in none
        for node in graph:
            self._rooms.setdefault(about[node].get("host"), []).append(node)
        self._outside = self._mesh([node for node in self._rooms.get(None, ()) if node[0] != "gpu"])
        self._inside: dict[object, Mesh | Router] = {}
        self._exits: dict[tuple[int, bool], list[Exit]] = {}
        self._class: dict[tuple[tuple[GraphNode, int], ...], int] = {}
        self._classes: dict[tuple[int, bool], int] = {}
        self._joins: dict[tuple[int, int], list[tuple[int, int, int]]] = {}  # by classes: exit, exit, piece
        self._middle: dict[tuple[GraphNode, GraphNode, int], int] = {}
        self._pairs: dict[tuple[int, int], tuple[Part, ...]] = {}

    def parts(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the pieces from one GPU to another, both by number.

        Raises
        ------
        ValueError
            Two that are not connected.
        """
        if self.host[src] == self.host[dst]:
            return self._once(src, dst)
        relay = self._on_rail.get((self.host[src], self._rail[dst]), src) if self._rail else src
        if relay != src and self._rail[relay] != self._rail[src]:
            return self._once(src, relay) + self._between(relay, dst)
        return self._between(src, dst)

    def loads(self, amounts: Mapping[int, float]) -> np.ndarray:
        """Return what an amount on each piece, by number, puts on each edge: shape (edges,)."""
        total = np.zeros(len(self.edges))
        for number, amount in amounts.items():
            for edge, share in self._pieces[number]:
                total[edge] += amount * share
        return total

    def shares(self, src: int, dst: int) -> dict[int, float]:
        """Return the edges, by number, from one GPU to another and the part of the bytes on each."""
        found: dict[int, float] = {}
        for number, part in self.parts(src, dst):
            for edge, share in self._pieces[number]:
                found[edge] = found.get(edge, 0.0) + part * share
        return found

    def route(self, src: GraphNode, dst: GraphNode, key: int = 0) -> list[tuple[GraphNode, GraphNode]]:  # noqa: ARG002
        """Return all edges between two GPUs, for who asks for `_paths.Routes`; the key is not used."""
        place = {gpu: number for number, gpu in enumerate(self.gpus)}
        return [self.edges[edge] for edge in self.shares(place[src], place[dst])]

    def _rails(self, graph: nx.DiGraph) -> list[int]:
        """Return the rail of each GPU; nothing where a detour over a neighbour would not pay."""
        rails = graph.graph.get("rails")
        if not rails or graph.graph.get("intra") not in FAST_INSIDE:
            return []
        return [graph.nodes[gpu]["rail"] % rails for gpu in self.gpus]

    def _keep(self, piece: Iterable[tuple[int, float]]) -> int:
        self._pieces.append(tuple(piece))
        return len(self._pieces) - 1

    def _once(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the way inside a machine, or one that the router finds."""
        if (src, dst) not in self._pairs:
            one, other = self.gpus[src], self.gpus[dst]
            room = self._room(src) if self.host[src] == self.host[dst] else self._router()
            piece = room.piece(one, other, self._bits(src, dst)) if isinstance(room, Mesh) else None
            if piece is None:
                router = self._router() if isinstance(room, Mesh) else room
                piece = tuple((self.number[edge], 1.0) for edge in router.route(one, other))
            self._pairs[src, dst] = ((self._keep(piece), 1.0),)
        return self._pairs[src, dst]

    def _room(self, gpu: int) -> Mesh | Router:
        """Return the ways inside the machine of a GPU; where GPUs are wired to each other they may relay."""
        host = self.host[gpu]
        if host not in self._inside:
            nodes = self._rooms.get(host, [])
            wired = any(head[0] == "gpu" for n in nodes if n[0] == "gpu" for head in self.graph.successors(n))
            self._inside[host] = (
                Router(self.graph.subgraph(nodes))
                if wired and len(nodes) > 1
                else self._mesh([node for node in nodes if node[0] != "nic"])
            )
        return self._inside[host]

    def _router(self) -> Router:
        """Return the router of the whole fabric, for what no other way leads to."""
        self._whole = self._whole or Router(self.graph)
        return self._whole

    def _mesh(self, nodes: Sequence[GraphNode]) -> Mesh:
        spread = self.policy == "spread"
        return Mesh(self.graph, nodes, self.number, self.bandwidth, spread=spread)

    def _between(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the way between two machines."""
        key = (self._exit_class(src, out=True), self._exit_class(dst, out=False))
        if key not in self._joins:
            self._joins[key] = self._cheapest(src, dst)
        joins = self._joins[key]
        if not joins:
            return self._once(src, dst)
        outs, ins = self._exits[src, True], self._exits[dst, False]
        if self.policy == "spread":
            part = 1 / len(joins)
            return tuple(p for i, m, j in joins for p in ((outs[i][0], part), (m, part), (ins[j][0], part)))
        bits = self._bits(src, dst)
        i, _, j = joins[bits % len(joins)]
        middle = self._through(outs[i][1], ins[j][1], mix(bits))
        return ((outs[i][0], 1.0), (middle, 1.0), (ins[j][0], 1.0))

    def _bits(self, src: int, dst: int) -> int:
        return 0 if self.policy == "spread" else mix(self._salt[src] ^ mix(self._salt[dst]))

    def _cheapest(self, src: int, dst: int) -> list[tuple[int, int, int]]:
        """Return the pairs of exits with the cheapest ways between them, and what lies in the middle."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for i, (_, one, up) in enumerate(self._exits[src, True]):
            for j, (_, other, down) in enumerate(self._exits[dst, False]):
                hops = self._outside.hops(one, other)
                if hops is not None:
                    middle = self._through(one, other, 0)
                    found.setdefault(up + hops + down, []).append((i, middle, j))
        return found[min(found)] if found else []

    def _through(self, one: GraphNode, other: GraphNode, bits: int) -> int:
        way = self._outside.choice(one, other, bits) if self.policy == "ecmp" else 0
        key = (one, other, way)
        if key not in self._middle:
            self._middle[key] = self._keep(self._outside.piece(one, other, bits) or ())
        return self._middle[key]

    def _exit_class(self, gpu: int, *, out: bool) -> int:
        """Return the class of a GPU: those with the same switches outside at the same cost are alike."""
        if (gpu, out) not in self._classes:
            self._exits[gpu, out] = exits = self._find_exits(gpu, out=out)
            key = tuple((anchor, cost) for _, anchor, cost in exits)
            self._classes[gpu, out] = self._class.setdefault(key, len(self._class))
        return self._classes[gpu, out]

    def _find_exits(self, gpu: int, *, out: bool) -> list[Exit]:
        """Return the cheapest ways from a GPU to the switches outside, or back, not through other GPUs."""
        graph, start, host = self.graph, self.gpus[gpu], self.host[gpu]
        onward = graph.successors if out else graph.predecessors
        ways: dict[GraphNode, tuple[GraphNode, ...]] = {start: (start,)}
        ahead, found = deque([start]), []
        while ahead:
            node = ahead.popleft()
            for head in onward(node):
                if head in ways or head[0] == "gpu":
                    continue
                ways[head] = (*ways[node], head)
                if graph.nodes[head].get("host") is None:
                    found.append(ways[head])
                elif graph.nodes[head]["host"] == host and len(ways[head]) < len(graph):
                    ahead.append(head)
        return [self._exit(way if out else way[::-1], way[-1]) for way in found]

    def _exit(self, way: Sequence[GraphNode], anchor: GraphNode) -> Exit:
        piece = [(self.number[edge], 1.0) for edge in pairwise(way)]
        adapters = sum(2 for node in way if node[0] == "nic")
        return self._keep(piece), anchor, len(piece) + _ADAPTER * adapters
