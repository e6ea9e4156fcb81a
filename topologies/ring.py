"""GPUs on a circle, each with a cable to the next; everything between two of them passes through others."""

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(gpus: int, *, link: Cable) -> nx.DiGraph:
    """Return a ring, each cable usable in both directions.

    Parameters
    ----------
    gpus : int
        GPUs on the ring; two share a single cable, one has none.
    link : Cable
        From a GPU to the next.

    Returns
    -------
    networkx.DiGraph
        GPUs ``("gpu", 0)`` to ``("gpu", gpus - 1)`` in the order of the ring.

    References
    ----------
    .. [1] Patarasuk, Yuan, Bandwidth optimal all-reduce, JPDC 69(2), 2009, doi:10.1016/j.jpdc.2008.09.002.
    """
    at_least("gpus", gpus)
    graph = start("ring")
    for rank in range(gpus):
        add(graph, ("gpu", rank), host=rank)
    for rank in range(gpus if gpus > 2 else gpus - 1):
        connect(graph, ("gpu", rank), ("gpu", (rank + 1) % gpus), link)
    return graph


def bisection(gpus: int, *, link: Cable) -> float:
    """Return bytes/s that can pass from one half to the other: two cables, wherever an even ring is halved.

    References
    ----------
    .. [1] Dally, Towles, Principles and Practices of Interconnection Networks, 2004, section 3.2.
    """
    at_least("gpus", gpus, 2)
    return link.bandwidth_Bps * (2 if gpus > 2 else 1)
