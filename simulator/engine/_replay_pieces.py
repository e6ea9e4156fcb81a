"""Pieces of ways by number, and what amounts on them put on each edge."""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from simulator.engine._replay_mesh import Piece

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Pieces:
    """Pieces of ways that many pairs share.

    Parameters
    ----------
    edges : int
        How many edges there are.
    """

    def __init__(self, edges: int) -> None:
        self._edges = edges
        self._kept: list[Piece] = []
        self._ready = 0  # how many of them the arrays hold
        self._start: Ints = np.zeros(1, dtype=np.int64)
        self._edge: Ints = np.zeros(0, dtype=np.int64)
        self._share: Floats = np.zeros(0)

    def keep(self, piece: Piece) -> int:
        """Store a piece; return its number."""
        self._kept.append(piece)
        return len(self._kept) - 1

    def __getitem__(self, number: int) -> Piece:
        """Return a piece: edges by number, each with its part."""
        return self._kept[number]

    def loads(self, numbers: Ints, amounts: Floats) -> Floats:
        """Return what amounts on pieces put on each edge.

        Parameters
        ----------
        numbers : array of int
            Of pieces, shape (terms,); one may be named often.
        amounts : array of float
            On each, shape (terms,).

        Returns
        -------
        numpy.ndarray
            Shape (edges,).
        """
        total = np.bincount(numbers, weights=amounts, minlength=len(self._kept))
        used = np.flatnonzero(total)
        lengths, edges, shares = self.spelt(used)
        weights = np.repeat(total[used], lengths) * shares
        found: Floats = np.bincount(edges, weights=weights, minlength=self._edges).astype(np.float64)
        return found

    def spelt(self, numbers: Ints) -> tuple[Ints, Ints, Floats]:
        """Return how many edges each of some pieces has, these edges, and the part of each."""
        self._gather()
        lengths = self._start[numbers + 1] - self._start[numbers]
        ends = np.cumsum(lengths)
        begin = self._start[numbers] - (ends - lengths)
        place = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin, lengths)
        return lengths, self._edge[place], self._share[place]

    def _gather(self) -> None:
        """Put what was kept since the last time into the arrays."""
        new = self._kept[self._ready :]
        if not new:
            return
        self._ready = len(self._kept)
        lengths = np.array([len(piece) for piece in new], dtype=np.int64)
        flat = np.array([*chain.from_iterable(new)], dtype=float).reshape(-1, 2)
        self._start = np.concatenate((self._start, self._start[-1] + np.cumsum(lengths)))
        self._edge = np.concatenate((self._edge, flat[:, 0].astype(np.int64)))
        self._share = np.concatenate((self._share, flat[:, 1]))
