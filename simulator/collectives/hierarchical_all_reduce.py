"""All-reduce level by level: ring reduce-scatters going out, ring all-gathers coming back in."""

from collections.abc import Iterator, Sequence
from math import prod

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_gather, ring_reduce, together
from simulator.collectives._rounds import check_levels, check_shape, lines, near_square

OP = "all_reduce"


def steps(ranks: int, size: float, *, shape: tuple[int, ...] | None = None) -> Iterator[list[Message]]:
    """Yield the messages of each step; a chunk is the p-th part of the buffer, and rank i sums chunk i.

    Parameters
    ----------
    shape : tuple of int, optional
        Ranks at each level, the innermost first, e.g. (GPUs of a node, nodes); by default the two factors of
        ``ranks`` closest to each other.
    """
    shape = check_shape(ranks, shape or near_square(ranks))
    out = [
        [(group, _parts(shape, level, group[0])) for group in lines(shape, level)]
        for level in range(len(shape))
    ]
    for groups in out:
        yield from together(ring_reduce(group, parts, size / ranks) for group, parts in groups)
    for groups in reversed(out):
        yield from together(ring_gather(group, parts, size / ranks) for group, parts in groups)


def _parts(shape: tuple[int, ...], level: int, rank: int) -> list[tuple[int, ...]]:
    """Return the chunks that end at each place of this level, of those that are left on ``rank``."""
    stride, side = prod(shape[:level]), shape[level]
    low = rank % stride
    return [tuple(range(low + place * stride, prod(shape), stride * side)) for place in range(side)]


def cost(
    ranks: int,
    size: float,
    link: AlphaBeta,
    *,
    shape: tuple[int, ...] | None = None,
    levels: Sequence[AlphaBeta] | None = None,
) -> float:
    r"""Return seconds on an idle network.

    .. math::

       \sum_i (p_i - 1)\Big(2\alpha_i + \frac{n_i}{p_i}\Big(\frac{2}{B_i} + \gamma_i\Big)\Big),
       \quad n_i = \frac{n}{\prod_{j<i} p_j}

    Parameters
    ----------
    shape : tuple of int, optional
        :math:`p_i`, the innermost first; by default the two factors of ``ranks`` closest to each other.
    levels : sequence of AlphaBeta, optional
        The link of each level; by default all are ``link``.

    References
    ----------
    .. [1] Cho et al., BlueConnect, MLSys 2019. [2] Jia et al., arXiv:1807.11205: two levels.
    """
    shape = check_shape(ranks, shape or near_square(ranks))
    total, left = 0.0, size
    for side, level in zip(shape, check_levels(link, levels, len(shape)), strict=True):
        left /= side
        total += (side - 1) * (2 * level.message(left) + level.reduction(left))
    return total
