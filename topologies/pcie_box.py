"""A machine without NVLink: GPUs below PCIe switches or straight on the host bridges of its processors."""

from collections.abc import Sequence

import networkx as nx

from topologies._graph import GraphNode, add, connect
from topologies._machine import Machine, single


def build(gpus: int, *, machine: Machine) -> nx.DiGraph:
    """Return the first ``gpus`` GPUs of one machine, its PCIe switches and its processors.

    References
    ----------
    .. [1] Li et al., Evaluating modern GPU interconnect, IEEE TPDS 31(1), 2020,
       doi:10.1109/TPDS.2019.2928289.
    """
    return single("pcie_box", gpus, machine)


def join(graph: nx.DiGraph, machine: Machine, host: int, gpus: Sequence[GraphNode]) -> list[GraphNode]:
    """Join the GPUs of one machine; return where the adapter of each is plugged in.

    The GPUs are dealt to the sockets in blocks of equal size.
    """
    if machine.gpus % machine.sockets and machine.gpus > 1:
        raise ValueError(f"{machine.gpus} GPUs cannot be shared evenly by {machine.sockets} sockets")
    per_socket = max(1, machine.gpus // machine.sockets)
    cpus = [add(graph, ("cpu", host, s), host=host) for s in range(1 + (len(gpus) - 1) // per_socket)]
    if len(cpus) > 1 and machine.socket is None:
        raise ValueError("a machine of several sockets needs the bandwidth between them")
    for socket in range(1, len(cpus)):
        for other in range(socket):
            connect(graph, cpus[socket], cpus[other], machine.socket or machine.pcie)
    homes = []
    for local, gpu in enumerate(gpus):
        home = cpus[local // per_socket]
        if machine.gpus_per_pcie_switch:
            switch = ("pcie", host, local // machine.gpus_per_pcie_switch)
            if switch not in graph:
                connect(graph, add(graph, switch, host=host), home, machine.pcie)
            home = switch
        connect(graph, gpu, home, machine.pcie)
        homes.append(home)
    return homes


def bisection(*, machine: Machine) -> float:
    """Return bytes/s from the GPUs of one socket to those of the other: bridges or socket link."""
    per_socket = machine.gpus // 2
    bridges = per_socket // (machine.gpus_per_pcie_switch or 1)
    return min(bridges * machine.pcie.bandwidth_Bps, (machine.socket or machine.pcie).bandwidth_Bps)
