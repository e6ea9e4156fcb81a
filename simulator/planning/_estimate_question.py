"""A training step that was asked for, checked as far as no machine is needed, then made into a case."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.errors import UsageError
from simulator.models import resolve
from simulator.planning._estimate_options import BY_ZERO, READERS, Options, flag
from simulator.planning._estimate_schedule import usual
from workloads.layout import Layout, degrees
from workloads.model import Model, ModelError
from workloads.parallelism.pipeline import split
from workloads.schedules import SCHEDULES
from workloads.training import Training

if TYPE_CHECKING:
    from simulator.calibration.steps.case import Case
    from simulator.calibration.steps.stacks import Settings

_FLAGS = tuple(map(flag, READERS))


@contextmanager
def usage(*flags: str, prefix: str = "") -> Iterator[None]:
    """Turn a ValueError of the workload into a usage error that names a flag and shows the way out.

    Parameters
    ----------
    *flags : str
        Where it may come from; the first is named where the sentence names none.
    prefix : str
        What then stands before the sentence.
    """
    try:
        yield
    except ModelError:
        raise
    except ValueError as error:
        said, _, way = str(error).partition("; try: ")
        if not way:
            said, _, way = said.partition("; try ")
        named = [flag for flag in (*flags, *_FLAGS) if re.search(rf"{flag}\b(?!-)", said)]
        if not named:
            said = f"{prefix}: {said}" if prefix else said
            named = [*flags, ""]
        raise UsageError(said, where=named[0], hint=way) from None


def model_of(name: str) -> Model:
    """Return a model of the catalogue or of a file; UsageError and InputError as `simulator.models.resolve`."""
    return resolve(name, where="--model")


def checked(options: Options) -> Training:
    """Return the step as far as the options alone say it; what cannot be is refused.

    Raises
    ------
    UsageError
        Axes that do not multiply, layers, batches or experts that do not divide, policies that exclude each other.
    InputError
        A model file that is wrong in itself.
    """
    model = model_of(options.model)
    _policies(options, model)
    at = layout(options)
    with usage("--gbs", "--mbs", "--precision", "--recompute"):
        training = Training(
            model=model,
            layout=at,
            microbatch=options.mbs,
            global_batch=options.gbs,
            seq_len=options.seq_len,
            chunk_layers=options.stage_layers,
            precision=options.precision,
        )
    name = usual(options)
    if name.endswith(".toml"):
        return training
    with usage("--pp", prefix=f"--pp {at.pp}"):
        schedule = SCHEDULES[name]
        for route in schedule.routes(at.pp, at.vpp):
            split(training.layers, at.pp, len(route) // at.pp, options.stage_layers)
    with usage("--schedule", prefix=f"--gbs {options.gbs}"):
        schedule.order(at.pp, training.microbatches, at.vpp)
    return training


def layout(options: Options) -> Layout:
    """Return the degrees of parallelism, dp worked out."""
    with usage("--gpus"):
        dp = degrees(options.gpus, tp=options.tp, cp=options.cp, pp=options.pp, dp=options.dp)
    with usage("--ep", "--etp", "--order", "--shard"):
        return Layout(
            tp=options.tp,
            cp=options.cp,
            dp=dp,
            pp=options.pp,
            ep=options.ep,
            etp=options.etp,
            shard=options.shard,
            vpp=_chunks(options),
            order=options.order,
        )


def _chunks(options: Options) -> int:
    """Return the chunks of a stage; what the schedule cannot have is refused."""
    name = usual(options)
    if name.endswith(".toml"):
        return options.vpp or 1
    allowed = SCHEDULES[name].CHUNKS
    wanted = options.vpp or int(allowed[0])
    if wanted not in allowed:
        some = f"{allowed[0]} or more" if len(allowed) > 1 else f"{allowed[0]}"
        way = "--schedule interleaved" if wanted > 1 and name == "1f1b" else f"--vpp {allowed[0]}"
        raise UsageError(
            f"--schedule {name} has {some} chunks a stage, --vpp is {wanted}", where="--vpp", hint=way
        )
    if wanted > 1 and options.pp == 1:
        raise UsageError(
            f"--schedule {name} cuts stages into chunks, but --pp is 1", where="--vpp", hint="--pp 2"
        )
    return wanted


def _policies(options: Options, model: Model) -> None:
    """Refuse policies that exclude each other."""
    if options.zero is not None and options.strategy and options.strategy != BY_ZERO[options.zero]:
        raise UsageError(
            f"--zero {options.zero} is {BY_ZERO[options.zero]}, --strategy says {options.strategy}",
            where="--zero",
            hint=f"--strategy {BY_ZERO[options.zero]}",
        )
    if options.recompute_modules and options.recompute != "selective":
        raise UsageError(
            f"--recompute-modules needs --recompute selective, it is {options.recompute}",
            where="--recompute-modules",
            hint="--recompute selective",
        )
    if options.recompute_layers and options.recompute != "full":
        raise UsageError(
            f"--recompute-layers needs --recompute full, it is {options.recompute}",
            where="--recompute-layers",
            hint="--recompute full",
        )
    name = usual(options)
    if options.recompute == "full" and name in SCHEDULES and SCHEDULES[name].SPLIT:
        raise UsageError(
            f"--recompute full cannot go with --schedule {name}: it delays the gradients of the weights, which "
            "need what full recomputation drops",
            where="--recompute",
            hint="--recompute selective, --schedule 1f1b",
        )
    if model.experts == 0 and options.ep > 1:
        raise UsageError(
            f"--ep {options.ep}: {model.name} has no experts", where="--ep", hint="leave --ep out"
        )
    if options.sp and options.tp == 1:
        raise UsageError(
            "--sp needs --tp 2 or more: it slices over the tensor group", where="--sp", hint="--tp 8"
        )


def case_of(options: Options, attributes: Mapping[str, Any], gpu: str) -> "Case":
    """Return the step on a machine as the measured runs are known: the same question has the same answer.

    Parameters
    ----------
    options : Options
        What is asked.
    attributes : mapping
        Of the fabric's graph.
    gpu : str
        The accelerator.
    """
    from simulator.calibration.steps.case import Case, System

    model, at = model_of(options.model), layout(options)
    soft = _software(options, model, at, gpu)
    values = soft.values
    stack = replace(
        soft.stack(), dispatcher=(values.get("dispatcher") or "alltoall") if model.experts else ""
    )
    strategy = options.strategy or (BY_ZERO[options.zero] if options.zero is not None else "")
    sliced = bool(values.get("sequence_parallel", False)) if options.sp is None else options.sp
    name = usual(options)
    return Case(
        case_id="",
        source="",
        group="",
        model=model,
        system=System(
            gpu=gpu,
            gpus=options.gpus,
            gpus_per_node=min(options.gpus, int(attributes.get("gpus_per_node") or options.gpus)),
            intra=str(attributes.get("intra", "")),
            transport=str(attributes.get("inter", "")),
            nic_bandwidth=float(attributes.get("nic_bandwidth_Bps") or 0.0),
        ),
        precision=options.precision,
        scaling=str(values.get("scaling", "delayed" if options.precision == "fp8" else "")),
        seq_len=options.seq_len,
        global_batch=options.gbs,
        micro_batch=options.mbs,
        layout=at,
        chunk_layers=options.stage_layers,
        sequence_parallel=sliced and at.tp > 1,
        schedule=name,
        strategy=strategy or str(values.get("strategy_is") or values.get("strategy", "zero1")),
        recompute=options.recompute,  # type: ignore[arg-type]  # read as one of them
        recompute_modules=_modules(options, values),
        recompute_layers=options.recompute_layers,
        task="pretrain",
        stack=stack,
    )


def _modules(options: Options, values: Mapping[str, Any]) -> tuple[str, ...]:
    if options.recompute != "selective":
        return ()
    return options.recompute_modules or tuple(values.get("recompute_modules", ()))


def _software(options: Options, model: Model, at: Layout, gpu: str) -> "Settings":
    """Return what the table of stacks knows of the software, public recipes for this very step included."""
    from simulator.calibration.steps.stacks import settings
    from simulator.planning._estimate_options import STACKS

    source, words = STACKS[options.stack]
    facts = {
        **{name: getattr(at, name) for name in ("tp", "cp", "dp", "pp", "ep")},
        "vp": at.vpp if at.vpp > 1 else 0,
        "global_batch": options.gbs,
        "micro_batch": options.mbs,
        "gpu": gpu,
        "gpus": options.gpus,
        "model": model.name,
        "hidden": model.hidden,
        "layers": model.layers,
        "experts": model.experts > 0,
        "precision": options.precision,
        "task": "pretrain",
        "seq_len": options.seq_len,
        "fsdp": "fsdp" in options.strategy,
    }
    return settings({"source": source, "notes": words}, facts, [])
