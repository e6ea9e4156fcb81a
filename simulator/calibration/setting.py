"""Where a collective ran: what the predictor knows of a machine, from a measured row or a fabric graph."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from simulator.calibration.link_words import gpu_of, inside_of, outside_of
from simulator.calibration.logs._log import LogRow

GB = 1e9
DOMAIN_72 = 72  # GPUs that one NVL72 rack joins by NVLink

# Columns that no prediction may look at, and the size: what is left identifies a series.
_UNSEEN: dict[str, Any] = {
    "size_bytes": 0,
    "time_s": None,
    "time_in_place_s": None,
    "case_id": "",
    "line": 0,
    "spike": False,
    "source_url": "",
    "inferred_ranks": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One operation on one machine, without its size.

    Attributes
    ----------
    op : str
        Operation.
    gpus : int
        Ranks.
    domains, per_domain : int, float
        Groups that reach each other inside without the network (nodes; NVL72 racks), ranks in each.
    gpu, family : str
        Short name of the device and the group it belongs to.
    inside : str
        ``nvswitch``, ``nvlink_mesh``, ``pcie``, ``xgmi``; empty with one rank a node.
    inside_rate : float
        Nominal bytes/s of one GPU and direction inside.
    transport : str
        ``infiniband roce efa slingshot tcp tcpx``, ``unstated``; empty inside one domain. A trailing
        ``-staged`` says that the data go through host memory.
    outside_rate : float
        Nominal bytes/s of all NICs of one domain, one direction; 0 inside one domain.
    assumed : tuple of str
        What the row did not say and was filled in.
    """

    op: str
    gpus: int
    domains: int
    per_domain: float
    gpu: str
    family: str
    inside: str
    inside_rate: float
    transport: str
    outside_rate: float
    library: str = "nccl"
    library_version: str = ""
    dtype: str = ""
    algorithm: str = ""
    protocol: str = ""
    source: str = ""
    notes: str = ""
    series: str = ""
    fabric_name: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def fabric(self) -> str:
        """Return what makes two machines the same fabric: device, links inside, links outside."""
        if self.fabric_name:
            return self.fabric_name
        inside = f"{self.gpu}-{self.inside or 'single'}"
        if not self.transport:
            return inside
        return f"{inside}-{self.transport}-{self.outside_rate / max(self.per_domain, 1) * 8 / GB:.0f}"


def of_row(row: LogRow) -> Setting:
    """Return the setting of a measured row.

    Raises
    ------
    ValueError
        A sentence that names the column which is missing or contradicts another.
    """
    return _of_row(replace(row, notes=without_remarks(row.notes), **_UNSEEN))


@lru_cache(maxsize=4096)
def _of_row(row: LogRow) -> Setting:
    gpu, family, rate = gpu_of(row.gpu)
    nodes, per_node = _nodes(row)
    inside, inside_rate = inside_of(row.intra_link, family, rate, row.gpu) if per_node > 1 else ("", 0.0)
    rack = bool(re.search(r"MNNVL|NVL72", f"{row.intra_link} {row.inter_link}"))
    one_rack = rack and not row.inter_link
    domains = -(-row.gpus // DOMAIN_72) if rack else nodes
    assumed: list[str] = []
    transport, outside = "", 0.0
    if domains > 1 and not one_rack:
        transport, outside = outside_of(row.inter_link, family, row.gpus / domains, per_node, assumed)
    return Setting(
        op=row.op,
        gpus=row.gpus,
        domains=domains if transport else 1,
        per_domain=row.gpus / domains if transport else float(row.gpus),
        gpu=gpu,
        family=family,
        inside=inside,
        inside_rate=inside_rate * GB,
        transport=transport,
        outside_rate=outside * GB,
        library=_library(row.library),
        library_version=row.library_version,
        dtype=row.dtype,
        algorithm=row.algorithm_forced,
        protocol=row.protocol_forced,
        source=row.source,
        notes=row.notes,
        series=row.series_id,
        assumed=tuple(assumed),
    )


def of_fabric(attributes: Mapping[str, Any], op: str, gpus: int) -> Setting:
    """Return the setting of a named fabric, from the attributes of its graph.

    Raises
    ------
    ValueError
        The graph does not say which GPU it holds: there is no library to price.
    """
    if not attributes.get("gpu"):
        raise ValueError(f"{attributes.get('name', 'the graph')} does not say which GPU it holds")
    name = str(attributes["gpu"])
    gpu, family, _ = gpu_of(name.replace("-", " ").upper().replace(" PRO ", " PRO "))
    per_node = min(gpus, int(attributes.get("gpus_per_node") or gpus))
    domains = -(-gpus // per_node)
    inside = str(attributes.get("intra", "")) if per_node > 1 else ""
    transport = str(attributes.get("inter", "")) if domains > 1 else ""
    nics = int(attributes.get("nics_per_node") or 0) * float(attributes.get("nic_bandwidth_Bps") or 0.0)
    share = per_node / int(attributes.get("gpus_per_node") or per_node)
    return Setting(
        op=op,
        gpus=gpus,
        domains=domains,
        per_domain=gpus / domains,
        gpu=gpu,
        family=family,
        inside=inside,
        inside_rate=float(attributes.get("intra_bandwidth_Bps") or 0.0) if inside else 0.0,
        transport=transport,
        outside_rate=nics * share if transport else 0.0,
        library="rccl" if family == "cdna3" else "nccl",
    )


def _library(name: str) -> str:
    """Return the name of a library as the measurements spell it; NCCL where none is told."""
    return name.lower() if name.lower() in ("nccl", "rccl", "oneccl") else name or "nccl"


def without_remarks(notes: str) -> str:
    """Return the notes without what they say of results."""
    return re.sub(r"(; )?SPIKE[^;]*", "", notes).strip("; ")


def _nodes(row: LogRow) -> tuple[int, int]:
    if row.nodes and row.gpus_per_node:
        return row.nodes, row.gpus_per_node
    if row.nodes:
        return row.nodes, -(-row.gpus // row.nodes)
    if row.gpus_per_node:
        return -(-row.gpus // row.gpus_per_node), min(row.gpus, row.gpus_per_node)
    if row.inter_link:
        raise ValueError("nodes and gpus_per_node are blank: how many GPUs share a node?")
    return 1, row.gpus
