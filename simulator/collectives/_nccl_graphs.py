"""The rings and trees that NCCL's search over speeds finds on a node, and the channels it runs them on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from simulator.collectives._nccl_machine import Machine
from simulator.collectives._nccl_tables import NEWEST, Table, in_si, read_data, release

_CHANNELS = 32  # most that the search looks for
_CLOSE = 1e-9  # rates are sums of decimals: 12 x 30 must fit 360


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One communication structure, copied over search channels.

    Parameters
    ----------
    channels : int
        Search channels.
    intra, inter : float
        Of one channel inside the node and to the network, bytes/s.
    pattern : str
        ``ring``, ``balanced``, ``simple``, ``nvls`` or ``collnet``.
    alike : bool
        Whether all channels are the same order of GPUs and cards.
    """

    channels: int
    intra: float
    inter: float
    pattern: str
    alike: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """What the search found; ``None`` where the machine cannot. ``channels`` are those that run."""

    ring: Graph
    tree: Graph
    nvls: Graph | None
    collnet: Graph | None
    channels: int
    nvls_channels: int


@dataclass(frozen=True, slots=True)
class Node:
    """What the search may hand out: a GPU's sum, the rate to one peer, of one card; bytes/s."""

    machine: Machine
    gpu: float
    path: float
    card: float
    cards: int
    ladder: Sequence[float]

    def fits(self, channels: int, speed: float) -> bool:
        """Tell whether so many rings or chains of that speed fit beside each other, inside the node."""
        local, many = self.machine.gpus_per_node, self.machine.nodes > 1
        # A channel leaves the node at one GPU, whose link to the switch it does not use.
        load = channels - channels // local if many else channels
        return speed <= self.path * (1 + _CLOSE) and load * speed <= self.gpu * (1 + _CLOSE)

    def reaches(self, channels: int, speed: float) -> bool:
        """Tell whether the cards carry so many channels of that speed."""
        if self.machine.nodes == 1:
            return True
        return channels <= self.cards * math.floor(self.card / speed * (1 + _CLOSE))

    def most(self, speed: float) -> int:
        """Return how many channels of that speed fit."""
        limit = 1 if self.machine.intra == "pcie" else _CHANNELS
        return max(
            (c for c in range(1, limit + 1) if self.fits(c, speed) and self.reaches(c, speed)), default=0
        )

    def raised(self, speed: float, limit: float, fits: Callable[[float], bool]) -> float:
        """Return ``speed`` taken up the ladder while it is below ``limit`` and the next one fits."""
        for faster in sorted(self.ladder):
            if faster > speed:
                if speed >= limit or not fits(faster):
                    break
                speed = faster
        return speed


def node_of(machine: Machine, table: Table) -> Node:
    """Return the rates that a release takes the links of a node for."""
    kind = machine.architecture(table)
    cards = min(machine.nics_per_node, machine.gpus_per_node)  # a GPU drives one card
    if machine.intra == "pcie":
        gpu = path = min(table.pcie[kind], table.socket[machine.host_cpu][kind])
    else:
        gpu = path = machine.intra_bandwidth / table.nvlink_nominal[kind] * table.nvlink[kind]
        if machine.intra == "nvlink_mesh":
            path = max(table.nvlink[kind], gpu / max(1, machine.gpus_per_node - 1))
    if machine.gpus_per_node == 1:
        gpu = path = table.pcie[kind]
    ladder = table.ladder["intra" if machine.nodes == 1 else "inter"][kind]
    return Node(machine, gpu, path, min(machine.nic_bandwidth, table.pcie[kind]), cards, ladder)


def _ring(node: Node) -> Graph:
    machine = node.machine
    channels, speed = 0, 0.0
    for step in node.ladder:
        if channels and step / speed <= 0.49:
            break
        count = node.most(step)
        if count * step > channels * speed * (1 + _CLOSE):
            channels, speed = count, step
        if count * step >= node.gpu:
            break
    if not channels:
        raise ValueError(f"no ring fits {machine}: the slowest link is below {min(node.ladder):.3g} bytes/s")
    wide = machine.compute_capability > 80 and speed < 50e9 and channels > 4
    if speed >= 25e9 and not wide and channels * 2 <= _CHANNELS and machine.intra != "pcie":
        channels, speed = 2 * channels, speed / 2
    speed = node.raised(speed, math.inf, lambda s: node.fits(channels, s) and node.reaches(channels, s))
    alike = machine.nodes == 1 or channels == 1 or node.cards == 1
    return Graph(channels=channels, intra=speed, inter=speed, pattern="ring", alike=alike)


def _tree(node: Node, ring: Graph, table: Table) -> Graph:
    machine = node.machine
    if machine.nodes == 1:
        return replace(ring, pattern="balanced")
    known = _exception(machine, machine.architecture(table))
    if known is not None:
        return known
    own_card = machine.nics_per_node >= machine.gpus_per_node > 1
    pattern = "simple" if machine.compute_capability >= 90 and own_card else "balanced"
    both = [s for s in node.ladder if node.fits(ring.channels, s) and node.reaches(ring.channels, s)]
    inter = both[0] if both else ring.inter
    intra = node.raised(inter, 2 * inter, lambda s: node.fits(ring.channels, s))
    return Graph(channels=ring.channels, intra=intra, inter=inter, pattern=pattern, alike=ring.alike)


def _exception(machine: Machine, architecture: str) -> Graph | None:
    for row in read_data("exceptions")["tree"]:
        seen = {name: getattr(machine, name) for name in row["match"] if name != "architecture"}
        if row["match"] == {**seen, "architecture": architecture}:
            return Graph(**in_si(row["graph"]), alike=False)
    return None


def _nvls(node: Node, table: Table) -> Graph | None:
    machine = node.machine
    if not machine.has_nvls:
        return None
    heads = min(_CHANNELS, machine.gpus_per_node if machine.nodes == 1 else node.cards)
    # A head's own link carries its channel twice.
    steps = [s for s in node.ladder if s * (heads + 1) <= node.gpu * (1 + _CLOSE) and node.reaches(heads, s)]
    if heads < 2 or not steps:
        return None
    intra = inter = steps[0]
    if table.nvls_second_pass:
        inter = node.raised(intra, 2 * intra, lambda s: node.reaches(heads, s))
    return Graph(channels=heads, intra=intra, inter=inter, pattern="nvls")


def _collnet(node: Node) -> Graph | None:
    if not node.machine.collnet or node.machine.nodes == 1:
        return None
    steps = [s for s in node.ladder if node.fits(node.cards, s) and node.reaches(node.cards, s)]
    return Graph(channels=node.cards, intra=steps[0], inter=steps[0], pattern="collnet") if steps else None


def _executed(machine: Machine, table: Table, ring: Graph, tree: Graph, collnet: Graph | None) -> int:
    channels = min(2 * min(ring.channels, tree.channels), table.max_channels)
    hopper = machine.compute_capability >= 90 and machine.nodes > 1
    if hopper and ring.intra > 45e9 and channels < 16:
        channels *= 2
    if collnet is not None and collnet.intra > collnet.inter:
        channels = channels * 3 // 2
    return min(channels, table.max_channels)


@cache
def graphs(
    machine: Machine, version: str = NEWEST, *, min_channels: int = 0, max_channels: int | None = None
) -> Graphs:
    """Return the graphs that NCCL searches out on every node of a machine.

    The search is restated for nodes that are alike throughout: per speed of the release's ladder the most
    channels that GPU links and cards carry, the largest product kept, fast channels split in two, then a
    second pass that raises what has room. Exceptions stand in ``nccl/exceptions.toml``. A PCIe box is taken
    to have its GPUs on two sockets. The collnet graph is ours: one channel a card at the fastest speed that
    fits.

    Parameters
    ----------
    machine : Machine
        What NCCL sees.
    version : str
        NCCL release.
    min_channels, max_channels : int
        ``NCCL_MIN_NCHANNELS`` and ``NCCL_MAX_NCHANNELS``.

    Raises
    ------
    ValueError
        A link is slower than every speed of the ladder.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/graph/search.cc, src/graph/connect.cc.
    """
    table, _ = release(version)
    node = node_of(machine, table)
    ring = _ring(node)
    tree = _tree(node, ring, table)
    collnet = _collnet(node)
    channels = _executed(machine, table, ring, tree, collnet)
    nvls = _nvls(node, table)
    nvls_channels = table.nvls_channels.get(machine.architecture(table), [0, 0])[min(machine.scale, 1)]
    limit = table.max_channels if max_channels is None else max_channels
    return Graphs(
        ring=ring,
        tree=tree,
        nvls=nvls,
        collnet=collnet,
        channels=max(1, min(max(channels, min_channels), limit, table.max_channels)),
        nvls_channels=min(nvls_channels, limit) if nvls is not None else 0,
    )
