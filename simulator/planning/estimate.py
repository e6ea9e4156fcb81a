"""One training step: how long it takes, where the time goes, what it needs of memory, money and energy.

The question is put as measured runs are (`simulator.calibration.steps`), so that what the referee says of the
predictions holds for it; the machine is any fabric; the answer comes by formula or from events.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from simulator.engine.closed_form import solve
from simulator.engine.result import Result
from simulator.planning._estimate_counts import communicated, flops
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_options import Options, made
from simulator.planning._estimate_paid import paid
from simulator.planning._estimate_schedule import enough
from simulator.planning._estimate_step import Step, prepared
from simulator.planning.place import Fabric
from workloads.layout import label
from workloads.training_step import build

Progress = Callable[[int, int], object]  # told how many messages have ended, and of how many

__all__ = ["Desk", "Estimate", "Options", "Step", "answered", "estimate", "made", "prepared", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The answer to one question.

    Parameters
    ----------
    row : dict
        As ``commsim estimate --json`` prints it.
    step : Step
        What was asked, made ready.
    result : Result
        What the engine or the formula says.
    warnings : tuple of str
        What could not be given, and why.
    notes : mapping of str to str
        Where price and energy come from.
    """

    row: dict[str, Any]
    step: Step
    result: Result
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def estimate(
    options: Options, desk: Desk | None = None, *, spans: bool = False, progress: Progress | None = None
) -> Estimate:
    """Return what one training step takes.

    Parameters
    ----------
    options : Options
        What is asked.
    desk : Desk, optional
        Of the same fabric, with what earlier questions found.
    spans : bool
        Whether to keep the timeline; only events have one.
    progress : callable, optional
        Called now and then with the messages that have ended, and with all, where messages are followed.

    Raises
    ------
    UsageError
        Options that cannot be.
    InputError
        A file that is wrong in itself.
    InfeasibleError
        It does not fit in memory; the hint names the nearest changes after which it does.
    """
    desk = desk or Desk(Fabric(options.fabric))
    step = prepared(options, desk)
    return answered(step, run(step, desk, spans=spans, progress=progress), desk)


def run(step: Step, desk: Desk, *, spans: bool = False, progress: Progress | None = None) -> Result:
    """Return what the engine that was asked for says of a step."""
    fidelity = step.options.fidelity
    if fidelity == "formula":
        return solve(step.graph, step.prices).result
    from simulator.engine.replay import replay

    return replay(
        step.graph,
        step.prices,
        network=desk.traffic(step.layout),
        fidelity=cast(Literal["fluid", "messages"], fidelity),
        fold=cast(Literal["auto", "on", "off"], step.options.fold),
        spans=spans,
        progress=progress,
    )


def answered(step: Step, result: Result, desk: Desk) -> Estimate:
    """Return the answer that a result is."""
    gpus, seconds, graph = step.options.gpus, result.step_s, step.graph
    peak = step.site.device.rates["bf16"] * gpus * seconds
    done = graph.model_flops + _again(step)
    warnings: list[str] = []
    notes: dict[str, str] = {}
    if not desk.told(gpus):
        count = f"{step.site.per_node} GPU{'s' * (step.site.per_node > 1)}"
        warnings.append(
            f"{step.options.fabric} does not say what its machines are: {count} a machine and "
            f"{step.site.nic_rate / 1e9:.3g} GB/s a GPU are read off its links"
        )
    row: dict[str, Any] = {
        "step_s": seconds,
        "low_s": seconds * step.values.low,
        "high_s": seconds * step.values.high,
        "tokens_per_s_per_gpu": graph.tokens / seconds / gpus,
        "mfu": graph.model_flops / peak,
        "hfu": done / peak,
        "memory_bytes_per_gpu": _memory(step, warnings),
        "fits": None if step.capacity is None else True,
        "breakdown_s": dict(result.breakdown_s),
        "communication_bytes": communicated(graph, step.layout),
        "fidelity": step.options.fidelity,
        "messages": result.messages,
        "basis": step.values.basis,
    }
    row |= paid(step, result, desk, warnings, notes)
    return Estimate(row=row | question(step), step=step, result=result, warnings=tuple(warnings), notes=notes)


def question(step: Step) -> dict[str, Any]:
    """Return what was asked, defaults filled in, under the names of the options."""
    at, options, training = step.layout, step.options, step.training
    asked = {name: getattr(at, name) for name in ("tp", "pp", "vpp", "cp", "ep", "dp")}
    return {
        "model": training.model.name,
        "fabric": options.fabric,
        "gpu": step.site.device.name,
        "gpus": options.gpus,
        "plan": label(at),
        **asked,
        "mbs": options.mbs,
        "gbs": options.gbs,
        "seq_len": options.seq_len,
        "sp": training.sequence_parallel and at.tp > 1,
        "schedule": options.schedule if options.schedule.endswith(".toml") else training.schedule,
        "strategy": training.strategy,
        "recompute": training.recompute,
        "precision": training.precision,
        "stack": options.stack,
    }


def _again(step: Step) -> float:
    """Return the FLOPs of the whole step that recomputation adds."""
    training = step.training
    if training.recompute == "none":
        return 0.0
    base, twice = training, step.graph
    if step.options.schedule.endswith(".toml"):
        base = enough(training.schedule, training)
        twice = build(base)
    once = build(base.replace(recompute="none", recompute_modules=(), recompute_layers=0))
    ranks = step.layout.world / step.layout.pp
    return (flops(twice) - flops(once)) * ranks * training.microbatches / base.microbatches


def _memory(step: Step, warnings: list[str]) -> float:
    """Return the bytes that a GPU of the fullest stage takes; unused blocks are given back where it is tight."""
    needed = step.fullest.total
    if step.capacity is None:
        warnings.append(
            f"the memory of {step.site.device.name} is not in the catalogue: fits cannot be given"
        )
        return needed
    return min(needed, max(step.capacity.visible, step.fullest.allocated))
