"""Where a collective ran: what the predictor knows of a machine, from a measured row or from a fabric graph.

Measured rows tell their links in words ("8x HDR200 IB per node"); this file is the one place that reads them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from simulator.calibration.logs._log import LogRow

GB = 1e9
DOMAIN_72 = 72  # GPUs that one NVL72 rack joins by NVLink

# Maker's names as people write them -> short name, family, GB/s of one GPU and direction inside a node.
# Rates: topologies/catalogue/gpus.toml; families group GPUs whose collectives behave alike.
_GPUS: tuple[tuple[str, str, str, float], ...] = (
    (r"GH200", "gh200", "hopper", 450),
    (r"GB200", "gb200", "blackwell", 900),
    (r"GB300", "gb300", "blackwell", 900),
    (r"B300", "b300", "blackwell", 900),
    (r"B200", "b200", "blackwell", 900),
    (r"H200", "h200", "hopper", 450),
    (r"H100.*PCI", "h100-pcie", "hopper", 63),
    (r"H100", "h100", "hopper", 450),
    (r"H800", "h800", "hopper", 200),
    (r"H20\b", "h20", "hopper", 450),
    (r"A100.*PCI", "a100-pcie", "ampere", 31.5),
    (r"A100", "a100", "ampere", 300),
    (r"A800", "a800", "ampere", 200),
    (r"V100.*PCI", "v100-pcie", "volta", 15.75),
    (r"V100", "v100", "volta", 150),
    (r"P100", "p100", "volta", 80),
    (r"MI300X", "mi300x", "cdna3", 448),
    (r"MI3[25]5X|MI350|gfx950", "mi350", "cdna3", 537.6),
    (r"MI2\d\dX?", "mi250x", "cdna3", 400),
    (r"RTX.?PRO.?6000", "rtx-pro-6000", "workstation", 63),
    (r"L40S?|RTX|A10G?|T4|A40", "workstation", "workstation", 31.5),
    (r"Arc", "arc", "xe", 31.5),
)
_PCIE = {"3": 15.75, "4": 31.5, "5": 63.0, "6": 121.0}  # GB/s of x16, topologies/catalogue/links.toml
_TRANSPORTS = (  # first match wins
    ("tcp", r"tcp sockets|\btcp\b(?!x)|\bsockets?\b"),
    ("tcpx", r"tcpxo?"),
    ("slingshot", r"slingshot|\bcxi\b"),
    ("efa", r"\befa\b"),
    ("roce", r"roce|pollara|ethernet|\bgbe\b|\d+gbe|ionic|spectrum"),
    ("infiniband", r"infiniband|\bib\b|[enh]dr\d*|\bxdr"),
)
_DATA_RATES = (
    ("xdr", 800),
    ("ndr200", 200),
    ("ndr", 400),
    ("hdr100", 100),
    ("hdr", 200),
    ("edr", 100),
    ("fdr", 56),
)
_USUAL_PORT = {"volta": 100, "ampere": 200, "hopper": 400, "blackwell": 400, "cdna3": 400}  # Gb/s, nodes.toml
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
    one_rack = bool(re.search(r"MNNVL|NVL72", row.intra_link)) and not row.inter_link
    domains = -(-row.gpus // DOMAIN_72) if re.search(r"MNNVL|NVL72", row.intra_link) else nodes
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
        library=row.library or "nccl",
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


def without_remarks(notes: str) -> str:
    """Return the notes without what they say of results."""
    return re.sub(r"(; )?SPIKE[^;]*", "", notes).strip("; ")


def gpu_of(text: str) -> tuple[str, str, float]:
    """Return short name, family and nominal inside rate (GB/s) of a GPU; empty, ``other``, 0 if unknown."""
    for pattern, name, family, rate in _GPUS:
        if re.search(pattern, text, re.IGNORECASE):
            return name, family, rate
    return "", "other", 0.0


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


def inside_of(text: str, family: str, rate: float, gpu: str) -> tuple[str, float]:
    """Return the kind of links inside a node and GB/s of one GPU and direction.

    Raises
    ------
    ValueError
        Neither the link nor the GPU is known.
    """
    told = re.search(r"(\d+(?:\.\d+)?) ?GB/s", text)
    value = float(told.group(1)) if told else 0.0
    if re.search(r"xGMI|Infinity", text):
        return "xgmi", rate or value * 7
    if re.search(r"PCIe|PHB|host bridge", text, re.IGNORECASE) or (not text and "PCI" in gpu.upper()):
        generation = re.search(r"PCIe ?(?:Gen ?)?(\d)", text, re.IGNORECASE)
        lanes = re.search(r"x(\d+)\b", text)
        whole = _PCIE.get(generation.group(1), 31.5) if generation else (rate if 0 < rate < 130 else 31.5)
        return "pcie", value or whole * (int(lanes.group(1)) / 16 if lanes else 1)
    if re.search(r"mesh|direct|cube|hybrid", text):
        peers = 3 if re.search(r"per pair", text) else 1
        return "nvlink_mesh", value * peers or rate
    if re.search(r"NVLink2$", text):
        return "nvlink_mesh", value or rate
    if text or rate >= 130:
        return "nvswitch", value or rate
    if family in ("workstation", "xe"):
        return "pcie", rate
    raise ValueError("intra_link is blank and the GPU is unknown: which link joins the GPUs of a node?")


def outside_of(
    text: str, family: str, per_domain: float, per_node: int, assumed: list[str]
) -> tuple[str, float]:
    """Return the transport between domains and GB/s of all NICs of one domain; note what was assumed."""
    lower = text.lower()
    transport = next((name for name, pattern in _TRANSPORTS if re.search(pattern, lower)), "unstated")
    port = _port(lower)
    count = re.search(r"(?<![\d.])(\d+) ?x (?!\d)", lower)
    nics = int(count.group(1)) if count else 0
    usual = _USUAL_PORT.get(family, 100)
    if port and not nics and re.search(r"per node", lower) and port > 2 * usual:
        nics = 1  # "RoCE 3200 Gb/s per node" is the sum already
    if not port:
        port = float(re.sub(r"\D", "", (re.search(r"about (\d+) ?gb/s", lower) or ["0"])[0]) or 0) or usual
        assumed.append(f"{port:.0f} Gb/s a NIC")
    if not nics:
        nics = (
            1
            if transport in ("roce", "efa", "tcp", "slingshot") and per_node == 1
            else max(1, min(per_node, 8))
        )
        if text and port != usual and per_node == 1:
            nics = 1
        assumed.append(f"{nics} NICs a node")
    staged = "-staged" if re.search(r"no gpudirect|gdr 0|without gpudirect", lower) else ""
    nodes = per_domain / per_node
    return transport + staged, port / 8 * nics * max(nodes, 1)


def _port(lower: str) -> float:
    """Return Gb/s of one port as the text tells it, 0 if it does not."""
    named = next((rate for name, rate in _DATA_RATES if re.search(rf"\b{name}", lower)), 0)
    told = re.search(r"(\d+(?:\.\d+)?) ?(?:gb/s|gbps|gbe|gbit)", lower)
    if told and not re.search(r"about \d+ ?gb/s", lower):
        return float(told.group(1))
    if named:
        return float(named)
    if "slingshot" in lower:
        return 200.0
    return 400.0 if re.search(r"cx-?7|connectx-?7|bonded", lower) else 0.0
