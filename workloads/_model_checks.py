"""What must hold of the dimensions of a model, whoever wrote them."""

from typing import TYPE_CHECKING

from workloads._model_parts import MARKS, Mamba, Vision

if TYPE_CHECKING:
    from workloads.model import Model

LARGEST = 2**40  # of any one dimension: above it is a slip of the pen, and products would fill the memory
MOST_LAYERS = 10_000
_WORDS = {
    "arch": ("decoder", "encoder", "encdec", "vit"),
    "norm": ("rms", "ln"),
    "bias": ("none", "all", "qkv", "mlp"),
}
_AT_LEAST_ONE = ("layers", "hidden", "window_every", "moe_every")
_COUNTS = (
    *("heads", "kv_heads", "head_dim", "ffn", "vocab", "context", "norms_per_layer", "learned_positions"),
    *("final_norms", "extra_params", "encoder_layers", "experts", "topk", "expert_ffn", "moe_latent"),
    *("dense_layers", "shared_experts", "shared_ffn", "q_lora_rank", "kv_lora_rank", "qk_nope_dim"),
    *("qk_rope_dim", "v_head_dim", "window", "full_every", "mtp_layers", "published_total"),
    *("published_active", "counted_total", "counted_active", "year"),
)
_TEXTS = ("name", "family", "source", "notes", "checked", "verdict", "task")
_FLAGS = ("gated", "tied", "qk_norm", "router_bias", "window_chunked")


def faults(model: "Model") -> list[str]:
    """Return a sentence for each thing wrong with a model; none if it is sound."""
    found = [fault for name in _AT_LEAST_ONE if (fault := _count(name, getattr(model, name), 1))]
    found += [fault for name in _COUNTS if (fault := _count(name, getattr(model, name), 0))]
    found += [
        f"{n} {getattr(model, n)!r} is no bool" for n in _FLAGS if not isinstance(getattr(model, n), bool)
    ]
    texts = {name: getattr(model, name) for name in _TEXTS}
    found += [
        f"{name} {value!r:.60} is no text" for name, value in texts.items() if not isinstance(value, str)
    ]
    for name, words in _WORDS.items():
        if getattr(model, name) not in words:
            found.append(f"{name} {getattr(model, name)!r:.60} is none of {', '.join(words)}")
    if not found:  # what follows computes with them
        found = [*_latent(model), *_window(model)]
        found += _tower(model.vision) if model.vision is not None else []
        found += _hybrid(model, model.mamba) if model.mamba is not None else []
        found += [*_shape(model), *_experts(model)] if not found else []
    return found


def _count(name: str, value: object, least: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{name} {value!r:.60} is no whole number"
    most = MOST_LAYERS if name.endswith("layers") else LARGEST * 1024 if "_total" in name else LARGEST
    if not least <= value <= most:
        return f"{name} {value!s:.24} must lie between {least} and {most}"
    return ""


def _shape(model: "Model") -> list[str]:
    found = []
    attends = model.mamba is None or model.mamba.attention_layers
    if attends and min(model.heads, model.head_dim) < 1:
        found.append("heads and head_dim must be 1 or more")
    if attends and (model.kv_heads < 1 or model.heads % model.kv_heads):
        found.append(f"kv_heads {model.kv_heads} must divide heads {model.heads}")
    if model.vocab == 0 and model.arch != "vit":
        found.append("vocab must be 1 or more")
    if (model.arch == "encdec") != (model.encoder_layers > 0):
        found.append(f"encoder_layers {model.encoder_layers} does not go with arch {model.arch}")
    if model.ffn == 0 and any(kind.ffn == "dense" for kind in model.layer_kinds()):
        found.append("ffn is 0 but some layers are dense")
    return found


def _window(model: "Model") -> list[str]:
    if model.window == 0 and (model.full_every or model.window_chunked or model.window_every > 1):
        return ["window_every, full_every and window_chunked need a window"]
    return []


def _experts(model: "Model") -> list[str]:
    if model.experts == 0:
        used = [
            n
            for n in ("topk", "expert_ffn", "moe_latent", "shared_experts", "shared_ffn")
            if getattr(model, n)
        ]
        return [f"{', '.join(used)} without experts"] if used else []
    found = []
    if not 1 <= model.topk <= model.experts:
        found.append(f"topk {model.topk} must lie between 1 and experts {model.experts}")
    if model.expert_ffn < 1:
        found.append("expert_ffn must be 1 or more")
    if (model.shared_experts > 0) != (model.shared_ffn > 0):
        found.append("shared_experts and shared_ffn go together")
    if model.moe_layers == 0:
        found.append(
            f"no layer is left for the experts: layers {model.layers}, dense_layers {model.dense_layers}"
        )
    return found


def _latent(model: "Model") -> list[str]:
    parts = (model.qk_nope_dim, model.qk_rope_dim, model.v_head_dim)
    if model.kv_lora_rank == 0:
        return ["latent attention needs kv_lora_rank"] if model.q_lora_rank or any(parts) else []
    return [] if all(parts) else ["latent attention needs qk_nope_dim, qk_rope_dim and v_head_dim"]


def _tower(vision: Vision) -> list[str]:
    found = [
        f"vision.{fault}"
        for name in ("layers", "hidden", "heads", "ffn", "patch", "image", "merge")
        if (fault := _count(name, getattr(vision, name), 1))
    ]
    found += [
        f"vision.{fault}"
        for name in ("embedding_params", "projector_params")
        if (fault := _count(name, getattr(vision, name), 0))
    ]
    if not found and vision.hidden % vision.heads:
        found.append(f"vision.hidden {vision.hidden} is no multiple of vision.heads {vision.heads}")
    if not found and vision.image < vision.patch:
        found.append(f"vision.image {vision.image} is smaller than vision.patch {vision.patch}")
    return found


def _hybrid(model: "Model", mamba: Mamba) -> list[str]:
    if not isinstance(mamba.pattern, str) or not isinstance(mamba.mtp_pattern, str):
        return ["mamba.pattern is no text"]
    strange = set(mamba.pattern + mamba.mtp_pattern) - set(MARKS)
    if strange:
        return [f"mamba.pattern has '{min(strange)}', which is none of {', '.join(MARKS)}"]
    found = [
        f"mamba.{fault}"
        for name in ("state", "heads", "head_dim", "groups", "conv")
        if (fault := _count(name, getattr(mamba, name), 1))
    ]
    if not found and mamba.heads % mamba.groups:
        found.append(f"mamba.groups {mamba.groups} must divide mamba.heads {mamba.heads}")
    if len(mamba.pattern) != model.layers:
        found.append(f"mamba.pattern has {len(mamba.pattern)} layers, the model {model.layers}")
    if ("E" in mamba.pattern) != (model.experts > 0):
        found.append("experts go with an E in mamba.pattern")
    if model.arch != "decoder" or model.kv_lora_rank or model.window:
        found.append("a hybrid must be a decoder with plain attention")
    if mamba.mtp_pattern and not model.mtp_layers:
        found.append("mamba.mtp_pattern needs mtp_layers")
    return found
