"""SimGrid runs a list of flows; a program of its own, since SimGrid may live in another Python.

``python simgrid_flows.py FLOWS.npz ENDS.json``: reads routes and bytes, writes when each flow ended. Needs
nothing but SimGrid.
"""

import array
import ast
import ctypes
import importlib.util
import json
import struct
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

MAX_MIN = (
    "network/model:CM02",
    "network/TCP-gamma:0",
    "network/crosstraffic:0",
    "network/bandwidth-factor:1",
    "network/latency-factor:1",
    "network/weight-S:0",
)
PRECISION = {
    3: ("surf/precision:1e-12", "maxmin/precision:1e-12"),
    4: ("precision/timing:1e-12", "precision/work-amount:1e-12"),
}
FEW = 10  # flows of the warm-up


def load() -> Any:
    """Return the module; a wheel keeps its library beside it, where the loader does not look."""
    found = importlib.util.find_spec("simgrid")
    if found is None:
        sys.exit("this Python has no simgrid")
    beside = Path(found.origin).parent
    for library in sorted(beside.glob("libsimgrid.so*"))[-1:]:  # copies; the module asks for the last one
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    import simgrid

    return simgrid


def columns(path: str) -> dict[str, list[Any]]:
    """Return the one-dimensional arrays of an .npz file as lists."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            (length,) = struct.unpack("<H", data[8:10])
            about = ast.literal_eval(data[10 : 10 + length].decode())
            values = array.array({"<i8": "q", "<f8": "d"}[about["descr"]])
            values.frombytes(data[10 + length :])
            found[name.removesuffix(".npy")] = values.tolist()
    return found


def platform(simgrid: Any, flows: dict[str, list[Any]]) -> dict[int, Any]:
    """Make hosts, links and the route of each pair that is used; return the hosts by number."""
    engine = simgrid.Engine
    if hasattr(simgrid.NetZone, "add_netzone_full"):
        zone = engine.instance.netzone_root.add_netzone_full("world")
        host, link = zone.add_host, zone.add_link
    else:
        zone = simgrid.NetZone.create_full_zone("world")
        host, link = zone.create_host, zone.create_link
    number = sorted({*flows["source"], *flows["target"]})
    hosts = {h: host(f"h{h}", 1e9) for h in number}
    links = [link(f"l{i}", bandwidth) for i, bandwidth in enumerate(flows["bandwidth"])]
    for each in links:
        each.set_latency(0)
        each.seal()
    there = set()
    for flow, pair in enumerate(zip(flows["source"], flows["target"], strict=True)):
        if pair not in there:
            there.add(pair)
            crossed = flows["links"][flows["start"][flow] : flows["start"][flow + 1]]
            way = [simgrid.LinkInRoute(links[one]) for one in crossed]
            try:
                zone.add_route(hosts[pair[0]], hosts[pair[1]], way, False)
            except TypeError:  # before 4.0
                ends = hosts[pair[0]].netpoint, hosts[pair[1]].netpoint
                zone.add_route(*ends, None, None, way, False)
    zone.seal()
    return hosts


def main(given: str, found: str) -> None:
    simgrid = load()
    version = str(simgrid.simgrid_version)
    options = (*MAX_MIN, *PRECISION[int(version.partition(".")[0])])
    engine = simgrid.Engine(["peer", "--log=root.thres:critical", *(f"--cfg={one}" for one in options)])
    flows = columns(given)
    hosts = platform(simgrid, flows)
    work = [
        (hosts[s], hosts[t], int(size))
        for s, t, size in zip(flows["source"], flows["target"], flows["size"], strict=True)
    ]
    ran: dict[str, Any] = {}

    def send(some: list[tuple[Any, Any, int]]) -> list[Any]:
        sent = [simgrid.Comm.sendto_async(*one) for one in some]
        for comm in sent:
            comm.wait()
        return sent

    def actor() -> None:
        send(work[:FEW])
        begun, cpu = simgrid.Engine.clock, time.process_time()
        ends = [comm.finish_time - begun for comm in send(work)]
        ran.update(seconds=time.process_time() - cpu, finish=ends)

    first = next(iter(hosts.values()))
    if hasattr(first, "add_actor"):
        first.add_actor("sender", actor)
    else:  # before 4.0
        simgrid.Actor.create("sender", first, actor)
    engine.run()
    Path(found).write_text(json.dumps({"version": version, **ran}))


if __name__ == "__main__":
    main(*sys.argv[1:])
