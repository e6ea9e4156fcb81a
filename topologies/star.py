"""One idle, non-blocking switch with a full-duplex port for every GPU: only the ports limit."""

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(gpus: int, *, link: Cable, switch_latency_s: float = 0.0) -> nx.DiGraph:
    """Return a star: each GPU on its own port of ``("switch", 0)``.

    Parameters
    ----------
    gpus : int
        GPUs, one port each.
    link : Cable
        From a GPU to the switch.
    switch_latency_s : float
        Time to pass through the switch, s.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005, section 2: the network that cost models assume.
    """
    at_least("gpus", gpus)
    graph = start("star")
    switch = add(graph, ("switch", 0), latency_s=switch_latency_s)
    for rank in range(gpus):
        connect(graph, add(graph, ("gpu", rank), host=rank), switch, link)
    return graph


def bisection(gpus: int, *, link: Cable) -> float:
    """Return bytes/s from one half of an even number of GPUs to the other: the ports of one half."""
    return gpus // 2 * link.bandwidth_Bps
