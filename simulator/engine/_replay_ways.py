"""The ways between GPUs in pieces that many pairs share: out of a machine, through switches, into another.

A router that searches the whole fabric for each pair needs minutes for thousands of GPUs. What leaves a
machine depends on the GPU alone, and what lies between two switches on these two: each is worked out once.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from zlib import crc32

import networkx as nx
import numpy as np

from simulator.engine._replay_exits import Exits
from simulator.engine._replay_mesh import Edge, Mesh
from simulator.engine._replay_pieces import Floats, Ints, Pieces
from simulator.engine._replay_spread import Spread
from simulator.engine._replay_wiring import Beside, Wiring
from topologies._graph import GraphNode, gpu_nodes
from topologies._routing import FAST_INSIDE, Router, mix

Join = tuple[int, tuple[int, ...], int]  # places of an exit of one GPU and of another, pieces in the middle
Part = tuple[int, float]  # piece by number, part of the bytes that takes it

POLICIES = ("spread", "ecmp")
SPREADING = ("infiniband", "slingshot", "efa")  # networks that spread the packets of one flow


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
        self.wiring = Wiring(graph)
        self.edges, self.bandwidth, self.latency = (
            self.wiring.edges,
            self.wiring.bandwidth,
            self.wiring.latency,
        )
        self._ahead = Beside(self.wiring, self.wiring.onward)
        self._behind = Beside(self.wiring, self.wiring.back)
        self.gpus = gpu_nodes(graph)
        machine: dict[GraphNode, object] = dict(zip(self.wiring.nodes, self.wiring.hosts, strict=True))
        self.host = [at if machine[gpu] is None else machine[gpu] for at, gpu in enumerate(self.gpus)]
        self.rail = self._rails(graph)
        self.on_rail = {(self.host[at], rail): at for at, rail in reversed([*enumerate(self.rail)])}
        self._whole: Router | None = None
        self._pieces = Pieces(len(self.edges))
        self.piece, self.keep_all = self._pieces.__getitem__, self._pieces.keep_all
        self._rooms: dict[object, list[GraphNode]] = {}  # by machine; None: what is in none
        for node, host in machine.items():
            self._rooms.setdefault(host, []).append(node)
        self._outside = self._mesh([node for node in self._rooms.get(None, ()) if node[0] != "gpu"])
        self._inside: dict[object, Mesh | Router] = {}
        self.seats = np.array([self.wiring.place[gpu] for gpu in self.gpus], dtype=np.int64)
        self.outs = Exits(self.wiring, self.seats, self._pieces, out=True)
        self.ins = Exits(self.wiring, self.seats, self._pieces, out=False)
        self._joins: dict[tuple[int, int], list[Join]] = {}  # by classes
        self._pairs: dict[tuple[int, int], tuple[Part, ...]] = {}

    def parts(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the pieces from one GPU to another, both by number.

        Raises
        ------
        ValueError
            Two that are not connected.
        """
        if self.host[src] == self.host[dst]:
            return self.alone(src, dst)
        relay = self.on_rail.get((self.host[src], self.rail[dst]), src) if self.rail else src
        if relay != src and self.rail[relay] != self.rail[src]:
            return self.alone(src, relay) + self._between(relay, dst)
        return self._between(src, dst)

    def loads(self, src: Ints, dst: Ints, amounts: Floats) -> Floats:
        """Return what bytes between pairs of GPUs put on each edge.

        Parameters
        ----------
        src, dst : array of int
            GPUs by number, shape (pairs,).
        amounts : array of float
            Bytes, shape (pairs,).

        Returns
        -------
        numpy.ndarray
            Shape (edges,).
        """
        if self.policy == "spread":
            found = [(np.zeros(0, dtype=np.int64), np.zeros(0)), *self._all.terms(src, dst, amounts)]
            numbers, carried = zip(*found, strict=True)
            return self._pieces.loads(np.concatenate(numbers), np.concatenate(carried))
        total: dict[int, float] = defaultdict(float)
        for one, other, amount in zip(src.tolist(), dst.tolist(), amounts.tolist(), strict=True):
            for number, part in self.parts(one, other):
                total[number] += part * amount
        return self._pieces.loads(np.array([*total], dtype=np.int64), np.array([*total.values()]))

    def spelt(self, pieces: Ints) -> tuple[Ints, Ints, Floats]:
        """Return how many edges each of some pieces has, these edges by number, and the part of each."""
        return self._pieces.spelt(pieces)

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

    @cached_property
    def number(self) -> dict[Edge, int]:
        """Return the number of each edge."""
        return {edge: number for number, edge in enumerate(self.edges)}

    @cached_property
    def _salt(self) -> list[int]:
        return [mix(crc32(repr(gpu).encode())) for gpu in self.gpus]

    @cached_property
    def _all(self) -> Spread:
        return Spread(self)

    def alone(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the way inside a machine, or one that the router finds."""
        if (src, dst) not in self._pairs:
            one, other = self.gpus[src], self.gpus[dst]
            room = self._room(src) if self.host[src] == self.host[dst] else self._router()
            way = room.way(one, other, self._bits(src, dst)) if isinstance(room, Mesh) else None
            numbers = way[1] if way else ()
            if way is None:
                router = self._router() if isinstance(room, Mesh) else room
                piece = tuple((self.number[edge], 1.0) for edge in router.route(one, other))
                numbers = (self._pieces.keep(piece),)
            self._pairs[src, dst] = tuple((number, 1.0) for number in numbers)
        return self._pairs[src, dst]

    def meshed(self, gpu: int) -> bool:
        """Tell whether the GPUs of the machine of one reach each other through switches alone."""
        return isinstance(self._room(gpu), Mesh)

    def _room(self, gpu: int) -> Mesh | Router:
        """Return the ways inside the machine of a GPU; where GPUs are wired to each other they may relay."""
        host = self.host[gpu]
        if host not in self._inside:
            nodes = self._rooms.get(host, [])
            wired = any(head[0] == "gpu" for n in nodes if n[0] == "gpu" for head, _ in self._ahead[n])
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
        return Mesh(self._ahead, self._behind, nodes, self.bandwidth, spread=spread, keep=self._pieces.keep)

    def _between(self, src: int, dst: int) -> tuple[Part, ...]:
        """Return the way between two machines."""
        joins = self.joins(src, dst)
        if not joins:
            return self.alone(src, dst)
        outs, ins = self.outs[src], self.ins[dst]
        if self.policy == "spread":
            each = [(outs[i][0], *middle, ins[j][0]) for i, middle, j in joins]
            return tuple((number, 1 / len(joins)) for numbers in each for number in numbers)
        bits = self._bits(src, dst)
        i, _, j = joins[bits % len(joins)]
        _, middle = self._outside.way(outs[i][1], ins[j][1], mix(bits)) or (0, ())
        return tuple((number, 1.0) for number in (outs[i][0], *middle, ins[j][0]))

    def joins(self, src: int, dst: int) -> list[Join]:
        """Return the pairs of exits with the cheapest ways between two machines, none if no way is known."""
        key = self.outs.kind(src), self.ins.kind(dst)
        if key not in self._joins:
            self._joins[key] = self._cheapest(src, dst)
        return self._joins[key]

    def _cheapest(self, src: int, dst: int) -> list[Join]:
        found: dict[int, list[Join]] = {}
        for i, (_, one, up) in enumerate(self.outs[src]):
            for j, (_, other, down) in enumerate(self.ins[dst]):
                way = self._outside.way(one, other, 0)
                if way is not None:
                    found.setdefault(up + way[0] + down, []).append((i, way[1], j))
        return found[min(found)] if found else []

    def _bits(self, src: int, dst: int) -> int:
        return 0 if self.policy == "spread" else mix(self._salt[src] ^ mix(self._salt[dst]))
