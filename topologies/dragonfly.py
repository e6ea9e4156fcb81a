"""Groups of routers: all to all inside a group by copper, group to group by a few long cables."""

import networkx as nx

from topologies._graph import Cable, Tier, add, at_least, connect, start
from topologies._machine import Machine, add_machines

MOST_ROUTERS = 65_536


def build(
    gpus: int,
    *,
    machine: Machine,
    tier: Tier,
    routers: int = 4,
    hosts: int = 2,
    uplinks: int = 2,
    groups: int = 0,
    global_cable: Cable | None = None,
) -> nx.DiGraph:
    """Return a dragonfly with the machines' ports filled in router by router.

    Parameters
    ----------
    gpus : int
        GPUs: a whole number of machines, or part of one.
    machine : Machine
        What is in one; `bare` makes one of a single GPU with its own port.
    tier : Tier
        The routers and the cables inside a group.
    routers, hosts, uplinks : int
        Of the literature's a, p, h: routers in a group, ports of one for machines, ports of one to other
        groups. Balanced: a = 2p = 2h.
    groups : int
        Groups; 0: as many as the machines fill. Fewer than a*h + 1 share out their global ports evenly.
    global_cable : Cable, optional
        Between groups; left out, as inside one.

    References
    ----------
    .. [1] Kim, Dally, Scott, Abts, Technology-driven, highly-scalable dragonfly topology, ISCA 2008,
       doi:10.1109/ISCA.2008.19.
    """
    if machine.port is None:
        raise ValueError("a network needs machines with NICs, got none")
    for name, value in (("routers", routers), ("hosts", hosts), ("uplinks", uplinks)):
        at_least(name, value)
    if routers - 1 + hosts + uplinks > tier.ports:
        raise ValueError(f"a router needs {routers - 1 + hosts + uplinks} ports, these have {tier.ports}")
    graph = start("dragonfly", **machine.attributes())
    ports = add_machines(graph, gpus, machine)
    filled = -(-len(ports) // (routers * hosts))
    groups = groups or filled
    if not filled <= groups <= routers * uplinks + 1:
        raise ValueError(
            f"{gpus} GPUs fill {filled} groups; wanted at most {groups}, and {routers * uplinks + 1} can meet"
        )
    if groups * routers > MOST_ROUTERS:
        raise ValueError(f"{groups} groups of {routers} are more than {MOST_ROUTERS} routers")
    graph.graph.update(groups=groups, routers=routers)
    for group in range(groups):
        _add_group(graph, tier, group, routers)
    _join_groups(graph, global_cable or tier.cable, groups, routers, uplinks)
    for index, port in enumerate(ports):
        router = index // hosts
        port.plug_into(graph, ("router", router // routers, router % routers))
    return graph


def _add_group(graph: nx.DiGraph, tier: Tier, group: int, routers: int) -> None:
    for index in range(routers):
        add(graph, ("router", group, index), latency_s=tier.latency_s, group=group)
        for other in range(index):
            connect(graph, ("router", group, index), ("router", group, other), tier.cable)


def _join_groups(graph: nx.DiGraph, cable: Cable, groups: int, routers: int, uplinks: int) -> None:
    """Lay as many whole rounds of group-to-group cables as the global ports allow, port by port."""
    others = groups - 1
    rounds = routers * uplinks // others if others else 0
    cables: dict[tuple[tuple[str, int, int], tuple[str, int, int]], int] = {}
    for turn in range(rounds):
        for group in range(groups):
            for away in range(1, groups - group):
                port, back = turn * others + away - 1, turn * others + others - away
                ends = (("router", group, port // uplinks), ("router", group + away, back // uplinks))
                cables[ends] = cables.get(ends, 0) + 1
    for (one, other), count in cables.items():
        connect(graph, one, other, cable, count)


def bisection(groups: int, *, routers: int, uplinks: int, bandwidth: float) -> float:
    r"""Return bytes/s from one half of an even number of groups to the other.

    :math:`(g/2)^2 \lfloor ah/(g-1) \rfloor B`: every group of one half has that many cables to every other.

    References
    ----------
    .. [1] Kim, Dally, Scott, Abts, ISCA 2008, section 3.
    """
    return (groups // 2) ** 2 * (routers * uplinks // (groups - 1)) * bandwidth
