"""Arrays of 64-bit hashes and of stretches: what folding is written in."""

import numpy as np
from numpy.typing import NDArray

from simulator.network.lanes import Ints

Hashes = NDArray[np.uint64]

_STEP, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def mixed(values: NDArray[np.generic], more: NDArray[np.generic] | None = None) -> Hashes:
    """Return a hash of each 8-byte value, or of each pair of a hash and a value.

    References
    ----------
    .. [1] Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014: SplitMix64.
    """
    hashes = values.view(np.uint64) + _STEP
    if more is not None:
        hashes += more.view(np.uint64) * _STEP
    hashes ^= hashes >> np.uint64(30)
    hashes *= _FIRST
    hashes ^= hashes >> np.uint64(27)
    hashes *= _SECOND
    hashes ^= hashes >> np.uint64(31)
    return hashes


def odd(hashes: Hashes) -> Hashes:
    """Return hashes by which a product loses no bit of the other factor."""
    return hashes | np.uint64(1)


def numbered(values: NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Return the number of each value among the distinct ones, ascending, and how often each occurs."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(values)
    ahead = values[order]
    new = np.ones(len(values), bool)
    np.not_equal(ahead[1:], ahead[:-1], out=new[1:])
    number = np.empty(len(values), np.int64)
    number[order] = np.cumsum(new) - 1
    return number, np.diff(np.append(np.flatnonzero(new), len(values)))


def distinct(values: Ints) -> Ints:
    """Return the distinct values, ascending."""
    ahead = np.sort(values)
    return ahead[np.append(True, ahead[1:] != ahead[:-1])] if len(ahead) else ahead


def pointers(lengths: NDArray[np.generic]) -> Ints:
    """Return where stretches of these lengths begin, and where the last one ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def spread(start: Ints, owner: Ints) -> tuple[Ints, Ints]:
    """Return the positions of the stretches of the owners, one after another, and where each begins there.

    Parameters
    ----------
    start : numpy.ndarray of int64, shape (stretches + 1,)
        Where each stretch begins in some array.
    owner : numpy.ndarray of int64
        Stretches, in any order and as often as wanted.

    Returns
    -------
    tuple of numpy.ndarray of int64
        Pointers, shape (owners + 1,), and positions.
    """
    lengths = start[owner + 1] - start[owner]
    begin = pointers(lengths)
    return begin, np.arange(begin[-1]) + np.repeat(start[owner] - begin[:-1], lengths)


def owners(start: Ints) -> Ints:
    """Return for each position the stretch that it lies in."""
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


def chiefs(number: Ints, count: int) -> Ints:
    """Return the first member of each class."""
    first = np.empty(count, np.int64)
    first[number[::-1]] = np.arange(len(number) - 1, -1, -1)
    return first


def by_first(number: Ints, count: int) -> Ints:
    """Return the classes numbered by their first members."""
    rank = np.empty(count, np.int64)
    rank[np.argsort(chiefs(number, count))] = np.arange(count)
    return rank[number]
