"""Colour refinement: part lanes and links until no observer can tell apart two that share a colour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.network._folding_hash import (
    Hashes,
    by_first,
    chiefs,
    distinct,
    mixed,
    numbered,
    pointers,
    spread,
)
from simulator.network._folding_shape import Shape
from simulator.network.lanes import Ints

_MANY = 8  # more than one lane in so many with a new colour: everything anew is faster than differences


@dataclass(slots=True)
class _Colours:
    """Colours while they are refined, and the sums over neighbours that tell lanes and links apart."""

    number: Ints  # class of each lane
    sizes: Ints  # lanes of each class
    lane: Hashes
    lane_sum: Hashes  # of the colours of links and partners
    link: Hashes
    link_sum: Hashes  # of the colours of lanes
    behind_link: tuple[Ints, Ints] | None = None  # crossings by link
    behind_lane: tuple[Ints, Ints] | None = None  # ties by the one waited for


def refined(shape: Shape, hint: Ints | None) -> tuple[Ints, Ints, int]:
    """Return the class of each lane and each link, -1 for links that nobody crosses, and the rounds it took.

    The sums are linear in the colours, so a round that gives few lanes new colours only adds differences. Of
    the parts of a class the untouched one keeps its colour, else the largest.

    References
    ----------
    .. [1] Paige, Tarjan, Three partition refinement algorithms, SIAM J. Comput. 16(6), 1987: the largest
       part need not be looked at.
    """
    first = mixed(shape.base) if hint is None else mixed(shape.base, np.ascontiguousarray(hint, np.int64))
    number, sizes = numbered(first)
    nobody = np.zeros(0, np.uint64)
    colours = _Colours(number, sizes, first, nobody, nobody, nobody)
    touched = _look_at_all(shape, colours)
    rounds = 1
    while len(touched):
        changed, difference = _part(colours, touched, rounds)
        if not len(changed):
            break
        rounds += 1
        if len(changed) * _MANY > len(number):
            touched = _look_at_all(shape, colours)
        else:
            touched = _look_at(shape, colours, changed, difference)
    crossed = np.zeros(len(shape.link_base), bool)
    crossed[shape.cross_link] = True
    link_class = np.full(len(crossed), -1)
    link_number, link_sizes = numbered(colours.link[crossed])
    link_class[crossed] = by_first(link_number, len(link_sizes))
    return by_first(colours.number, len(colours.sizes)), link_class, rounds


def _look_at_all(shape: Shape, colours: _Colours) -> Ints:
    """Work out all sums anew; return the lanes that may differ from others of their class: all."""
    pair = colours.lane[shape.pair_lane] * shape.pair_key
    cross = pair[shape.cross_pair]
    if shape.cross_key is not None:
        cross *= shape.cross_key
    colours.link_sum = np.zeros(len(shape.link_base), np.uint64)
    np.add.at(colours.link_sum, shape.cross_link, cross)
    colours.link = mixed(shape.link_base, colours.link_sum)
    pair = _stretch_sums(colours.link[shape.cross_link], shape.cross_start) * shape.pair_key
    colours.lane_sum = _stretch_sums(pair, shape.pair_start)
    colours.lane_sum += _stretch_sums(colours.lane[shape.tie_to] * shape.tie_key, shape.tie_start)
    return np.arange(len(colours.lane))


def _stretch_sums(values: Hashes, start: Ints) -> Hashes:
    until = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=until[1:])
    return until[start[1:]] - until[start[:-1]]


def _part(colours: _Colours, touched: Ints, salt: int) -> tuple[Ints, Hashes]:
    """Part the classes of the touched lanes by their sums; return the recoloured lanes and by how much.

    Lanes that were not touched still have the sums with which their class was last found to be one.
    """
    old = colours.lane[touched]
    hashes = mixed(old, colours.lane_sum[touched])
    group, sizes = numbered(hashes)
    inside = colours.number[touched[chiefs(group, len(sizes))]]  # class of each group
    classes, counts = numbered(inside)
    stays = _who_stays(classes, len(counts), sizes, colours.sizes[inside])
    fresh = np.flatnonzero(~stays)
    if not len(fresh):
        return touched[:0], old[:0]
    renamed = np.full(len(sizes), -1)
    renamed[fresh] = len(colours.sizes) + np.arange(len(fresh))
    np.subtract.at(colours.sizes, inside[fresh], sizes[fresh])
    colours.sizes = np.append(colours.sizes, sizes[fresh])
    new_number = renamed[group]
    parted = new_number >= 0
    changed = touched[parted]
    new = mixed(hashes[parted], np.array([salt]))  # never the colour of lanes parted in an earlier round
    colours.number[changed] = new_number[parted]
    colours.lane[changed] = new
    return changed, new - old[parted]


def _who_stays(classes: Ints, count: int, sizes: Ints, whole: Ints) -> NDArray[np.bool]:
    """Return which groups keep the colour of their class: the largest one, if the whole class was touched."""
    most = np.zeros(count, np.int64)
    np.maximum.at(most, classes, sizes)
    touched = np.zeros(count, np.int64)
    np.add.at(touched, classes, sizes)
    able = np.flatnonzero((sizes == most[classes]) & (whole == touched[classes]))
    best = np.full(count, -1)
    best[classes[able[::-1]]] = able[::-1]
    stays = np.zeros(len(sizes), bool)
    stays[best[best >= 0]] = True
    return stays


def _look_at(shape: Shape, colours: _Colours, changed: Ints, difference: Hashes) -> Ints:
    """Add the differences to the sums of those who meet recoloured lanes; return the lanes that may differ."""
    if colours.behind_link is None or colours.behind_lane is None:
        colours.behind_link = _backwards(shape.cross_link, len(shape.link_base))
        colours.behind_lane = _backwards(shape.tie_to, len(colours.lane))
    by_lane = np.zeros(len(colours.lane), np.uint64)
    by_lane[changed] = difference
    _, pairs = spread(shape.pair_start, changed)
    _, crosses = spread(shape.cross_start, pairs)
    pair = shape.cross_pair[crosses]
    more = by_lane[shape.pair_lane[pair]] * shape.pair_key[pair]
    if shape.cross_key is not None:
        more *= shape.cross_key[crosses]
    links = shape.cross_link[crosses]
    np.add.at(colours.link_sum, links, more)
    links = distinct(links)
    new = mixed(shape.link_base[links], colours.link_sum[links])
    by_link = new - colours.link[links]
    colours.link[links] = new
    begin, item = spread(colours.behind_link[0], links)
    pair = shape.cross_pair[colours.behind_link[1][item]]
    crossing = shape.pair_lane[pair]
    np.add.at(colours.lane_sum, crossing, shape.pair_key[pair] * np.repeat(by_link, np.diff(begin)))
    _, item = spread(colours.behind_lane[0], changed)
    tie = colours.behind_lane[1][item]
    waiting = shape.tie_lane[tie]
    np.add.at(colours.lane_sum, waiting, shape.tie_key[tie] * by_lane[shape.tie_to[tie]])
    return distinct(np.concatenate([crossing, waiting]))


def _backwards(to: Ints, count: int) -> tuple[Ints, Ints]:
    """Return who points to each: pointers and positions."""
    return pointers(np.bincount(to, minlength=count)), np.argsort(to, kind="stable")
