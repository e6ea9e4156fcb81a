"""Several jobs on one fabric: how much slower each runs than alone, who is to blame, and on which link.

Who slows whom is found by leaving one out: what a victim loses to a culprit is how much longer its mean step takes
with all jobs than with all but the culprit. With two jobs that is the whole slowdown. With more the losses need not
add up to it: of two culprits that fill the same link either one may be gone without much relief, and a culprit
gone may let a third job run faster into the victim's way, which shows as a loss below 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal, cast

from simulator.engine.jobs import JobResult, Together, replay_jobs, together
from simulator.planning._interference_check import checked_jobs
from simulator.planning._interference_jobs import Ready, ready
from simulator.planning._interference_place import fabric_of
from simulator.planning._interference_read import Tenancy, read

__all__ = ["Answer", "Tenancy", "checked_jobs", "interference", "read"]

Row = dict[str, Any]
USUAL = 3  # steps of a job that says nothing, at least
MOST = {"training": 40, "noise": 2000}  # steps of one that says nothing, at most
ROUNDS = 3  # replays at most until jobs that say nothing last as long as the others
SHOWN = 50  # links, at most
NOISE = 1e-9  # relative: what rounding may do to a step
_WHOLE = 1e-6  # steps: what a count may be short of


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Who slows whom.

    Parameters
    ----------
    jobs : list of dict
        In the order of the file: ``name alone_s together_s slowdown start_s gpus steps end_s``, seconds of the
        mean step.
    interference : list of dict
        For every two jobs ``victim culprit lost_s link``: seconds of the victim's mean step; the link that both
        wanted most while it was too narrow, None if there was none. Largest loss first.
    links : list of dict
        The busiest links that several jobs use, `SHOWN` at most: ``link busy by_job``, parts of the time from the
        first start to the last end, and ``alike``, how many links between such nodes are as busy, itself included.
    warnings : tuple of str
        What the reader should know.
    line : str
        How far the steps of the training jobs can be trusted; empty if there are none.
    """

    jobs: list[Row]
    interference: list[Row]
    links: list[Row]
    warnings: tuple[str, ...]
    line: str


def interference(
    tenancy: Tenancy, *, fidelity: str = "fluid", done: Callable[[], None] = lambda: None
) -> Answer:
    """Return what the jobs of a fabric do to each other.

    Parameters
    ----------
    tenancy : Tenancy
        The jobs. Their order changes the order of rows only.
    fidelity : str
        ``fluid`` or ``messages``.
    done : callable
        Called after each replay that is one of `replays`.

    Raises
    ------
    UsageError
        A fabric that there is not, places that cannot be, jobs on one GPU.
    InputError
        A job that cannot be, a file that is wrong in itself.
    InfeasibleError
        Jobs that do not fit on the fabric or in memory.
    """
    options = checked_jobs(tenancy, fidelity)
    jobs = ready(tenancy, options, fabric_of(tenancy))
    kind = cast(Literal["fluid", "messages"], fidelity)
    alone = []
    for one in jobs:
        alone.append(replay_jobs((one.job,), fidelity=kind)[0].step.step_s)
        done()
    steps, found = _all_together(jobs, alone, kind)
    done()
    lost = _lost(jobs, alone, found, steps, kind, done)
    order = [asked.name for asked in tenancy.jobs]
    rows = [_job(one, seconds, result) for one, seconds, result in zip(jobs, alone, found.jobs, strict=True)]
    return Answer(
        jobs=sorted(rows, key=lambda row: order.index(row["name"])),
        interference=_pairs(jobs, alone, lost, found),
        links=_links(jobs, found.jobs),
        warnings=tuple(_warnings(jobs, found.jobs)),
        line="; ".join(dict.fromkeys(one.step.values.line for one in jobs if one.step is not None)),
    )


def replays(tenancy: Tenancy) -> int:
    """Return how many replays `interference` tells of."""
    count = len(tenancy.jobs)
    return count + 1 + (count if count > 2 else 0)


def _all_together(
    jobs: Sequence[Ready], alone: Sequence[float], kind: Literal["fluid", "messages"]
) -> tuple[list[int], Together]:
    """Return the steps of each job, and what all do side by side.

    Jobs that say nothing of steps do as many as it takes to last until each other one has done its own, or
    `USUAL`; that is worked out from the times alone and mended by those together.
    """
    steps = _steps(jobs, alone)
    found = together(_begun(jobs, steps), fidelity=kind)
    for _ in range(ROUNDS - 1):
        wanted = _steps(jobs, [result.step.step_s for result in found.jobs])
        if all(want <= have <= 1.05 * want + 1 for have, want in zip(steps, wanted, strict=True)):
            break
        steps = wanted
        found = together(_begun(jobs, steps), fidelity=kind)
    return steps, found


def _steps(jobs: Sequence[Ready], seconds: Sequence[float]) -> list[int]:
    last = max(
        one.asked.start_s + (one.asked.steps or USUAL) * step for one, step in zip(jobs, seconds, strict=True)
    )
    found = []
    for one, step in zip(jobs, seconds, strict=True):
        most = MOST["noise" if one.asked.noise else "training"]
        wanted = ceil((last - one.asked.start_s) / step - _WHOLE) if step else USUAL
        found.append(one.asked.steps or min(most, max(USUAL, wanted)))
    return found


def _begun(jobs: Sequence[Ready], steps: Sequence[int]) -> list[Any]:
    return [
        replace(one.job, start_s=one.asked.start_s, steps=count)
        for one, count in zip(jobs, steps, strict=True)
    ]


def _lost(
    jobs: Sequence[Ready],
    alone: Sequence[float],
    found: Together,
    steps: Sequence[int],
    kind: Literal["fluid", "messages"],
    done: Callable[[], None],
) -> dict[tuple[int, int], float]:
    """Return what each job loses to each other one, s of its mean step, by leaving the other out."""
    lost: dict[tuple[int, int], float] = {}
    there = [result.step.step_s for result in found.jobs]
    if len(jobs) == 2:
        return {(0, 1): there[0] - alone[0], (1, 0): there[1] - alone[1]}
    touched = {job for pair in found.contested for job in pair}
    for culprit in range(len(jobs)) if len(jobs) > 2 else ():
        others = [at for at in range(len(jobs)) if at != culprit]
        if culprit in touched:
            rest = _begun([jobs[at] for at in others], [steps[at] for at in others])
            without = [result.step.step_s for result in replay_jobs(rest, fidelity=kind)]
        else:  # on no link that was too narrow while it was there: nothing changes without it
            without = [there[at] for at in others]
        lost |= {(at, culprit): there[at] - step for at, step in zip(others, without, strict=True)}
        done()
    return lost


def _job(one: Ready, alone: float, result: JobResult) -> Row:
    seconds = result.step.step_s
    return {
        "name": one.asked.name,
        "alone_s": alone,
        "together_s": seconds,
        "slowdown": seconds / alone if alone else 1.0,
        "start_s": one.asked.start_s,
        "gpus": one.asked.gpus,
        "steps": len(result.starts_s),
        "end_s": result.end_s,
    }


def _pairs(
    jobs: Sequence[Ready],
    alone: Sequence[float],
    lost: Mapping[tuple[int, int], float],
    found: Together,
) -> list[Row]:
    rows = []
    for (victim, culprit), seconds in lost.items():
        links = found.contested.get((min(victim, culprit), max(victim, culprit)), {})
        real = abs(seconds) > NOISE * max(alone[victim], found.jobs[victim].step.step_s)
        worst = min(((-float(f"{much:.9g}"), _name(edge)) for edge, much in links.items()), default=None)
        rows.append(
            {
                "victim": jobs[victim].asked.name,
                "culprit": jobs[culprit].asked.name,
                "lost_s": seconds if real else 0.0,
                "link": worst[1] if real and worst else None,
            }
        )
    return sorted(rows, key=lambda row: (-row["lost_s"], row["victim"], row["culprit"]))


def _links(jobs: Sequence[Ready], results: Sequence[JobResult]) -> list[Row]:
    """Return the busiest links that several jobs use, and for which part of the whole time each does."""
    whole = max(result.end_s for result in results) - min(result.starts_s[0] for result in results)
    users: dict[Any, dict[str, float]] = {}
    for one, result in zip(jobs, results, strict=True):
        there = result.step.step_s * len(result.starts_s) / whole if whole else 0.0
        for edge, busy in result.step.link_busy.items():
            users.setdefault(edge, {})[one.asked.name] = busy * there
    alike: dict[Any, Row] = {}
    for edge, by_job in users.items():
        if len(by_job) > 1:
            tail, head = edge
            rounded = ((name, f"{part:.9g}") for name, part in by_job.items())
            row = {"link": _name(edge), "busy": sum(by_job.values()), "by_job": by_job, "alike": 0}
            alike.setdefault((tail[0], head[0], *rounded), row)["alike"] += 1
    rows = alike.values()
    return sorted(rows, key=lambda row: (-float(f"{row['busy']:.9g}"), row["link"]))[:SHOWN]


def _name(edge: Any) -> str:
    tail, head = edge
    return f"{_node(tail)} -> {_node(head)}"


def _node(node: Any) -> str:
    if not isinstance(node, tuple):
        return str(node)
    kind, *numbers = node
    return f"{kind}{'-'.join(map(str, numbers))}"


def _warnings(jobs: Sequence[Ready], results: Sequence[JobResult]) -> list[str]:
    found = []
    spans = [(result.starts_s[0], result.end_s) for result in results]
    for at, (one, (begun, ended)) in enumerate(zip(jobs, spans, strict=True)):
        others = spans[:at] + spans[at + 1 :]
        name = one.asked.name
        if others and all(start >= ended or end <= begun for start, end in others):
            found.append(f"job '{name}' runs when no other job does")
        most = MOST["noise" if one.asked.noise else "training"]
        count = len(results[at].starts_s)
        word = "repeat" if one.asked.noise else "steps"
        if not one.asked.steps and count == most and any(end > ended for _, end in others):
            found.append(f"job '{name}' ends after {count} steps, before others do: {word} = N for more")
    return found
