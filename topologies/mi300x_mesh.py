"""One machine whose GPUs are joined pair by pair: MI300X, and boards of four A100 or GH200."""

from collections.abc import Sequence

import networkx as nx

from topologies._graph import Cable, GraphNode, connect
from topologies._machine import Machine, single


def build(gpus: int, *, machine: Machine) -> nx.DiGraph:
    """Return the first ``gpus`` GPUs of one machine, each pair with its own link.

    References
    ----------
    .. [1] AMD, Instinct MI300X platform data sheet, 2023: seven links a GPU, one to each of the others.
    """
    return single("mi300x_mesh", gpus, machine)


def join(graph: nx.DiGraph, machine: Machine, _host: int, gpus: Sequence[GraphNode]) -> list[GraphNode]:
    """Join the GPUs of one machine; return where the adapter of each is plugged in.

    A GPU's bandwidth is dealt evenly to the others of a full machine: with fewer, the rest lies idle.
    """
    pairs = max(1, machine.gpus - 1)
    if machine.intra_cables % pairs:
        raise ValueError(f"{machine.intra_cables} links of a GPU cannot be dealt evenly to {pairs} others")
    link = Cable(
        bandwidth_Bps=machine.intra_bandwidth_Bps / machine.intra_cables, latency_s=machine.intra_latency_s
    )
    for index, gpu in enumerate(gpus):
        for other in gpus[:index]:
            connect(graph, gpu, other, link, machine.intra_cables // pairs)
    return list(gpus)


def bisection(gpus: int, *, machine: Machine) -> float:
    """Return bytes/s from one half of an even number of GPUs to the other: a link for each pair across."""
    return (gpus // 2) ** 2 * machine.intra_bandwidth_Bps / (machine.gpus - 1)
