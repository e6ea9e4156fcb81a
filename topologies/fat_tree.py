"""Three-level fat tree of equal k-port switches: pods of edge and aggregation switches below a core."""

import networkx as nx

from topologies._graph import Tier, add, at_least, connect, start
from topologies._machine import Machine, add_machines

LARGEST = 128  # half a million machines on twenty thousand switches


def build(
    gpus: int, *, machine: Machine, tier: Tier, k: int = 0, oversubscription: float = 1.0
) -> nx.DiGraph:
    """Return a whole k-ary fat tree with the machines' ports filled in from the left.

    Parameters
    ----------
    gpus : int
        GPUs: a whole number of machines, or part of one.
    machine : Machine
        What is in one; `bare` makes one of a single GPU with its own port.
    tier : Tier
        The switches' cables and latency; its ports bound `k`.
    k : int
        Ports of a switch, even: k pods of k/2 edge and k/2 aggregation switches, k*k/4 cores. 0: the smallest
        that has room.
    oversubscription : float
        Hosts below an edge switch over its uplinks; the edge switch has more ports for them.

    References
    ----------
    .. [1] Al-Fares, Loukissas, Vahdat, A scalable, commodity data center network architecture, SIGCOMM 2008,
       doi:10.1145/1402958.1402967, section 3.
    """
    if machine.port is None:
        raise ValueError("a network needs machines with NICs, got none")
    graph = start("fat_tree", **machine.attributes())
    ports = add_machines(graph, gpus, machine)
    k = k or _smallest(len(ports), oversubscription)
    room = capacity(k, oversubscription)
    if k > tier.ports:
        raise ValueError(f"{len(ports)} ports need a fat tree of {k}-port switches, these have {tier.ports}")
    if len(ports) > room:
        raise ValueError(
            f"a fat tree of {k}-port switches has {room} ports for machines, {len(ports)} are wanted"
        )
    graph.graph["k"] = k
    per_edge = room // (k * k // 2)
    _add_switches(graph, tier, k)
    for index, port in enumerate(ports):
        edge = index // per_edge
        port.plug_into(graph, ("edge", edge // (k // 2), edge % (k // 2)))
    return graph


def _add_switches(graph: nx.DiGraph, tier: Tier, k: int) -> None:
    half = k // 2
    for row in range(half):
        for column in range(half):
            add(graph, ("core", row, column), latency_s=tier.latency_s)
    for pod in range(k):
        for index in range(half):
            add(graph, ("edge", pod, index), latency_s=tier.latency_s)
            add(graph, ("aggregation", pod, index), latency_s=tier.latency_s)
        for upper in range(half):
            for index in range(half):
                connect(graph, ("edge", pod, index), ("aggregation", pod, upper), tier.cable)
                connect(graph, ("aggregation", pod, upper), ("core", upper, index), tier.cable)


def _smallest(ports: int, oversubscription: float) -> int:
    """Return the smallest k with room for the ports that gives an edge switch a whole number of hosts."""
    for k in range(2, LARGEST + 1, 2):
        if (k / 2 * oversubscription).is_integer() and capacity(k, oversubscription) >= ports:
            return k
    raise ValueError(f"no fat tree of up to {LARGEST}-port switches has room for {ports} ports")


def capacity(k: int, oversubscription: float = 1.0) -> int:
    r"""Return how many hosts a k-ary fat tree has room for: :math:`k^3/4` times the oversubscription.

    Raises
    ------
    ValueError
        An odd or too small `k`, or an oversubscription that gives an edge switch no whole number of hosts.
    """
    at_least("k", k, 2)
    at_least("oversubscription", oversubscription)
    if k > LARGEST:
        raise ValueError(f"k can be {LARGEST} at most, got {k}")
    per_edge = k / 2 * oversubscription
    if k % 2:
        raise ValueError(f"k must be even, got {k}")
    if per_edge != int(per_edge):
        raise ValueError(
            f"oversubscription {oversubscription} gives an edge switch {per_edge} hosts, not a whole number"
        )
    return k * k // 2 * int(per_edge)


def bisection(k: int, *, bandwidth: float) -> float:
    r"""Return bytes/s from one half of the pods to the other: :math:`k^3 B / 8`, however oversubscribed.

    References
    ----------
    .. [1] Al-Fares, Loukissas, Vahdat, SIGCOMM 2008, section 3.1: full bisection bandwidth for k*k*k/4 hosts.
    """
    return k**3 / 8 * bandwidth
