"""The model of a row: its own dimensions first, what the table has no column for from the catalogue."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.words import Row, UnusableError, cell, count, needed, number, plain
from simulator.errors import nearest
from workloads.model import Model, ModelError, find, gpt, names

FAMILIES = ("gpt", "bloom", "mpt")
GPT2_VOCAB = 50304  # 50257 padded to a multiple of 128, as Megatron does with one tensor-parallel rank
USUAL_HEAD = 128


@cache
def _file() -> dict[str, Any]:
    text = (files("simulator.calibration") / "data" / "training" / "architectures.toml").read_text("utf-8")
    return tomllib.loads(text)


def known(name: str) -> str:
    """Return which model or family of models a printed name means, empty if nobody knows it."""
    flat = plain(name)
    for other in names():
        if flat == plain(other):
            return other
    return _pattern(name)


def _pattern(name: str) -> str:
    flat = plain(name)
    for one in _file()["name"]:
        if any(flat.startswith(start) for start in one["starts"]):
            return str(one["of"])
    return ""


def architecture(row: Row, seq_len: int, pp: int, assumed: list[str]) -> Model:
    """Return the model that a row ran.

    Parameters
    ----------
    row : mapping of str to str
        A row of the table.
    seq_len : int
        Tokens of a sample: the length of learned positions.
    pp : int
        Pipeline stages: a layer count guessed from the size is a multiple of it.
    assumed : list of str
        Sentences about what the row does not say are added here.

    Raises
    ------
    UnusableError
        An unknown model, a family member without dimensions, dimensions that do not fit each other.
    """
    printed = cell(row, "model")
    if not printed:
        raise UnusableError("model is blank: the layers and widths cannot be known")
    name = known(printed)
    if not name:
        near = nearest(printed, list(names()))
        hint = f" (nearest: {', '.join(near)})" if near else ""
        if not cell(row, "layers"):
            raise UnusableError(
                f"model '{printed:.60}' is unknown and the row prints no layers, hidden, heads{hint}"
            )
        if cell(row, "experts"):
            raise UnusableError(
                f"model '{printed:.60}' is unknown and the table has no column for expert widths{hint}"
            )
        name = "gpt"
        assumed.append(
            f"model '{printed:.60}' is in no catalogue: taken as a GPT of the printed dimensions{hint}"
        )
    family = _pattern(printed)
    if family in FAMILIES and cell(row, "layers") and cell(row, "hidden"):
        name = family  # a size of a family that the catalogue has too, with its own dimensions
    try:
        if name in FAMILIES:
            return _member(row, name, seq_len, pp, assumed)
        return _changed(row, find(name), assumed)
    except ModelError as error:
        raise UnusableError(f"architecture columns: {'; '.join(error.faults)}") from None


def _member(row: Row, family: str, seq_len: int, pp: int, assumed: list[str]) -> Model:
    hidden = needed(row, "hidden", "the width of the model cannot be known")
    vocab = count(row, "vocab")
    if vocab is None:
        vocab = GPT2_VOCAB
        assumed.append(f"vocab is blank: {vocab}, the vocabulary of GPT-2 padded")
    layers = count(row, "layers") or _layers(row, hidden, vocab, pp, assumed)
    heads = count(row, "heads")
    if heads is None:
        heads = _heads(hidden, row, assumed)
    if hidden % heads:
        raise UnusableError(f"heads {heads} does not divide hidden {hidden}")
    changes: dict[str, Any] = {
        "ffn": count(row, "ffn") or 4 * hidden,
        "family": cell(row, "model").split()[0],
    }
    changes["kv_heads"] = count(row, "kv_heads") or heads
    if family == "bloom":
        changes |= {"family": "BLOOM", "learned_positions": 0, "final_norms": 2}
    if family == "mpt":
        changes |= {"family": "MPT", "norm": "rms", "bias": "none"}
    printed = cell(row, "model")
    return gpt(printed, layers=layers, hidden=hidden, heads=heads, vocab=vocab, context=seq_len, **changes)


def _layers(row: Row, hidden: int, vocab: int, pp: int, assumed: list[str]) -> int:
    size = number(row, "params_B")
    if size is None:
        raise UnusableError("layers is blank and params_B too: the depth cannot be known")
    real = (size * 1e9 - vocab * hidden) / (12 * hidden**2)
    layers = max(1, round(real / pp)) * pp
    assumed.append(f"layers is blank: {layers}, the multiple of pp {pp} nearest to {size:g}B parameters")
    return layers


def _heads(hidden: int, row: Row, assumed: list[str]) -> int:
    tp = count(row, "tp", 1) or 1
    likely = range(tp, min(hidden, 16 * (hidden // USUAL_HEAD) + tp) + 1, tp)
    heads = min((h for h in likely if hidden % h == 0), key=lambda h: abs(hidden / h - USUAL_HEAD), default=1)
    assumed.append(f"heads is blank: {heads}, so that a head is about {USUAL_HEAD} wide")
    return heads


def _changed(row: Row, base: Model, assumed: list[str]) -> Model:
    changes: dict[str, Any] = {}
    for column in ("layers", "hidden", "heads", "vocab", "experts", "topk"):
        value = count(row, column)
        if value is not None and value != getattr(base, column):
            changes[column] = value
    ffn = count(row, "ffn")
    if ffn is not None and ffn != (base.ffn or base.expert_ffn):
        changes["ffn" if base.ffn else "expert_ffn"] = ffn
    heads = changes.get("heads", base.heads)
    kv_heads = count(row, "kv_heads")
    if base.kv_lora_rank:
        changes["kv_heads"] = heads
    elif kv_heads is not None:
        changes["kv_heads"] = kv_heads
    elif cell(row, "heads"):
        changes["kv_heads"] = heads
    if not base.kv_lora_rank and ("heads" in changes or "hidden" in changes):
        changes["head_dim"] = changes.get("hidden", base.hidden) // heads
    if not cell(row, "layers"):
        assumed.append(f"layers and widths are blank: those of {base.name}")
    shape = {"layers", "hidden", "ffn", "expert_ffn", "heads", "experts"} & changes.keys()
    if shape - {"layers"}:
        assumed.append(f"not the published {base.name}: {', '.join(sorted(shape))} as the row prints")
    if base.mamba is not None and "layers" in changes:
        raise UnusableError(f"layers {changes['layers']}: {base.name} has a pattern of {base.layers} layers")
    return base.replace(**changes)
