"""Every legal way to lay a model out on some GPUs: degrees, schedules, microbatches, policies."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

from simulator.planning._estimate_checks import MOST_PASSES
from simulator.planning.search.structure import Again
from workloads.layout import Layout
from workloads.model import Model
from workloads.parallelism.pipeline import split
from workloads.schedules import SCHEDULES

STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp")
CONTEXTS = ("ring", "all_gather", "ulysses")
_MODULES = {  # of selective recomputation, by what a model must have for it
    "layernorm": "any", "mlp": "dense", "attn_proj": "any", "moe_act": "moe", "moe": "moe",
    "shared_experts": "shared", "mla_up_proj": "mla",
}  # fmt: skip
Stage = tuple[str, int, tuple[int, ...]]  # schedule, chunks, layers of the stages where they do not divide


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be chosen; an empty tuple stands for all that is legal.

    Parameters
    ----------
    tp, pp, vpp, cp, ep, dp, mbs : tuple of int
        Degrees and samples of a microbatch.
    sp : tuple of bool
        Sequence parallelism, where there is tensor parallelism.
    schedules, strategies, contexts : tuple of str
        Plugins.
    precisions : tuple of str
        Of matrix products.
    recompute : tuple of str
        Kinds: ``none selective full``.
    modules : tuple of str
        What selective recomputation means; empty: each that the model has by itself, and as the stack does.
    layers : tuple of int
        Layers of a stage that full recomputation means, 0: all; empty: every number.
    """

    tp: tuple[int, ...] = ()
    pp: tuple[int, ...] = ()
    vpp: tuple[int, ...] = ()
    cp: tuple[int, ...] = ()
    ep: tuple[int, ...] = ()
    dp: tuple[int, ...] = ()
    mbs: tuple[int, ...] = ()
    sp: tuple[bool, ...] = (True, False)
    schedules: tuple[str, ...] = ()
    strategies: tuple[str, ...] = STRATEGIES
    contexts: tuple[str, ...] = CONTEXTS
    precisions: tuple[str, ...] = ("bf16",)
    recompute: tuple[str, ...] = ("none", "selective", "full")
    modules: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()


@lru_cache(maxsize=1)
def _repertoires() -> Mapping[str, Mapping[str, list[str]]]:
    text = files("simulator.planning.search").joinpath("repertoire.toml").read_text("utf-8")
    found: Mapping[str, Mapping[str, list[str]]] = tomllib.loads(text)
    return found


def runs(stack: str, schedule: str, strategy: str) -> bool:
    """Tell whether training software has a schedule and a strategy; of one that nobody knows it is taken to."""
    known = _repertoires().get(stack)
    return known is None or (schedule in known["schedules"] and strategy in known["strategies"])


def runnable(space: Space, stack: str) -> Space:
    """Return what may be chosen of a space with the schedules and strategies that a software has."""
    known = _repertoires().get(stack)
    if known is None:
        return space
    schedules = space.schedules or tuple(SCHEDULES)
    return replace(
        space,
        schedules=tuple(one for one in schedules if one in known["schedules"]),
        strategies=tuple(one for one in space.strategies if one in known["strategies"]),
    )


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, in order."""
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return small + [number // n for n in reversed(small) if n * n != number]


def layouts(space: Space, model: Model, gpus: int, seq_len: int, etp: int = 0) -> Iterator[Layout]:
    """Yield every way to multiply degrees to the GPUs that slices the model evenly.

    Parameters
    ----------
    space : Space
        What may be chosen.
    model : Model
        What is sliced.
    gpus, seq_len : int
        Ranks; tokens of a sample.
    etp : int
        Tensor parallelism of experts; 0: as of the rest.
    """
    deepest = model.layers + model.encoder_layers
    for tp in _allowed(divisors(gpus), space.tp):
        if model.heads % tp:
            continue
        for pp in _allowed(divisors(gpus // tp), space.pp):
            if pp > deepest:
                continue
            for cp in _allowed(divisors(gpus // tp // pp), space.cp):
                dp = gpus // tp // pp // cp
                if seq_len % cp or (space.dp and dp not in space.dp):
                    continue
                share = tp * cp * dp
                if etp and share % etp:
                    continue
                each = share // (etp or tp)
                for ep in _allowed(divisors(model.experts) if model.experts else [1], space.ep):
                    if each % ep == 0:
                        yield Layout(tp=tp, cp=cp, dp=dp, pp=pp, ep=ep, etp=etp)


def batches(space: Space, gbs: int, dp: int) -> list[int]:
    """Return the samples that a microbatch may have; none where the batch does not divide over the replicas."""
    return [] if gbs % dp else _allowed(divisors(gbs // dp), space.mbs)


@lru_cache(maxsize=65536)
def stages(space: Space, layers: int, pp: int, microbatches: int) -> tuple[Stage, ...]:
    """Return the schedules that so many stages and microbatches can have.

    Layers that do not divide are dealt as evenly as can be, the ends of the model lighter.
    """
    found: list[Stage] = []
    for name in SCHEDULES if pp > 1 else ("1f1b",):
        if space.schedules and name not in space.schedules:
            continue
        chunks = SCHEDULES[name].CHUNKS
        for vpp in range(chunks[0], min(chunks[-1], max(1, -(-layers // pp))) + 1):
            if space.vpp and vpp not in space.vpp:
                continue
            if microbatches * pp * vpp > MOST_PASSES["formula"]:
                continue
            given = _given(name, layers, pp, vpp)
            if given is not None and _takes(name, pp, microbatches, vpp):
                found.append((name, vpp, given))
    return tuple(found)


@lru_cache(maxsize=4096)
def _given(name: str, layers: int, pp: int, vpp: int) -> tuple[int, ...] | None:
    """Return how layers are dealt where they do not divide, empty where they do, None where they cannot be."""
    places = [len(route) // pp for route in SCHEDULES[name].routes(pp, vpp)]
    if all(layers % (pp * chunks) == 0 for chunks in places):
        return ()
    whole = split(layers, pp, 1) if layers % pp == 0 else even(layers, pp)
    return tuple(whole) if min(whole) >= max(places) else None


def even(layers: int, stages: int) -> tuple[int, ...]:
    """Return layers of stages as equal as can be, those at the ends lighter."""
    base, rest = divmod(layers, stages)
    inner = sorted(range(stages), key=lambda stage: min(stage, stages - 1 - stage), reverse=True)
    more = set(inner[:rest])
    return tuple(base + (stage in more) for stage in range(stages))


@lru_cache(maxsize=65536)
def _takes(name: str, pp: int, microbatches: int, vpp: int) -> bool:
    try:
        SCHEDULES[name].in_flight(pp, microbatches, vpp, 0)
    except ValueError:
        return False
    return True


def agains(space: Space, model: Model, usual: tuple[str, ...], deepest: int) -> list[Again]:
    """Return the ways to compute activations again.

    Parameters
    ----------
    space : Space
        What may be chosen.
    model : Model
        What it has.
    usual : tuple of str
        What selective recomputation means by itself.
    deepest : int
        Layers of the fullest stage.
    """
    found: list[Again] = []
    if "none" in space.recompute:
        found.append(("none", (), 0))
    if "selective" in space.recompute:
        ways = [space.modules] if space.modules else [usual, *((name,) for name in _had(model))]
        found += [("selective", modules, 0) for modules in dict.fromkeys(ways)]
    if "full" in space.recompute:
        numbers = space.layers or (0, *range(1, deepest))
        found += [("full", (), number) for number in numbers if number < deepest]
    return found


def _had(model: Model) -> list[str]:
    kinds = model.layer_kinds()
    there = {
        "any": True,
        "dense": any(kind.ffn == "dense" for kind in kinds),
        "moe": any(kind.ffn == "moe" for kind in kinds),
        "shared": bool(model.shared_ffn),
        "mla": any(kind.mixer == "mla" for kind in kinds),
    }
    return [name for name, needs in _MODULES.items() if there[needs]]


def _allowed(values: Sequence[int], wanted: tuple[int, ...]) -> list[int]:
    return [value for value in values if not wanted or value in wanted]
