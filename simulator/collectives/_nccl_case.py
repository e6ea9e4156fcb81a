"""One collective on one machine under one release: what NCCL may run, and what its formulas count."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.collectives._nccl_graphs import Graph, Graphs
from simulator.collectives._nccl_machine import PATHS, Machine
from simulator.collectives._nccl_tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run an operation, and its price.

    Parameters
    ----------
    algorithm : str
        One of `ALGORITHMS`, or ``p2p``.
    protocol : str
        One of `PROTOCOLS`.
    channels : int
        Channels that the communicator runs the algorithm on; for ``p2p``, channels of one message.
    latency_s : float
        Part that does not grow with the data, corrected for this size, s.
    bandwidth_Bps : float
        Algorithm bandwidth that large sizes tend to, bytes/s, before corrections by size.
    time_s : float
        Price at the size asked for, s.
    """

    algorithm: str
    protocol: str
    channels: int
    latency_s: float
    bandwidth_Bps: float  # noqa: N815
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One collective on one machine under one release."""

    op: str
    machine: Machine
    table: Table
    graphs: Graphs

    @property
    def architecture(self) -> str:
        """Row of the tables."""
        return self.machine.architecture(self.table)

    @property
    def moves(self) -> bool:
        """Whether data is moved and spread over ranks rather than reduced into one copy."""
        return self.op in ("all_gather", "reduce_scatter")

    @property
    def steps(self) -> int:
        """Steps of a ring."""
        ranks = self.machine.ranks
        return {"all_reduce": 2 * (ranks - 1), "broadcast": ranks, "reduce": ranks}.get(self.op, ranks - 1)

    def graph(self, algorithm: str) -> Graph | None:
        """Return the graph that an algorithm runs on, if the machine has it."""
        kind = {"ring": "ring", "tree": "tree", "pat": "tree", "nvls": "nvls", "nvls_tree": "nvls"}
        found: Graph | None = getattr(self.graphs, kind.get(algorithm, "collnet"))
        return found

    def hops(self) -> Mapping[str, list[float]]:
        """Return hop latencies, s, of the slowest kind of link in use: the network, else the node's."""
        return self.table.hop_latency["network"] if self.machine.nodes > 1 else self.local_hops()

    def local_hops(self) -> Mapping[str, list[float]]:
        """Return hop latencies, s, inside the node."""
        return self.table.hop_latency["pcie" if self.machine.intra == "pcie" else "nvlink"]

    def cap(self, kind: str) -> float:
        """Return the limit of one search channel, bytes/s; infinite where the release has none."""
        rows = self.table.channel_cap.get(kind, {})
        return rows[self.architecture][self.machine.scale] if self.architecture in rows else math.inf

    def ll_cap(self) -> float:
        """Return the limit of LL over all channels, bytes/s; across nodes the host decides."""
        host = "ampere" if self.machine.host_cpu == "amd" else "volta"
        row = self.architecture if self.machine.nodes == 1 else host
        return self.table.ll_cap[row][self.machine.scale]


def eligible(case: Case, algorithm: str, protocol: str) -> bool:
    """Tell whether NCCL would let the machine use an algorithm with a protocol, overrides aside."""
    machine, graph = case.machine, case.graph(algorithm)
    if graph is None or algorithm not in case.table.algorithms.get(case.op, ()):
        return False
    if protocol != "Simple" and algorithm not in ("ring", "tree"):
        return False
    if protocol == "LL128" and not _ll128(case):
        return False
    local = machine.gpus_per_node
    rules = {
        "collnet_direct": machine.intra == "nvswitch"
        and local <= 8
        and (not case.moves or graph.channels >= local),
        "nvls": (machine.nodes == 1 or machine.collnet) and (not case.moves or local <= 32),
        "nvls_tree": machine.nodes > 1,
        "pat": local == 1 and machine.compute_capability >= 60,
    }
    return rules.get(algorithm, True)


def _ll128(case: Case) -> bool:
    machine = case.machine
    if machine.compute_capability < 70 or (machine.intra == "pcie" and machine.gpus_per_node > 1):
        return False
    farthest = case.table.ll128_path[case.architecture]
    return machine.nodes == 1 or PATHS.index(machine.network_path) <= PATHS.index(farthest)
