"""Messages by formula: senders that each follow a programme, so memory does not grow with messages."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NEVER = 1 << 60  # messages of a lane that is held: more than any run has
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Programmes:
    """What senders do, said once for all that do the same.

    A programme is a list of phases, a phase `count` messages alike, sent one after another. Message ``k`` of
    a phase (from 0) is released when the one before it has ended and, for each gate of the phase, the partner
    has ended at least ``gate_base + gate_stride * k`` messages, counted over its whole programme. It then
    waits ``delay``, takes ``size`` bytes over the route of its slot, and ends. Sizes of 0 and phases without
    a route only wait: that is how computations are written.

    Parameters
    ----------
    start : numpy.ndarray of int64, shape (programmes + 1,)
        Where the phases of each programme begin.
    count : numpy.ndarray of int64, shape (phases,)
        Messages, at least 1.
    size, delay : numpy.ndarray of float64, shape (phases,)
        Bytes; s, of latency and all else that takes no bandwidth.
    slot, slot_stride : numpy.ndarray of int64, shape (phases,)
        Which of the routes of the lane message ``k`` takes: ``slot + slot_stride * k``; -1 without one.
    gate_start : numpy.ndarray of int64, shape (phases + 1,)
        Where the gates of each phase begin.
    gate_partner, gate_base, gate_stride : numpy.ndarray of int64, shape (gates,)
        Which of the partners of the lane is waited for, and for how many of its messages.
    """

    start: Ints
    count: Ints
    size: Floats
    delay: Floats
    slot: Ints
    slot_stride: Ints
    gate_start: Ints
    gate_partner: Ints
    gate_base: Ints
    gate_stride: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Senders on a network: each a programme, with partners to wait for and routes to send over.

    Parameters
    ----------
    programmes : Programmes
        What they do.
    programme : numpy.ndarray of int64, shape (lanes,)
        Which of them each lane follows.
    partner_start : numpy.ndarray of int64, shape (lanes,)
        Where the partners of each lane begin in `partners`.
    partners : numpy.ndarray of int64
        Lanes.
    slot_start : numpy.ndarray of int64, shape (lanes,)
        Where the route slots of each lane begin in `slots`; lanes may share a stretch of them.
    slots : numpy.ndarray of int64
        Routes.
    route_start : numpy.ndarray of int64, shape (routes + 1,)
        Where the links of each route begin.
    links : numpy.ndarray of int64, shape (crossings,)
        Links that a route crosses, each once.
    weights : numpy.ndarray of float64, shape (crossings,), or None
        Bytes on that link per byte of the message; 1 where None.
    bandwidth : numpy.ndarray of float64, shape (links,)
        Bytes/s of each link.
    """

    programmes: Programmes
    programme: Ints
    partner_start: Ints
    partners: Ints
    slot_start: Ints
    slots: Ints
    route_start: Ints
    links: Ints
    weights: Floats | None = None
    bandwidth: Floats

    @property
    def messages(self) -> int:
        """Return how many messages all lanes send, those of held ones left out."""
        counts = np.where(self.programmes.count < NEVER, self.programmes.count, 0)
        whole = np.add.reduceat(counts, self.programmes.start[:-1])
        return int(whole[self.programme].sum())


@dataclass(slots=True)
class Book:
    """Programmes while they are written.

    Examples
    --------
    A ring all-reduce of 4 ranks: a rank's step waits for its neighbour's message of the step before.

    >>> book = Book()
    >>> book.phase(6, 1e6, slot=0, gates=[(0, 0, 1)])
    >>> ring = book.programme()
    >>> book.made().count.tolist()
    [6]
    """

    rows: list[tuple[int, float, float, int, int]] = field(default_factory=list)
    gates: list[tuple[int, int, int]] = field(default_factory=list)
    gate_start: list[int] = field(default_factory=lambda: [0])
    start: list[int] = field(default_factory=lambda: [0])

    def phase(
        self,
        count: int = 1,
        size: float = 0.0,
        *,
        delay: float = 0.0,
        slot: int = -1,
        slot_stride: int = 0,
        gates: list[tuple[int, int, int]] | tuple[()] = (),
    ) -> None:
        """Write a phase; gates are (partner, base, stride)."""
        self.rows.append((count, size, delay, slot, slot_stride))
        self.gates += gates
        self.gate_start.append(len(self.gates))

    def programme(self) -> int:
        """Close a programme; return its number."""
        if len(self.rows) == self.start[-1]:
            raise ValueError("a programme has at least one phase")
        self.start.append(len(self.rows))
        return len(self.start) - 2

    def made(self) -> Programmes:
        """Return all programmes that were written."""
        rows = np.array(self.rows, float).reshape(-1, 5)
        gates = np.array(self.gates, np.int64).reshape(-1, 3)
        return Programmes(
            start=np.array(self.start, np.int64),
            count=rows[:, 0].astype(np.int64),
            size=rows[:, 1].copy(),
            delay=rows[:, 2].copy(),
            slot=rows[:, 3].astype(np.int64),
            slot_stride=rows[:, 4].astype(np.int64),
            gate_start=np.array(self.gate_start, np.int64),
            gate_partner=gates[:, 0].copy(),
            gate_base=gates[:, 1].copy(),
            gate_stride=gates[:, 2].copy(),
        )
