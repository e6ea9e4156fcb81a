"""What a model weighs, computes and keeps: parameters, FLOPs, the cache of keys and values.

All from its dimensions; counts of parameters are those of a checkpoint, to the last one.
"""

from collections import Counter

from workloads._flops import (
    flops_per_token,
    forward_flops,
    layer_flops,
    seen_keys,
    training_flops,
)
from workloads._parameters import (
    LayerParameters,
    Part,
    active_parameters,
    breakdown,
    embedding_parameters,
    head_parameters,
    layer_parameters,
    mtp_parameters,
    parameters,
    vision_parameters,
)
from workloads.model import LayerKind, Model

__all__ = [
    "LayerParameters",
    "Part",
    "active_parameters",
    "breakdown",
    "embedding_parameters",
    "flops_per_token",
    "forward_flops",
    "head_parameters",
    "kv_bytes_per_token",
    "kv_cache_bytes",
    "layer_flops",
    "layer_parameters",
    "mtp_parameters",
    "parameters",
    "seen_keys",
    "training_flops",
    "vision_parameters",
]


def kv_bytes_per_token(model: Model, bytes_per_element: float = 2) -> float:
    """Return the bytes that one more token adds to the cache of keys and values, windows not yet full.

    Parameters
    ----------
    model : Model
        Dimensions; an encoder alone keeps nothing.
    bytes_per_element : float
        Of a number in the cache.
    """
    if model.arch in ("encoder", "vit"):
        return 0.0
    return bytes_per_element * sum(_kept(model, kind) for kind in model.layer_kinds())


def kv_cache_bytes(model: Model, seq_len: int, bytes_per_element: float = 2, *, source_len: int = 0) -> float:
    """Return the bytes that one sequence keeps: keys and values inside of the windows, states of Mamba.

    Parameters
    ----------
    model : Model
        Dimensions.
    seq_len : int
        Tokens so far.
    bytes_per_element : float
        Of a number in the cache.
    source_len : int
        Tokens of the encoder, whose keys and values are built once.
    """
    if model.arch in ("encoder", "vit"):
        return 0.0
    cross = source_len * 2 * model.kv_heads * model.head_dim
    kept = 0.0
    for kind, times in Counter(model.layer_kinds()).items():
        seen = min(seq_len, kind.window or seq_len)
        kept += times * (seen * _kept(model, kind) + (cross if kind.cross else 0) + _state(model, kind))
    return bytes_per_element * kept


def _kept(model: Model, kind: LayerKind) -> int:
    if kind.mixer == "mla":
        return model.kv_lora_rank + model.qk_rope_dim
    return 2 * model.kv_heads * model.head_dim if kind.mixer == "attention" else 0


def _state(model: Model, kind: LayerKind) -> int:
    part = model.mamba
    if part is None or kind.mixer != "mamba":
        return 0
    return part.inner * part.state + part.convolved * (part.conv - 1)
