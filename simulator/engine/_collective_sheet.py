"""Lanes of collectives while they are written: links and routes by number, programmes told once."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from simulator.engine._paths import Edge, Paths
from simulator.network.lanes import Floats, Ints, Lanes, Programmes

COUNT, SIZE, DELAY, SLOT, STRIDE, GATES = range(6)  # columns of a row of a programme


class Roads(Paths):
    """Paths that can also be walked once and forgotten, where there are too many to keep."""

    def passed(self, src: int, dst: int) -> Sequence[Edge]:
        """Return the links from one rank to another."""
        return self._routes.route(self._nodes[src], self._nodes[dst])


@dataclass(slots=True)
class Sheet:
    """What several collectives on one fabric write their lanes on.

    Attributes
    ----------
    lanes : int
        How many are written.
    """

    lanes: int = 0
    _number: dict[Edge, int] = field(default_factory=dict)
    _bandwidth: list[float] = field(default_factory=list)
    _latency: list[float] = field(default_factory=list)
    _lengths: list[Ints] = field(default_factory=list)
    _links: list[Ints] = field(default_factory=list)
    _weights: list[Floats] = field(default_factory=list)
    _routes: int = 0
    _known: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    _rows: list[Floats] = field(default_factory=list)
    _gates: list[Ints] = field(default_factory=list)
    _programme: list[Ints] = field(default_factory=list)
    _partner_start: list[Ints] = field(default_factory=list)
    _partners: list[Ints] = field(default_factory=list)
    _slot_start: list[Ints] = field(default_factory=list)
    _slots: list[Ints] = field(default_factory=list)
    _partner_count: int = 0
    _slot_count: int = 0

    @property
    def edges(self) -> list[Edge]:
        """Return the links in the order of their numbers."""
        return list(self._number)

    def routes(self, paths: Roads, src: Ints, dst: Ints) -> tuple[Ints, Floats]:
        """Write the routes between pairs of ranks, switches left out.

        Returns
        -------
        numpy.ndarray of int64, numpy.ndarray of float64
            The number of each route, its latency in s; shape (pairs,).
        """
        lengths, crossed = array("q"), array("q")
        for one, other in zip(src.tolist(), dst.tolist(), strict=True):
            passed = self._numbers(paths, paths.passed(one, other))
            lengths.append(len(passed))
            crossed.extend(passed)
        links = np.frombuffer(crossed, np.int64)
        number = self._add_routes(np.frombuffer(lengths, np.int64), links, np.ones(len(links)))
        each = np.repeat(np.arange(len(src)), lengths)
        latency = np.bincount(each, np.array(self._latency)[links], minlength=len(src))
        return number + np.arange(len(src)), latency.astype(np.float64)

    def route(self, paths: Paths, src: int, dst: int) -> int:
        """Write one route, that of a message between ranks or of one with a switch; return its number."""
        path = paths.path(src, dst)
        links = np.array(self._numbers(paths, path.edges), np.int64)
        return self._add_routes(np.array([len(links)]), links, np.array(path.shares, float))

    def _add_routes(self, lengths: Ints, links: Ints, weights: Floats) -> int:
        self._lengths.append(lengths)
        self._links.append(links)
        self._weights.append(weights)
        self._routes += len(lengths)
        return self._routes - len(lengths)

    def _numbers(self, paths: Paths, edges: Sequence[Edge]) -> list[int]:
        known = self._number
        try:
            return [known[edge] for edge in edges]
        except KeyError:
            for edge in edges:
                if edge not in known:
                    known[edge] = len(known)
                    self._bandwidth.append(paths.bandwidth(edge))
                    self._latency.append(paths.latency([edge]))
            return [known[edge] for edge in edges]

    def programme(self, rows: Floats, gates: Ints) -> int:
        """Write a programme unless one like it is there; return its number.

        Parameters
        ----------
        rows : numpy.ndarray of float64, shape (phases, 6)
            Messages, bytes, delay in s, slot, its stride, how many gates.
        gates : numpy.ndarray of int64, shape (gates, 3)
            Of one phase after another: partner, base, stride.
        """
        key = (rows.tobytes(), gates.tobytes())
        if key not in self._known:
            self._known[key] = len(self._rows)
            self._rows.append(rows)
            self._gates.append(gates)
        return self._known[key]

    def write(
        self, programme: Ints, partner_start: Ints, partners: Ints, slot_start: Ints, slots: Ints
    ) -> None:
        """Write lanes; starts count from the partners and slots given here, partners and slots from all."""
        self._programme.append(programme)
        self._partner_start.append(partner_start + self._partner_count)
        self._partners.append(partners)
        self._slot_start.append(slot_start + self._slot_count)
        self._slots.append(slots)
        self.lanes += len(programme)
        self._partner_count += len(partners)
        self._slot_count += len(slots)

    def made(self) -> Lanes:
        """Return all lanes; what this holds is given up."""
        weights = _joined(self._weights, np.float64)
        return Lanes(
            programmes=self._programmes(),
            programme=_joined(self._programme),
            partner_start=_joined(self._partner_start),
            partners=_joined(self._partners),
            slot_start=_joined(self._slot_start),
            slots=_joined(self._slots),
            route_start=starts(_joined(self._lengths)),
            links=_joined(self._links),
            weights=None if (weights == 1.0).all() else weights,
            bandwidth=np.array(self._bandwidth),
        )

    def _programmes(self) -> Programmes:
        phases: Ints = np.array([len(rows) for rows in self._rows], np.int64)
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 6))
        gates = np.concatenate(self._gates) if self._gates else np.zeros((0, 3), np.int64)
        self._rows.clear()
        self._gates.clear()
        self._known.clear()
        return Programmes(
            start=starts(phases),
            count=rows[:, COUNT].astype(np.int64),
            size=rows[:, SIZE].copy(),
            delay=rows[:, DELAY].copy(),
            slot=rows[:, SLOT].astype(np.int64),
            slot_stride=rows[:, STRIDE].astype(np.int64),
            gate_start=starts(rows[:, GATES].astype(np.int64)),
            gate_partner=gates[:, 0].copy(),
            gate_base=gates[:, 1].copy(),
            gate_stride=gates[:, 2].copy(),
        )


def starts(lengths: Ints) -> Ints:
    """Return where pieces of such lengths begin that follow each other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _joined(blocks: list, kind: type = np.int64) -> np.ndarray:  # type: ignore[type-arg]
    whole = np.concatenate(blocks) if blocks else np.zeros(0, kind)
    blocks.clear()
    return whole
