"""Messages that are all released at once: all-to-all, a permutation, random pairs."""

from dataclasses import dataclass

import numpy as np

from simulator.network.core import batch
from simulator.network.lanes import Lanes
from tests.benchmarks.graphs import FatTree, Floats, Ints, LeafSpine, Routes, below

MESSAGE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One message a route; ``size`` is the bytes of each, shape (routes,)."""

    routes: Routes
    size: Floats

    @property
    def lanes(self) -> Lanes:
        """Return each message as a sender."""
        return batch(self.routes.start, self.routes.links, self.size, self.routes.bandwidth)

    @property
    def bound(self) -> float:
        """Return the seconds that the fullest link needs for all that crosses it."""
        crossing = np.repeat(self.size, np.diff(self.routes.start))
        load = np.bincount(self.routes.links, weights=crossing, minlength=len(self.routes.bandwidth))
        return float((load / self.routes.bandwidth).max())


def _alike(routes: Routes) -> Traffic:
    return Traffic(routes=routes, size=np.full(len(routes.source), float(MESSAGE)))


def all_to_all(hosts: int, spine: str = "ecmp") -> Traffic:
    """Return workload ii: every ordered pair of hosts, source by source."""
    source, target = np.divmod(np.arange(hosts * hosts), hosts)
    apart = source != target
    return _alike(LeafSpine(hosts, spine).routes(source[apart], target[apart]))


def shuffled(hosts: int) -> Ints:
    """Return a permutation that leaves no host in its place."""
    order = list(range(hosts))
    places = np.arange(hosts - 1, 0, -1)
    for place, other in zip(places.tolist(), below(1_000_003 + places, places + 1).tolist(), strict=True):
        order[place], order[other] = order[other], order[place]
    for place in range(hosts):
        if order[place] == place:
            following = (place + 1) % hosts
            order[place], order[following] = order[following], order[place]
    return np.array(order)


def permutation(ports: int = 16) -> Traffic:
    """Return workload iii: every host of a fat tree sends to one other."""
    tree = FatTree(ports)
    return _alike(tree.routes(np.arange(tree.hosts), shuffled(tree.hosts)))


def random_pairs(flows: int = 10_000, ports: int = 16) -> Traffic:
    """Return workload iv: pairs by chance, 1 to 100 messages of bytes each."""
    tree, flow = FatTree(ports), np.arange(flows)
    source = below(3 * flow, tree.hosts)
    target = below(3 * flow + 1, tree.hosts - 1)
    target += target >= source
    return Traffic(
        routes=tree.routes(source, target), size=(MESSAGE * (1 + below(3 * flow + 2, 100))).astype(float)
    )
