"""Proof that a partition is equitable, value by value: hashes found it, hashes do not vouch for it."""

import numpy as np

from simulator.errors import CheckError
from simulator.network._folding_hash import distinct, numbered, owners, pointers, spread
from simulator.network._folding_shape import Shape
from simulator.network.lanes import Ints

_LARGEST = 2**62  # of a number that holds two


def check_equitable(shape: Shape, lane_class: Ints, chief: Ints, link_class: Ints, link_chief: Ints) -> None:
    """Compare each lane and each link with the chief, one member of its class.

    Parameters
    ----------
    shape : Shape
        The incidences.
    lane_class, link_class : numpy.ndarray of int64, shapes (lanes,) and (links,)
        The classes; -1 for links that nobody crosses.
    chief, link_chief : numpy.ndarray of int64, shapes (classes,) and (link classes,)
        A member of each.

    Raises
    ------
    CheckError
        Two of one class differ in what they do, whom they wait for or whom they meet.
    """
    first = chief[lane_class]
    _check_programmes(shape, first)
    _check_ties(shape, lane_class, first)
    _check_routes(shape, link_class, first)
    _check_links(shape, lane_class, link_class, link_chief)


def _refuse(what: str) -> CheckError:
    return CheckError(
        f"folding took {what} for alike that are not", hint="run without folding and report the case"
    )


def _check_programmes(shape: Shape, first: Ints) -> None:
    book, programme = shape.lanes.programmes, shape.lanes.programme
    both = np.stack([programme, programme[first]], axis=1)[programme != programme[first]]
    if not len(both):
        return
    width = len(book.start)
    pairs = distinct(both[:, 0] * width + both[:, 1])
    one, other = pairs // width, pairs % width
    lengths = np.diff(book.start)
    if (lengths[one] != lengths[other]).any():
        raise _refuse("programmes of different lengths")
    left, right = spread(book.start, one)[1], spread(book.start, other)[1]
    for column in (book.count, book.size, book.delay, book.slot, book.slot_stride):
        if (column[left] != column[right]).any():
            raise _refuse("programmes")


def _check_ties(shape: Shape, lane_class: Ints, first: Ints) -> None:
    """Compare the classes waited for by each gate: in the order of ties, and only where that differs sorted."""
    programme, start = shape.lanes.programme, shape.tie_start
    lengths = np.diff(start)
    same = programme == programme[first]
    shift = np.where(same, start[first] - start[:-1], 0)
    own = lane_class[shape.tie_to]
    unlike = own != own[np.arange(len(own)) + np.repeat(shift, lengths)]
    doubtful = ~same
    doubtful[shape.tie_lane[unlike]] = True
    if doubtful.any():
        _check_gates(shape, lane_class, first, np.flatnonzero(doubtful))


def _check_gates(shape: Shape, lane_class: Ints, first: Ints, some: Ints) -> None:
    book, lanes = shape.lanes.programmes, shape.lanes
    phase = owners(book.gate_start)
    place = phase - np.repeat(book.start[:-1], np.diff(book.start))[phase]
    kind = np.zeros(len(phase), np.int64)
    for column in (place, book.gate_base, book.gate_stride):
        kind = _joined(kind, column)
    gates = book.gate_start[book.start]
    both = np.concatenate([some, first[some]])
    begin, gate = spread(gates, lanes.programme[both])
    partner = lanes.partners[lanes.partner_start[both][owners(begin)] + book.gate_partner[gate]]
    key = _joined(kind[gate], lane_class[partner])
    chief = np.arange(len(some)) + len(some)
    _check_alike("lanes that wait for others", begin, key, np.concatenate([chief, chief]))


def _check_routes(shape: Shape, link_class: Ints, first: Ints) -> None:
    """Compare the classes of links that each slot crosses: in order, and only where that differs sorted."""
    lengths = np.diff(shape.pair_start)
    if (lengths != lengths[first]).any():
        raise _refuse("lanes with other slots")
    pair_first = np.arange(len(shape.pair_lane)) + np.repeat(
        shape.pair_start[first] - shape.pair_start[:-1], lengths
    )
    if (shape.pair_slot != shape.pair_slot[pair_first]).any():
        raise _refuse("lanes with other slots")
    start = shape.cross_start
    lengths = np.diff(start)
    if (lengths != lengths[pair_first]).any():
        raise _refuse("routes of different lengths")
    key = link_class[shape.cross_link]
    unlike = key != key[np.arange(len(key)) + np.repeat(start[pair_first] - start[:-1], lengths)]
    if unlike.any():
        some = distinct(shape.cross_pair[unlike])
        begin, item = spread(start, np.concatenate([some, pair_first[some]]))
        chief = np.arange(len(some)) + len(some)
        _check_alike("routes", begin, key[item], np.concatenate([chief, chief]))


def _check_links(shape: Shape, lane_class: Ints, link_class: Ints, link_chief: Ints) -> None:
    bandwidth = shape.lanes.bandwidth
    crossed = link_class >= 0
    first = np.arange(len(bandwidth))
    first[crossed] = link_chief[link_class[crossed]]
    if (bandwidth != bandwidth[first]).any():
        raise _refuse("links of different bandwidths")
    pair = _joined(shape.pair_slot, lane_class[shape.pair_lane])
    key = pair[shape.cross_pair]
    if shape.cross_weight is not None:
        key = _joined(key, numbered(shape.cross_weight)[0])
    owner = shape.cross_link
    begin = pointers(np.bincount(owner, minlength=len(bandwidth)))
    width = int(key.max(initial=0)) + 1
    if width * len(bandwidth) < _LARGEST:
        _check_alike("links", begin, np.sort(owner * width + key) % width, first, ascending=True)
    else:
        _check_alike("links", begin, key[np.argsort(owner, kind="stable")], first)


def _joined(one: Ints, other: Ints) -> Ints:
    """Return a number for each pair of numbers from 0, small where the pairs are many."""
    low = int(other.min(initial=0))
    width = int(other.max(initial=0)) - low + 1
    if (int(one.max(initial=0)) + 1) * width >= _LARGEST:
        one, other, low = numbered(one)[0], numbered(other)[0], 0
        width = int(other.max(initial=0)) + 1
    return one * width + (other - low)


def _check_alike(what: str, start: Ints, key: Ints, first: Ints, *, ascending: bool = False) -> None:
    """Refuse unless each stretch holds the same numbers as its first one, in whatever order."""
    lengths = np.diff(start)
    if (lengths != lengths[first]).any():
        raise _refuse(what)
    if not ascending:
        key = key[np.lexsort((key, owners(start)))]
    there = np.arange(len(key)) + np.repeat(start[first] - start[:-1], lengths)
    if (key != key[there]).any():
        raise _refuse(what)
