"""Two binary trees over the same ranks, each carrying every other packet.

Rank 0 is the root and stands outside both trees. A rank that passes packets on in one tree is a leaf in the
other, and the edges have two colours, one for the even steps and one for the odd, so that in each step a rank
sends one packet at most and receives one at most.

References
----------
.. [1] Sanders, Speck, Träff, Two-tree algorithms for full bandwidth broadcast, reduction and scan, Parallel
   Computing 35(12), 2009, doi:10.1016/j.parco.2009.09.001.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from simulator.collectives._alpha_beta import Message


@dataclass(frozen=True, slots=True)
class Edge:
    """Who passes the packets of which tree on to whom, and in which step the first of them."""

    parent: int
    child: int
    tree: int
    step: int


def _parent(position: int, count: int) -> int:
    """Return the parent of a position from 1 to ``count`` in the in-order binary tree; 0: it is the root."""
    low = position & -position
    above = (position - low) | (2 * low)
    return above if above <= count else position - low


def _trees(ranks: int) -> dict[tuple[int, int], int]:
    """Return the parent by (tree, child).

    The second tree is the first one with its ranks in another order, one that turns odd places, the leaves,
    into even ones: backwards where their number is even, else shifted. Two ranks below the root are twice the
    same chain.
    """
    count = ranks - 1
    backwards, shifted = range(count, 0, -1), [count, *range(1, count)]
    rank_at = [0, *(range(1, ranks) if count == 2 else shifted if count % 2 else backwards)]
    first = {(0, rank): _parent(rank, count) for rank in range(1, ranks)}
    second = {(1, rank_at[place]): rank_at[_parent(place, count)] for place in range(1, ranks)}
    return first | second


def _colours(parents: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    """Return the colour, 0 or 1, of each edge.

    An edge must differ from the sender's other edge and from the other edge to its child. So the edges form
    paths and circles of even length, along which the colours alternate.
    """
    sent: dict[int, list[tuple[int, int]]] = {}
    for edge, parent in parents.items():
        sent.setdefault(parent, []).append(edge)
    colours: dict[tuple[int, int], int] = {}
    for first in [sent[0][0], *parents]:
        incoming = colours.get((first[0], parents[first]), 1)
        ahead = [(first, 1 - incoming)]
        while ahead:
            edge, colour = ahead.pop()
            if edge not in colours:
                colours[edge] = colour
                tree, child = edge
                ahead += [
                    (other, 1 - colour)
                    for other in (*sent[parents[edge]], (1 - tree, child))
                    if other != edge
                ]
    return colours


@lru_cache(maxsize=64)
def edges(ranks: int) -> tuple[Edge, ...]:
    """Return the edges of both trees, each parent's incoming one before its outgoing ones."""
    parents = _trees(ranks)
    colours = _colours(parents)
    steps: dict[tuple[int, int], int] = {}

    def step(edge: tuple[int, int]) -> int:
        if edge not in steps:
            tree, parent = edge[0], parents[edge]
            ready = step((tree, parent)) + 1 if parent else 0
            steps[edge] = ready + (ready + colours[edge]) % 2
        return steps[edge]

    return tuple(Edge(parent, edge[1], edge[0], step(edge)) for edge, parent in parents.items())


def fill(ranks: int, packets: int) -> int:
    """Return how many steps more than packets a broadcast needs.

    With h levels, that is ``2h - 2`` where the ranks are a power of two.
    """
    if ranks == 1:
        return -packets
    deepest = [max(edge.step for edge in edges(ranks) if edge.tree == tree) for tree in (0, 1)]
    counts = [(packets + 1) // 2, packets // 2]
    return max(deepest[tree] + 2 * counts[tree] - 1 for tree in (0, 1) if counts[tree]) - packets


def broadcast_steps(members: Sequence[int], chunks: Sequence[int], unit: float) -> Iterator[list[Message]]:
    """Yield the steps in which the first member's chunks, ``unit`` bytes each, reach all others."""
    packets = len(chunks)
    for step in range(fill(len(members), packets) + packets):
        yield [
            Message(members[edge.parent], members[edge.child], unit, (chunks[packet],))
            for edge, packet in _moving(len(members), packets, step)
        ]


def reduce_steps(members: Sequence[int], chunks: Sequence[int], unit: float) -> Iterator[list[Message]]:
    """Yield the broadcast's steps backwards: the sums of all chunks reach the first member."""
    packets = len(chunks)
    for step in reversed(range(fill(len(members), packets) + packets)):
        yield [
            Message(members[edge.child], members[edge.parent], unit, (chunks[packet],), reduces=True)
            for edge, packet in _moving(len(members), packets, step)
        ]


def _moving(ranks: int, packets: int, step: int) -> Iterator[tuple[Edge, int]]:
    """Yield the edges in use in a step, with the number of the packet on each."""
    for edge in edges(ranks):
        packet = step - edge.step + edge.tree  # the trees' packets alternate: even ones in the first
        if step >= edge.step and (step - edge.step) % 2 == 0 and packet < packets:
            yield edge, packet
