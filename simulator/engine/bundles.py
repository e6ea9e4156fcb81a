"""What a collective of one stage puts on the links: all groups of an axis at once, as one bundle of bytes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import networkx as nx
import numpy as np

from simulator.engine._replay_ways import Ways
from simulator.engine.placement import place
from simulator.errors import UsageError
from workloads.layout import Layout

MESHES = ("xgmi", "nvlink_mesh")  # where each pair of GPUs of a machine has a link of its own
RINGS = ("all_reduce", "all_gather", "reduce_scatter", "send_recv", "broadcast", "reduce")
_STARS = ("gather", "scatter")
_Count = tuple[np.ndarray, np.ndarray, int, int]  # edges, messages on each, rings, pairs of ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a bundle puts on the links.

    Parameters
    ----------
    edges : numpy.ndarray
        Links that carry any of it, by their number in `Ways.edges`, shape (links,).
    counts : numpy.ndarray
        How many of its messages are on each of them at a time; parts where bytes spread, shape (links,).
    busy : numpy.ndarray
        Seconds that each is busy per byte of the collective's size, shape (links,).
    unit : float
        Bytes of a message that is never idle, per byte of the collective's size.
    messages : int
        Of all groups.
    """

    edges: np.ndarray
    counts: np.ndarray
    busy: np.ndarray
    unit: float
    messages: int


class Traffic:
    """Where the ranks of a layout are on a fabric, and so what their collectives load.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric.
    layout : Layout
        Degrees of parallelism.
    placement : sequence of int, optional
        The GPU of each rank; by default rank i sits on the i-th GPU.
    ways : Ways, optional
        Of this fabric, where several layouts share what was found.

    Raises
    ------
    InfeasibleError
        More ranks than GPUs.
    UsageError
        A placement that is none.

    Notes
    -----
    Rings go machine by machine. Where a group has several ranks on each machine, it runs as many rings,
    turned so that each leaves by another adapter, and walks every second machine backwards: each hop then
    stays on one rail. All-to-all is what every rank sends to every other, one after another.

    References
    ----------
    .. [1] NVIDIA/nccl 2.23, src/graph/search.cc: paired rings that cross NICs.
    .. [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005: ring and pairwise exchange.
    """

    def __init__(
        self,
        graph: nx.DiGraph,
        layout: Layout,
        placement: Sequence[int] | None = None,
        *,
        ways: Ways | None = None,
    ) -> None:
        self.layout = layout
        self.ways = ways or Ways(graph)
        number = {gpu: at for at, gpu in enumerate(self.ways.gpus)}
        self._gpu = [number[node] for node in place(graph, layout.world, placement)]
        self._seats = np.array(self._gpu)
        self._meshed = graph.graph.get("intra") in MESHES
        self._counted: dict[tuple[int, str, str], _Count] = {}
        self._loads: dict[tuple[int, str, str], Load] = {}

    def groups(self, axis: str, stage: int) -> list[list[int]]:
        """Return the GPUs of all groups of an axis that have a rank in a stage, machine by machine."""
        found = []
        for group in self.layout.groups(axis, stage):
            gpus = [self._gpu[rank] for rank in group]
            hosts = {host: at for at, host in enumerate(dict.fromkeys(self.ways.host[gpu] for gpu in gpus))}
            found.append(sorted(gpus, key=lambda gpu: hosts[self.ways.host[gpu]]))
        return found

    def rings(self, group: Sequence[int]) -> list[list[int]]:
        """Return the rings that a group runs side by side, each with an equal part of the bytes."""
        machines: dict[object, list[int]] = defaultdict(list)
        for gpu in group:
            machines[self.ways.host[gpu]].append(gpu)
        per_node = len(next(iter(machines.values())))
        if any(len(members) != per_node for members in machines.values()):
            return [list(group)]
        free = [s for s in range(1, per_node) if gcd(s, per_node) == 1] if self._meshed else []
        strides = free or [1]
        rings = []
        for turn in range(per_node if len(machines) > 1 else len(strides)):
            stride = strides[turn % len(strides)]
            ring: list[int] = []
            for number, members in enumerate(machines.values()):
                around = [members[(turn + step * stride) % per_node] for step in range(per_node)]
                ring += around[::-1] if number % 2 else around
            rings.append(ring)
        return rings

    def load(self, stage: int, axis: str, op: str) -> Load:
        """Return what one stage puts on the links when all its groups of an axis do one operation.

        Raises
        ------
        UsageError
            An operation that there is not.
        """
        pattern = "ring" if op in RINGS else op
        if pattern not in ("ring", "all_to_all", *_STARS):
            raise UsageError(f"no traffic is known for the operation '{op}' of axis '{axis}'")
        if (stage, axis, op) not in self._loads:
            key = (stage, axis, pattern)
            if key not in self._counted:
                self._counted[key] = self._count(stage, axis, pattern)
            edges, counts, channels, pairs = self._counted[key]
            unit, steps = _unit(op, self.layout.size(axis))
            self._loads[stage, axis, op] = self._loaded(edges, counts, unit / channels, pairs * steps)
        return self._loads[stage, axis, op]

    def boundary(self, source: int, target: int) -> Load:
        """Return what one stage puts on the links when each of its ranks sends to its peer of another."""
        key = (source, f"to {target}", "send")
        if key not in self._loads:
            src, dst = (self._seats[self.layout.stage_ranks(stage)] for stage in (source, target))
            total = self.ways.loads(src, dst, np.ones(len(src)))
            edges = np.flatnonzero(total)
            self._loads[key] = self._loaded(edges, total[edges], 1.0, len(src))
        return self._loads[key]

    def peers(self, source: int, target: int) -> Iterator[tuple[int, int]]:
        """Yield the GPU of each rank of a stage with that of its peer in another one."""
        ranks = (self.layout.stage_ranks(stage) for stage in (source, target))
        for one, other in zip(*ranks, strict=True):
            yield self._gpu[one], self._gpu[other]

    def senders(self, stage: int) -> set[int]:
        """Return the GPUs of a stage."""
        return {self._gpu[rank] for rank in self.layout.stage_ranks(stage)}

    def _count(self, stage: int, axis: str, pattern: str) -> _Count:
        """Return the messages on each edge at a time, over how many rings, and pairs of ranks that talk."""
        channels, heads, tails, sizes = 1, [], [], []
        for group in self.groups(axis, stage):
            members = np.array(group)
            if pattern == "ring":
                rings = np.array(self.rings(group))
                channels = len(rings)
                pairs = rings.ravel(), np.roll(rings, -1, axis=1).ravel()
            elif pattern == "all_to_all":
                pairs = np.repeat(members, len(group)), np.tile(members, len(group))
            else:
                center = np.full(len(group), group[0])
                pairs = (members, center) if pattern == "gather" else (center, members)
            tails.append(pairs[0])
            heads.append(pairs[1])
            sizes.append(np.full(len(pairs[0]), 1.0 if pattern == "ring" else 1 / max(1, len(group) - 1)))
        src, dst, amounts = (np.concatenate(parts) for parts in (tails, heads, sizes))
        own = np.zeros(len(self.ways.gpus), dtype=bool)
        own[[*self.senders(stage)]] = True
        talk = np.flatnonzero((src != dst) & own[src])
        total = self.ways.loads(src[talk], dst[talk], amounts[talk])
        edges = np.flatnonzero(total)
        return edges, total[edges], channels, len(talk)

    def _loaded(self, edges: np.ndarray, counts: np.ndarray, unit: float, messages: int) -> Load:
        return Load(
            edges=edges,
            counts=counts,
            busy=counts * unit / self.ways.bandwidth[edges],
            unit=unit,
            messages=messages,
        )


def _unit(op: str, ranks: int) -> tuple[float, int]:
    """Return the bytes that a rank sends on per byte of the size, and in how many steps."""
    others = ranks - 1
    return {
        "all_reduce": (2 * others / ranks, 2 * others),
        "all_gather": (others / ranks, others),
        "reduce_scatter": (others / ranks, others),
        "all_to_all": (others / ranks, 1),
        "gather": (others / ranks, 1),
        "scatter": (others / ranks, 1),
        "send_recv": (1.0, 1),
        "broadcast": (1.0, 1),
        "reduce": (1.0, 1),
    }[op]
