"""How many rounds an exchange takes, and how ranks are numbered in it."""

from collections.abc import Sequence
from math import prod

from simulator.collectives._alpha_beta import AlphaBeta
from simulator.errors import UsageError


def rounds(ranks: int) -> int:
    """Return the logarithm of ``ranks`` to base 2, rounded up: how often a set must double to reach all."""
    return (ranks - 1).bit_length()


def power_below(ranks: int) -> int:
    """Return the largest power of two that is not above ``ranks``."""
    return 1 << (ranks.bit_length() - 1)


def near_square(ranks: int) -> tuple[int, int]:
    """Return the two factors of ``ranks`` that lie closest to each other, the larger one first."""
    small = next(factor for factor in range(int(ranks**0.5), 0, -1) if ranks % factor == 0)
    return ranks // small, small


def check_shape(ranks: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape``, or raise UsageError unless its sides are positive and multiply to ``ranks``."""
    if not shape or min(shape) < 1 or prod(shape) != ranks:
        raise UsageError(f"the sides of the shape must multiply to {ranks} ranks, got {shape}")
    return shape


def lines(shape: tuple[int, ...], axis: int) -> list[list[int]]:
    """Return the groups of ranks that differ in one coordinate only; the first side varies fastest.

    Examples
    --------
    >>> lines((2, 3), 0), lines((2, 3), 1)
    ([[0, 1], [2, 3], [4, 5]], [[0, 2, 4], [1, 3, 5]])
    """
    stride, side = prod(shape[:axis]), shape[axis]
    starts = [rank for rank in range(prod(shape)) if rank // stride % side == 0]
    return [[start + i * stride for i in range(side)] for start in starts]


def two_levels(ranks: int, shape: tuple[int, ...] | None) -> tuple[int, int]:
    """Return the ranks of a node and the nodes; without a shape the two factors closest to each other."""
    if shape is None:
        return near_square(ranks)
    if len(shape) != 2:
        raise UsageError(f"the shape must be (ranks of a node, nodes), got {shape}")
    local, nodes = check_shape(ranks, shape)
    return local, nodes


def check_levels(link: AlphaBeta, levels: Sequence[AlphaBeta] | None, count: int) -> Sequence[AlphaBeta]:
    """Return the link of each level, by default ``link``; raise UsageError unless there are ``count``."""
    given = [link] * count if levels is None else levels
    if len(given) != count:
        raise UsageError(f"need a link for each of {count} levels, got {len(given)}")
    return given
