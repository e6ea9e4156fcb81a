"""Rings put the same on the links in every step: one step tells of all."""

from types import ModuleType

from simulator.collectives import ring_all_gather, ring_all_reduce, ring_reduce_scatter
from simulator.collectives._alpha_beta import Message
from simulator.engine._loads import Loads
from simulator.engine._paths import Paths

_ROUNDS = {ring_all_gather: 1, ring_all_reduce: 2, ring_reduce_scatter: 1}


def rounds_of_ring(module: ModuleType) -> int:
    """Return how often an algorithm goes around a ring in like steps; 0 for one that does not."""
    return _ROUNDS.get(module, 0)


class Repeated(Loads):
    """The loads of a phase that happens several times.

    Parameters
    ----------
    paths : Paths
        Between the ranks.
    phase : list of Message
        What moves together.
    times : int
        How often.
    """

    def __init__(self, paths: Paths, phase: list[Message], times: int) -> None:
        super().__init__(paths)
        self.add(phase)
        for pattern in self._times:
            self._times[pattern] = times
        self.phases *= times
        self.messages *= times
