"""Racks of 72 GPUs behind one NVLink switch fabric, racks joined by rails."""

import networkx as nx

from topologies._graph import Tier
from topologies._machine import Machine, single
from topologies.rail_optimized import build as build_rails

PER_TRAY = 4


def build(
    gpus: int, *, machine: Machine, tier: Tier | None = None, oversubscription: float = 1.0
) -> nx.DiGraph:
    """Return racks on four rails, one for each place in a tray; without a `tier`, a single rack.

    Parameters
    ----------
    gpus : int
        GPUs: a whole number of racks, or part of one.
    machine : Machine
        A rack.
    tier : Tier, optional
        Every switch between the racks.
    oversubscription : float
        Bandwidth of a leaf down to the racks over that up to the spines.

    References
    ----------
    .. [1] NVIDIA, DGX SuperPOD reference architecture GB200, 2024, "Network fabrics".
    """
    if tier is None:
        return single("nvl72", gpus, machine)
    graph = build_rails(gpus, machine=machine, tier=tier, rails=PER_TRAY, oversubscription=oversubscription)
    graph.graph.update(name="nvl72", family="nvl72")
    return graph


def bisection(gpus: int, *, machine: Machine) -> float:
    """Return bytes/s from one half of an even number of GPUs of one rack to the other."""
    return gpus // 2 * machine.intra_bandwidth_Bps
