"""Whether a plan fits in memory, and what to change if it does not."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.accounting.memory import StageMemory, account, fullest, outside
from simulator.accounting.plan import Plan
from simulator.errors import InfeasibleError
from topologies._catalogue import find, gpus

GIB = 2**30
LEAST_GAPS = 0.017  # reserved over allocated - 1, the least of 23 stages on B200
SHORT_OF = 3  # so many fixes are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Memory of an accelerator: bytes by the datasheet, bytes that a program sees, and who says so."""

    gpu: str
    nominal: float
    visible: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A change after which a plan fits: what to type, and bytes of the fullest stage then."""

    flags: str
    needed: float
    plan: Plan


@cache
def _seen() -> dict[str, dict[str, Any]]:
    text = files("simulator.accounting").joinpath("data", "memory.toml").read_text("utf-8")
    return tomllib.loads(text)


def capacity(gpu: str) -> Capacity:
    """Return the memory of an accelerator of the catalogue; what the datasheet says if nobody printed more.

    Raises
    ------
    ValueError
        No such accelerator, or its memory is not known.
    """
    row = find(gpus(), gpu)
    if row.memory_bytes is None:
        raise ValueError(f"the memory of '{gpu}' is not in the catalogue")
    seen = _seen().get(gpu)
    if seen is None:
        return Capacity(gpu=gpu, nominal=row.memory_bytes, visible=row.memory_bytes, source=row.source)
    return Capacity(
        gpu=gpu, nominal=row.memory_bytes, visible=seen["visible_GiB"] * GIB, source=seen["source"]
    )


def usable(plan: Plan, visible: float, *, share: float = 1.0) -> float:
    """Return the bytes that tensors can have of a GPU.

    What CUDA and the communicators take is gone; of the rest the allocator leaves gaps, which shrink when
    memory runs short, for it then gives unused blocks back.

    Parameters
    ----------
    plan : Plan
        Its layout says how many communicators there are.
    visible : float
        Memory that a program sees, bytes.
    share : float
        Of the usable memory, to leave room for what differs from step to step, like the load of experts.
    """
    return share * (visible - outside(plan.layout)) / (1 + LEAST_GAPS)


def fits(plan: Plan, visible: float, *, share: float = 1.0) -> bool:
    """Tell whether every stage of a plan fits; arguments as in `usable`."""
    return fullest(account(plan)).allocated <= usable(plan, visible, share=share)


def nearest_fixes(plan: Plan, visible: float, *, share: float = 1.0, count: int = SHORT_OF) -> list[Fix]:
    """Return the smallest changes that make a plan fit: single ones, else pairs, else a wider layout.

    Tried are sharding the optimizer, recomputing, twice the pipeline, tensor, context or expert parallelism,
    half the microbatch; GPUs and global batch stay the same.

    Parameters
    ----------
    plan, visible, share
        As in `usable`.
    count : int
        At most so many.
    """
    single = list(_changes(plan))
    pairs = (
        (f"{first} {second}", both)
        for first, changed in single
        for second, both in _changes(changed)
        if second.split()[0] > first.split()[0]
    )
    for tried in (single, pairs, _layouts(plan)):
        found = [fix for flags, changed in tried if (fix := _fix(flags, changed, visible, share))]
        if found:
            return found[:count]
    return []


def _fix(flags: str, plan: Plan, visible: float, share: float) -> Fix | None:
    try:
        needed = fullest(account(plan)).allocated
    except ValueError:
        return None
    return (
        Fix(flags=flags, needed=needed, plan=plan) if needed <= usable(plan, visible, share=share) else None
    )


def _layouts(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield wider layouts, the narrowest first, with an optimizer that is sharded; then all recomputed."""
    grids = sorted((tp * pp, tp, pp) for tp in (1, 2, 4, 8) for pp in (1, 2, 4, 8, 16))
    sharded = "zero1" if plan.strategy == "ddp" else plan.strategy
    for recompute in dict.fromkeys((plan.recompute, "full")):
        for _, tp, pp in grids:
            start = plan.replace(recompute=recompute, sequence_parallel=tp > 1, strategy=sharded)
            changed = _grown(start, tp, pp)
            if changed is not None:
                flags = f"--tp {tp} --pp {pp}" + " --sp" * (tp > 1) + " --zero 1" * (sharded != plan.strategy)
                yield flags + f" --recompute {recompute}" * (recompute != plan.recompute), changed


def _grown(plan: Plan, tp: int, pp: int) -> Plan | None:
    """Return the plan with axes that wide by doubling, None where that cannot be."""
    changed: Plan | None = plan
    for axis, wanted in (("tp", tp), ("pp", pp)):
        while changed is not None and getattr(changed.layout, axis) < wanted:
            changed = _wider(changed, axis)
    if changed is None or (changed.layout.tp, changed.layout.pp) != (tp, pp):
        return None
    return changed


def _changes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield one-step changes that keep GPUs, global batch and layers, those that cost least time first."""
    at = plan.layout
    if plan.strategy == "ddp" and at.dp * at.cp > 1:
        yield "--zero 1", plan.replace(strategy="zero1")
    if at.tp > 1 and not plan.sequence_parallel:
        yield "--sp", plan.replace(sequence_parallel=True)
    if plan.recompute == "none" and plan.attention == "unfused":
        yield "--recompute selective", plan.replace(recompute="selective")
    if plan.recompute != "full":
        yield "--recompute full", plan.replace(recompute="full")
    for axis in ("pp", "tp", "cp"):
        if (changed := _wider(plan, axis)) is not None:
            yield f"--{axis} {2 * getattr(at, axis)}", changed
    if plan.model.experts and plan.model.experts % (2 * at.ep) == 0 and at.size("edp") % 2 == 0:
        yield f"--ep {2 * at.ep}", plan.replace(layout=replace(at, ep=2 * at.ep))
    if plan.microbatch % 2 == 0:
        half = plan.microbatch // 2
        yield f"--mbs {half}", plan.replace(microbatch=half, microbatches=2 * plan.microbatches)
    if plan.strategy in ("ddp", "zero1", "zero2") and at.dp * at.cp > 1:
        yield "--zero 3", plan.replace(strategy="zero3")


def _wider(plan: Plan, axis: str) -> Plan | None:
    """Return the plan with an axis twice and data parallelism half as wide, None where it cannot be."""
    at, model = plan.layout, plan.model
    if at.dp % 2 or (axis == "pp" and plan.layers % (2 * at.pp * at.vpp)):
        return None
    if (axis == "tp" and (model.heads % (2 * at.tp) or at.etp)) or (
        axis == "cp" and plan.seq_len % (2 * at.cp)
    ):
        return None
    try:
        layout = replace(at, **{axis: 2 * getattr(at, axis)}, dp=at.dp // 2, shard=0)
        return plan.replace(layout=layout, microbatches=2 * plan.microbatches, stage_layers=())
    except ValueError:
        return None


def check(plan: Plan, gpu: Capacity, *, share: float = 1.0) -> tuple[StageMemory, ...]:
    """Return the memory of each stage, if all of them fit.

    Raises
    ------
    InfeasibleError
        A stage needs more than a GPU has; the hint names the nearest changes after which it fits.
    """
    stages = account(plan)
    worst = fullest(stages)
    room = usable(plan, gpu.visible, share=share)
    if worst.allocated <= room:
        return stages
    fixes = nearest_fixes(plan, gpu.visible, share=share)
    error = InfeasibleError(
        f"{plan.model.name} does not fit: stage {worst.stage} needs {_gib(worst.allocated)} GiB, "
        f"{gpu.gpu} has {_gib(gpu.visible)} GiB ({_gib(room)} usable)",
        hint=_hint(fixes),
    )
    error.details = ("  ".join(f"{name} {_gib(size)}" for name, size in _shown(worst)),)
    raise error


def _shown(stage: StageMemory) -> Iterator[tuple[str, float]]:
    return ((name, size) for name, size in stage.parts().items() if name != "reserved" and size >= 0.05 * GIB)


def _hint(fixes: Sequence[Fix]) -> str:
    if not fixes:
        return "more GPUs, or GPUs with more memory"
    return ", ".join(f"{fix.flags} ({_gib(fix.needed)} GiB)" for fix in fixes)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"
