"""A row of a table of training runs as a case to predict, or the sentence that says why it cannot be one.

Columns are those of ``training.csv``: names of the row, model, accelerator, layout, batches; results are not
looked at here. `simulator.calibration.steps.measured` reads those.

References
----------
.. [1] Narayanan et al., SC21, arXiv:2104.04473: how tensor, pipeline and data parallelism multiply.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.architectures import architecture, known
from simulator.calibration.steps.case import Case, Recompute, Refusal, System, Task
from simulator.calibration.steps.degrees import (
    batches,
    chunk_layers,
    plain_degrees,
    sharding,
    virtual_stages,
)
from simulator.calibration.steps.stacks import Settings, settings
from simulator.calibration.steps.systems import system
from simulator.calibration.steps.words import Row, UnusableError, cell, count, needed, number
from workloads.layout import Layout
from workloads.model import Model
from workloads.transformer import parameters

_SCHEDULES = {"1F1B": "1f1b", "1F1B-I": "interleaved", "ZB-1p": "zb_h1", "ZB-2p": "zb_h2"}
_RECOMPUTE: dict[str, Recompute] = {
    "none": "none",
    "selective": "selective",
    "full": "full",
    "per op": "selective",
}


@cache
def _remarks() -> dict[str, Any]:
    text = (files("simulator.calibration") / "data" / "training" / "remarks.toml").read_text("utf-8")
    return tomllib.loads(text)


def read_case(row: Row) -> Case | Refusal:
    """Return the case of a row, or a refusal that names the missing, unknown or contradicted input.

    Parameters
    ----------
    row : mapping of str to str
        A row of ``training.csv`` or of a table with the same columns; a column may be missing. Blank means
        not printed. Measured columns have no influence.

    Returns
    -------
    Case or Refusal
        In a case, ``assumed`` names everything that the row does not say.
    """
    try:
        return _case(row)
    except UnusableError as fault:
        return Refusal(case_id=cell(row, "case_id"), source=cell(row, "source"), reason=str(fault))


def _case(row: Row) -> Case:
    assumed: list[str] = []
    row = _mended(row, assumed)
    for column in ("gpus", "tp", "pp"):  # without a layout nothing else matters
        needed(row, column, "the layout cannot be known")
    machines = system(row, assumed)
    degrees = plain_degrees(row, machines.gpus, assumed)
    seq_len = needed(row, "seq_len", "the work of a step cannot be known")
    task = _task(row)
    model = architecture(row, seq_len, degrees["pp"], assumed)
    precision, scaling = _precision(row, assumed)
    soft = settings(row, _facts(row, machines, degrees, model, precision, task, seq_len), assumed)
    model = _with_prediction(row, model, soft, assumed)
    _check_size(row, model)
    return _assembled(row, machines, degrees, model, (precision, scaling), soft, task, assumed)


def _assembled(
    row: Row,
    machines: System,
    degrees: dict[str, int],
    model: Model,
    numbers: tuple[str, str],
    soft: Settings,
    task: Task,
    assumed: list[str],
) -> Case:
    values, says = soft.values, soft.says
    total, micro = batches(row, degrees["dp"], degrees["pp"], values, says, assumed)
    strategy, shard = _strategy(row, soft, degrees, machines, assumed)
    vpp = virtual_stages(row, degrees["pp"], values, says, assumed)
    layout = _layout(degrees, model, vpp, shard, values)
    recomputed = _recompute(row, soft, assumed)
    notes = cell(row, "notes")
    _settle(values, model, numbers[0], notes)
    return Case(
        case_id=cell(row, "case_id"),
        source=cell(row, "source"),
        group=soft.group,
        model=model,
        system=machines,
        precision=numbers[0],
        scaling=str(values.get("scaling", numbers[1])) if numbers == ("fp8", "delayed") else numbers[1],
        seq_len=needed(row, "seq_len", "the work of a step cannot be known"),
        global_batch=total,
        micro_batch=micro,
        layout=layout,
        chunk_layers=chunk_layers(model, layout, values, notes, assumed),
        sequence_parallel=bool(degrees["tp"] > 1 and _sequence_parallel(row, values)),
        schedule=_schedule(notes, layout),
        strategy=strategy,
        **recomputed,
        task=task,
        packed=task != "pretrain",
        stack=soft.stack(),
        assumed=tuple(assumed),
        doubts=_doubts(row),
    )


def _settle(values: dict[str, Any], model: Model, precision: str, notes: str) -> None:
    """Set what a stack does only with such a model or precision."""
    if precision == "fp8" and "fp8 params in FP8 runs" in notes:
        values["param_bytes"] = 1.0
    values["dispatcher"] = (values.get("dispatcher") or "alltoall") if model.experts else ""


def _strategy(
    row: Row, soft: Settings, degrees: dict[str, int], machines: System, assumed: list[str]
) -> tuple[str, int]:
    """Return the strategy and its shard group, of the row or of what a recipe says against it."""
    dp_cp = degrees["dp"] * degrees["cp"]
    strategy, shard = sharding(row, soft.values, dp_cp, machines.gpus_per_node, assumed)
    if "strategy_is" in soft.values:
        strategy = soft.values["strategy_is"]
        assumed.append(f"strategy {strategy}: {soft.says['strategy_is']}")
    return strategy, shard


def _mended(row: Row, assumed: list[str]) -> Row:
    """Return the row with the errata of its source applied."""
    for erratum in _remarks()["erratum"]:
        if cell(row, "case_id") in erratum["case_id"] and cell(row, erratum["column"]) == erratum["printed"]:
            assumed.append(f"{erratum['column']} {erratum['use']} for {erratum['printed']}: {erratum['why']}")
            row = {**row, erratum["column"]: erratum["use"]}
    return row


def _doubts(row: Row) -> tuple[str, ...]:
    return tuple(one["why"] for one in _remarks()["doubt"] if cell(row, "case_id") in one["case_id"])


def _task(row: Row) -> Task:
    words = f"{cell(row, 'model')} {cell(row, 'notes')}"
    if re.search(r"\bLoRA\b", words):
        return "lora"
    return "sft" if re.search(r"\bSFT\b", words) else "pretrain"


def _precision(row: Row, assumed: list[str]) -> tuple[str, str]:
    printed = cell(row, "precision")
    words = printed.lower()
    for starts, name, scaling in (
        ("bf16", "bf16", ""),
        ("fp16", "fp16", ""),
        ("fp32", "fp32", ""),
        ("mxfp8", "mxfp8", "block"),
        ("fp8-mx", "mxfp8", "block"),
        ("nvfp4", "nvfp4", "block"),
        ("fp8-cs", "fp8", "current"),
        ("float8 rowwise", "fp8", "row"),
        ("float8", "fp8", "current"),
        ("fp8", "fp8", "delayed"),
    ):
        if words.startswith(starts):
            if "parenthesised" in words:
                assumed.append("precision is inferred from the source's brackets: mxfp8")
            return name, scaling
    if words:
        raise UnusableError(f"precision '{printed:.40}' is not understood (BF16, FP16, FP8, MXFP8 or NVFP4)")
    assumed.append("precision is blank: bf16 (fp16 has the same rate)")
    return "bf16", ""


def _facts(
    row: Row,
    machines: System,
    degrees: dict[str, int],
    model: Model,
    precision: str,
    task: Task,
    seq_len: int,
) -> dict[str, Any]:
    printed = {name: count(row, name) for name in ("global_batch", "micro_batch", "vp")}
    return {
        **degrees,
        **printed,
        "vp": printed["vp"] or 0,
        "gpu": machines.gpu,
        "gpus": machines.gpus,
        "model": known(cell(row, "model")) or model.name,
        "hidden": model.hidden,
        "layers": model.layers,
        "experts": model.experts > 0,
        "precision": precision,
        "task": task,
        "seq_len": seq_len,
        "fsdp": "fsdp" in cell(row, "zero_or_fsdp").lower(),
    }


def _with_prediction(row: Row, model: Model, soft: Settings, assumed: list[str]) -> Model:
    """Return the model with its multi-token prediction as the notes or the recipe say."""
    notes = cell(row, "notes")
    layers = int(soft.values.get("mtp", model.mtp_layers))
    if "w/o MTP" in notes:
        layers = 0
    elif "w/ MTP" in notes:
        layers = max(layers, 1)
    elif layers and "mtp" in soft.says:
        assumed.append(f"multi-token prediction with {layers} layer, as in {soft.says['mtp']}")
    changes = {**soft.values.get("model_is", {}), "mtp_layers": layers}
    return model.replace(**changes)


def _check_size(row: Row, model: Model) -> None:
    printed = number(row, "params_B")
    real = parameters(model) / 1e9
    if printed is not None and not 0.5 <= real / printed <= 2:
        raise UnusableError(f"params_B {printed:g}, but layers and widths make {real:.3g} billion parameters")


def _layout(degrees: dict[str, int], model: Model, vpp: int, shard: int, values: dict[str, Any]) -> Layout:
    ep = degrees["ep"]
    if ep > 1 and not model.experts:
        raise UnusableError(f"ep {ep}, but the model has no experts")
    if ep > 1 and model.experts % ep:
        raise UnusableError(f"ep {ep} does not divide {model.experts} experts")
    if model.heads % degrees["tp"]:
        raise UnusableError(f"tp {degrees['tp']} does not divide {model.heads} heads")
    etp = int(values.get("etp", 1)) if model.experts else 0
    order = tuple(values.get("order", ("tp", "cp", "dp", "pp")))
    try:
        return Layout(**degrees, etp=etp, shard=shard, vpp=vpp, order=order)
    except ValueError as fault:
        raise UnusableError(f"layout: {fault}") from None


def _sequence_parallel(row: Row, values: dict[str, Any]) -> bool:
    if "+SP" in cell(row, "recompute"):
        return True
    return bool(values.get("sequence_parallel", False))


def _schedule(notes: str, layout: Layout) -> str:
    if found := re.search(r"schedule ([\w-]+)", notes):
        if name := _SCHEDULES.get(found[1]):
            return name
        raise UnusableError(f"notes name schedule '{found[1]}'; known: {', '.join(_SCHEDULES)}")
    return "interleaved" if layout.vpp > 1 else "1f1b"


def _recompute(row: Row, soft: Settings, assumed: list[str]) -> dict[str, Any]:
    """Return the fields of a case that say what is recomputed."""
    printed = cell(row, "recompute").lower()
    kind = next((kind for word, kind in _RECOMPUTE.items() if printed.startswith(word)), None)
    if printed and kind is None:
        raise UnusableError(f"recompute '{printed:.40}' is not understood (none, selective or full)")
    if not printed:
        kind = soft.values.get("recompute", "none")
        source = soft.says.get("recompute")
        said = f"as in {source}" if source else "the stack's usual"
        assumed.append(f"recompute is blank: {kind}, {said}")
    modules = tuple(soft.values.get("recompute_modules", ())) if kind == "selective" else ()
    layers = int(soft.values.get("recompute_layers", 0)) if kind == "full" else 0
    return {"recompute": kind, "recompute_modules": modules, "recompute_layers": layers}
