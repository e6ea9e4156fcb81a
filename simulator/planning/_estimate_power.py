"""What the network of a fabric draws: the ports of its switches and the transceivers of its cables."""

from collections import Counter

import networkx as nx

from simulator.accounting.energy import link_power
from topologies import _fabrics
from topologies._catalogue import find, links, switches

_INSIDE = ("nvswitch", "pcie", "cpu", "gpu", "server", "nic")


def network_power(graph: nx.DiGraph) -> float:
    """Return the power of all links outside of the machines, W; 0 where the catalogue knows no switch of them."""
    name = str(graph.graph.get("name") or "")
    if name not in _fabrics.names():
        return 0.0
    table = _fabrics.describe(name).table
    if "switch" not in table:
        return 0.0
    switch = find(switches(), str(table["switch"]))
    cable = find(links(), str(table["cable"])) if "cable" in table else None
    outside = {node for node, kind in graph.nodes(data="kind") if kind not in _INSIDE}
    ends: Counter[int] = Counter()
    for tail, heads in graph.adjacency():
        if tail in outside:
            for head, edge in heads.items():
                ends[2 if head in outside else 1] += edge.get("cables", 1)
    for node in outside:
        into = graph._pred[node].items()
        ends[1] += sum([edge.get("cables", 1) for tail, edge in into if tail not in outside])
    return sum(count / 2 * link_power(switch, cable, ends=number) for number, count in ends.items())
