"""Lanes to test with: random ones in several copies, rings over leaves, all-to-alls, stragglers."""

from dataclasses import replace

import numpy as np

from simulator.network.lanes import Book, Lanes

SIZES = [0.0, 1.0, 10.0, 10.0, 12.0, 60.0]  # many alike, so that ends tie
DELAYS = [0.0, 0.0, 0.25, 1.0]
BANDWIDTHS = [1.0, 1.0, 2.0, 10.0]
WEIGHTS = [0.125, 0.3, 1.0, 1.0, 6.0]
PARTNERS, SLOTS, MESSAGES = 2, 3, 5


def lanes_from(programmes, programme, partners, routes, bandwidth, weights=None):
    """Return lanes from a list of partners, of routes and of weights for each lane."""
    lists = [route for own in routes for route in own]
    pulls = None if weights is None else [w for own in weights for route in own for w in route]
    return Lanes(
        programmes=programmes,
        programme=np.array(programme, np.int64),
        partner_start=starts(partners)[:-1],
        partners=np.array([lane for own in partners for lane in own], np.int64),
        slot_start=starts(routes)[:-1],
        slots=np.arange(len(lists)),
        route_start=starts(lists),
        links=np.array([link for route in lists for link in route], np.int64),
        weights=None if pulls is None else np.array(pulls, float),
        bandwidth=np.array(bandwidth, float),
    )


def starts(lists):
    return np.cumsum([0, *map(len, lists)]).astype(np.int64)


def random_book(rng, programmes):
    """Return programmes of so many messages each, that wait only for earlier messages of others."""
    book = Book()
    for _ in range(programmes):
        sent = 0
        while sent < MESSAGES:
            count = rng.randint(1, min(3, MESSAGES - sent))
            stride = rng.choice([0, 0, 1]) if count <= SLOTS else 0
            gates = []
            for _ in range(rng.choice([0, 1, 1, 2])):
                step = rng.choice([0, 1, -1])
                gates.append((rng.randrange(PARTNERS), rng.randint(-1, sent), step))
            book.phase(
                count,
                rng.choice(SIZES),
                delay=rng.choice(DELAYS),
                slot=rng.randint(0, SLOTS - 1 - stride * (count - 1)),
                slot_stride=stride,
                gates=gates,
            )
            sent += count
        book.programme()
    return book.made()


def random_lanes(rng, copies, *, apart=False):
    """Return copies of random lanes; unless apart they share some links and may wait for the next copy."""
    lanes, links = rng.randint(1, 4), rng.randint(1, 4)
    book = random_book(rng, rng.randint(1, 2))
    programme = [rng.randrange(len(book.start) - 1) for _ in range(lanes)]
    partners = [[rng.randrange(lanes) for _ in range(PARTNERS)] for _ in range(lanes)]
    turn = 0 if apart else rng.choice([0, 1])  # whose lanes a copy waits for
    routes = [
        [rng.sample(range(links), rng.randint(1, min(links, 3))) for _ in range(SLOTS)] for _ in range(lanes)
    ]
    pulls = [[[rng.choice(WEIGHTS) for _ in route] for route in own] for own in routes]
    shared = [not apart and rng.random() < 0.3 for _ in range(links)]
    return lanes_from(
        book,
        programme * copies,
        [
            [(copy + turn) % copies * lanes + lane for lane in own]
            for copy in range(copies)
            for own in partners
        ],
        [
            [[link if shared[link] else copy * links + link for link in route] for route in own]
            for copy in range(copies)
            for own in routes
        ],
        [rng.choice(BANDWIDTHS) for _ in range(links)] * copies,
        pulls * copies if rng.random() < 0.3 else None,
    )


def straggling(lanes, lane, seconds):
    """Return the lanes with one of them late."""
    book = lanes.programmes
    own = slice(*book.start[lanes.programme[lane] :][:2])
    late = replace(
        book,
        start=np.append(book.start, book.start[-1] + own.stop - own.start),
        count=np.append(book.count, book.count[own]),
        size=np.append(book.size, book.size[own]),
        delay=np.append(book.delay, book.delay[own] + seconds),
        slot=np.append(book.slot, book.slot[own]),
        slot_stride=np.append(book.slot_stride, book.slot_stride[own]),
    )
    gates = slice(book.gate_start[own.start], book.gate_start[own.stop])
    late = replace(
        late,
        gate_start=np.append(
            book.gate_start, book.gate_start[own.start + 1 : own.stop + 1] - gates.start + book.gate_start[-1]
        ),
        gate_partner=np.append(book.gate_partner, book.gate_partner[gates]),
        gate_base=np.append(book.gate_base, book.gate_base[gates]),
        gate_stride=np.append(book.gate_stride, book.gate_stride[gates]),
    )
    programme = lanes.programme.copy()
    programme[lane] = len(book.start) - 1
    return replace(lanes, programmes=late, programme=programme)


def rings(leaves=2, nodes=4, rails=1, size=1e6, delay=0.0, spines=1):
    """Return ring all-reduces over all nodes, one a rail, each rail with leaves of its own."""
    ranks = leaves * nodes
    book = Book()
    book.phase(2 * (ranks - 1), size, delay=delay, slot=0, gates=[(0, 0, 1)])
    book.programme()
    partners, routes = [], []
    wide = 2 * ranks + 2 * leaves * spines  # links of a rail
    for rail in range(rails):
        for rank in range(ranks):
            here, there = rank // nodes, (rank + 1) % ranks // nodes
            spine = (rank + 1) % spines
            between = [2 * ranks + here * spines + spine, 2 * ranks + (leaves + there) * spines + spine]
            route = [rank, *(between if here != there else ()), ranks + (rank + 1) % ranks]
            partners.append([rail * ranks + (rank - 1) % ranks])
            routes.append([[rail * wide + link for link in route]])
    return lanes_from(book.made(), [0] * len(partners), partners, routes, [1e9] * wide * rails)


def all_to_all(ranks, per_leaf):
    """Return lanes that send to all others, one after another from the next one on, over one spine."""
    book = Book()
    book.phase(ranks - 1, 1e6, slot=0, slot_stride=1)
    book.programme()
    routes = [
        [
            [
                rank,
                *([2 * ranks + rank // per_leaf] if rank // per_leaf != to // per_leaf else ()),
                ranks + to,
            ]
            for to in ((rank + step) % ranks for step in range(1, ranks))
        ]
        for rank in range(ranks)
    ]
    bandwidth = [1e9] * (2 * ranks + ranks // per_leaf)
    return lanes_from(book.made(), [0] * ranks, [[] for _ in range(ranks)], routes, bandwidth)
