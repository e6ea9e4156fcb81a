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
        self._new: list[Piece] = []  # those that the arrays do not hold yet
        self._start: Ints = np.zeros(1, dtype=np.int64)
        self._edge: Ints = np.zeros(0, dtype=np.int64)
        self._share: Floats = np.zeros(0)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._start) - 1 + len(self._new)

    def keep(self, piece: Piece) -> int:
        """Store a piece; return its number."""
        self._new.append(piece)
        return len(self) - 1

    def keep_all(self, edges: Ints, shares: Floats) -> Ints:
        """Store pieces that are alike but for their edges; return their numbers.

        Parameters
        ----------
        edges : array of int
            By number, shape (pieces, edges of each).
        shares : array of float
            The part of the bytes on each edge of a piece, shape (edges of each,).

        Returns
        -------
        numpy.ndarray
            Shape (pieces,).
        """
        self._gather()
        first, (count, length) = len(self), edges.shape
        self._append(np.full(count, length), edges.ravel(), np.tile(shares, count))
        return np.arange(first, first + count)

    def __getitem__(self, number: int) -> Piece:
        """Return a piece: edges by number, each with its part."""
        held = len(self._start) - 1
        if number >= held:
            return self._new[number - held]
        some = slice(self._start[number], self._start[number + 1])
        return tuple(zip(self._edge[some].tolist(), self._share[some].tolist(), strict=True))

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
        total = np.bincount(numbers, weights=amounts, minlength=len(self))
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
        new, self._new = self._new, []
        if new:
            lengths = np.array([len(piece) for piece in new], dtype=np.int64)
            flat = np.array([*chain.from_iterable(new)], dtype=float).reshape(-1, 2)
            self._append(lengths, flat[:, 0].astype(np.int64), flat[:, 1])

    def _append(self, lengths: Ints, edges: Ints, shares: Floats) -> None:
        self._start = np.concatenate((self._start, self._start[-1] + np.cumsum(lengths)))
        self._edge = np.concatenate((self._edge, edges))
        self._share = np.concatenate((self._share, shares))
