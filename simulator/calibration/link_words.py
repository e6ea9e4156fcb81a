"""What links and GPUs are called in logs, tables and papers, read into kinds and rates.

Measured rows tell their links in words ("8x HDR200 IB per node"); this file is the one place that reads them.
"""

import re

# Maker's names as people write them -> short name, family, GB/s of one GPU and direction inside a node.
# Rates: topologies/catalogue/gpus.toml; families group GPUs whose collectives behave alike.
_GPUS: tuple[tuple[str, str, str, float], ...] = (
    (r"GH200", "gh200", "hopper", 450),
    (r"GB200", "gb200", "blackwell", 900),
    (r"GB300", "gb300", "blackwell", 900),
    (r"B300", "b300", "blackwell", 900),
    (r"B200", "b200", "blackwell", 900),
    (r"B100", "b100", "blackwell", 900),
    (r"H200", "h200", "hopper", 450),
    (r"H100.*PCI", "h100-pcie", "hopper", 63),
    (r"H100.?NVL\b", "h100-nvl", "hopper", 300),
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
    (r"L40?S?\b|RTX|A10G?|T4|A40|A30", "workstation", "workstation", 31.5),
    (r"Arc", "arc", "xe", 31.5),
)
_NVLINK = {"1": 80.0, "2": 150.0, "3": 300.0, "4": 450.0, "5": 900.0}  # GB/s of one GPU, links.toml
_PCIE = {"3": 15.75, "4": 31.5, "5": 63.0, "6": 121.0}  # GB/s of x16, topologies/catalogue/links.toml
_TRANSPORTS = (  # first match wins
    ("tcp", r"tcp sockets|\btcp\b(?!x)|\bsockets?\b|ipoib"),
    ("tcpx", r"tcpxo?"),
    ("slingshot", r"slingshot|\bcxi\b"),
    ("efa", r"\befa\b"),
    ("roce", r"roce|pollara|ethernet|\bgbe\b|\d+gbe|ionic|spectrum"),
    ("omni-path", r"omni.?path|\bopa\d*\b"),
    ("infiniband", r"infiniband|\bib\b|[enhx]dr\d*|quantum"),
)
_DATA_RATES = (  # Gb/s of a port
    ("quantum-x800", 800),
    ("quantum-2", 400),
    ("xdr", 800),
    ("ndr200", 200),
    ("ndr", 400),
    ("hdr100", 100),
    ("hdr", 200),
    ("edr", 100),
    ("fdr", 56),
    ("omni.?path", 100),
    (r"opa\d*\b", 100),
)
_USUAL_PORT = {"volta": 100, "ampere": 200, "hopper": 400, "blackwell": 400, "cdna3": 400}  # Gb/s, nodes.toml


def gpu_of(text: str) -> tuple[str, str, float]:
    """Return short name, family and nominal inside rate (GB/s) of a GPU; empty, ``other``, 0 if unknown."""
    for pattern, name, family, rate in _GPUS:
        if re.search(pattern, text, re.IGNORECASE):
            return name, family, rate
    return "", "other", 0.0


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
    if re.search(r"PCIe|\bPHB\b|\bPIX\b|\bPXB\b|\bSYS\b|host bridge", text, re.IGNORECASE) or (
        not text and "PCI" in gpu.upper()
    ):
        generation = re.search(r"PCIe ?(?:Gen ?)?(\d)", text, re.IGNORECASE)
        lanes = re.search(r"x(\d+)\b", text)
        whole = _PCIE.get(generation.group(1), 31.5) if generation else (rate if 0 < rate < 130 else 31.5)
        return "pcie", value or whole * (int(lanes.group(1)) / 16 if lanes else 1)
    if re.search(r"mesh|\bdirect\b|cube|hybrid", text):
        peers = 3 if re.search(r"per pair", text) else 1
        return "nvlink_mesh", value * peers or rate
    if re.search(r"NVLink2$", text):
        return "nvlink_mesh", value or rate
    if text or rate >= 130:
        return "nvswitch", _nvlink(text, value, rate)
    if family in ("workstation", "xe"):
        return "pcie", rate
    raise ValueError("intra_link is blank and the GPU is unknown: which link joins the GPUs of a node?")


def _nvlink(text: str, told: float, rate: float) -> float:
    """Return GB/s of a GPU and direction behind a switch: as told, by the GPU, or by NVLink's generation.

    Raises
    ------
    ValueError
        None of them is known.
    """
    if told and rate >= 130:
        return min(told, rate)  # "NVLink4 900 GB/s" of an H100 counts both directions
    generation = re.search(r"NV(?:Link|L)? ?(\d)\b", text, re.IGNORECASE)
    found = told or rate or (_NVLINK.get(generation.group(1), 0.0) if generation else 0.0)
    if not found:
        raise ValueError(f"intra_link '{text[:60]}' and the GPU are unknown: how many GB/s, e.g. '300 GB/s'?")
    return found


def outside_of(
    text: str, family: str, per_domain: float, per_node: int, assumed: list[str]
) -> tuple[str, float]:
    """Return the transport between domains and GB/s of all NICs of one domain; note what was assumed."""
    lower = text.lower()
    transport = next((name for name, pattern in _TRANSPORTS if re.search(pattern, lower)), "unstated")
    port, nics = _port(text), _count(lower)
    usual = _USUAL_PORT.get(family, 100)
    if port > 2 * usual and not nics:
        nics = 1  # "RoCE 3200 Gb/s per node" is the sum already
    if not port:
        port = float(re.sub(r"\D", "", (re.search(r"about (\d+) ?gb/s", lower) or ["0"])[0]) or 0) or usual
        assumed.append(f"{port:.0f} Gb/s a NIC")
    if not nics:
        alone = per_node == 1 and (transport in ("roce", "efa", "slingshot") or (text and port != usual))
        nics = 1 if alone or transport == "tcp" else max(1, min(per_node, 8))
        assumed.append(f"{nics} NICs a node")
    staged = "-staged" if re.search(r"no gpudirect|gdr 0|without gpudirect", lower) else ""
    nodes = per_domain / per_node
    return transport + staged, port / 8 * nics * max(nodes, 1)


def _count(lower: str) -> int:
    """Return how many NICs the text tells of: ``8x NDR``, ``4x200GbE``, ``NDR400 x8``; 0 if it does not."""
    first = re.search(r"(?<![\d.])(\d{1,3}) ?x ?(?=[a-z]|\d+(?:\.\d+)? ?(?:gb|g\b))", lower)
    found = first or re.search(r"\bx ?(\d{1,2})$", lower)
    return int(found.group(1)) if found and "pci" not in lower else 0


def _port(text: str) -> float:
    """Return Gb/s of one port as the text tells it, 0 if it does not."""
    lower = text.lower()
    if octets := re.search(r"(\d+(?:\.\d+)?) ?GB/?p?s", text):
        return float(octets.group(1)) * 8
    if tera := re.search(r"(\d+(?:\.\d+)?) ?tb(?:/s|ps|it)", lower):
        return float(tera.group(1)) * 1000
    told = re.search(r"(\d+(?:\.\d+)?) ?(?:gb/s|gbps|gbe|gbit|gb?\b)", lower)
    if told and float(told.group(1)) and not re.search(r"about \d+ ?gb/s", lower):
        return float(told.group(1))
    named = next((rate for name, rate in _DATA_RATES if re.search(rf"(?:\b|\dx){name}", lower)), 0)
    if named:
        return float(named)
    if "slingshot" in lower:
        return 200.0
    return 400.0 if re.search(r"cx-?7|connectx-?7|bonded", lower) else 0.0
