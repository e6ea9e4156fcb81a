"""A ring all-reduce whose every message is simulated."""

import numpy as np

from simulator.network.lanes import Book, Lanes
from tests.benchmarks.graphs import Routes, Star, smallest_fat_tree
from tests.benchmarks.traffic import MESSAGE


def ring_routes(ranks: int, network: str = "star") -> Routes:
    """Return the route of each rank to the next one, over a ``star`` or the smallest ``fat tree``."""
    graph = Star(ranks) if network == "star" else smallest_fat_tree(ranks)
    rank = np.arange(ranks)
    return graph.routes(rank, (rank + 1) % ranks)


def ring(routes: Routes) -> Lanes:
    """Return workload i: a step starts when the one before was sent and that of the neighbour has come."""
    ranks = len(routes.source)
    book, rank = Book(), np.arange(ranks)
    book.phase(2 * (ranks - 1), MESSAGE, slot=0, gates=[(0, 0, 1)])
    book.programme()
    return Lanes(
        programmes=book.made(),
        programme=np.zeros(ranks, np.int64),
        partner_start=rank,
        partners=(rank - 1) % ranks,
        slot_start=rank,
        slots=rank,
        route_start=routes.start,
        links=routes.links,
        bandwidth=routes.bandwidth,
    )


def ring_seconds(ranks: int, bandwidth: float) -> float:
    """Return the closed form on an idle network: all steps one after another."""
    return 2 * (ranks - 1) * MESSAGE / bandwidth
