"""The hybrid cube mesh of DGX-1 with V100: two quads of GPUs, one or two NVLinks a pair, PCIe below."""

from collections.abc import Sequence

import networkx as nx

from topologies._graph import Cable, GraphNode, connect
from topologies._machine import Machine, single
from topologies.pcie_box import join as join_by_pcie

GPUS = 8
LINKS_PER_GPU = 6
NVLINKS = {
    (0, 1): 1, (0, 2): 1, (0, 3): 2, (1, 2): 2, (1, 3): 1, (2, 3): 2,
    (4, 5): 1, (4, 6): 1, (4, 7): 2, (5, 6): 2, (5, 7): 1, (6, 7): 2,
    (0, 4): 2, (1, 5): 2, (2, 6): 1, (3, 7): 1,
}  # fmt: skip
"""How many NVLinks join a pair of GPUs: the matrix that ``nvidia-smi topo -m`` prints on these machines."""


def build(gpus: int, *, machine: Machine) -> nx.DiGraph:
    """Return the first ``gpus`` of the eight GPUs, their NVLinks and the PCIe tree below them.

    References
    ----------
    .. [1] NVIDIA, DGX-1 with Tesla V100 system architecture, WP-08437-002, 2017, section "Hybrid cube mesh".
    .. [2] Li et al., Evaluating modern GPU interconnect, IEEE TPDS 31(1), 2020,
       doi:10.1109/TPDS.2019.2928289.
    """
    return single("dgx_1v", gpus, machine)


def join(graph: nx.DiGraph, machine: Machine, host: int, gpus: Sequence[GraphNode]) -> list[GraphNode]:
    """Join the GPUs of one machine; return where the adapter of each is plugged in."""
    if machine.gpus != GPUS:
        raise ValueError(f"the hybrid cube mesh has {GPUS} GPUs, got {machine.gpus}")
    link = Cable(bandwidth_Bps=machine.intra_bandwidth_Bps / LINKS_PER_GPU, latency_s=machine.intra_latency_s)
    for (one, other), cables in NVLINKS.items():
        if other < len(gpus):
            connect(graph, gpus[one], gpus[other], link, cables)
    return join_by_pcie(graph, machine, host, gpus)


def bisection(*, machine: Machine) -> float:
    """Return bytes/s over NVLink from one quad to the other: six links, the fewest of any halving."""
    return machine.intra_bandwidth_Bps / LINKS_PER_GPU * 6
