"""How the text of each option of a training step is read: one reader a kind of value, one sentence for a fault."""

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from simulator import quantities
from simulator.errors import nearest
from workloads.layout import AXES
from workloads.parallelism.context import WAYS
from workloads.schedules import SCHEDULES
from workloads.strategies import STRATEGIES
from workloads.training import PRECISIONS, RECOMPUTE

VERSIONS: Mapping[str, str] = {  # how a version stands in the notes of runs, where releases are told apart
    "megatron-bridge": "{} container",
    "nemo": "NeMo {}",
}
FIDELITIES = ("formula", "fluid", "messages")
FOLDS = ("auto", "on", "off")
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


def count(value: Any) -> int:
    return int(quantities.COUNT.read(_scalar(value)))


def _count_or_none(value: Any) -> int:
    return 0 if str(value).strip() == "0" and not isinstance(value, bool) else count(value)


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


def _version(value: Any) -> str:
    text = str(value).strip()
    if not re.fullmatch(r"\d\d\.(0[1-9]|1[0-2])(\.\d\d?)?", text):
        raise ValueError(f"'{text:.20}' names no year and month; try 26.04")
    return text


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


def _share(value: Any) -> float:
    found = _number(1e-6, "must be above 0 and at most 1")(value)
    if found > 1:
        raise ValueError(f"'{value}': must be above 0 and at most 1")
    return found


_CARBON = quantities.Quantity(
    kind="carbon intensity",
    units={"g/kWh": Fraction(1), "kg/kWh": Fraction(1000), "kg/MWh": Fraction(1), "t/MWh": Fraction(1000)},
    example="400g/kWh",
)


def grams_per_kwh(text: str) -> float:
    """Return g/kWh of an intensity written with its unit."""
    return float(_CARBON.read(text))


def _intensity(value: Any) -> str:
    """Return the text, its unit kept: options are read again where they come from a store or another process."""
    text = str(value).strip()
    try:
        grams_per_kwh(text)
    except ValueError as error:
        raise ValueError(f"{error}; try {_CARBON.hint(text)}") from None
    return text


READERS: Mapping[str, Callable[[Any], Any]] = {
    "model": _text,
    "fabric": _text,
    "gpu": _text,
    "gpus": count,
    "gbs": count,
    "seq_len": count,
    "tp": count,
    "pp": count,
    "vpp": count,
    "cp": count,
    "ep": count,
    "etp": count,
    "dp": count,
    "mbs": count,
    "sp": _switch,
    "stage_layers": _layers,
    "order": _order,
    "schedule": _schedule,
    "strategy": _one("strategy", STRATEGIES),
    "zero": _zero,
    "shard": count,
    "recompute": _one("kind of recomputation", RECOMPUTE),
    "recompute_modules": _modules,
    "recompute_layers": count,
    "precision": _one("precision", PRECISIONS),
    "context": _one("way", WAYS),
    "imbalance": _number(1.0, "must be 1 or more"),
    "node_limit": count,
    "stack": _one("stack", STACKS),
    "stack_version": _version,
    "region": _text,
    "carbon_intensity": _intensity,
    "pue": _number(1.0, "must be 1 or more"),
    "utilisation": _share,
    "price": _number(1e-6, "must be a positive number of USD for a GPU and hour"),
    "fidelity": _one("fidelity", FIDELITIES),
    "fold": _one("fold", FOLDS),
}
