"""Exchanges within a group of ranks that several collectives are made of.

A group is a sequence of ranks, and ``parts[i]`` the chunks that its member number i starts or ends with. All
chunks have the same size, ``unit`` bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from simulator.collectives._alpha_beta import Message
from simulator.collectives._rounds import power_below

Parts = Sequence[tuple[int, ...]]
Steps = Iterator[list[Message]]


def joined(parts: Parts) -> tuple[int, ...]:
    """Return the chunks of all parts."""
    return tuple(chunk for part in parts for chunk in part)


def together(exchanges: Iterable[Steps]) -> Steps:
    """Yield the steps of exchanges that go on side by side."""
    for steps in zip_longest(*exchanges, fillvalue=[]):
        yield [message for step in steps for message in step]


def ring_reduce(group: Sequence[int], parts: Parts, unit: float, *, turn: int = 1) -> Steps:
    """Pass partial sums around; member i ends with the sum of part i. ``turn`` -1: the other way round."""
    return _around(group, parts, unit, turn, first=1, reduces=True)


def ring_gather(group: Sequence[int], parts: Parts, unit: float, *, turn: int = 1) -> Steps:
    """Pass parts around, member i starting with part i, until all have all."""
    return _around(group, parts, unit, turn, first=0, reduces=False)


def _around(
    group: Sequence[int], parts: Parts, unit: float, turn: int, *, first: int, reduces: bool
) -> Steps:
    count = len(group)
    for step in range(count - 1):
        moving = [(i, parts[(i - turn * (step + first)) % count]) for i in range(count)]
        yield [
            Message(group[i], group[(i + turn) % count], unit * len(part), part, reduces)
            for i, part in moving
        ]


def halving(group: Sequence[int], parts: Parts, unit: float) -> Steps:
    """Reduce with ever closer partners over ever smaller halves; member i ends with the sum of part i.

    The group must be a power of two.
    """
    distance = len(group) // 2
    while distance:
        yield _with_partners(group, parts, unit, distance, reduces=True)
        distance //= 2


def doubling(group: Sequence[int], parts: Parts, unit: float) -> Steps:
    """Gather from ever farther partners; member i starts with part i. The group must be a power of two."""
    distance = 1
    while distance < len(group):
        yield _with_partners(group, parts, unit, distance, reduces=False)
        distance *= 2


def _with_partners(
    group: Sequence[int], parts: Parts, unit: float, distance: int, *, reduces: bool
) -> list[Message]:
    messages = []
    for i, rank in enumerate(group):
        partner = i ^ distance
        owner = (
            partner if reduces else i
        )  # a sum goes to the half it belongs to, a gathered part leaves its own
        start = owner // distance * distance
        moving = joined(parts[start : start + distance])
        messages.append(Message(rank, group[partner], unit * len(moving), moving, reduces))
    return messages


def fold(ranks: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a power of two of the ranks, and which of them stands in for which of the others.

    References
    ----------
    .. [1] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005: the first 2r ranks pair up.
    """
    extra = ranks - power_below(ranks)
    pairs = [(2 * i, 2 * i + 1) for i in range(extra)]
    return [one for one, _ in pairs] + list(range(2 * extra, ranks)), pairs


def tree_edges(ranks: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the rounds of a binomial tree from its root 0: the reach of a child, and (parent, child) pairs.

    A child of reach k is the root of the ranks from itself up to the k-th after it (as far as there are
    ranks).
    """
    reach = power_below(ranks - 1) if ranks > 1 else 0
    while reach:
        yield reach, [(parent, parent + reach) for parent in range(0, ranks - reach, 2 * reach)]
        reach //= 2


def folded_parts(ranks: int) -> Parts:
    """Return what each member of `fold`'s group stands for: its own chunk and that of its guest."""
    group, pairs = fold(ranks)
    guests = dict(pairs)
    return [(rank, guests[rank]) if rank in guests else (rank,) for rank in group]


def folded_units(ranks: int) -> tuple[int, int]:
    """Return messages and parts on the longest path of a halving or doubling over `fold`'s group."""
    power = power_below(ranks)
    extra, doublings = ranks - power, power.bit_length() - 1
    units = sum(2**k + min(extra, 2**k) for k in range(doublings))
    return (doublings + 2, units + ranks) if extra else (doublings, units)


def to_all_others(
    ranks: int, chunks: Callable[[int, int], tuple[int, ...]], size: float, *, reduces: bool = False
) -> Steps:
    """Yield the one step in which each rank sends ``size`` bytes to each other one."""
    if ranks > 1:
        yield [
            Message(src, dst, size, chunks(src, dst), reduces)
            for src in range(ranks)
            for dst in range(ranks)
            if src != dst
        ]
