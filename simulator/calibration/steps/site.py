"""The machines of a step: what one device does, and how a group of ranks is joined."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from simulator.calibration.link_words import gpu_of
from simulator.calibration.setting import Setting
from simulator.calibration.steps.case import System
from simulator.engine.compute import Device
from topologies._catalogue import gpus
from workloads.layout import Shape

_TRANSPORTS = {"omnipath": "omni-path", "ethernet": "roce"}
_EARLY, _LATE = 2025.8, 2026.37
_GENERATIONS = {"volta", "ampere", "hopper", "blackwell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Machines of one kind.

    Parameters
    ----------
    device : Device
        The accelerator.
    gpu, family : str
        As the corpus of collectives knows it.
    per_node : int
        GPUs that share a node or an NVLink domain.
    inside, inside_rate : str, float
        What joins them there; bytes/s of one GPU and direction.
    transport, nic_rate : str, float
        Between nodes; bytes/s that one GPU has, one direction.
    fabric_name : str
        Of a user's own measured fabric; empty else.
    """

    device: Device
    gpu: str
    family: str
    per_node: int
    inside: str
    inside_rate: float
    transport: str
    nic_rate: float
    fabric_name: str = ""

    def setting(self, op: str, shape: Shape) -> Setting:
        """Return what the predictor of collectives knows a group by.

        A group has the adapters of its own ranks: others use the rest at the same time. An oversubscribed layer
        above the pods is left out: a ring crosses it a few times only.
        """
        away = shape.nodes > 1
        return Setting(
            op=op,
            gpus=shape.ranks,
            domains=shape.nodes,
            per_domain=shape.per_node,
            gpu=self.gpu,
            family=self.family,
            inside=self.inside if shape.per_node > 1 else "",
            inside_rate=self.inside_rate if shape.per_node > 1 else 0.0,
            transport=self.transport if away else "",
            outside_rate=self.nic_rate * shape.per_node if away else 0.0,
            library="rccl" if self.family == "cdna3" else "nccl",
            fabric_name=self.fabric_name,
        )


@lru_cache(maxsize=256)
def device(name: str, memory_rate: float = 0.0, variant: str = "", software: str = "") -> Device:
    """Return an accelerator of the catalogue.

    Raises
    ------
    ValueError
        No rate in half precision or no memory bandwidth is known of it.
    """
    row = gpus()[name]
    rates = {
        "bf16": row.bf16_dense_flops or row.fp16_dense_flops,
        "fp8": row.fp8_dense_flops,
        "nvfp4": row.fp4_dense_flops,
        "fp32": row.fp32_flops,
    }
    if not rates["bf16"] or not (memory_rate or row.memory_bandwidth_Bps):
        raise ValueError(f"{name}: the catalogue has no half-precision rate or no memory bandwidth of it")
    family = gpu_of(name.replace("-", " ").upper())[1]
    return Device(
        name=name,
        generation=family if family in _GENERATIONS else "other",
        rates={precision: rate for precision, rate in rates.items() if rate},
        memory_rate=memory_rate or float(row.memory_bandwidth_Bps or 0),
        variant=variant,
        software=software,
    )


def era(released: float) -> str:
    """Return how old kernels are, as the profile tells them apart, from a year with a fraction; 0: unknown.

    Kernels for mixtures and for Blackwell improved between the containers of 2025 and those of summer 2026.
    """
    if not released:
        return ""
    return "2025" if released < _EARLY else "2026b" if released > _LATE else ""


def of_system(system: System, released: float = 0.0) -> Site:
    """Return the site of a measured run, with software of a date (year with a fraction)."""
    short, family, rate = gpu_of(system.gpu.replace("-", " ").upper())
    return Site(
        device=device(
            system.gpu, system.memory_bandwidth, "500W" if system.power == 500 else "", era(released)
        ),
        gpu=short,
        family=family,
        per_node=system.gpus_per_node,
        inside=system.intra,
        inside_rate=rate * 1e9 if system.intra != "pcie" else 31.5e9,
        transport=_TRANSPORTS.get(system.transport, system.transport),
        nic_rate=system.nic_bandwidth,
    )


def of_graph(attributes: Mapping[str, Any], gpus: int, gpu: str = "") -> Site:
    """Return the site that a fabric's graph describes.

    Parameters
    ----------
    attributes : mapping
        Of the graph: ``gpu gpus_per_node intra intra_bandwidth_Bps inter nics_per_node nic_bandwidth_Bps``.
    gpus : int
        How many take part.
    gpu : str
        Another accelerator than the graph names.

    Raises
    ------
    ValueError
        The graph does not say which accelerator it holds.
    """
    name = gpu or str(attributes.get("gpu") or "")
    if not name:
        raise ValueError(
            f"{attributes.get('name') or 'the graph'} does not say which GPU it holds: --gpu NAME"
        )
    short, family, _ = gpu_of(name.replace("-", " ").upper())
    whole = int(attributes.get("gpus_per_node") or gpus)
    nics = int(attributes.get("nics_per_node") or 0) * float(attributes.get("nic_bandwidth_Bps") or 0.0)
    return Site(
        device=device(name),
        gpu=short,
        family=family,
        per_node=min(whole, gpus),
        inside=str(attributes.get("intra", "")),
        inside_rate=float(attributes.get("intra_bandwidth_Bps") or 0.0),
        transport=str(attributes.get("inter") or ("unstated" if gpus > whole else "")),
        nic_rate=nics / whole,
    )
