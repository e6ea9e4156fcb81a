"""A training step that was asked for as a case: what measured runs are known by."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.planning._estimate_checks import layout, model_of
from simulator.planning._estimate_options import BY_ZERO, STACKS, VERSIONS, Options
from simulator.planning._estimate_schedule import usual
from workloads.layout import Layout
from workloads.model import Model

if TYPE_CHECKING:
    from simulator.calibration.steps.case import Case
    from simulator.calibration.steps.stacks import Settings


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
    if options.stack_version:
        words = f"{words}, {VERSIONS[options.stack].format(options.stack_version)}"
    return settings({"source": source, "notes": words}, facts, [])
