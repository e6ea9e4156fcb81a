"""GPUs on a grid of any number of dimensions, each with a direct link to its neighbours, wrapped around."""

from collections.abc import Sequence
from itertools import product
from math import prod

import networkx as nx

from topologies._graph import Cable, add, at_least, connect, start


def build(
    gpus: int, *, link: Cable, dims: Sequence[int] = (), dimensions: int = 2, wrap_from: int = 3
) -> nx.DiGraph:
    """Return a torus; ranks run along the last dimension first.

    Parameters
    ----------
    gpus : int
        GPUs.
    link : Cable
        Between neighbours.
    dims : sequence of int
        Length of each dimension; left out: `dimensions` of them, as equal as `gpus` allows.
    dimensions : int
        How many dimensions, where `dims` is left out.
    wrap_from : int
        Shortest dimension whose ends are joined. Two nodes are joined once in any case.

    References
    ----------
    .. [1] Dally, Towles, Principles and Practices of Interconnection Networks, 2004, chapter 5.
    .. [2] Jouppi et al., TPU v4, ISCA 2023, arXiv:2304.01433, section 2: slices below a cube do not wrap.
    """
    at_least("gpus", gpus)
    lengths = tuple(dims) or balanced(gpus, dimensions)
    if prod(lengths) != gpus or min(lengths) < 1:
        raise ValueError(f"a torus of {' x '.join(map(str, lengths))} has {prod(lengths)} GPUs, got {gpus}")
    graph = start("torus", dims=lengths)
    places = list(product(*map(range, lengths)))
    rank = {place: index for index, place in enumerate(places)}
    for place in places:
        add(graph, ("gpu", rank[place]), host=rank[place], place=place)
    for place in places:
        for axis, length in enumerate(lengths):
            here = place[axis]
            if here + 1 < length or length >= max(wrap_from, 3):
                there = (*place[:axis], (here + 1) % length, *place[axis + 1 :])
                connect(graph, ("gpu", rank[place]), ("gpu", rank[there]), link)
    return graph


def balanced(gpus: int, dimensions: int) -> tuple[int, ...]:
    """Return the most equal lengths, longest first, whose product is ``gpus``.

    Raises
    ------
    ValueError
        No way but a dimension of length 1 or a ring longer than a square of the next one down allows;
        the message names the nearest counts that work.
    """
    at_least("dimensions", dimensions)
    found = _lengths(gpus, dimensions)
    if found is None:
        low = next((n for n in range(gpus - 1, 1, -1) if _lengths(n, dimensions)), None)
        high = next(n for n in range(gpus + 1, 2 * gpus + 2**dimensions + 1) if _lengths(n, dimensions))
        near = ", ".join(str(n) for n in (low, high) if n is not None)
        raise ValueError(f"{gpus} GPUs make no torus of {dimensions} dimensions, nearest: {near}")
    return found


def _lengths(gpus: int, dimensions: int) -> tuple[int, ...] | None:
    """Return the lengths with the smallest sum, all 2 or more and none over four times another."""
    if dimensions == 1:
        return (gpus,)
    best: tuple[int, ...] | None = None
    for length in range(2, int(gpus ** (1 / dimensions) + 1e-9) + 1):
        if gpus % length == 0:
            rest = _lengths(gpus // length, dimensions - 1)
            if rest and min(rest) >= 2 and (best is None or sum(rest) + length < sum(best)):
                best = tuple(sorted((*rest, length), reverse=True))
    return best if best and best[0] <= 4 * best[-1] else None


def bisection(dims: Sequence[int], *, link: Cable, wrap_from: int = 3) -> float:
    r"""Return bytes/s from one half to the other: :math:`2 B \prod k_i / \max k_i`.

    The longest dimension must be even. Half of that where the longest dimension does not wrap.

    References
    ----------
    .. [1] Dally, Towles, Principles and Practices of Interconnection Networks, 2004, section 5.2.
    """
    longest = max(dims)
    return prod(dims) // longest * link.bandwidth_Bps * (2 if longest >= max(wrap_from, 3) else 1)
