"""What a collective puts on each link, phase by phase."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from simulator.collectives._alpha_beta import Message
from simulator.engine._paths import Edge, Paths

Pattern = tuple[tuple[int, int, float], ...]
Sizes = dict[Edge, Counter[float]]  # on each link, how many messages bring how many bytes


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
        self._known: dict[Pattern, Sizes] = {}
        self._drained: dict[Pattern, tuple[float, ...]] = {}
        self._times: Counter[Pattern] = Counter()
        self.phases = 0
        self.messages = 0

    def drains(self, phase: Sequence[Message]) -> tuple[float, ...]:
        """Return the seconds from the first to the last byte of each message of a phase that was counted.

        All of the phase start together, and every link serves its messages alike.
        """
        pattern = _pattern(phase)
        if pattern not in self._drained:
            self._drained[pattern] = self._drain(pattern)
        return self._drained[pattern]

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
            for edge, sizes in self._sizes(pattern).items():
                total[edge] += times * _bytes(sizes)
        return dict(total)

    def crowd(self, edge: Edge) -> float:
        """Return how many messages share a link, in the mean over its bytes."""
        bytes_, crowded = 0.0, 0.0
        for pattern, times in self._times.items():
            sizes = self._sizes(pattern).get(edge, Counter())
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

    def _sizes(self, pattern: Pattern) -> Sizes:
        """Return what one phase puts on the links, worked out when first asked for."""
        if pattern not in self._known:
            sizes: Sizes = defaultdict(Counter)
            for src, dst, size in pattern:
                path = self._paths.path(src, dst)
                for edge, share in zip(path.edges, path.shares, strict=True):
                    sizes[edge][size * share] += 1
            self._known[pattern] = dict(sizes)
        return self._known[pattern]

    def _drain(self, pattern: Pattern) -> tuple[float, ...]:
        sizes = self._sizes(pattern)
        routed = [(size, self._paths.path(src, dst)) for src, dst, size in pattern]
        return tuple(
            max(
                _served(size * share, sizes[edge].items()) / self._paths.bandwidth(edge)
                for edge, share in zip(path.edges, path.shares, strict=True)
            )
            for size, path in routed
        )


def _pattern(phase: Sequence[Message]) -> Pattern:
    return tuple((message.src, message.dst, message.size) for message in phase)


def _bytes(sizes: Counter[float]) -> float:
    return sum(size * count for size, count in sizes.items())


def _served(size: float, others: Iterable[tuple[float, int]]) -> float:
    """Return the bytes a link has sent when a message of ``size`` ends that shares it evenly with others."""
    return sum(min(size, other) * count for other, count in others)
