"""NVLink machines on rails: adapter r of every machine meets the others of its rail on one leaf."""

import networkx as nx

from topologies._clos import add_upper_tiers, deal, split
from topologies._graph import Tier, add, at_least, start
from topologies._machine import Machine, Port, add_machines


def build(
    gpus: int, *, machine: Machine, tier: Tier, rails: int = 0, oversubscription: float = 1.0
) -> nx.DiGraph:
    """Return machines whose adapters of equal place share leaves, joined by spines and, if need be, cores.

    Parameters
    ----------
    gpus : int
        GPUs: a whole number of machines, or part of one.
    machine : Machine
        What is in one; it must have adapters.
    tier : Tier
        Every switch.
    rails : int
        Rails; 0: one for each group of adapters of a machine. With fewer, adapter r goes to rail ``r %
        rails``.
    oversubscription : float
        Bandwidth of a leaf down to the machines over that up to the spines.

    References
    ----------
    .. [1] NVIDIA, DGX SuperPOD reference architecture H100, RA-11333-001, 2023, "Network fabrics": each group
       of 32 machines is rail-aligned, one leaf a rail.
    .. [2] Wang et al., Rail-only: a low-cost high-performance network for training LLMs, 2023,
       arXiv:2307.12169.
    """
    if machine.port is None:
        raise ValueError("rails need machines with NICs, got none")
    at_least("rails", rails, 0)
    rails = rails or machine.rail(machine.gpus - 1) + 1
    graph = start("rail_optimized", rails=rails, **machine.attributes())
    by_rail: dict[int, list[Port]] = {}
    for port in add_machines(graph, gpus, machine):
        by_rail.setdefault(port.rail % rails, []).append(port)
    down, up = split(tier, oversubscription)
    leaves = []
    for rail, ports in sorted(by_rail.items()):
        for group, members in enumerate(deal(ports, down)):
            leaf = add(graph, ("leaf", group, rail), latency_s=tier.latency_s, rail=rail)
            leaves.append(leaf)
            for port in members:
                port.plug_into(graph, leaf)
    add_upper_tiers(graph, sorted(leaves), tier, up)
    return graph


def bisection(gpus: int, *, machine: Machine, oversubscription: float = 1.0) -> float:
    """Return bytes/s from one half of the machines to the other, all leaves full: half of all adapters.

    References
    ----------
    .. [1] Al-Fares, Loukissas, Vahdat, SIGCOMM 2008, doi:10.1145/1402958.1402967: a folded Clos is
       rearrangeably non-blocking.
    """
    nics = gpus // machine.gpus * max(machine.nics, 1)
    rate = machine.port.bandwidth_Bps if machine.port else 0.0
    return nics * rate / 2 / oversubscription
