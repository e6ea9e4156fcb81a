"""What a training step can be asked for: every option with its kind, its default and how its text is read.

The command line, scenario files, presets and the Python interface all name the same options. Nothing here imports
numbers: what is wrong with an option must be said at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from simulator import quantities
from simulator.errors import Fault, InputError, UsageError, nearest
from workloads.layout import AXES
from workloads.parallelism.context import WAYS
from workloads.schedules import SCHEDULES
from workloads.strategies import STRATEGIES
from workloads.training import PRECISIONS, RECOMPUTE

FIDELITIES = ("formula", "fluid", "messages")
STACKS: Mapping[str, tuple[str, str]] = {  # name: source or words by which the table of stacks knows it
    "megatron": ("", "megatron-lm"),
    "megatron-bridge": ("", "megatron-bridge"),
    "nemo": ("", "nemo"),
    "torchtitan": ("", "torchtitan"),
    "fsdp": ("", "fsdp"),
    "fms-fsdp": ("", "fms-fsdp"),
    "llm-foundry": ("", "llm-foundry"),
    "megatron-deepspeed": ("", "megatron-deepspeed"),
    "llama3": ("Llama 3 paper Table 4", ""),
    "zero-bubble": ("Zero Bubble PP Tables 3-4", ""),
    "megatron-2022": ("Korthikanti et al. 2022 Table 5 (via Calculon)", ""),
    "megatron-2021": ("Narayanan et al. SC21 Table 1", ""),
}
BY_ZERO = ("ddp", "zero1", "zero2", "zero3")
RECOMPUTED = (
    "core_attn", "attn_proj", "layernorm", "mlp", "moe", "moe_act", "mla_up_proj", "elementwise",
    "half_products", "half_blocks",
)  # fmt: skip
MUST = ("model", "fabric", "gpus", "gbs", "seq_len")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One training step as it is asked for; names are those of the command line.

    Parameters
    ----------
    model : str
        A name of the catalogue, a ``.toml`` or a ``config.json``.
    fabric : str
        A name of the catalogue or a file.
    gpus, gbs, seq_len : int
        GPUs; samples of a step; tokens of a sample.
    gpu : str
        Another accelerator than the fabric's.
    tp, pp, vpp, cp, ep, etp, dp : int
        Degrees of parallelism. 0: dp follows from the GPUs, vpp from the schedule, etp is tp.
    mbs : int
        Samples of one forward pass of a rank.
    sp : bool, optional
        Sequence parallelism; as the stack does where left out.
    stage_layers : tuple of int
        Layers of each pipeline stage, or of each chunk; empty: equal shares.
    order : tuple of str
        Axes of ranks from the one whose ranks are neighbours outwards.
    schedule : str
        A name or the file of an own one; empty: ``1f1b``, with vpp ``interleaved``.
    strategy : str
        Empty: as the stack does.
    zero : int, optional
        The same as a stage of ZeRO.
    shard : int
        Ranks that share states; 0: all of dp x cp.
    recompute : str
        ``none``, ``selective`` or ``full``.
    recompute_modules : tuple of str
        What ``selective`` means; empty: as the stack does, the attention core as a rule.
    recompute_layers : int
        Layers of a stage that ``full`` means; 0: all.
    precision : str
        Of the matrix products.
    context : str
        How context ranks exchange: ``ring all_gather ulysses``.
    imbalance : float
        Rows of the fullest expert rank over the mean.
    node_limit : int
        Most nodes that a token may visit; 0: no limit.
    stack : str
        The training software.
    price : float, optional
        USD for one GPU and hour.
    fidelity : str
        ``formula``, ``fluid`` or ``messages``.
    """

    model: str
    fabric: str
    gpus: int
    gbs: int
    seq_len: int
    gpu: str = ""
    tp: int = 1
    pp: int = 1
    vpp: int = 0
    cp: int = 1
    ep: int = 1
    etp: int = 0
    dp: int = 0
    mbs: int = 1
    sp: bool | None = None
    stage_layers: tuple[int, ...] = ()
    order: tuple[str, ...] = AXES
    schedule: str = ""
    strategy: str = ""
    zero: int | None = None
    shard: int = 0
    recompute: str = "none"
    recompute_modules: tuple[str, ...] = ()
    recompute_layers: int = 0
    precision: str = "bf16"
    context: str = "ring"
    imbalance: float = 1.0
    node_limit: int = 0
    stack: str = "megatron"
    price: float | None = None
    fidelity: str = "fluid"


def flag(name: str) -> str:
    """Return what an option is called on the command line."""
    return "--" + name.replace("_", "-")


def made(values: Mapping[str, Any]) -> Options:
    """Return the options of some values by name, read and checked one by one.

    Raises
    ------
    UsageError
        An option that there is not, one that is missing, a value that it does not take.
    """
    for name in values:
        if name not in READERS:
            near = nearest(name, list(READERS), 1)
            hint = flag(near[0]) if near else ""
            raise UsageError(f"unknown option '{name}'", where=name, hint=hint)
    read = {}
    for name, value in values.items():
        try:
            read[name] = READERS[name](value)
        except ValueError as error:
            raise UsageError(f"{flag(name)}: {error}", where=flag(name)) from None
    missing = [name for name in MUST if name not in read]
    if missing:
        others = f" (and {', '.join(map(flag, missing[1:]))})" if missing[1:] else ""
        raise UsageError(
            f"{flag(missing[0])} is missing{others}", where=flag(missing[0]), hint="--preset demo"
        )
    return Options(**read)


def read_table(
    table: Mapping[str, Any], source: str, text: str = "", also: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the options that a table of a file holds.

    Parameters
    ----------
    table : mapping
        Keys are names of options, with hyphens or underscores.
    source : str
        The file as typed.
    text : str
        Its text, to tell lines.
    also : iterable of str
        Keys that are no options and left alone.

    Raises
    ------
    InputError
        All keys and values that are wrong, with their lines.
    """
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        if key in also:
            continue
        if name not in READERS:
            near = nearest(name, list(READERS), 1)
            words = f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else "")
            faults.append(Fault(words, _line(text, key)))
            continue
        try:
            found[name] = READERS[name](value)
        except ValueError as error:
            faults.append(Fault(f"{key}: {error}", _line(text, key)))
    if faults:
        raise InputError(source, faults)
    return found


def _line(text: str, key: str) -> str:
    match = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=", text, re.MULTILINE)
    return f"line {text.count(chr(10), 0, match.start()) + 1}" if match else key


def _count(value: Any) -> int:
    return int(quantities.COUNT.read(_scalar(value)))


def _count_or_none(value: Any) -> int:
    return 0 if str(value).strip() == "0" and not isinstance(value, bool) else _count(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool | list | tuple | dict):
        raise ValueError(f"{str(value).lower():.40} is no number")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    if not value.strip():
        raise ValueError("is empty")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.40}: wanted true or false")
    return value


def _parts(value: Any, split: str) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return [part.strip() for part in str(value).split(split)]


def _layers(value: Any) -> tuple[int, ...]:
    return tuple(_count_or_none(part) for part in _parts(value, ","))


def _order(value: Any) -> tuple[str, ...]:
    found = tuple(_parts(value, "-"))
    if sorted(found) != sorted(AXES):
        raise ValueError(
            f"'{'-'.join(found):.40}' must name each of {', '.join(AXES)} once, as in tp-cp-dp-pp"
        )
    return found


def _modules(value: Any) -> tuple[str, ...]:
    return tuple(_one("module", RECOMPUTED)(part) for part in _parts(value, ","))


def _one(kind: str, names: Iterable[str]) -> Callable[[Any], str]:
    """Return a reader of one name out of some."""

    def read(value: Any) -> str:
        known = list(names)
        if value in known:
            return str(value)
        near = known if len(known) <= 6 else nearest(str(value), known)
        hint = f"; try {', '.join(near)}" if near else ""
        raise ValueError(f"unknown {kind} '{value!s:.60}'{hint}")

    return read


def _schedule(value: Any) -> str:
    text = _text(value)
    return text if text.endswith(".toml") else _one("schedule", SCHEDULES)(text.replace("-", "_"))


def _zero(value: Any) -> int:
    text = _scalar(value).strip()
    if text not in ("0", "1", "2", "3"):
        raise ValueError(f"'{text:.20}': wanted 0, 1, 2 or 3")
    return int(text)


def _number(least: float, what: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        text = _scalar(value)
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not least <= number <= 1e9:
            raise ValueError(f"'{text:.40}': {what}")
        return number

    return read


READERS: Mapping[str, Callable[[Any], Any]] = {
    "model": _text,
    "fabric": _text,
    "gpu": _text,
    "gpus": _count,
    "gbs": _count,
    "seq_len": _count,
    "tp": _count,
    "pp": _count,
    "vpp": _count,
    "cp": _count,
    "ep": _count,
    "etp": _count,
    "dp": _count,
    "mbs": _count,
    "sp": _switch,
    "stage_layers": _layers,
    "order": _order,
    "schedule": _schedule,
    "strategy": _one("strategy", STRATEGIES),
    "zero": _zero,
    "shard": _count,
    "recompute": _one("kind of recomputation", RECOMPUTE),
    "recompute_modules": _modules,
    "recompute_layers": _count,
    "precision": _one("precision", PRECISIONS),
    "context": _one("way", WAYS),
    "imbalance": _number(1.0, "must be 1 or more"),
    "node_limit": _count,
    "stack": _one("stack", STACKS),
    "price": _number(1e-6, "must be a positive number of USD for a GPU and hour"),
    "fidelity": _one("fidelity", FIDELITIES),
}

SWEPT = tuple(  # what may have several values at a time
    field.name for field in fields(Options) if READERS[field.name] is _count
)
