"""The lanes of a partition: one for each class, on one link for each class of links."""

import numpy as np

from simulator.network._folding_hash import distinct, numbered, owners, pointers, spread
from simulator.network._folding_shape import Shape
from simulator.network.lanes import Floats, Ints, Lanes, Programmes


def quotient(shape: Shape, lane_class: Ints, chief: Ints, link_class: Ints, link_chief: Ints) -> Lanes:
    """Return one lane for each class; a link is crossed by what its chief sees of all lanes of that class.

    Parameters
    ----------
    shape : Shape
        The incidences.
    lane_class, link_class : numpy.ndarray of int64, shapes (lanes,) and (links,)
        An equitable partition; -1 for links that nobody crosses.
    chief, link_chief : numpy.ndarray of int64, shapes (classes,) and (link classes,)
        A member of each.
    """
    lanes = shape.lanes
    used = distinct(lanes.programme[chief])
    programmes = _chosen(lanes.programmes, used)
    programme = np.searchsorted(used, lanes.programme[chief])
    pair_start, pair = spread(shape.pair_start, chief)
    route_start, links, weights = _crossings(shape, lane_class, link_class, link_chief, pair_start, pair)
    slot_start = pointers(_extent(shape.pair_start, shape.pair_slot)[chief])
    slots = np.zeros(slot_start[-1], np.int64)  # those that nobody uses show any route
    slots[slot_start[owners(pair_start)] + shape.pair_slot[pair]] = np.arange(len(pair))
    partner_start = pointers(_partners(programmes)[programme])
    place = np.arange(partner_start[-1]) - np.repeat(partner_start[:-1], np.diff(partner_start))
    partners = lanes.partners[lanes.partner_start[chief][owners(partner_start)] + place]
    return Lanes(
        programmes=programmes,
        programme=programme,
        partner_start=partner_start[:-1],
        partners=lane_class[partners],
        slot_start=slot_start[:-1],
        slots=slots,
        route_start=route_start,
        links=links,
        weights=weights,
        bandwidth=lanes.bandwidth[link_chief],
    )


def _crossings(
    shape: Shape, lane_class: Ints, link_class: Ints, link_chief: Ints, pair_start: Ints, pair: Ints
) -> tuple[Ints, Ints, Floats | None]:
    """Return pointers by pair of the quotient, classes of links and weights: what each chief link sees."""
    is_chief = np.zeros(len(link_class), bool)
    is_chief[link_chief] = True
    seen = np.flatnonzero(is_chief[shape.cross_link])
    by = shape.cross_pair[seen]
    # the pairs of like lanes are as many, in the same order
    place = by - shape.pair_start[shape.pair_lane[by]]
    row = pair_start[lane_class[shape.pair_lane[by]]] + place
    group, counts = numbered(row * len(link_chief) + link_class[shape.cross_link[seen]])
    one = np.empty(len(counts), np.int64)
    one[group] = seen
    row_of = np.empty(len(counts), np.int64)
    row_of[group] = row
    route_start = pointers(np.bincount(row_of, minlength=len(pair)))
    links = link_class[shape.cross_link[one]]
    if shape.cross_weight is None:
        return route_start, links, None if (counts == 1).all() else counts.astype(float)
    weights = np.zeros(len(counts))
    np.add.at(weights, group, shape.cross_weight[seen])
    return route_start, links, weights


def _extent(start: Ints, value: Ints) -> Ints:
    """Return one more than the last value of each stretch, of those that ascend; 0 for empty ones."""
    full = np.diff(start) > 0
    extent = np.zeros(len(full), np.int64)
    extent[full] = value[start[1:][full] - 1] + 1
    return extent


def _partners(book: Programmes) -> Ints:
    """Return how many partners each programme can name."""
    most = np.zeros(len(book.start) - 1, np.int64)
    np.maximum.at(most, owners(book.start)[owners(book.gate_start)], book.gate_partner + 1)
    return most


def _chosen(book: Programmes, some: Ints) -> Programmes:
    """Return some of the programmes."""
    start, phase = spread(book.start, some)
    gate_start, gate = spread(book.gate_start, phase)
    return Programmes(
        start=start,
        count=book.count[phase],
        size=book.size[phase],
        delay=book.delay[phase],
        slot=book.slot[phase],
        slot_stride=book.slot_stride[phase],
        gate_start=gate_start,
        gate_partner=book.gate_partner[gate],
        gate_base=book.gate_base[gate],
        gate_stride=book.gate_stride[gate],
    )
