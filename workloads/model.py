"""What a model is: its dimensions, where they come from, and what each of its layers does."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal

from workloads._model_checks import faults
from workloads._model_parts import Ffn, LayerKind, Mamba, Mixer, Vision, read_pattern

__all__ = ["LayerKind", "Mamba", "Model", "ModelError", "Vision", "find", "gpt", "names"]

Arch = Literal["decoder", "encoder", "encdec", "vit"]
Norm = Literal["rms", "ln"]
Bias = Literal["none", "all", "qkv", "mlp"]


class ModelError(ValueError):
    """Dimensions that no model can have; ``faults`` holds a sentence for each."""

    def __init__(self, name: str, found: Sequence[str]) -> None:
        super().__init__(f"model '{name}': {'; '.join(found)}")
        self.faults = tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Dimensions of a model and what was published of it.

    Parameters
    ----------
    name, family : str
        As `names` lists it; whose it is.
    arch : str
        ``decoder``, ``encoder``, ``encdec`` or ``vit``.
    layers : int
        Of the decoder, or of the only stack.
    hidden, heads, kv_heads, head_dim, ffn, vocab : int
        Widths; ``ffn`` of a dense layer, ``vocab`` as padded in the checkpoint, 0 without tokens.
    context : int
        Longest sequence, tokens.
    gated : bool
        Whether the MLP has three matrices (SwiGLU, GeGLU) and not two.
    tied : bool
        Whether input and output share one embedding.
    norm : str
        ``rms`` has one vector, ``ln`` two.
    norms_per_layer : int
        In a decoder or encoder alone; an encoder-decoder has 2 in an encoder layer and 3 in a decoder layer.
    bias : str
        Which matrices have one: ``none``, ``all``, ``qkv``, ``mlp``.
    qk_norm, router_bias : bool
        Norms of queries and keys; a bias of the router.
    learned_positions, final_norms, extra_params : int
        Rows of the position table; norms outside the layers; what no other field counts (relative bias,
        pooler, patch embedding, sinks, bias of the head).
    encoder_layers : int
        Of an encoder-decoder.
    experts, topk, expert_ffn : int
        Routed experts of a layer, how many a token visits, their width.
    dense_layers, moe_every : int
        First layers of a mixture of experts that are dense; of the others each so-many-th one has experts.
    moe_latent : int
        Width that routed experts, dispatch and combine work in, between two products of the layer (LatentMoE,
        arXiv:2512.20856); 0: the hidden width.
    shared_experts, shared_ffn : int
        Experts that every token visits, and their width together.
    q_lora_rank, kv_lora_rank, qk_nope_dim, qk_rope_dim, v_head_dim : int
        Latent attention (MLA); it is used if ``kv_lora_rank`` is not 0.
    window, window_every, full_every : int
        Tokens that a query sees. Each ``window_every``-th layer is windowed, beginning with the first; or, if
        ``full_every`` is set, all but each ``full_every``-th one.
    window_chunked : bool
        The window is a chunk: it does not slide.
    mtp_layers : int
        Layers of multi-token prediction, counted apart.
    vision, mamba : Vision, Mamba or None
        A tower in front; the state-space part of a hybrid.
    source, notes, checked : str
        Whose figures these are; ``read`` if they were seen there.
    published_total, published_active, counted_total, counted_active : int
        Parameters as printed, and as an independent count of these dimensions gave; 0: not known.
    verdict : str
        ``ok``, or why the printed count cannot be reached.
    year : int
        Of publication.
    task : str
        What it is for.

    Raises
    ------
    ModelError
        Dimensions that do not fit each other; all of them are named.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    family: str = ""
    arch: Arch = "decoder"
    gated: bool = False
    tied: bool = False
    norm: Norm = "rms"
    norms_per_layer: int = 2
    bias: Bias = "none"
    qk_norm: bool = False
    learned_positions: int = 0
    final_norms: int = 1
    router_bias: bool = False
    extra_params: int = 0
    encoder_layers: int = 0
    experts: int = 0
    topk: int = 0
    expert_ffn: int = 0
    dense_layers: int = 0
    moe_every: int = 1
    moe_latent: int = 0
    shared_experts: int = 0
    shared_ffn: int = 0
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_dim: int = 0
    qk_rope_dim: int = 0
    v_head_dim: int = 0
    window: int = 0
    window_every: int = 1
    full_every: int = 0
    window_chunked: bool = False
    mtp_layers: int = 0
    vision: Vision | None = None
    mamba: Mamba | None = None
    source: str = ""
    notes: str = ""
    checked: str = ""
    published_total: int = 0
    published_active: int = 0
    counted_total: int = 0
    counted_active: int = 0
    verdict: str = ""
    year: int = 0
    task: str = ""

    def __post_init__(self) -> None:
        if found := faults(self):
            raise ModelError(self.name, found)

    def replace(self, **changes: Any) -> "Model":
        """Return the model with some fields changed, e.g. ``replace(layers=8)``; checked like any other."""
        return dataclasses.replace(self, **changes)

    @property
    def moe_layers(self) -> int:
        """Return how many layers have experts, in all stacks."""
        return sum(kind.ffn == "moe" for kind in (*self.encoder_kinds(), *self.layer_kinds()))

    @property
    def expert_hidden(self) -> int:
        """Return the width in which a token travels to its routed experts and back."""
        return self.moe_latent or self.hidden

    def layer_kinds(self) -> tuple[LayerKind, ...]:
        """Return what each layer of the decoder, or of the only stack, does."""
        return _layer_kinds(self)

    def encoder_kinds(self) -> tuple[LayerKind, ...]:
        """Return what each layer of the encoder does; none but in an encoder-decoder."""
        return tuple(
            LayerKind(mixer="attention", ffn=_ffn(self, i), causal=False) for i in range(self.encoder_layers)
        )

    def mtp_kinds(self) -> tuple[LayerKind, ...]:
        """Return what the layers of multi-token prediction do, all depths one after another."""
        if self.mamba is not None and self.mamba.mtp_pattern:
            return read_pattern(self.mamba.mtp_pattern) * self.mtp_layers
        return self.layer_kinds()[-1:] * self.mtp_layers


@lru_cache(maxsize=512)
def _layer_kinds(model: Model) -> tuple[LayerKind, ...]:
    if model.mamba is not None:
        return read_pattern(model.mamba.pattern)
    mixer: Mixer = "mla" if model.kv_lora_rank else "attention"
    return tuple(
        LayerKind(
            mixer=mixer,
            ffn=_ffn(model, i),
            window=model.window if _windowed(model, i) else 0,
            chunked=model.window_chunked and _windowed(model, i),
            cross=model.arch == "encdec",
            causal=model.arch in ("decoder", "encdec"),
        )
        for i in range(model.layers)
    )


def _ffn(model: Model, layer: int) -> Ffn:
    after = layer - model.dense_layers
    return "moe" if model.experts and after >= 0 and (after + 1) % model.moe_every == 0 else "dense"


def _windowed(model: Model, layer: int) -> bool:
    if not model.window:
        return False
    if model.full_every:
        return (layer + 1) % model.full_every != 0
    return layer % model.window_every == 0


def gpt(
    name: str, *, layers: int, hidden: int, heads: int, vocab: int, context: int, **changes: Any
) -> Model:
    """Return a GPT as Megatron builds it: one embedding, biases, LayerNorm, learned positions, ffn 4h.

    Narayanan et al., SC21, arXiv:2104.04473. Any other field of `Model` may be given.
    """
    fields: dict[str, Any] = {
        "kv_heads": heads,
        "head_dim": hidden // max(heads, 1),
        "ffn": 4 * hidden,
        "tied": True,
        "norm": "ln",
        "bias": "all",
        "learned_positions": context,
        "family": "GPT",
    }
    fields |= changes
    return Model(name=name, layers=layers, hidden=hidden, heads=heads, vocab=vocab, context=context, **fields)


def names() -> tuple[str, ...]:
    """Return the names of all models that ship."""
    from workloads._model_files import load

    return tuple(load())


def find(name: str) -> Model:
    """Return a model that ships.

    Raises
    ------
    ValueError
        Nobody knows the name; the message holds the nearest ones.
    """
    from workloads._model_files import load

    models = load()
    if name not in models:
        near = get_close_matches(name.lower(), list(models), n=3, cutoff=0.5)
        raise ValueError(f"unknown model '{name}'" + (f", nearest: {', '.join(near)}" if near else ""))
    return models[name]
