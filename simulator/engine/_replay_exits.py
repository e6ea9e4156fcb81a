"""How GPUs reach the switches outside of their machines, and how these reach them."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from simulator.engine._replay_mesh import Beyond
from simulator.engine._replay_pieces import Ints, Pieces
from topologies._graph import GraphNode

Exit = tuple[int, GraphNode, int]  # piece between a GPU and a switch outside, that switch, what the way costs

_ADAPTER = 2**14  # a way through an adapter is dearer than any without, as for `topologies._routing.Router`


class Exits:
    """The cheapest ways between GPUs and the switches outside, not through other GPUs, in one direction.

    Parameters
    ----------
    onward : mapping of node to list of (node, int)
        What each node leads to, with the numbers of the edges; for ways back, what leads to it.
    gpus : sequence of tuple
        By number.
    machine : mapping of node to object
        The machine that a node is in, None outside of all.
    pieces : Pieces
        Where ways are stored.
    out : bool
        Whether ways lead out of the machine.

    Attributes
    ----------
    classes : int
        How many kinds of GPUs were met.
    """

    def __init__(
        self,
        onward: Beyond,
        gpus: Sequence[GraphNode],
        machine: Mapping[GraphNode, object],
        pieces: Pieces,
        *,
        out: bool,
    ) -> None:
        self._onward, self._gpus, self._machine = onward, gpus, machine
        self._pieces, self._out = pieces, out
        self._found: dict[int, list[Exit]] = {}
        self._class: dict[tuple[tuple[GraphNode, int], ...], int] = {}
        self._classes: dict[int, int] = {}

    def __getitem__(self, gpu: int) -> list[Exit]:
        """Return the exits of a GPU, by number."""
        if gpu not in self._found:
            self._found[gpu] = self._find(gpu)
        return self._found[gpu]

    def kind(self, gpu: int) -> int:
        """Return the class of a GPU: those with the same switches outside at the same cost are alike."""
        if gpu not in self._classes:
            key = tuple((anchor, cost) for _, anchor, cost in self[gpu])
            self._classes[gpu] = self._class.setdefault(key, len(self._class))
        return self._classes[gpu]

    @cached_property
    def table(self) -> tuple[Ints, Ints]:
        """Return the class of every GPU, shape (GPUs,), and the pieces of its exits, shape (GPUs, most)."""
        every = range(len(self._gpus))
        pieces = [[piece for piece, _, _ in self[gpu]] for gpu in every]
        most = max(map(len, pieces))
        rows = [row + [-1] * (most - len(row)) for row in pieces]
        return np.array([self.kind(gpu) for gpu in every]), np.array(rows, dtype=np.int64)

    def _find(self, gpu: int) -> list[Exit]:
        start, machine = self._gpus[gpu], self._machine
        home, seen, found = machine[start], {start}, []
        ahead: list[tuple[GraphNode, tuple[int, ...], int]] = [(start, (), 0)]  # edges to a node, their cost
        for node, edges, cost in ahead:
            for head, edge in self._onward[node]:
                if head[0] == "gpu" or head in seen:
                    continue
                seen.add(head)
                there = (*edges, edge), cost + (1 + 2 * _ADAPTER if head[0] == "nic" else 1)
                if machine[head] is None:
                    found.append((head, *there))
                elif machine[head] == home:
                    ahead.append((head, *there))
        return [self._exit(*way) for way in found]

    def _exit(self, anchor: GraphNode, edges: tuple[int, ...], cost: int) -> Exit:
        piece = tuple([(edge, 1.0) for edge in (edges if self._out else edges[::-1])])
        return self._pieces.keep(piece), anchor, cost
