"""Exact folding: lanes that no observer can tell apart are simulated once.

Max-min rates depend only on how many lanes of which kind cross a link. Partition lanes and links so that
lanes of one class follow like programmes, wait for like partners and send over like links, and links of one
class are as fast and crossed by as many lanes of each class and slot (an equitable partition). Then all lanes
of a class are in the same state at every instant, and one of them stands for all: a link that it crosses is
loaded with what one link of that class sees of the whole class of lanes, and nothing else changes.
"""

from dataclasses import dataclass

import numpy as np

from simulator.network._folding_check import check_equitable
from simulator.network._folding_colours import refined
from simulator.network._folding_hash import chiefs
from simulator.network._folding_quotient import quotient
from simulator.network._folding_shape import shape
from simulator.network.lanes import Floats, Ints, Lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Lanes, one for each class, that end when those of their class do.

    Parameters
    ----------
    lanes : Lanes
        The quotient: one lane and one link for each class. What links carry is what one link of the class
        carries.
    lane_class : numpy.ndarray of int64, shape (lanes,)
        The class of each lane that was folded, numbered by first members.
    link_class : numpy.ndarray of int64, shape (links,)
        The class of each link, numbered likewise; -1 for links that nobody crosses.
    members : numpy.ndarray of int64, shape (classes,)
        How many lanes each class has.
    rounds : int
        How often colours were compared until nothing parted any more; 1 for a hint that is right.
    """

    lanes: Lanes
    lane_class: Ints
    link_class: Ints
    members: Ints
    rounds: int

    def finish(self, ran_finish: Floats) -> Floats:
        """Return when each lane that was folded ends, s, from when each class does."""
        return ran_finish[self.lane_class]

    def carried(self, ran_carried: Floats) -> Floats:
        """Return what each link carries, bytes, from what each class of links does."""
        return np.where(self.link_class >= 0, np.append(ran_carried, 0.0)[self.link_class], 0.0)


def fold(lanes: Lanes, hint: Ints | None = None) -> Folded:
    """Return the coarsest equitable partition of the lanes, or the coarsest within a hint.

    Parameters
    ----------
    lanes : Lanes
        Senders on a network.
    hint : numpy.ndarray of int64, shape (lanes,), optional
        Numbers, alike for lanes thought to be alike. A hint is refined until it is stable: one that is too
        coarse is parted where a straggler, a slow link or another programme makes a difference, one that is
        too fine stays valid and folds less, one that is right is only verified.

    Raises
    ------
    ValueError
        For a hint of another length than the lanes.
    CheckError
        The partition, compared value by value, is not equitable.

    References
    ----------
    .. [1] McKay, Practical graph isomorphism, Congressus Numerantium 30, 1981: equitable partitions.
    .. [2] Berkholz, Bonsma, Grohe, Tight lower and upper bounds for the complexity of canonical colour
       refinement, Theory of Computing Systems 60, 2017.

    Examples
    --------
    A ring of 4 ranks, each with a link of its own, is one lane.

    >>> from simulator.network.lanes import Book
    >>> book = Book()
    >>> book.phase(6, 1e6, slot=0, gates=[(0, 0, 1)])
    >>> _ = book.programme()
    >>> rank = np.arange(4)
    >>> ring = Lanes(
    ...     programmes=book.made(),
    ...     programme=np.zeros(4, np.int64),
    ...     partner_start=rank,
    ...     partners=(rank - 1) % 4,
    ...     slot_start=rank,
    ...     slots=rank,
    ...     route_start=np.arange(5),
    ...     links=rank,
    ...     bandwidth=np.full(4, 1e9),
    ... )
    >>> fold(ring).members.tolist()
    [4]
    """
    if hint is not None and hint.shape != lanes.programme.shape:
        raise ValueError(f"a hint needs {len(lanes.programme)} numbers, one for each lane, got {hint.shape}")
    incidences = shape(lanes)
    lane_class, link_class, rounds = refined(incidences, hint)
    members = np.bincount(lane_class)
    crossed = np.flatnonzero(link_class >= 0)
    chief = chiefs(lane_class, len(members))
    link_chief = crossed[chiefs(link_class[crossed], int(link_class.max(initial=-1)) + 1)]
    check_equitable(incidences, lane_class, chief, link_class, link_chief)
    return Folded(
        lanes=quotient(incidences, lane_class, chief, link_class, link_chief),
        lane_class=lane_class,
        link_class=link_class,
        members=members,
        rounds=rounds,
    )
