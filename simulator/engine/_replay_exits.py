"""How GPUs reach the switches outside of their machines, and how these reach them."""

from functools import cached_property

import numpy as np

from simulator.engine._replay_pieces import Ints, Pieces
from simulator.engine._replay_wiring import NOWHERE, Wiring
from topologies._graph import GraphNode

Exit = tuple[int, GraphNode, int]  # piece between a GPU and a switch outside, that switch, what the way costs
_Rows = tuple[Ints, Ints, Ints, Ints]  # of ways: the GPU, the node reached, the edges, what the way costs

_ADAPTER = 2**14  # a way through an adapter is dearer than any without, as for `topologies._routing.Router`


class Exits:
    """The cheapest ways between GPUs and the switches outside, not through other GPUs, in one direction.

    Parameters
    ----------
    wiring : Wiring
        The fabric.
    gpus : array of int
        Nodes by number, shape (GPUs,).
    pieces : Pieces
        Where ways are stored.
    out : bool
        Whether ways lead out of the machine.
    """

    def __init__(self, wiring: Wiring, gpus: Ints, pieces: Pieces, *, out: bool) -> None:
        self._wiring, self._gpus, self._pieces, self._out = wiring, gpus, pieces, out
        self._found: dict[int, list[Exit]] = {}

    def __getitem__(self, gpu: int) -> list[Exit]:
        """Return the exits of a GPU, by number."""
        if gpu not in self._found:
            rows = zip(*(column[gpu].tolist() for column in self._columns), strict=True)
            self._found[gpu] = [
                (piece, self._wiring.nodes[at], cost) for piece, at, cost in rows if piece >= 0
            ]
        return self._found[gpu]

    def kind(self, gpu: int) -> int:
        """Return the class of a GPU: those with the same switches outside at the same cost are alike."""
        return int(self.table[0][gpu])

    @cached_property
    def table(self) -> tuple[Ints, Ints]:
        """Return the class of every GPU, shape (GPUs,), and the pieces of its exits, shape (GPUs, most)."""
        pieces, anchors, costs = self._columns
        _, kinds = np.unique(np.concatenate((anchors, costs), axis=1), axis=0, return_inverse=True)
        return kinds.reshape(-1), pieces

    @cached_property
    def _columns(self) -> tuple[Ints, Ints, Ints]:
        """Return pieces, switches and costs of the exits, nearest first, -1 where none are left.

        Each has the shape (GPUs, most).
        """
        owners, anchors, costs, pieces = (
            np.concatenate(column) for column in zip(*self._search(), strict=True)
        )
        order = np.argsort(owners, kind="stable")
        lengths = np.bincount(owners, minlength=len(self._gpus))
        turn = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found = []
        for column in (pieces, anchors, costs):
            rows = np.full((len(self._gpus), max(1, int(lengths.max(initial=0)))), -1, dtype=np.int64)
            rows[owners[order], turn] = column[order]
            found.append(rows)
        return found[0], found[1], found[2]

    def _search(self) -> list[tuple[Ints, Ints, Ints, Ints]]:
        """Return GPUs, switches, costs and pieces of all exits, by how many hops these have."""
        machine, none = self._wiring.machine, np.zeros(0, dtype=np.int64)
        found = [(none, none, none, none)]
        every = np.arange(len(self._gpus))
        rows: _Rows = every, self._gpus, np.zeros((len(every), 0), dtype=np.int64), np.zeros_like(every)
        seen = none
        while len(rows[0]):
            rows, seen = self._onward(rows, seen)
            owners, nodes, edges, costs = rows
            outside = machine[nodes] == NOWHERE
            paths = edges[outside]
            numbers = self._pieces.keep_all(paths if self._out else paths[:, ::-1], np.ones(paths.shape[1]))
            found.append((owners[outside], nodes[outside], costs[outside], numbers))
            home = ~outside & (machine[nodes] == machine[self._gpus[owners]])
            rows = owners[home], nodes[home], edges[home], costs[home]
        return found

    def _onward(self, rows: _Rows, seen: Ints) -> tuple[_Rows, Ints]:
        """Return the ways one hop longer to nodes that are no GPUs and were not met, and the nodes met."""
        owners, nodes, edges, costs = rows
        start, others, numbers = self._wiring.onward if self._out else self._wiring.back
        lengths = start[nodes + 1] - start[nodes]
        which = np.repeat(np.arange(len(nodes)), lengths)
        slot = np.arange(len(which)) + np.repeat(start[nodes] - (np.cumsum(lengths) - lengths), lengths)
        heads = others[slot]
        keys = owners[which] * len(self._wiring.nodes) + heads
        fresh = np.flatnonzero(~self._wiring.gpu[heads] & ~np.isin(keys, seen))
        _, first = np.unique(keys[fresh], return_index=True)
        kept = fresh[np.sort(first)]
        which, heads = which[kept], heads[kept]
        paths = np.concatenate((edges[which], numbers[slot[kept], None]), axis=1)
        dearer = costs[which] + np.where(self._wiring.nic[heads], 1 + 2 * _ADAPTER, 1)
        return (owners[which], heads, paths, dearer), np.concatenate((seen, keys[kept]))
