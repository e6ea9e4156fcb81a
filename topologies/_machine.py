"""A machine with several GPUs, and rows of machines: what is inside, and which ports leave it."""

from dataclasses import dataclass
from typing import Any

import networkx as nx

from topologies import TOPOLOGIES
from topologies._graph import Cable, GraphNode, add, at_least, connect, start


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one machine holds.

    Parameters
    ----------
    inside : str
        The family that joins the GPUs inside: ``nvlink_node``, ``dgx_1v``, ``mi300x_mesh``, ``pcie_box``;
        blank for a single GPU.
    intra : str
        What joins them: ``nvswitch``, ``nvlink_mesh``, ``xgmi`` or ``pcie``.
    gpus : int
        GPUs it holds.
    used : int
        GPUs of each machine that take part, the first ones; 0: all.
    intra_bandwidth_Bps : float
        Of one GPU to its peers, all its links together, bytes/s in one direction.
    intra_latency_s : float
        From one GPU to its neighbour, s.
    intra_cables : int
        Links of one GPU to its peers.
    pcie : Cable
        A GPU or an adapter to what it is plugged into.
    socket : Cable, optional
        Between the processors; needed only where GPUs reach each other through them.
    sockets, gpus_per_pcie_switch : int
        How GPUs hang below the processors; 0 a switch: each GPU on a port of its processor.
    nics : int
        Adapters for the GPUs' traffic; those of one GPU are used as one, side by side.
    port : Cable or None
        An adapter's port and its cable to the first switch; without adapters, the GPU's own.
    nic_latency_s : float
        Adapter to adapter, s; half of it falls on each end.
    gpu, node, host_cpu, inter : str
        Names for the graph: catalogue rows; ``intel``, ``amd``, ``arm``; ``infiniband``, ``roce``, ``efa``,
        ``slingshot``, ``tcp``; blank: unknown or none.
    """

    inside: str = "nvlink_node"
    intra: str = "nvswitch"
    gpus: int = 8
    used: int = 0
    intra_bandwidth_Bps: float  # noqa: N815 (SI unit)
    intra_latency_s: float = 0.0
    intra_cables: int = 1
    pcie: Cable
    socket: Cable | None = None
    sockets: int = 2
    gpus_per_pcie_switch: int = 0
    nics: int = 0
    port: Cable | None = None
    nic_latency_s: float = 0.0
    gpu: str = ""
    node: str = ""
    host_cpu: str = ""
    inter: str = ""

    def __post_init__(self) -> None:
        at_least("gpus of a machine", self.gpus)
        at_least("sockets", self.sockets)
        if not 0 <= self.used <= self.gpus:
            raise ValueError(f"a machine of {self.gpus} GPUs cannot use {self.used} of them")
        if self.nics and max(self.nics, self.gpus) % min(self.nics, self.gpus):
            raise ValueError(f"{self.nics} NICs cannot be shared evenly by {self.gpus} GPUs")
        if self.nics and self.port is None:
            raise ValueError(f"{self.nics} NICs need a port rate")

    @property
    def gpus_used(self) -> int:
        """How many GPUs of each machine take part."""
        return self.used or self.gpus

    def rail(self, local: int) -> int:
        """Return which of the machine's groups of adapters serves its GPU number ``local``."""
        return local if self.nics >= self.gpus else local * self.nics // self.gpus

    def attributes(self) -> dict[str, Any]:
        """Return what the graph tells about its machines."""
        return {
            "gpu": self.gpu,
            "node": self.node,
            "gpus_per_node": self.gpus_used,
            "nics_per_node": self.nics,
            "nic_bandwidth_Bps": self.port.bandwidth_Bps if self.port else 0.0,
            "intra": self.intra,
            "intra_bandwidth_Bps": self.intra_bandwidth_Bps,
            "host_cpu": self.host_cpu,
            "inter": self.inter if self.nics else "",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Where a machine meets the network: an adapter (or a bare GPU), its rail, its cables to a switch."""

    node: GraphNode
    rail: int
    cable: Cable
    cables: int = 1

    def plug_into(self, graph: nx.DiGraph, switch: GraphNode) -> None:
        """Lay the cables to ``switch``."""
        connect(graph, self.node, switch, self.cable, self.cables)


def single(family: str, gpus: int, machine: Machine) -> nx.DiGraph:
    """Return one machine by itself, with the first ``gpus`` of its GPUs and no network.

    Raises
    ------
    ValueError
        More GPUs than it holds, or fewer than one.
    """
    if not 1 <= gpus <= machine.gpus:
        raise ValueError(f"one machine has 1 to {machine.gpus} GPUs, got {gpus}")
    graph = start(family, **machine.attributes() | {"gpus_per_node": gpus, "nics_per_node": 0, "inter": ""})
    add_inside(graph, machine, 0, range(gpus))
    return graph


def add_inside(graph: nx.DiGraph, machine: Machine, host: int, ranks: range) -> list[GraphNode]:
    """Add the GPUs of one machine and what joins them; return where the adapter of each is plugged in."""
    gpus = [
        add(graph, ("gpu", rank), host=host, local=local, rail=machine.rail(local))
        for local, rank in enumerate(ranks)
    ]
    if not machine.inside:
        return gpus
    homes: list[GraphNode] = TOPOLOGIES[machine.inside].join(graph, machine, host, gpus)
    return homes


def add_machines(graph: nx.DiGraph, gpus: int, machine: Machine) -> list[Port]:
    """Add as many machines as ``gpus`` need; return the ports that leave them, machine by machine.

    Fewer GPUs than one machine uses: the first ones of a single machine.

    Raises
    ------
    ValueError
        Not a whole number of machines, or several of them without adapters.
    """
    per_node = machine.gpus_used
    at_least("gpus", gpus)
    if gpus > per_node and gpus % per_node:
        low = gpus // per_node * per_node
        raise ValueError(
            f"{gpus} GPUs are not a whole number of machines of {per_node}, nearest: {low}, {low + per_node}"
        )
    if gpus > per_node and machine.port is None:
        raise ValueError(
            f"{gpus} GPUs need {gpus // per_node} machines of {per_node}, but these have no NICs"
        )
    ports = []
    for host, first in enumerate(range(0, gpus, per_node)):
        ports += _add_nics(
            graph, machine, host, add_inside(graph, machine, host, range(first, min(first + per_node, gpus)))
        )
    return ports


def _add_nics(graph: nx.DiGraph, machine: Machine, host: int, homes: list[GraphNode]) -> list[Port]:
    """Add the adapters that serve the GPUs present; ``homes`` says where each GPU's adapter is plugged in."""
    if machine.port is None:
        return []
    if not machine.nics:
        return [Port(node=home, rail=machine.rail(i), cable=machine.port) for i, home in enumerate(homes)]
    ports = []
    cables = max(1, machine.nics // machine.gpus)
    rails = [machine.rail(local) for local in range(len(homes))]
    for rail in dict.fromkeys(rails):
        nic = add(graph, ("nic", host, rail), host=host, rail=rail, latency_s=machine.nic_latency_s / 2)
        near = list(dict.fromkeys(home for home, served in zip(homes, rails, strict=True) if served == rail))
        shared = near if near[0][0] == "gpu" else near[:1]  # below a PCIe switch an adapter has one plug
        for home in shared:
            connect(graph, nic, home, machine.pcie)
        ports.append(Port(node=nic, rail=rail, cable=machine.port, cables=cables))
    return ports


def bare(link: Cable) -> Machine:
    """Return a machine that is one GPU with its own port, for fabrics of which only the network matters."""
    return Machine(
        inside="",
        intra="",
        gpus=1,
        intra_bandwidth_Bps=link.bandwidth_Bps,
        pcie=link,
        port=link,
    )
