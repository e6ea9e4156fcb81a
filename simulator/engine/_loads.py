"""What a collective puts on each link, phase by phase."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.collectives._alpha_beta import Message
from simulator.engine._paths import Edge, Paths

Pattern = tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What one phase puts on the links.

    Parameters
    ----------
    sizes : dict
        On each link, how many messages bring how many bytes.
    drains : tuple of float
        Seconds from the first to the last byte of each message, if all of the phase start together and every
        link serves its messages alike.
    """

    sizes: dict[Edge, Counter[float]]
    drains: tuple[float, ...]


class Loads:
    """Account for the phases of one collective; phases that repeat are worked out once.

    Parameters
    ----------
    paths : Paths
        Between its ranks.

    Attributes
    ----------
    phases, messages : int
        How many there were.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[Pattern, Load] = {}
        self._times: Counter[Pattern] = Counter()
        self.phases = 0
        self.messages = 0

    def of(self, phase: Sequence[Message]) -> Load:
        """Return the load of a phase that was counted."""
        return self._load_of(_pattern(phase))

    def add(self, phase: Sequence[Message]) -> None:
        """Count a phase."""
        pattern = _pattern(phase)
        self._times[pattern] += 1
        self.phases += 1
        self.messages += len(phase)

    def pairs(self) -> set[tuple[int, int]]:
        """Return who sends to whom."""
        return {(src, dst) for pattern in self._times for src, dst, _ in pattern}

    def link_bytes(self) -> dict[Edge, float]:
        """Return the bytes on each link."""
        total: dict[Edge, float] = defaultdict(float)
        for pattern, times in self._times.items():
            for edge, sizes in self._load_of(pattern).sizes.items():
                total[edge] += times * _bytes(sizes)
        return dict(total)

    def crowd(self, edge: Edge) -> float:
        """Return how many messages share a link, in the mean over its bytes."""
        bytes_, crowded = 0.0, 0.0
        for pattern, times in self._times.items():
            sizes = self._load_of(pattern).sizes.get(edge, Counter())
            bytes_ += times * _bytes(sizes)
            crowded += times * _bytes(sizes) * sizes.total()
        return crowded / bytes_

    def sent(self) -> float:
        """Return the bytes sent by the rank that sends most."""
        total: dict[int, float] = defaultdict(float)
        for pattern, times in self._times.items():
            for src, _, size in pattern:
                total[src] += times * size if src >= 0 else 0.0
        return max(total.values(), default=0.0)

    def _load_of(self, pattern: Pattern) -> Load:
        if pattern not in self._known:  # only when asked for: a formula needs to know who talks, no more
            self._known[pattern] = self._load(pattern)
        return self._known[pattern]

    def _load(self, pattern: Pattern) -> Load:
        sizes: dict[Edge, Counter[float]] = defaultdict(Counter)
        routed = [(size, self._paths.path(src, dst)) for src, dst, size in pattern]
        for size, path in routed:
            for edge, share in zip(path.edges, path.shares, strict=True):
                sizes[edge][size * share] += 1
        drains = (
            max(
                _served(size * share, sizes[edge].items()) / self._paths.bandwidth(edge)
                for edge, share in zip(path.edges, path.shares, strict=True)
            )
            for size, path in routed
        )
        return Load(dict(sizes), tuple(drains))


def _pattern(phase: Sequence[Message]) -> Pattern:
    return tuple((message.src, message.dst, message.size) for message in phase)


def _bytes(sizes: Counter[float]) -> float:
    return sum(size * count for size, count in sizes.items())


def _served(size: float, others: Iterable[tuple[float, int]]) -> float:
    """Return the bytes a link has sent when a message of ``size`` ends that shares it evenly with others."""
    return sum(min(size, other) * count for other, count in others)
