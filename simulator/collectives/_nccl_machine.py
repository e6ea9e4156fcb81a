"""What NCCL sees of a machine: nodes, GPUs, what joins them, network cards."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from simulator.collectives._nccl_tables import Table, read_data

PATHS = ("LOC", "NVL", "NVB", "C2C", "PIX", "PXB", "P2C", "PXN", "PHB", "SYS", "NET")  # nearest first
HOSTS = ("intel", "amd", "arm", "power")
INTRAS = ("nvswitch", "nvlink_mesh", "pcie")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A job's share of a cluster as NCCL sees it; every node alike.

    Parameters
    ----------
    nodes : int
        Sets of GPUs that reach each other without the network; a multi-node NVLink domain is one.
    gpus_per_node : int
        Ranks in each.
    compute_capability : int
        Least of all GPUs, e.g. 90.
    host_cpu : str
        ``intel``, ``amd``, ``arm`` or ``power``.
    intra : str
        ``nvswitch``, ``nvlink_mesh`` or ``pcie``.
    intra_bandwidth : float
        What the data sheet gives one GPU towards its peers, bytes/s in one direction.
    nics_per_node : int
        Network cards.
    nic_bandwidth : float
        Of one card, bytes/s in one direction.
    network_path : str
        Class of the path between a GPU and its card; decides whether LL128 may be used.
    network_latency : float
        What an external network plug-in adds to a hop, s; 0 for the built-in transports.
    nic_near_every_gpu : bool
        Whether GPUs that share a card sit on its PCIe switch together.
    collnet : bool
        Whether reduction inside the network (SHARP) is switched on.
    multicast : bool, optional
        Whether the switch can reduce (NVLS); by default, and at most, Hopper and later on NVSwitch.

    Raises
    ------
    ValueError
        A count, a rate or a word that no machine has.
    """

    nodes: int
    gpus_per_node: int
    compute_capability: int
    host_cpu: str = "intel"
    intra: str = "nvswitch"
    intra_bandwidth: float = 0.0
    nics_per_node: int = 0
    nic_bandwidth: float = 0.0
    network_path: str = "PIX"
    network_latency: float = 0.0
    nic_near_every_gpu: bool = True
    collnet: bool = False
    multicast: bool | None = None

    def __post_init__(self) -> None:
        if min(self.nodes, self.gpus_per_node, self.compute_capability) < 1:
            raise ValueError(
                f"need at least one node, GPU and a compute capability, got "
                f"{self.nodes}, {self.gpus_per_node}, {self.compute_capability}"
            )
        for name, words in (("host_cpu", HOSTS), ("intra", INTRAS), ("network_path", PATHS)):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is one of {', '.join(words)}; got {getattr(self, name)!r}")
        if self.gpus_per_node > 1 and self.intra != "pcie" and not self.intra_bandwidth > 0:
            raise ValueError(f"NVLink needs a positive intra_bandwidth, got {self.intra_bandwidth}")
        if self.nodes > 1 and not (self.nics_per_node > 0 and self.nic_bandwidth > 0):
            raise ValueError(
                f"several nodes need network cards: got {self.nics_per_node} of {self.nic_bandwidth} bytes/s"
            )

    @property
    def ranks(self) -> int:
        """GPUs of the job."""
        return self.nodes * self.gpus_per_node

    @property
    def scale(self) -> int:
        """Index into the lists over scale: 0 one node, 1 two, 2 more."""
        return min(self.nodes, 3) - 1

    @property
    def has_nvls(self) -> bool:
        """Whether the switch inside a node reduces and multicasts."""
        able = self.compute_capability >= 90 and self.intra == "nvswitch" and self.gpus_per_node > 1
        return able and self.multicast is not False

    def architecture(self, table: Table) -> str:
        """Return the newest architecture of a release's tables that the GPUs reach."""
        return [name for name, least in table.architectures.items() if least <= self.compute_capability][-1]


@cache
def _capabilities() -> Mapping[str, int]:
    rows: Mapping[str, int] = read_data("gpus")["capability"]
    return rows


def compute_capability(gpu: str) -> int:
    """Return the compute capability of a catalogue's GPU, e.g. 90 for ``h100-sxm5``.

    Raises
    ------
    ValueError
        Not a GPU that NCCL runs on.
    """
    known = _capabilities()
    found = known.get(gpu) or known.get(gpu.partition("-")[0])
    if found is None:
        raise ValueError(f"NCCL has no tables for the GPU {gpu!r}; it knows {', '.join(known)}")
    return found


def machine_of(attributes: Mapping[str, Any], gpus: int) -> Machine:
    """Return what NCCL sees of a fabric graph when ``gpus`` ranks run on it, nodes filled one by one.

    Parameters
    ----------
    attributes : mapping
        The graph's ``.graph``: ``gpu`` (catalogue id), ``gpus_per_node``, ``nics_per_node``,
        ``nic_bandwidth_Bps``, ``intra``, ``intra_bandwidth_Bps``, ``host_cpu`` and, if it differs from the
        default, any other field of `Machine`.
    gpus : int
        Ranks, one a GPU.

    Raises
    ------
    ValueError
        A key is missing, the GPU is not NVIDIA's, or the ranks do not fill their nodes evenly.
    """
    missing = [key for key in ("gpu", "gpus_per_node", "intra") if key not in attributes]
    if missing:
        raise ValueError(f"the fabric does not say what NCCL must know: {', '.join(missing)}")
    per_node = int(attributes["gpus_per_node"])
    if gpus < 1 or per_node < 1 or (gpus > per_node and gpus % per_node):
        raise ValueError(f"{gpus} GPUs do not fill nodes of {per_node} evenly")
    others = ("host_cpu", "nics_per_node", "network_path", "nic_near_every_gpu", "collnet", "multicast")
    return Machine(
        nodes=max(1, gpus // per_node),
        gpus_per_node=min(gpus, per_node),
        compute_capability=compute_capability(str(attributes["gpu"])),
        intra=attributes["intra"],
        intra_bandwidth=float(attributes.get("intra_bandwidth_Bps", 0.0)),
        nic_bandwidth=float(attributes.get("nic_bandwidth_Bps", 0.0)),
        **{name: attributes[name] for name in others if name in attributes},
    )
