"""Hardware of the catalogue put together: a table's names and overrides become a machine, a tier, a cable."""

from collections.abc import Mapping
from typing import Any

from topologies._catalogue import find, gpus, links, nics, nodes, switches
from topologies._graph import Cable, Tier
from topologies._machine import Machine, bare

Table = Mapping[str, Any]

CABLE_KEYS = ("_metres", "_bandwidth_Bps", "_latency_s")
MACHINE_KEYS = (
    "node", "gpu", "gpus_per_node", "inside", "intra", "nvswitch", "intra_bandwidth_Bps", "intra_latency_s",
    "pcie", "pcie_bandwidth_Bps", "pcie_latency_s", "sockets", "socket_bandwidth_Bps", "socket_latency_s",
    "gpus_per_pcie_switch", "nic", "nics_per_node", "nic_bandwidth_Bps", "nic_latency_s", "cable",
    "cable_metres", "host_cpu", "inter",
)  # fmt: skip
TIER_KEYS = ("switch", "switch_ports", "switch_bandwidth_Bps", "switch_latency_s", "cable", "cable_metres")
COUNT_KEYS = ("gpus_per_node", "sockets", "gpus_per_pcie_switch", "nics_per_node", "switch_ports")
NAME_KEYS = (
    "family", "about", "source", "checked", "notes", "assumed", "name", "node", "gpu", "inside", "intra",
    "nvswitch", "pcie", "nic", "cable", "host_cpu", "inter", "switch", "link", "wan", "server_link",
    "global_cable",
)  # fmt: skip
INSIDE = {"nvswitch": "nvlink_node", "nvlink_mesh": "mi300x_mesh", "xgmi": "mi300x_mesh", "pcie": "pcie_box"}
MOST_PORTS = 1024  # more than any switch has; keeps a slip of the pen from filling the memory
NETWORKS = ("infiniband", "roce", "efa", "slingshot", "tcp", "omni-path", "")


def make_cable(name: str, table: Table) -> Cable:
    """Return the cable that ``name``, ``name_metres`` and the overrides describe."""
    row = find(links(), table[name]) if name in table else None
    rate = table.get(f"{name}_bandwidth_Bps", row.bandwidth_Bps if row else None)
    if rate is None:
        raise ValueError(f"the fabric needs '{name}_bandwidth', e.g. \"400Gbps\"")
    latency = table.get(f"{name}_latency_s", row.latency_s if row else None)
    return Cable(bandwidth_Bps=rate, latency_s=_wire(name, table) if latency is None else latency)


def make_tier(table: Table) -> Tier:
    """Return the switches of a fabric with the cables between them."""
    row = find(switches(), table["switch"]) if "switch" in table else None
    values = {
        "switch_ports": table.get("switch_ports", row.ports if row else None),
        "switch_bandwidth": table.get("switch_bandwidth_Bps", row.bandwidth_Bps if row else None),
        "switch_latency": table.get("switch_latency_s", row.latency_s if row else None),
    }
    for key, value in values.items():
        if value is None:
            raise ValueError(
                f"the fabric needs '{key}': the catalogue has none for '{table.get('switch', '')}'"
            )
    if values["switch_ports"] > MOST_PORTS:
        raise ValueError(f"'switch_ports' can be {MOST_PORTS} at most, got {values['switch_ports']}")
    cable = Cable(bandwidth_Bps=values["switch_bandwidth"], latency_s=_wire("cable", table))
    return Tier(ports=values["switch_ports"], cable=cable, latency_s=values["switch_latency"])


def make_machine(table: Table) -> Machine:
    """Return the machine of a fabric; one GPU with its own port where only a ``link`` is given."""
    if "node" not in table and "gpus_per_node" not in table:
        return bare(make_cable("link", table))
    node = find(nodes(), table["node"]) if "node" in table else None
    gpu_name = table.get("gpu", node.gpu if node else "")
    gpu = find(gpus(), gpu_name) if gpu_name else None
    count = table.get("gpus_per_node", node.gpus if node else 1)
    intra = table.get("intra", _intra(gpu.scale_up if gpu else ""))
    if intra not in INSIDE:
        raise ValueError(f"'intra' must be one of {', '.join(INSIDE)}, got '{intra}'")
    if table.get("inter", "") not in NETWORKS:
        raise ValueError(
            f"'inter' must be one of {', '.join(filter(None, NETWORKS))}, got '{table['inter']}'"
        )
    inside = table.get("inside", INSIDE[intra])
    if inside not in (*INSIDE.values(), "dgx_1v"):
        raise ValueError(
            f"'inside' must be one of {', '.join(sorted({*INSIDE.values(), 'dgx_1v'}))}, got '{inside}'"
        )
    rate = table.get("intra_bandwidth_Bps", gpu.scale_up_bandwidth_Bps if gpu else None)
    if rate is None:
        raise ValueError("the fabric needs 'intra_bandwidth': of one GPU to its peers, e.g. \"450GB/s\"")
    return Machine(
        inside=inside,
        intra=intra,
        gpus=count,
        gpu=gpu_name,
        node=table.get("node", ""),
        intra_bandwidth_Bps=rate,
        intra_latency_s=_intra_latency(table, intra),
        intra_cables=_intra_cables(gpu.scale_up if gpu else "", rate, intra, count),
        pcie=Cable(bandwidth_Bps=_pcie(table), latency_s=table.get("pcie_latency_s", 0.0)),
        socket=_socket(table),
        sockets=table.get("sockets", 2),
        gpus_per_pcie_switch=table.get("gpus_per_pcie_switch", 0),
        host_cpu=table.get("host_cpu", ""),
        inter=table.get("inter", ""),
        **_adapters(table, node.nics if node else 0, node.network_bandwidth_Bps if node else None),
    )


def _socket(table: Table) -> Cable | None:
    rate = table.get("socket_bandwidth_Bps")
    return Cable(bandwidth_Bps=rate, latency_s=table.get("socket_latency_s", 0.0)) if rate else None


def _adapters(table: Table, nics_of_node: int | None, bandwidth_of_node: float | None) -> dict[str, Any]:
    """Return how many adapters a machine has, their rate, cable and latency; none without a network."""
    if "inter" not in table:
        return {}
    count = table.get("nics_per_node", nics_of_node)
    if not count:
        raise ValueError("a fabric of several machines needs 'nics_per_node'")
    row = find(nics(), table["nic"]) if "nic" in table else None
    rate = table.get("nic_bandwidth_Bps", row.bandwidth_Bps if row else None)
    if rate is None and bandwidth_of_node and nics_of_node:
        rate = bandwidth_of_node / nics_of_node
    latency = table.get("nic_latency_s", row.latency_s if row else None)
    if rate is None or latency is None:
        raise ValueError("a fabric of several machines needs 'nic_bandwidth' and 'nic_latency'")
    port = Cable(bandwidth_Bps=rate, latency_s=_wire("cable", table))
    return {"nics": count, "port": port, "nic_latency_s": latency}


def _wire(name: str, table: Table) -> float:
    """Return the time of flight in a cable, s; 0 where no length is given."""
    metres = table.get(f"{name}_metres", 0)
    if not metres:
        return 0.0
    per_metre = find(links(), table.get(name, "fibre")).latency_per_metre_s
    if per_metre is None:
        raise ValueError(f"'{table.get(name)}' has no latency per metre, so '{name}_metres' says nothing")
    return float(metres) * per_metre


def _intra(scale_up: str) -> str:
    family, _, _ = scale_up.partition(" ")
    return {"NVLink": "nvswitch", "Infinity": "xgmi", "PCIe": "pcie"}.get(family, "")


def _intra_latency(table: Table, intra: str) -> float:
    """Return s from one GPU to its neighbour; PCIe machines have it on their cables."""
    latency = table.get("intra_latency_s")
    if latency is None and "nvswitch" in table:
        latency = find(switches(), table["nvswitch"]).latency_s
    if latency is None and intra != "pcie":
        raise ValueError("the fabric needs 'intra_latency': from one GPU to its neighbour, e.g. \"900ns\"")
    return latency or 0.0


def _intra_cables(scale_up: str, rate: float, intra: str, count: int) -> int:
    """Return how many links join a GPU to its peers."""
    words = scale_up.split(" ")
    row = links().get(f"nvlink-{words[1]}") if words[0] == "NVLink" and intra != "pcie" else None
    if row is not None and row.bandwidth_Bps and row.ports:
        return round(rate / (row.bandwidth_Bps / row.ports))
    return max(1, count - 1) if intra in ("xgmi", "nvlink_mesh") else 1


def _pcie(table: Table) -> float:
    rate = table.get("pcie_bandwidth_Bps")
    if rate is None and "pcie" in table:
        rate = find(links(), table["pcie"]).bandwidth_Bps
    if rate is None:
        raise ValueError("the fabric needs 'pcie', e.g. \"pcie-5-x16\"")
    return float(rate)
