"""The machines of a row: which GPU, how many share an NVLink domain, what connects the nodes."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.case import System
from simulator.calibration.steps.words import Row, UnusableError, cell, count, needed, plain
from simulator.errors import nearest
from topologies._catalogue import gpus as catalogue

GBPS = 1e9 / 8
_RATE = re.compile(r"(?:(\d+)\s*x\s*)?(?:[A-Za-z-]+\s+)?(\d+(?:\.\d+)?)\s*Gb/s")
_NODE_RATE = re.compile(r"(\d+) Gbps node-node interconnect")
_TRANSPORTS = (
    ("omni-path", "omnipath"),
    ("omnipath", "omnipath"),
    ("slingshot", "slingshot"),
    ("efa", "efa"),
    ("roce", "roce"),
    (" ib", "infiniband"),
    ("infiniband", "infiniband"),
    ("ethernet", "ethernet"),
)
_SEGMENT = 64  # GPUs of an NVL72 that a job of more than one rack takes: 16 trays of 4


@cache
def _table() -> list[dict[str, Any]]:
    text = (files("simulator.calibration") / "data" / "training" / "systems.toml").read_text("utf-8")
    return list(tomllib.loads(text)["gpu"])


def _accelerator(printed: str) -> dict[str, Any]:
    if not printed:
        raise UnusableError("gpu is blank: compute and memory rates cannot be known")
    flat = plain(printed).removeprefix("nvidia")
    for one in _table():
        if flat in one["called"] or flat == plain(one["name"]):
            return one
    for name in catalogue():
        if flat == plain(name):
            return {"name": name}
    near = [name for name in catalogue() if plain(name).startswith(flat)] or nearest(
        printed, list(catalogue())
    )
    raise UnusableError(f"gpu '{printed:.40}' is unknown" + (f"; nearest: {', '.join(near)}" if near else ""))


def system(row: Row, assumed: list[str]) -> System:
    """Return the machines that a row ran on; sentences about what it does not say are added to ``assumed``.

    Raises
    ------
    UnusableError
        No GPU count, an unknown GPU, or no network known between nodes.
    """
    found = _accelerator(cell(row, "gpu"))
    gpu = catalogue()[found["name"]]
    total = needed(row, "gpus", "a step cannot be placed on an unknown number of GPUs")
    domain = _domain(row, total, gpu.scale_up_domain, assumed)
    transport, rate = _network(row, found, domain, total, assumed)
    words = cell(row, "interconnect").lower()
    return System(
        gpu=found["name"],
        gpus=total,
        gpus_per_node=domain,
        intra="pcie" if "pcie" in words or "PCIe" in gpu.scale_up else "nvswitch",
        transport=transport,
        nic_bandwidth=rate,
        memory_bandwidth=found.get("memory_bandwidth_GBps", 0) * 1e9,
        power=float(found.get("power_W", 0)),
        memory=found.get("memory_GB", 0) * 1e9,
        oversubscription=7.0 if "1:7 oversubscribed" in words else 1.0,
    )


def _domain(row: Row, total: int, usual: int | None, assumed: list[str]) -> int:
    domain = count(row, "gpus_per_node")
    if domain is None:
        domain = usual or 1
        assumed.append(f"gpus_per_node is blank: {domain}")
    if domain == 72 and total > domain and total % _SEGMENT == 0:
        assumed.append(f"{_SEGMENT} GPUs of each NVL72 domain: {total} do not fill whole ones")
        return _SEGMENT
    if total > domain and total % domain:
        raise UnusableError(f"gpus {total} is no multiple of gpus_per_node {domain}")
    return domain


def _network(
    row: Row, found: dict[str, Any], domain: int, total: int, assumed: list[str]
) -> tuple[str, float]:
    words = cell(row, "interconnect")
    text = f" {words} ".lower()
    transport = next((name for word, name in _TRANSPORTS if word in text), "")
    rate = 0.0
    if printed := _NODE_RATE.search(cell(row, "notes")):
        rate, transport = float(printed[1]) * GBPS / domain, "roce"
    elif (printed := _RATE.search(words)) and "speed not stated" not in words:
        rate = float(printed[2]) * float(printed[1] or 1) * GBPS
        if "per node" in words or (printed[1] and "per gpu" not in text):
            rate /= domain
    if not rate:
        if "nic_Gbps" not in found and total > domain:
            raise UnusableError(
                f"interconnect names no network rate and no standard system of {found['name']} is known"
            )
        rate = found.get("nic_Gbps", 0) * GBPS
        if total > domain:
            assumed.append(
                f"no network rate printed: {found.get('nic_Gbps')} Gb/s per GPU as in the vendor's system"
            )
    elif "does not state" in words:
        assumed.append(f"the source states no network: {rate / GBPS:g} Gb/s per GPU, the standard system")
    if not transport and "rdma" in text:
        transport = found.get("transport", "unstated")
    if not transport:
        transport = "unstated" if words else found.get("transport", "unstated")
    return transport, rate
