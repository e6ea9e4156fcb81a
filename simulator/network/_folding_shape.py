"""Who meets whom: the links that each slot of a lane crosses and the partners that it waits for."""

from dataclasses import dataclass, replace

import numpy as np

from simulator.network._folding_hash import Hashes, distinct, mixed, numbered, odd, owners, pointers, spread
from simulator.network.lanes import Floats, Ints, Lanes, Programmes

_NONE = np.iinfo(np.int64).max  # above every slot and partner


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Incidences of lanes and links; a pair is a lane and a slot that its programme uses.

    Parameters
    ----------
    lanes : Lanes
        As `plain` wrote them.
    base : numpy.ndarray of uint64, shape (lanes,)
        Hash of what each lane does, gates left out.
    link_base : numpy.ndarray of uint64, shape (links,)
        Hash of each bandwidth.
    pair_start : numpy.ndarray of int64, shape (lanes + 1,)
        Where the pairs of each lane begin, slots ascending.
    pair_lane, pair_slot : numpy.ndarray of int64, shape (pairs,)
        The lane and its slot.
    pair_key : numpy.ndarray of uint64, shape (pairs,)
        Odd hash of the slot.
    cross_start : numpy.ndarray of int64, shape (pairs + 1,)
        Where the crossings of each pair begin.
    cross_pair, cross_link : numpy.ndarray of int64, shape (crossings,)
        Which pair crosses which link.
    cross_weight : numpy.ndarray of float64, shape (crossings,), or None
        Bytes on the link per byte of the message; 1 where None.
    cross_key : numpy.ndarray of uint64, shape (crossings,), or None
        Odd hash of the weight.
    tie_start : numpy.ndarray of int64, shape (lanes + 1,)
        Where the ties of each lane begin; a tie is a partner that some gate waits for.
    tie_lane, tie_to : numpy.ndarray of int64, shape (ties,)
        Who waits for whom.
    tie_key : numpy.ndarray of uint64, shape (ties,)
        Hash of the gates through which it waits.
    """

    lanes: Lanes
    base: Hashes
    link_base: Hashes
    pair_start: Ints
    pair_lane: Ints
    pair_slot: Ints
    pair_key: Hashes
    cross_start: Ints
    cross_pair: Ints
    cross_link: Ints
    cross_weight: Floats | None
    cross_key: Hashes | None
    tie_start: Ints
    tie_lane: Ints
    tie_to: Ints
    tie_key: Hashes


def shape(raw: Lanes) -> Shape:
    """Return the incidences of the lanes; work and memory grow with those, not with messages."""
    lanes = plain(raw)
    used_start, used = _used_slots(lanes.programmes)
    used_key = odd(mixed(used))
    pair_start, item = spread(used_start, lanes.programme)
    pair_lane = owners(pair_start)
    pair_slot, pair_key = used[item], used_key[item]
    cross_start, crossing = spread(lanes.route_start, lanes.slots[lanes.slot_start[pair_lane] + pair_slot])
    weight = None if lanes.weights is None else lanes.weights[crossing]
    tied_start, tied, tied_key = _ties(lanes.programmes)
    tie_start, item = spread(tied_start, lanes.programme)
    tie_lane = owners(tie_start)
    return Shape(
        lanes=lanes,
        base=_content(lanes.programmes)[lanes.programme],
        link_base=mixed(lanes.bandwidth),
        pair_start=pair_start,
        pair_lane=pair_lane,
        pair_slot=pair_slot,
        pair_key=pair_key,
        cross_start=cross_start,
        cross_pair=owners(cross_start),
        cross_link=lanes.links[crossing],
        cross_weight=weight,
        cross_key=None if weight is None else odd(mixed(weight)),
        tie_start=tie_start,
        tie_lane=tie_lane,
        tie_to=lanes.partners[lanes.partner_start[tie_lane] + tied[item]],
        tie_key=tied_key[item],
    )


def plain(lanes: Lanes) -> Lanes:
    """Return the same lanes with all left out that cannot matter, so that like programmes look alike.

    Slots and partners are counted from the lowest that is used; there are no slots where no bytes are sent,
    no strides of single messages and no gates that every message finds open.
    """
    book = lanes.programmes
    owner = owners(book.start)
    last = book.count - 1
    crosses = (book.size > 0) & (book.slot >= 0)
    stride = np.where(crosses & (last > 0), book.slot_stride, 0)
    lowest = np.where(crosses, book.slot + np.minimum(0, stride * last), _NONE)
    low = _least(lowest, owner, len(book.start) - 1)
    phase = owners(book.gate_start)
    gate_stride = np.where(last[phase] > 0, book.gate_stride, 0)
    shut = book.gate_base + np.maximum(0, gate_stride * last[phase]) > 0
    low_partner = _least(book.gate_partner[shut], owner[phase[shut]], len(low))
    written = Programmes(
        start=book.start,
        count=book.count,
        size=book.size + 0.0,  # one zero instead of two
        delay=book.delay + 0.0,
        slot=np.where(crosses, book.slot - low[owner], -1),
        slot_stride=stride,
        gate_start=pointers(shut)[book.gate_start],
        gate_partner=(book.gate_partner - low_partner[owner[phase]])[shut],
        gate_base=book.gate_base[shut],
        gate_stride=gate_stride[shut],
    )
    return replace(
        lanes,
        programmes=written,
        slot_start=lanes.slot_start + low[lanes.programme],
        partner_start=lanes.partner_start + low_partner[lanes.programme],
    )


def _least(values: Ints, owner: Ints, count: int) -> Ints:
    """Return the least value of each owner, 0 where there is none."""
    least = np.full(count, _NONE)
    np.minimum.at(least, owner, values)
    least[least == _NONE] = 0
    return least


def _places(book: Programmes) -> Ints:
    """Return the place of each phase in its programme."""
    return np.arange(len(book.count)) - np.repeat(book.start[:-1], np.diff(book.start))


def _content(book: Programmes) -> Hashes:
    """Return a hash of each programme, gates left out."""
    phase = mixed(_places(book))
    for column in (book.count, book.size, book.delay, book.slot, book.slot_stride):
        phase = mixed(phase, column)
    whole = np.zeros(len(book.start) - 1, np.uint64)
    np.add.at(whole, owners(book.start), phase)
    return mixed(whole)


def _used_slots(book: Programmes) -> tuple[Ints, Ints]:
    """Return the slots that each programme uses, ascending, behind pointers by programme."""
    sends = np.flatnonzero(book.slot >= 0)
    times = np.where(book.slot_stride[sends] != 0, book.count[sends], 1)
    begin = pointers(times)
    phase = np.repeat(sends, times)
    k = np.arange(begin[-1]) - np.repeat(begin[:-1], times)
    return _grouped(owners(book.start)[phase], book.slot[phase] + book.slot_stride[phase] * k, book)[:2]


def _ties(book: Programmes) -> tuple[Ints, Ints, Hashes]:
    """Return the partners that each programme waits for, and a hash of the gates through which it does."""
    phase = owners(book.gate_start)
    gate = mixed(mixed(mixed(_places(book)[phase]), book.gate_base), book.gate_stride)
    start, partner, number = _grouped(owners(book.start)[phase], book.gate_partner, book)
    key = np.zeros(len(partner), np.uint64)
    np.add.at(key, number, gate)
    return start, partner, key


def _grouped(programme: Ints, value: Ints, book: Programmes) -> tuple[Ints, Ints, Ints]:
    """Return the distinct values of each programme behind pointers, and the group of each value given."""
    width = int(value.max(initial=0)) + 1
    both = programme * width + value
    groups = distinct(both)
    counts = np.bincount(groups // width, minlength=len(book.start) - 1)
    return pointers(counts), groups % width, numbered(both)[0]
