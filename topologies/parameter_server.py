"""Workers and servers around one switch; workers push gradients to the servers and pull parameters back."""

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(
    gpus: int,
    *,
    link: Cable,
    servers: int = 1,
    server_link: Cable | None = None,
    switch_latency_s: float = 0.0,
) -> nx.DiGraph:
    """Return a star of ``gpus`` workers and ``servers`` parameter servers.

    Parameters
    ----------
    gpus : int
        Workers, ``("gpu", 0)`` and so on.
    link : Cable
        From a worker to the switch.
    servers : int
        Servers, ``("server", 0)`` and so on, each holding an equal share of the parameters.
    server_link : Cable, optional
        From a server to the switch; left out, as a worker's.
    switch_latency_s : float
        Time to pass through the switch, s.

    References
    ----------
    .. [1] Li et al., Scaling distributed machine learning with the parameter server, OSDI 2014.
    """
    at_least("gpus", gpus)
    at_least("servers", servers)
    graph = start("parameter_server", servers=servers)
    switch = add(graph, ("switch", 0), latency_s=switch_latency_s)
    for rank in range(gpus):
        connect(graph, add(graph, ("gpu", rank), host=rank), switch, link)
    for server in range(servers):
        connect(graph, add(graph, ("server", server)), switch, server_link or link)
    return graph


def bisection(gpus: int, *, link: Cable, servers: int = 1, server_link: Cable | None = None) -> float:
    """Return bytes/s from all workers to all servers: the ports of the side that has fewer.

    References
    ----------
    .. [1] Jiang et al., A unified architecture for accelerating distributed DNN training, OSDI 2020, section
       2.
    """
    return min(gpus * link.bandwidth_Bps, servers * (server_link or link).bandwidth_Bps)
