"""What can be said against a training step before any machine is looked at: axes, batches, layers, policies.

Nothing here imports numbers, so that a fault is there at once.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.errors import UsageError, unknown
from simulator.models import resolve
from simulator.planning._estimate_options import BY_ZERO, READERS, VERSIONS, Options, flag
from simulator.planning._estimate_schedule import usual
from topologies._catalogue import gpus, read_data
from workloads.layout import Layout, degrees
from workloads.model import Model, ModelError
from workloads.parallelism.pipeline import split
from workloads.schedules import SCHEDULES
from workloads.training import Training

_FILES = (".toml", ".json", ".graphml", ".gml")  # of a fabric
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


MOST_PASSES = {"events": 80_000, "formula": 400_000}  # microbatches x stages x chunks of a rank


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
    named(options)
    _policies(options)
    at = layout(options)
    _divides(options, model, at)
    with usage("--gbs"):
        training = Training(
            model=model,
            layout=at,
            microbatch=options.mbs,
            global_batch=options.gbs,
            seq_len=options.seq_len,
            chunk_layers=options.stage_layers,
            precision=options.precision,
        )
    _followed(options, training)
    if not usual(options).endswith(".toml"):
        _scheduled(options, training)
    return training


def _followed(options: Options, training: Training) -> None:
    """Refuse more passes through the stages than can be followed in a matter of seconds."""
    passes = training.microbatches * training.layout.pp * training.layout.vpp
    most = MOST_PASSES["formula" if options.fidelity == "formula" else "events"]
    if passes > most:
        raise UsageError(
            f"--gbs {options.gbs} with --mbs {options.mbs} is {training.microbatches:,} microbatches a rank: "
            f"{passes:,} passes through stages, at most {most:,} are followed",
            where="--gbs",
            hint=f"--gbs {options.gbs * most // passes // 8 * 8 or 8}, or a larger --mbs",
        )


def named(options: Options) -> None:
    """Refuse names that are in no catalogue; what a file holds is found out later."""
    known_names([options.fabric], [options.gpu] if options.gpu else [])
    if options.region:
        from simulator.accounting.carbon import grids

        if options.region not in grids():
            raise unknown("region", options.region, list(grids()), where="--region")


def known_names(fabrics: Iterable[str], accelerators: Iterable[str] = ()) -> None:
    """Refuse fabrics that are neither in the catalogue nor a file, accelerators that are not in it.

    Raises
    ------
    UsageError
        The first such name, with those nearest to it.
    """
    known = tomllib.loads(read_data("fabrics.toml"))
    for fabric in fabrics:
        path = Path(fabric)
        file = path.suffix in _FILES or len(path.parts) > 1 or os.path.exists(fabric)  # noqa: PTH110
        if fabric not in known and not file:
            raise unknown("fabric", fabric, list(known), listing="commsim list fabrics", where="--fabric")
    for gpu in accelerators:
        if gpu not in gpus():
            raise unknown("gpu", gpu, list(gpus()), listing="commsim list gpus", where="--gpu")


def _scheduled(options: Options, training: Training) -> None:
    """Refuse layers or microbatches that a schedule cannot have."""
    name, at = usual(options), training.layout
    schedule = SCHEDULES[name]
    with usage("--pp", prefix=f"--pp {at.pp}"):
        for route in schedule.routes(at.pp, at.vpp):
            split(training.layers, at.pp, len(route) // at.pp, options.stage_layers)
    try:
        schedule.order(at.pp, training.microbatches, at.vpp)
    except ValueError as error:
        said, _, way = str(error).partition("; try ")
        each = options.mbs * at.dp
        counts = re.findall(r"\d+", way.partition(" micro")[0]) if "microbatches" in said else []
        hints = [f"--gbs {int(count) * each}" for count in counts] or ([f"--pp {way}"] if way else [])
        said = re.sub(rf"^schedule {name}(:| of| on)? ", "", said)
        hint = ", ".join([*hints, "--schedule 1f1b"])
        flags = f"--schedule {name}, --gbs {options.gbs}"
        raise UsageError(f"{flags}: {said}", where="--schedule", hint=hint) from None


def layout(options: Options) -> Layout:
    """Return the degrees of parallelism, dp worked out."""
    with usage("--gpus"):
        dp = degrees(options.gpus, tp=options.tp, cp=options.cp, pp=options.pp, dp=options.dp)
    inside = options.tp * options.cp * dp
    if options.etp and inside % options.etp:
        raise UsageError(
            f"--etp {options.etp}: must divide tp x cp x dp = {inside}",
            where="--etp",
            hint=_near("--etp", options.etp, inside),
        )
    if options.shard and (dp * options.cp) % options.shard:
        raise UsageError(
            f"--shard {options.shard}: must divide dp x cp = {dp * options.cp}",
            where="--shard",
            hint=_near("--shard", options.shard, dp * options.cp),
        )
    share = inside // (options.etp or options.tp)
    if share % options.ep:
        what = "tp x cp x dp / etp" if options.etp else "dp x cp"
        raise UsageError(
            f"--ep {options.ep}: must divide {what} = {share}",
            where="--ep",
            hint=_near("--ep", options.ep, share),
        )
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


def _near(name: str, value: int, *wholes: int) -> str:
    """Return the values nearest to one that divide some numbers, as flags."""
    fits = [n for n in range(1, min(wholes) + 1) if all(whole % n == 0 for whole in wholes)]
    return ", ".join(f"{name} {n}" for n in sorted(sorted(fits, key=lambda n: abs(n - value))[:2]))


def _divides(options: Options, model: Model, at: Layout) -> None:
    """Refuse degrees that do not divide what they slice."""
    if options.ep > 1 and not model.experts:
        raise UsageError(
            f"--ep {options.ep}: {model.name} has no experts", where="--ep", hint="leave --ep out"
        )
    share = at.tp * at.cp * at.dp // at.expert_tp
    for name, value, whole, what, also in (
        ("--ep", options.ep, model.experts or options.ep, f"experts of {model.name}", (share,)),
        ("--tp", options.tp, model.heads, f"heads of {model.name}", ()),
        ("--cp", options.cp, options.seq_len, "tokens of --seq-len", ()),
    ):
        if whole % value:
            raise UsageError(
                f"{name} {value}: does not divide the {whole} {what}",
                where=name,
                hint=_near(name, value, whole, *also),
            )


def _chunks(options: Options) -> int:
    """Return the chunks of a stage; what the schedule cannot have is refused."""
    name = usual(options)
    if name.endswith(".toml"):
        return options.vpp or 1
    allowed = SCHEDULES[name].CHUNKS
    wanted = options.vpp or (int(allowed[0]) if len(allowed) == 1 else 1)
    if wanted not in allowed:
        some = f"{allowed[0]} or more" if len(allowed) > 1 else f"{allowed[0]}"
        way = "--schedule interleaved" if wanted > 1 and name == "1f1b" else f"--vpp {allowed[0]}"
        raise UsageError(
            f"--schedule {name} takes {some} as --vpp, which is {wanted}", where="--vpp", hint=way
        )
    if wanted > 1 and options.pp == 1:
        raise UsageError(
            f"--schedule {name} cuts stages into {wanted} chunks, but --pp is 1", where="--vpp", hint="--pp 2"
        )
    return wanted


def _policies(options: Options) -> None:
    """Refuse policies that exclude each other."""
    for wrong, said, where, hint in _excluded(options):
        if wrong:
            raise UsageError(said, where=where, hint=hint)


def _excluded(options: Options) -> tuple[tuple[bool, str, str, str], ...]:
    """Return what may exclude each other: whether it does, how to say so, the flag, the way out."""
    name, kind = usual(options), options.recompute
    by_zero = BY_ZERO[options.zero] if options.zero is not None else options.strategy
    return (
        (
            bool(options.strategy) and options.strategy != by_zero,
            f"--zero {options.zero} is {by_zero}, --strategy says {options.strategy}",
            "--zero",
            f"--strategy {by_zero}",
        ),
        (
            bool(options.recompute_modules) and kind != "selective",
            f"--recompute-modules needs --recompute selective, it is {kind}",
            "--recompute-modules",
            "--recompute selective",
        ),
        (
            bool(options.recompute_layers) and kind != "full",
            f"--recompute-layers needs --recompute full, it is {kind}",
            "--recompute-layers",
            "--recompute full",
        ),
        (
            kind == "full" and name in SCHEDULES and SCHEDULES[name].SPLIT,
            f"--recompute full cannot go with --schedule {name}, whose late gradients need what it drops",
            "--recompute",
            "--recompute selective, --schedule 1f1b",
        ),
        (
            bool(options.stack_version) and options.stack not in VERSIONS,
            f"--stack-version {options.stack_version}: releases of {options.stack} are not told apart",
            "--stack-version",
            f"--stack {', '.join(VERSIONS)}",
        ),
        (
            bool(options.sp) and options.tp == 1,
            "--sp needs --tp 2 or more: it slices over the tensor group",
            "--sp",
            "--tp 8",
        ),
    )
