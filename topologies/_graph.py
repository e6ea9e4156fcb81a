"""The words every fabric is written in: a cable, a node, a full-duplex connection.

A node is a tuple, its kind first: ``("gpu", 3)``, ``("leaf", 0, 2)``. An edge is one direction of a cable, or
of several laid side by side (``cables``), with ``bandwidth_Bps`` of all of them and ``latency_s`` of one.
What a switch or an adapter needs to pass a byte on is the node attribute ``latency_s``; each edge that leaves
it includes that.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import networkx as nx

GraphNode = tuple[Hashable, ...]

FASTEST = 1e18  # bytes/s; far above any cable, and far below where sums lose their digits
SLOWEST = 1e6  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """One full-duplex cable.

    Parameters
    ----------
    bandwidth_Bps : float
        Bytes/s in each direction.
    latency_s : float
        Time from end to end, s.
    """

    bandwidth_Bps: float  # noqa: N815 (SI unit)
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth_Bps <= FASTEST:
            raise ValueError(f"bandwidth must be a positive number of bytes/s, got {self.bandwidth_Bps}")
        if not 0 <= self.latency_s <= SLOWEST:
            raise ValueError(f"latency must be a number of seconds from 0 on, got {self.latency_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A switch as a level of a fabric uses it.

    Parameters
    ----------
    ports : int
        Ports at the rate of `cable`.
    cable : Cable
        Between two switches.
    latency_s : float
        Time to pass through one switch, s.
    """

    ports: int
    cable: Cable
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        at_least("ports", self.ports, 2)


def at_least(name: str, value: float, least: float = 1) -> None:
    """Raise ValueError unless ``value >= least``."""
    if isinstance(value, bool) or not value >= least:
        raise ValueError(f"{name} must be {least} or more, got {value}")


def start(family: str, **attributes: Any) -> nx.DiGraph:
    """Return an empty fabric that knows its family."""
    return nx.DiGraph(name=family, family=family, **attributes)


def add(graph: nx.DiGraph, node: GraphNode, **attributes: Any) -> GraphNode:
    """Add a node with its kind; return it."""
    about = graph._node.setdefault(node, {})
    about["kind"] = node[0]
    about.update(attributes)
    graph._succ.setdefault(node, {})
    graph._pred.setdefault(node, {})
    return node


def connect(graph: nx.DiGraph, one: GraphNode, other: GraphNode, cable: Cable, cables: int = 1) -> None:
    """Lay ``cables`` cables between two nodes of the fabric, usable in both directions."""
    nodes, ahead, behind = graph._node, graph._succ, graph._pred  # add_edge takes twice as long
    rate, latency = cable.bandwidth_Bps * cables, cable.latency_s
    for tail, head in ((one, other), (other, one)):
        edge = {
            "bandwidth_Bps": rate,
            "latency_s": latency + nodes[tail].get("latency_s", 0.0),
            "cables": cables,
        }
        ahead[tail][head] = edge
        behind[head][tail] = edge


def gpu_nodes(graph: nx.DiGraph) -> list[GraphNode]:
    """Return the GPUs in rank order."""
    return sorted([node for node, about in graph._node.items() if about.get("kind") == "gpu"])
