"""Several jobs on one network, each with its own work, place and start: what each of them does to the others.

A job does its steps one after another; the next one begins when its last stage is done. What the jobs send is
shared max-min fair as within one step (`simulator.engine.replay`); jobs share links and nothing else.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import simpy

from simulator.engine._jobs_contested import contested
from simulator.engine._jobs_tenant import Tenant
from simulator.engine._replay_program import Program
from simulator.engine._replay_tenants import Tenants, joined
from simulator.engine._replay_wire import Fold, Medium, Progress, Wire
from simulator.engine.bundles import Traffic
from simulator.engine.result import Prices, Result
from simulator.errors import CheckError, UsageError
from workloads.step_graph import StepGraph

Fidelity = Literal["fluid", "messages"]
Pair = tuple[int, int]  # of jobs by their place


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What runs where from when on.

    Parameters
    ----------
    graph : StepGraph
        One step.
    prices : Prices
        Seconds of everything on an idle network.
    traffic : Traffic, optional
        Where the bytes go; without it a job, which must then be alone, meets nobody.
    start_s : float
        When its first step begins, s.
    steps : int
        How many there are, one right after another.

    Raises
    ------
    ValueError
        Traffic for another number of stages, a start below 0, less than one step.
    """

    graph: StepGraph
    prices: Prices
    traffic: Traffic | None = None
    start_s: float = 0.0
    steps: int = 1

    def __post_init__(self) -> None:
        stages = len(self.graph.stages)
        if self.traffic is not None and self.traffic.layout.pp != stages:
            raise ValueError(f"{stages} stages on a layout of {self.traffic.layout.pp}")
        if not (isfinite(self.start_s) and self.start_s >= 0):
            raise ValueError(f"a job must start at a time from 0 s on, got {self.start_s}")
        if self.steps < 1:
            raise ValueError(f"a job must have one step or more, got {self.steps}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What one job did among the others.

    Parameters
    ----------
    step : Result
        Of the mean step: seconds are means over all steps, links hold the job's own bytes, the timeline is that
        of the first step. A job of one step has exactly this step.
    starts_s : tuple of float
        When each step began, s.
    end_s : float
        When the last one ended, s.
    """

    step: Result
    starts_s: tuple[float, ...]
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What jobs did side by side.

    Parameters
    ----------
    jobs : tuple of JobResult
        In order.
    contested : mapping of (int, int) to mapping of edge to float
        For two jobs, the smaller place first, the links that both wanted at a time when all that wanted one
        together would fill it more than once: the integral of what was too much, s.
    """

    jobs: tuple[JobResult, ...]
    contested: Mapping[Pair, Mapping[Hashable, float]]


def replay_jobs(
    jobs: Sequence[Job],
    *,
    fidelity: Fidelity = "fluid",
    fold: Fold = "auto",
    spans: bool = False,
    progress: Progress | None = None,
) -> tuple[JobResult, ...]:
    """Return what each of several jobs does on the one network that they share.

    Parameters
    ----------
    jobs : sequence of Job
        On one fabric, each on GPUs of its own. Their order changes results by rounding only.
    fidelity : str
        ``fluid``: a collective is one bundle of bytes; ``messages``: each message of those that can meet
        others on a link is a flow of its own.
    fold : str
        Whether to send one of each class of messages that nobody can tell apart.
    spans : bool
        Whether to keep the timelines.
    progress : callable, optional
        Called now and then with the messages that have ended, and with all; of bundles it is not called.

    Raises
    ------
    UsageError
        Another fidelity, messages without a network or too many of them.
    CheckError
        A schedule that blocks itself, a transfer that never ended.
    ValueError
        Step graphs or prices that are wrong in themselves, several jobs not on one fabric or on one GPU.

    References
    ----------
    .. [1] Casanova et al., Versatile, scalable, and accurate simulation of distributed applications and
       platforms, JPDC 74(10), 2014: flows that share links max-min fair.
    """
    return _replayed(jobs, fidelity, fold, spans=spans, watched=False, progress=progress).jobs


def together(jobs: Sequence[Job], *, fidelity: Fidelity = "fluid") -> Together:
    """Return what jobs do side by side, and which links they wanted at the same time.

    Parameters and faults are those of `replay_jobs`.
    """
    return _replayed(jobs, fidelity, "auto", spans=False, watched=True)


def _replayed(
    jobs: Sequence[Job],
    fidelity: Fidelity,
    fold: Fold,
    *,
    spans: bool,
    watched: bool,
    progress: Progress | None = None,
) -> Together:
    if fidelity not in ("fluid", "messages"):
        raise UsageError(f"no replay with fidelity '{fidelity}'", hint="fluid, messages")
    traffic = _traffic(jobs)
    if fidelity == "messages" and traffic is None:
        raise UsageError("messages need a network to cross")
    env = simpy.Environment()
    programs = [Program(job.graph, job.prices) for job in jobs]
    uses, firsts = joined(programs)
    times = Counter[int]()
    for job, program, first in zip(jobs, programs, firsts, strict=True):
        times.update({first + number: often * job.steps for number, often in program.times.items()})
    medium = Medium(env, uses, times, traffic, fidelity, fold, watched=watched, progress=progress)
    tenants = []
    for job, program, first in zip(jobs, programs, firsts, strict=True):
        wire = Wire(env, program, medium, first)
        blocking = job.graph.boundary.blocking
        tenants.append(Tenant(env, program, wire, job.steps, blocking=blocking, spans=spans))
    for job, tenant in zip(jobs, tenants, strict=True):
        tenant.begin(job.start_s)
    env.run()
    _check([tenant.blocked() for tenant in tenants])
    if medium.unfinished():
        raise CheckError("a transfer of the step never ended")
    return Together(
        jobs=tuple(
            JobResult(step=tenant.mean(), starts_s=tuple(tenant.starts), end_s=tenant.end)
            for tenant in tenants
        ),
        contested=contested(medium, firsts) if watched else {},
    )


def _traffic(jobs: Sequence[Job]) -> Traffic | None:
    """Return where all bytes go; that of a single job as it is."""
    known = [job.traffic for job in jobs if job.traffic is not None]
    if len(jobs) == 1:
        return jobs[0].traffic
    if len(known) < len(jobs) or not jobs:
        raise ValueError(f"{len(jobs)} jobs need a network that all of them share")
    return Tenants(known)


def _check(blocked: Sequence[Sequence[str]]) -> None:
    several = len(blocked) > 1
    found = [f"job {at}: {text}" if several else text for at, texts in enumerate(blocked) for text in texts]
    if found:
        raise CheckError(f"the schedule blocks itself: {'; '.join(found[:4])}")
