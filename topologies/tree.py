"""GPUs below a tree of switches; thin, every level loses bandwidth, fat, it keeps it."""

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(
    gpus: int, *, link: Cable, arity: int = 2, fatness: float = 1.0, switch_latency_s: float = 0.0
) -> nx.DiGraph:
    """Return a tree whose leaves are GPUs, as low as ``arity`` allows.

    Parameters
    ----------
    gpus : int
        GPUs, from left to right.
    link : Cable
        From a GPU to its switch.
    arity : int
        Children of a switch.
    fatness : float
        How much faster a link is than one a level below: 1 is a thin tree, `arity` a full fat tree.
    switch_latency_s : float
        Time to pass through a switch, s.

    References
    ----------
    .. [1] Leiserson, Fat-trees, IEEE Transactions on Computers C-34(10), 1985, doi:10.1109/TC.1985.6312192.
    """
    at_least("gpus", gpus)
    at_least("arity", arity, 2)
    at_least("fatness", fatness)
    graph = start("tree")
    below = [add(graph, ("gpu", rank), host=rank) for rank in range(gpus)]
    level, cable = 0, link
    while len(below) > 1 or level == 0:
        above = []
        for index in range(-(-len(below) // arity)):
            above.append(add(graph, ("switch", level, index), latency_s=switch_latency_s, level=level))
            for child in below[index * arity : (index + 1) * arity]:
                connect(graph, child, above[-1], cable)
        below, level = above, level + 1
        cable = Cable(bandwidth_Bps=cable.bandwidth_Bps * fatness, latency_s=cable.latency_s)
    return graph


def bisection(gpus: int, *, link: Cable, arity: int = 2, fatness: float = 1.0) -> float:
    r"""Return bytes/s from one half to the other of a full tree of even arity: :math:`B f^{h-1} a/2`.

    `a` is the arity, `f` the fatness, `h` the levels of switches; half of the root's children lie on each
    side.

    References
    ----------
    .. [1] Leiserson, Fat-trees, IEEE Transactions on Computers C-34(10), 1985, section II.
    """
    levels = 1
    while arity**levels < gpus:
        levels += 1
    if arity**levels != gpus or arity % 2:
        raise ValueError(f"the formula holds for even arity to a power, got {gpus} GPUs of arity {arity}")
    return link.bandwidth_Bps * fatness ** (levels - 1) * arity / 2
