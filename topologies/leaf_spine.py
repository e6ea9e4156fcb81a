"""Two-tier folded Clos: machines in order on the leaves, every leaf on every spine."""

import networkx as nx

from topologies._clos import add_upper_tiers, deal, split
from topologies._graph import Tier, add, at_least, connect, start
from topologies._machine import Machine, add_machines


def build(
    gpus: int,
    *,
    machine: Machine,
    tier: Tier,
    per_leaf: int = 0,
    spines: int = 0,
    oversubscription: float = 1.0,
) -> nx.DiGraph:
    """Return a leaf-spine fabric.

    Parameters
    ----------
    gpus : int
        GPUs: a whole number of machines, or part of one.
    machine : Machine
        What is in one; `bare` makes one of a single GPU with its own port.
    tier : Tier
        Every switch.
    per_leaf : int
        Ports of a leaf that look down; 0: as `oversubscription` says.
    spines : int
        Spines, one cable to each from every leaf; 0: as few as carry the leaves, with cores where one level
        of spines has too few ports.
    oversubscription : float
        Bandwidth of a leaf down over that up; follows from `per_leaf` and `spines` if those are given.

    References
    ----------
    .. [1] Al-Fares, Loukissas, Vahdat, SIGCOMM 2008, doi:10.1145/1402958.1402967.
    """
    if machine.port is None:
        raise ValueError("a network needs machines with NICs, got none")
    if per_leaf or spines:
        at_least("per_leaf and spines, where either is given,", min(per_leaf, spines))
        if per_leaf + spines > tier.ports:
            raise ValueError(
                f"{per_leaf} ports down and {spines} up are more than the {tier.ports} of a switch"
            )
    down, up = (per_leaf, spines) if per_leaf else split(tier, oversubscription)
    graph = start("leaf_spine", **machine.attributes())
    leaves = []
    for index, members in enumerate(deal(add_machines(graph, gpus, machine), down)):
        leaves.append(add(graph, ("leaf", index), latency_s=tier.latency_s))
        for port in members:
            port.plug_into(graph, leaves[-1])
    if not spines:
        add_upper_tiers(graph, leaves, tier, up)
        return graph
    if len(leaves) > tier.ports:
        raise ValueError(f"spines of {tier.ports} ports join that many leaves, got {len(leaves)}")
    for spine in range(spines):
        high = add(graph, ("spine", spine), latency_s=tier.latency_s)
        for leaf in leaves:
            connect(graph, leaf, high, tier.cable)
    return graph


def bisection(leaves: int, *, per_leaf: int, spines: int, port: float, uplink: float) -> float:
    r"""Return bytes/s from one half of the leaves to the other: :math:`\frac l2 \min(d B_p, s B_u)`.

    `l` leaves with `d` ports of `port` bytes/s down and `s` cables of `uplink` bytes/s up.

    References
    ----------
    .. [1] Dally, Towles, Principles and Practices of Interconnection Networks, 2004, section 6.3.
    """
    return leaves // 2 * min(per_leaf * port, spines * uplink)
