"""One machine whose GPUs meet in NVSwitches: DGX A100, HGX H100, H200, B200, B300.

A GPU spreads its traffic over all switch chips alike, so together they act as one switch that never blocks.
"""

from collections.abc import Sequence

import networkx as nx

from topologies._graph import Cable, GraphNode, add, connect
from topologies._machine import Machine, single


def build(gpus: int, *, machine: Machine) -> nx.DiGraph:
    """Return the first ``gpus`` GPUs of one machine and its NVSwitch.

    References
    ----------
    .. [1] NVIDIA, NVSwitch technical overview, 2018: every GPU reaches every other at its full NVLink rate.
    """
    return single("nvlink_node", gpus, machine)


def join(graph: nx.DiGraph, machine: Machine, host: int, gpus: Sequence[GraphNode]) -> list[GraphNode]:
    """Join the GPUs of one machine; return where the adapter of each is plugged in."""
    switch = add(graph, ("nvswitch", host), host=host, latency_s=machine.intra_latency_s)
    link = Cable(bandwidth_Bps=machine.intra_bandwidth_Bps / machine.intra_cables)
    for gpu in gpus:
        connect(graph, gpu, switch, link, machine.intra_cables)
    return list(gpus)


def bisection(gpus: int, *, machine: Machine) -> float:
    """Return bytes/s from one half of an even number of GPUs to the other."""
    return gpus // 2 * machine.intra_bandwidth_Bps
