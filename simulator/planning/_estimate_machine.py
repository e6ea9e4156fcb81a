"""The machines that a step runs on: a fabric grown to its GPUs, what collectives take there, where bytes go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import networkx as nx

from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.site import Site, of_graph
from simulator.errors import UsageError, unknown
from simulator.planning._estimate_own import Own
from simulator.planning.place import Fabric
from topologies._catalogue import gpus as accelerators
from topologies._graph import gpu_nodes

if TYPE_CHECKING:
    from simulator.engine._replay_ways import Ways
    from simulator.engine.bundles import Traffic
    from workloads.layout import Layout


@dataclass(slots=True)
class Desk:
    """A fabric with what was worked out on it, kept from one question to the next.

    Parameters
    ----------
    place : Fabric
        The fabric.
    """

    place: Fabric
    times: Times = field(init=False)
    _own: Own | None = field(init=False)
    _ways: "dict[int, Ways]" = field(default_factory=dict)
    _traffic: "Traffic | None" = None  # of the last layout: it is asked for by the prices and by the engine

    def __post_init__(self) -> None:
        self._own = Own(self.place) if self.place.profile else None
        self.times = Times(self._own or self.place.predictor)

    def graph(self, gpus: int) -> nx.DiGraph:
        """Return the graph with so many GPUs; UsageError if the fabric cannot have them."""
        return self.place.graph(gpus)

    def gpu(self, gpus: int, other: str = "") -> str:
        """Return the accelerator: another one that was asked for, else the fabric's.

        Raises
        ------
        UsageError
            Nobody knows it, or the fabric does not say which it holds.
        """
        name = other or str(self.graph(gpus).graph.get("gpu") or "")
        if not name:
            raise UsageError(
                f"{self.place.name} does not say which GPU it holds: what its work takes cannot be known",
                where="--gpu",
                hint="--gpu h100-sxm5   (all: commsim list gpus)",
            )
        if name not in accelerators():  # of a file; what was typed is checked before
            raise unknown("gpu", name, list(accelerators()), listing="commsim list gpus", where="--gpu")
        return name

    def site(self, gpus: int, other: str = "") -> Site:
        """Return what a device does and how groups of ranks are joined.

        Raises
        ------
        UsageError
            An accelerator whose rates nobody knows.
        """
        name = self.gpu(gpus, other)
        graph = self.graph(gpus)
        try:
            site = of_graph(_described(graph, gpus), gpus, name)
        except ValueError as error:
            raise UsageError(str(error), where="--gpu", hint="commsim list gpus") from None
        if self._own is not None:
            self._own.per_node = site.per_node
        return site

    def told(self, gpus: int) -> bool:
        """Tell whether the graph says what its machines are."""
        return _tells(self.graph(gpus).graph)

    def traffic(self, layout: "Layout") -> "Traffic":
        """Return where the bytes of a layout go."""
        from simulator.engine._replay_ways import Ways
        from simulator.engine.bundles import Traffic

        if self._traffic is None or self._traffic.layout != layout:
            graph = self.graph(layout.world)
            if layout.world not in self._ways:
                self._ways[layout.world] = Ways(graph)
            self._traffic = Traffic(graph, layout, ways=self._ways[layout.world])
        return self._traffic


def _tells(attributes: Mapping[str, Any]) -> bool:
    return bool(attributes.get("intra") and attributes.get("gpus_per_node"))


def _described(graph: nx.DiGraph, gpus: int) -> Mapping[str, Any]:
    """Return the attributes of a graph; what it does not say of its machines is read off its edges."""
    told: dict[str, Any] = dict(graph.graph)
    if _tells(told):
        return told
    nodes = gpu_nodes(graph)
    hosts = [graph.nodes[node].get("host", place) for place, node in enumerate(nodes)]
    per_node = max(1, hosts.count(hosts[0]))
    ports = {
        kind: sum(
            edge["bandwidth_Bps"]
            for _, head, edge in graph.out_edges(nodes[0], data=True)
            if (graph.nodes[head].get("host", head) == hosts[0]) == (kind == "inside")
        )
        for kind in ("inside", "outside")
    }
    return told | {
        "gpus_per_node": per_node,
        "intra": told.get("intra") or ("nvswitch" if per_node > 1 else ""),
        "intra_bandwidth_Bps": ports["inside"],
        "inter": told.get("inter") or ("unstated" if gpus > per_node else ""),
        "nics_per_node": per_node,
        "nic_bandwidth_Bps": ports["outside"] or ports["inside"],
    }
