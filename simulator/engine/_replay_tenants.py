"""Several jobs as one: their uses numbered through, their stages one behind the other on one fabric."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from simulator.engine._replay_program import Program
from simulator.engine._replay_words import Use
from simulator.engine.bundles import Load, Traffic


def joined(programs: Sequence[Program]) -> tuple[list[Use], list[int]]:
    """Return the uses of all jobs, and the number of each job's first one.

    A lane belongs to one stage, so jobs that count their stages one behind the other share none: whatever two
    jobs send may happen at the same time.
    """
    uses: list[Use] = []
    firsts = [0, *accumulate(len(program.uses) for program in programs)]
    before = 0
    for program, first in zip(programs, firsts, strict=False):
        for use in program.uses:
            target = use.target + before if use.target >= 0 else use.target
            moved = first or before
            uses.append(
                replace(use, number=first + use.number, stage=before + use.stage, target=target)
                if moved
                else use
            )
        before += len(program.before)
    return uses, firsts[:-1]


class Tenants(Traffic):
    """Where the bytes of several jobs go, as if they were one with all their stages.

    Parameters
    ----------
    jobs : sequence of Traffic
        On one fabric: their ways must be the same object.

    Raises
    ------
    ValueError
        No jobs, two fabrics, or a GPU that two jobs sit on.
    """

    def __init__(self, jobs: Sequence[Traffic]) -> None:
        if not jobs or any(job.ways is not jobs[0].ways for job in jobs):
            raise ValueError(f"{len(jobs)} jobs must share the ways of one fabric")
        self.ways = jobs[0].ways
        self._at = [(job, stage) for job in jobs for stage in range(job.layout.pp)]
        taken: set[int] = set()
        for job in jobs:
            own = set().union(*(job.senders(stage) for stage in range(job.layout.pp)))
            if taken & own:
                raise ValueError(f"two jobs sit on GPU {min(taken & own)}")
            taken |= own

    def load(self, stage: int, axis: str, op: str) -> Load:
        """Return what one stage puts on the links when all its groups of an axis do one operation."""
        job, own = self._at[stage]
        return job.load(own, axis, op)

    def boundary(self, source: int, target: int) -> Load:
        """Return what one stage puts on the links when each of its ranks sends to its peer of another."""
        job, own = self._at[source]
        return job.boundary(own, self._at[target][1])

    def groups(self, axis: str, stage: int) -> list[list[int]]:
        """Return the GPUs of all groups of an axis that have a rank in a stage, machine by machine."""
        job, own = self._at[stage]
        return job.groups(axis, own)

    def rings(self, group: Sequence[int]) -> list[list[int]]:
        """Return the rings that a group runs side by side; they follow from the machines alone."""
        return self._at[0][0].rings(group)

    def peers(self, source: int, target: int) -> Iterator[tuple[int, int]]:
        """Yield the GPU of each rank of a stage with that of its peer in another one."""
        job, own = self._at[source]
        return job.peers(own, self._at[target][1])

    def senders(self, stage: int) -> set[int]:
        """Return the GPUs of a stage."""
        job, own = self._at[stage]
        return job.senders(own)
