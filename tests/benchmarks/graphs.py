"""The networks that are measured: a star, a leaf-spine and a fat tree, with routes by formula."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BANDWIDTH = 50e9  # bytes/s of every directed link


def mix(x: Ints) -> NDArray[np.uint64]:
    """Return 64 well mixed bits of each number.

    References
    ----------
    .. [1] Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014: the finalizer of
       SplitMix64.
    """
    z = np.asarray(x).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def below(x: Ints, limit: int | Ints) -> Ints:
    """Return ``mix(x) % limit``."""
    return (mix(x) % np.asarray(limit).astype(np.uint64)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Links that each message crosses.

    Parameters
    ----------
    start : numpy.ndarray of int64, shape (routes + 1,)
        Where the links of each route begin in `links`.
    links : numpy.ndarray of int64, shape (crossings,)
        Directed links.
    source, target : numpy.ndarray of int64, shape (routes,)
        Hosts.
    bandwidth : numpy.ndarray of float64, shape (links,)
        Bytes/s of each link.
    """

    start: Ints
    links: Ints
    source: Ints
    target: Ints
    bandwidth: Floats


def compact(table: Ints) -> tuple[Ints, Ints]:
    """Return starts and links of routes, one a row of a table that is filled up with -1."""
    used = table >= 0
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(used.sum(1))]), table[used]


def _routes(source: Ints, target: Ints, hops: list[Ints], links: int) -> Routes:
    start, crossed = compact(np.stack(hops, axis=1))
    return Routes(
        start=start, links=crossed, source=source, target=target, bandwidth=np.full(links, BANDWIDTH)
    )


@dataclass(frozen=True, slots=True)
class Star:
    """Hosts on one switch: ``up(h) = h``, ``down(h) = hosts + h``."""

    hosts: int

    def routes(self, source: Ints, target: Ints) -> Routes:
        """Return the routes between pairs of hosts."""
        return _routes(source, target, [source, self.hosts + target], 2 * self.hosts)


@dataclass(frozen=True, slots=True)
class LeafSpine:
    """16 hosts a leaf, 8 spines, so two to one; ``spine`` is ``ecmp`` (by hash) or ``dmodk`` (by target)."""

    hosts: int
    spine: str = "ecmp"

    def routes(self, source: Ints, target: Ints) -> Routes:
        """Return the routes between pairs of hosts."""
        hosts, here, there = self.hosts, source // 16, target // 16
        leaves = hosts // 16
        by = target % 8 if self.spine == "dmodk" else below(source * hosts + target, 8)
        far = here != there
        up = np.where(far, 2 * hosts + 8 * here + by, -1)
        down = np.where(far, 2 * hosts + 8 * leaves + 8 * there + by, -1)
        return _routes(source, target, [source, up, down, hosts + target], 2 * hosts + 16 * leaves)


@dataclass(frozen=True, slots=True)
class FatTree:
    """A fat tree of switches with k ports, routes by hash."""

    ports: int

    @property
    def hosts(self) -> int:
        """Return how many hosts it has."""
        return self.ports**3 // 4

    def routes(self, source: Ints, target: Ints) -> Routes:
        """Return the routes between pairs of hosts."""
        m, n = self.ports // 2, self.hosts
        z = mix(source * n + target)
        way = (z % np.uint64(m)).astype(np.int64)
        core = (z // np.uint64(m) % np.uint64(m)).astype(np.int64)
        edge, to_edge = source // m, target // m
        other, far = edge != to_edge, edge // m != to_edge // m
        above, to_above = edge // m * m + way, to_edge // m * m + way
        hops = [
            source,
            np.where(other, 2 * n + edge * m + way, -1),
            np.where(far, 4 * n + above * m + core, -1),
            np.where(far, 5 * n + to_above * m + core, -1),
            np.where(other, 3 * n + to_edge * m + way, -1),
            n + target,
        ]
        return _routes(source, target, hops, 6 * n)


def smallest_fat_tree(hosts: int) -> FatTree:
    """Return the fat tree of the fewest ports that has so many hosts."""
    return next(tree for ports in range(2, 1000, 2) if (tree := FatTree(ports)).hosts >= hosts)
