"""The schedule of a step: a name, what is usual, or a user's own file put into the place of one that is alike."""

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.errors import Fault, InputError, UsageError
from simulator.planning._estimate_options import Options
from simulator.reading import read_text
from workloads.schedules import SCHEDULES
from workloads.training import Training

if TYPE_CHECKING:
    from workloads.schedules._file import Schedule
    from workloads.step_graph import StepGraph

_ALIKE = ("1f1b", "interleaved", "zb_h1", "zb_v", "dualpipe")  # one for each kind of way and of split


def usual(options: Options) -> str:
    """Return the schedule asked for; 1F1B if none was, interleaved where stages have chunks."""
    return options.schedule or ("interleaved" if options.vpp > 1 else "1f1b")


def own(options: Options, stages: int, microbatches: int) -> "Schedule":
    """Return the schedule of a user's file.

    Raises
    ------
    InputError
        Everything that is wrong with it.
    """
    from workloads.schedules._faults import ScheduleError
    from workloads.schedules._file import read

    try:
        found = read(read_text(options.schedule), stages, microbatches)
    except ScheduleError as error:
        faults = [Fault(one.message, _place(one.line, one.stage)) for one in error.faults]
        raise InputError(options.schedule, faults) from None
    if options.vpp and options.vpp != found.chunks:
        raise UsageError(
            f"--vpp {options.vpp}: {options.schedule} has {found.chunks} chunks a stage",
            where="--vpp",
            hint=f"--vpp {found.chunks}",
        )
    return found


def _place(line: int | None, stage: int | None) -> str:
    if line is not None:
        return f"line {line}"
    return "" if stage is None else f"stage {stage}"


def like(schedule: "Schedule", name: str, stages: int) -> str:
    """Return the schedule that ships whose chunks lie and split alike, whatever their order.

    Raises
    ------
    InputError
        None does.
    """
    for known in _ALIKE:
        module = SCHEDULES[known]
        if schedule.chunks not in module.CHUNKS or schedule.split != module.SPLIT:
            continue
        if known == "dualpipe" and stages % 2:
            continue
        if module.routes(stages, schedule.chunks) == schedule.routes:
            return known
    raise InputError(
        name,
        "its ways through the stages are none that layers can be laid along here",
        hint="down the stages once for each chunk (with W: one chunk), down and back up with W, or both ways with W",
    )


def enough(name: str, training: Training) -> Training:
    """Return the step with as many microbatches as any schedule of that name takes."""
    each = training.microbatch * training.layout.dp
    return training.replace(schedule=name, global_batch=each * 2 * training.layout.pp)


def with_orders(graph: "StepGraph", schedule: "Schedule", training: Training, flops: float) -> "StepGraph":
    """Return a step graph with the tasks of a user's schedule in the place of its own.

    Parameters
    ----------
    graph : StepGraph
        Built by a schedule that lies alike, with some number of microbatches.
    training : Training
        With the number that is meant.
    flops : float
        Useful FLOPs of the step.
    """
    stages = tuple(
        replace(stage, tasks=tasks) for stage, tasks in zip(graph.stages, schedule.orders, strict=True)
    )
    return replace(
        graph,
        stages=stages,
        routes=schedule.routes,
        microbatches=training.microbatches,
        tokens=float(training.global_batch * training.seq_len),
        model_flops=flops,
    )


def peak(schedule: "Schedule", stage: int) -> float:
    """Return the activations that a stage holds at its fullest, in microbatches on all its chunks."""
    return _most(schedule, stage, "W" if schedule.split else "B") / schedule.chunks


def logits(schedule: "Schedule", stage: int) -> int:
    """Return of how many microbatches a stage with the head holds the logits at its fullest, 1 at least."""
    ends = [chunk for route in schedule.routes for place, chunk in route[-1:] if place == stage]
    return max((_most(schedule, stage, "B", chunk) for chunk in ends), default=1)


def _most(schedule: "Schedule", stage: int, ends: str, chunk: int | None = None) -> int:
    """Return how many tasks of a stage have begun and not ended at most."""
    held = most = 0
    for task in schedule.orders[stage]:
        if chunk in (None, task.chunk):
            held += (task.kind == "F") - (task.kind == ends)
            most = max(most, held)
    return most
