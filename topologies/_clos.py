"""What stands above the leaves of a folded Clos network: spines, and cores where spines run out of ports."""

from collections.abc import Sequence

import networkx as nx

from topologies._graph import GraphNode, Tier, add, at_least, connect
from topologies._machine import Port


def split(tier: Tier, oversubscription: float) -> tuple[int, int]:
    """Return how many ports of a leaf look down and how many up.

    Parameters
    ----------
    tier : Tier
        The switch.
    oversubscription : float
        Bandwidth down for one unit of bandwidth up.

    Raises
    ------
    ValueError
        Less than 1, or so much that no port is left upward.
    """
    at_least("oversubscription", oversubscription)
    up = int(tier.ports / (1 + oversubscription))
    if up < 1:
        raise ValueError(f"{tier.ports} ports leave none upward at an oversubscription of {oversubscription}")
    return int(up * oversubscription), up


def deal(ports: Sequence[Port], down: int) -> list[list[Port]]:
    """Return the ports in groups of at most ``down`` cables, in order: those of one leaf each."""
    groups: list[list[Port]] = []
    room = 0
    for port in ports:
        if port.cables > down:
            raise ValueError(f"an adapter with {port.cables} cables does not fit on {down} ports of a leaf")
        if port.cables > room:
            groups.append([])
            room = down
        groups[-1].append(port)
        room -= port.cables
    return groups


def add_upper_tiers(graph: nx.DiGraph, leaves: Sequence[GraphNode], tier: Tier, uplinks: int) -> None:
    """Join the leaves: by spines, or by pods of spines below a layer of cores.

    As few switches as carry all uplinks at full rate, the cables of a leaf dealt evenly over them.

    Raises
    ------
    ValueError
        More leaves than three levels of such switches can join.
    """
    if len(leaves) <= tier.ports:
        spines = _fewest(uplinks, len(leaves), tier.ports)
        _mesh(graph, leaves, [_switch(graph, tier, "spine", s) for s in range(spines)], tier, uplinks)
        return
    half = tier.ports // 2
    pods = [leaves[first : first + half] for first in range(0, len(leaves), half)]
    if len(pods) > tier.ports:
        raise ValueError(
            f"three levels of {tier.ports}-port switches join {tier.ports * half} leaves, got {len(leaves)}"
        )
    spines = _fewest(uplinks, half, half)
    cores = _fewest(half, len(pods), tier.ports)
    planes = [[_switch(graph, tier, "core", s, c) for c in range(cores)] for s in range(spines)]
    for pod, members in enumerate(pods):
        row = [_switch(graph, tier, "spine", pod, s) for s in range(spines)]
        _mesh(graph, members, row, tier, uplinks)
        for spine, plane in zip(row, planes, strict=True):
            _mesh(graph, [spine], plane, tier, half)


def _fewest(cables: int, below: int, ports: int) -> int:
    """Return the fewest switches that take ``cables`` from each of ``below``, dealt evenly."""
    return next(n for n in range(1, cables + 1) if cables % n == 0 and n * ports >= below * cables)


def _switch(graph: nx.DiGraph, tier: Tier, kind: str, *place: int) -> GraphNode:
    return add(graph, (kind, *place), latency_s=tier.latency_s)


def _mesh(
    graph: nx.DiGraph, below: Sequence[GraphNode], above: Sequence[GraphNode], tier: Tier, uplinks: int
) -> None:
    for low in below:
        for high in above:
            connect(graph, low, high, tier.cable, uplinks // len(above))
