"""All-reduce on a torus: every axis in both directions at once, each with its share of the buffer."""

from collections.abc import Iterator, Sequence
from math import prod

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._exchanges import ring_gather, ring_reduce, together
from simulator.collectives._rounds import check_shape, lines, near_square

OP = "all_reduce"


def steps(ranks: int, size: float, *, shape: tuple[int, ...] | None = None) -> Iterator[list[Message]]:
    """Yield the messages of each step; chunk c p + i belongs to share c of 2d and is summed by rank i.

    Parameters
    ----------
    shape : tuple of int, optional
        Sides of the torus, the first varies fastest with the rank; by default the two factors of ``ranks``
        closest to each other.
    """
    shape = check_shape(ranks, shape or near_square(ranks))
    unit = size / (2 * len(shape) * ranks)
    shares = [
        (_order(len(shape), share // 2), 1 - share % 2 * 2, share * ranks) for share in range(2 * len(shape))
    ]
    yield from together(_share(shape, axes, turn, first, unit, back=False) for axes, turn, first in shares)
    yield from together(_share(shape, axes, turn, first, unit, back=True) for axes, turn, first in shares)


def _order(axes: int, first: int) -> list[int]:
    """Return the axes in the order in which a share takes them: each starts with another one."""
    return [(first + i) % axes for i in range(axes)]


def _share(
    shape: tuple[int, ...], axes: Sequence[int], turn: int, first: int, unit: float, *, back: bool
) -> Iterator[list[Message]]:
    """Yield the steps of one share: reduce-scatters along its axes, or the all-gathers back."""
    phases = [(axis, axes[:i]) for i, axis in enumerate(axes)]
    for axis, done in reversed(phases) if back else phases:
        exchange = ring_gather if back else ring_reduce
        yield from together(
            exchange(group, _parts(shape, axis, done, group[0], first), unit, turn=turn)
            for group in lines(shape, axis)
        )


def _parts(
    shape: tuple[int, ...], axis: int, done: Sequence[int], rank: int, first: int
) -> list[tuple[int, ...]]:
    """Return the chunks for each place along ``axis``, of those that the axes ``done`` left on ``rank``."""

    def at(place: int, along: int) -> int:
        return place // prod(shape[:along]) % shape[along]

    mine = [
        chunk for chunk in range(prod(shape)) if all(at(chunk, along) == at(rank, along) for along in done)
    ]
    return [
        tuple(first + chunk for chunk in mine if at(chunk, axis) == place) for place in range(shape[axis])
    ]


def cost(
    ranks: int, size: float, link: AlphaBeta, *, shape: tuple[int, ...] | None = None, links: int = 1
) -> float:
    r"""Return seconds on an idle network: :math:`2d(k-1)\alpha + (1-1/p)(2n/(lB) + n\gamma)`.

    That is for sides all k. Where the sides differ, each step lasts as long as its busiest link.

    Parameters
    ----------
    shape : tuple of int, optional
        Sides of the torus; by default the two factors of ``ranks`` closest to each other.
    links : int
        Links l that a rank has for it: behind a switch 1, by which all shares leave; in a torus of cables 2d,
        one for each. Fewer than 2d count as 1.

    References
    ----------
    .. [1] Sack, Gropp, Collective algorithms for multiported torus networks, ACM TOPC 1(2), 2015. [2] Jouppi
       et al., TPU v4, arXiv:2304.01433: the 3D torus.
    """
    shape = check_shape(ranks, shape or near_square(ranks))
    own_links = links >= 2 * len(shape)
    total = 0.0
    for loads in zip(
        *(_loads(shape, _order(len(shape), first), size) for first in range(len(shape))), strict=True
    ):
        busiest = _busiest_link(loads) if own_links else 2 * sum(share for _, share in loads)
        total += 2 * link.message(busiest) + link.reduction(2 * sum(share for _, share in loads))
    return total


def _loads(shape: tuple[int, ...], axes: Sequence[int], size: float) -> Iterator[tuple[int, float]]:
    """Yield, for each step of a share's reduce-scatters, the axis it uses and the bytes of a message."""
    left = size / (2 * len(shape))
    for axis in axes:
        left /= shape[axis]
        yield from [(axis, left)] * (shape[axis] - 1)


def _busiest_link(loads: Sequence[tuple[int, float]]) -> float:
    return max(sum(share for axis, share in loads if axis == along) for along, _ in loads)
