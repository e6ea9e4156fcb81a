"""Sites far apart: each a switch with its GPUs and a gateway, every gateway joined to every other."""

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(gpus: int, *, link: Cable, wan: Cable, sites: int = 2, switch_latency_s: float = 0.0) -> nx.DiGraph:
    """Return ``sites`` equal sites.

    Parameters
    ----------
    gpus : int
        GPUs of all sites together, a multiple of `sites`; ranks run site by site.
    link : Cable
        From a GPU to its site's switch.
    wan : Cable
        From a site's gateway to another's: a long latency and what the line was rented for.
    sites : int
        Sites.
    switch_latency_s : float
        Time to pass through a switch, s.

    References
    ----------
    .. [1] Douillard et al., DiLoCo, 2023, arXiv:2311.08105: islands of accelerators, poorly connected.
    """
    at_least("sites", sites)
    at_least("gpus", gpus)
    if gpus % sites:
        low = gpus // sites * sites
        near = ", ".join(str(n) for n in (low, low + sites) if n)
        raise ValueError(f"{gpus} GPUs are not the same number at each of {sites} sites, nearest: {near}")
    graph = start("wide_area", sites=sites)
    lan = Cable(bandwidth_Bps=link.bandwidth_Bps * (gpus // sites), latency_s=link.latency_s)
    for site in range(sites):
        switch = add(graph, ("switch", site), latency_s=switch_latency_s, site=site)
        gateway = add(graph, ("gateway", site), site=site)
        connect(graph, switch, gateway, lan)
        for rank in range(site * gpus // sites, (site + 1) * gpus // sites):
            connect(graph, add(graph, ("gpu", rank), host=rank, site=site), switch, link)
        for other in range(site):
            connect(graph, gateway, ("gateway", other), wan)
    return graph


def bisection(sites: int, *, wan: Cable) -> float:
    """Return bytes/s from one half of an even number of sites to the other: a line for each pair across."""
    return (sites // 2) ** 2 * wan.bandwidth_Bps
