r"""What the backward pass needs of the forward pass: the tensors that a layer keeps, one by one.

Bytes of one microbatch on one rank. Counting follows Korthikanti et al. [1]_ (section 4): inputs of every
product, of norms and of nonlinear functions, dropout masks of one byte; small vectors (means, variances) are
left out. With biases, GELU, dropout and unfused attention the list adds up to their
:math:`sbh(10 + 24/t + 5as/(ht))`; with sequence parallelism to :math:`sbh/t\,(34 + 5as/h)`. SwiGLU, grouped
keys, latent attention, experts and Mamba are recounted from the tensors they keep.

References
----------
.. [1] Korthikanti et al., Reducing activation recomputation, arXiv:2205.05198.
.. [2] Dao et al., FlashAttention, arXiv:2205.14135: keeps q, k, v, the output and one float per row.
.. [3] DeepSeek-V2, arXiv:2405.04434, section 2.1: latent attention.
.. [4] Dao, Gu, Mamba-2, arXiv:2405.21060.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workloads.layers import ELEMENT, Slice
from workloads.model import LayerKind, Model

SINGLE = 4.0  # bytes of single precision
NARROW = {"fp8": 1.0, "mxfp8": 1.0, "nvfp4": 0.5625}  # nvfp4: half a byte and a scale of one byte for 16
MODULES = (
    "attn_proj",
    "core_attn",
    "elementwise",
    "half_blocks",
    "half_products",
    "layernorm",
    "mla_up_proj",
    "mlp",
    "moe",
    "moe_act",
    "shared_experts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A tensor that is kept until the backward pass.

    Parameters
    ----------
    name : str
        What it is to a person.
    bytes : float
        On one rank, of one microbatch.
    modules : tuple of str
        It is computed again, not kept, if selective recomputation names one of these.
    """

    name: str
    bytes: float
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How activations are kept: the slice of the layer, and whether dropout masks are among them.

    Parameters
    ----------
    cut : Slice
        Tokens and degrees of a rank.
    dropout : bool
        Masks of hidden and attention dropout are kept.
    load : float
        Rows that the fullest rank's experts get, over the mean; a capacity factor if they are padded to it.
    exchanged : bool
        The core's output is kept twice, before and after the all-to-all of context parallelism.
    """

    cut: Slice
    dropout: bool = False
    load: float = 1.0
    exchanged: bool = False

    @property
    def wide(self) -> float:
        """Return the bytes of an activation between products."""
        return SINGLE if self.cut.precision == "fp32" else ELEMENT

    @property
    def narrow(self) -> float:
        """Return the bytes of the input of a product, which low precision keeps quantised."""
        return NARROW.get(self.cut.precision, self.wide)

    @property
    def sequence(self) -> int:
        """Return over how many ranks of the tensor group norms and residuals are split."""
        return self.cut.tp if self.cut.sequence_parallel else 1


def layer(model: Model, kind: LayerKind, held: Held) -> tuple[Saved, ...]:
    """Return what one layer keeps without recomputation.

    Parameters
    ----------
    model : Model
        Dimensions.
    kind : LayerKind
        What the layer does.
    held : Held
        How it is cut.
    """
    mixers: dict[str, Callable[[], list[Saved]]] = {
        "attention": lambda: _attention(model, held),
        "mla": lambda: _latent(model, held),
        "mamba": lambda: _mamba(model, held),
        "none": list,
    }
    found = mixers[kind.mixer]()
    if kind.cross:
        found += _attention(model, held, "cross ")
    if kind.ffn == "dense":
        found += [*_norm(model, held, "mlp ", after="attn_proj"), *_mlp(model, held, model.ffn, "mlp")]
        found += _mask(model, held)
    elif kind.ffn == "moe":
        found += [*_norm(model, held, "moe ", after="attn_proj"), *_experts(model, held)]
    return tuple(found)


def kept(
    model: Model, kind: LayerKind, held: Held, *, recompute: str, modules: Iterable[str] = ("core_attn",)
) -> float:
    """Return the bytes that a layer keeps under a recomputation policy.

    Parameters
    ----------
    model, kind, held
        As in `layer`.
    recompute : str
        ``none``; ``selective``: without what the `modules` compute; ``full``: only the layer's input,
        :math:`2sbh` [1]_, split with the sequence.
    modules : iterable of str
        Of `MODULES`, for ``selective``: parts of a layer in the words of Megatron; ``elementwise``: all but
        products and core; ``half_products``: every second product as well, as torchtitan does;
        ``half_blocks``: every second layer.

    Raises
    ------
    ValueError
        Unknown policy or module.
    """
    if recompute == "full":
        return held.wide * held.cut.tokens * model.hidden / held.sequence
    if recompute not in ("none", "selective"):
        raise ValueError(f"--recompute {recompute}: must be none, selective or full")
    dropped = set(modules) if recompute == "selective" else set()
    if "half_products" in dropped:
        return _half_products(model, kind, held)
    if strange := dropped - set(MODULES):
        raise ValueError(f"recompute module '{min(strange)}': must be one of {', '.join(MODULES)}")
    held_back = sum(t.bytes for t in layer(model, kind, held) if not dropped.intersection(t.modules))
    if "half_blocks" in dropped:
        return (held_back + kept(model, kind, held, recompute="full")) / 2
    return held_back


def tower(model: Model, held: Held, images: float) -> float:
    """Return what a vision tower keeps of so many images; 0 without one.

    A layer: inputs of two norms and two products, q, k, v, the core's output, the MLP around GELU.
    """
    part = model.vision
    if part is None:
        return 0.0
    patches = images * (part.image // part.patch) ** 2
    return held.wide * patches * part.layers * (8 * part.hidden + 2 * part.ffn) / held.sequence


def _half_products(model: Model, kind: LayerKind, held: Held) -> float:
    """Return torchtitan's selective policy: input, core output every second product's output are kept.

    Of q, k, v, output, gate, up, down that are k, output, up.
    """
    t, tp = held.cut.tokens, held.cut.tp
    kept = t * model.hidden / held.sequence
    if kind.mixer != "none":
        kept += t * (model.kv_heads + model.heads) * model.head_dim / tp + t * model.hidden / held.sequence
    if kind.ffn == "dense":
        kept += t * model.ffn / tp
    elif kind.ffn == "moe":
        rows = t * model.topk * held.cut.etp / tp * held.load
        kept += rows * model.expert_ffn / held.cut.etp + t * model.shared_ffn / tp
    return held.wide * kept


def _norm(model: Model, held: Held, name: str, *, after: str = "") -> list[Saved]:
    """Return the input of a norm, which the part ``after`` which it comes can give again, and its output."""
    size = held.cut.tokens * model.hidden / held.sequence
    return [
        Saved(name=f"{name}norm input", bytes=held.wide * size, modules=(after,) if after else ()),
        Saved(name=f"{name}product input", bytes=held.narrow * size, modules=("layernorm", "elementwise")),
    ]


def _mask(model: Model, held: Held) -> list[Saved]:
    size = held.cut.tokens * model.hidden / held.sequence
    return [Saved(name="dropout mask", bytes=size)] if held.dropout else []


def _attention(model: Model, held: Held, name: str = "attention ") -> list[Saved]:
    """Return norm, projections and core; keys of an encoder are as many as the decoder has tokens."""
    t, tp = held.cut.tokens, held.cut.tp
    width = model.heads * model.head_dim / tp
    pair = 2 * max(model.kv_heads * model.head_dim / tp, model.head_dim)  # fewer kv heads than tp: copies
    return [
        *_norm(model, held, name),
        Saved(name=f"{name}q k v", bytes=held.wide * t * (width + pair)),
        *_core(model, held, name, t * width),
        *_mask(model, held),
    ]


def _core(model: Model, held: Held, name: str, out: float) -> list[Saved]:
    rows = held.cut.tokens * model.heads / held.cut.tp
    copies = 2 if held.exchanged else 1
    product = Saved(name=f"{name}output", bytes=held.wide * out * copies, modules=("attn_proj",))
    if held.cut.attention != "unfused":
        quantised = [Saved(name=f"{name}output, quantised", bytes=held.narrow * out, modules=("attn_proj",))]
        statistics = Saved(name=f"{name}row sums", bytes=SINGLE * rows, modules=("core_attn",))
        return [statistics, product, *(quantised if held.narrow != held.wide else [])]
    scores = rows * held.cut.seq_len
    found = [("softmax", held.wide * scores)]
    if held.dropout:
        found += [("softmax mask", scores), ("softmax after dropout", held.wide * scores)]
    return [product, *(Saved(name=n, bytes=size, modules=("core_attn",)) for n, size in found)]


def _latent(model: Model, held: Held) -> list[Saved]:
    """Return latent attention: narrow vectors are kept before and after their norm, heads as usual."""
    t, e, w = held.cut.tokens, held.wide, held.narrow
    a = model.heads / held.cut.tp
    down = t / held.sequence
    qk = model.qk_nope_dim + model.qk_rope_dim
    narrow = (e + w) * (model.q_lora_rank + model.kv_lora_rank) + e * model.qk_rope_dim
    up = ("mla_up_proj",)
    return [
        *_norm(model, held, "attention "),
        Saved(name="latent vectors", bytes=down * narrow),
        Saved(name="attention q k", bytes=e * t * a * 2 * qk, modules=up),
        Saved(name="attention v", bytes=e * t * a * model.v_head_dim, modules=up),
        *_core(model, held, "attention ", t * a * model.v_head_dim),
        *_mask(model, held),
    ]


def _mlp(model: Model, held: Held, ffn: float, module: str) -> list[Saved]:
    """Return a dense network after its input; an unfused SwiGLU also keeps the activated gate."""
    size = held.cut.tokens * ffn / held.cut.tp
    up = size * (2 if model.gated else 1)
    extra = size if model.gated and held.cut.fusion == "eager" else 0.0
    whole = (module, "moe") if module == "shared_experts" else (module,)
    return [
        Saved(name=f"{module} up output", bytes=held.wide * (up + extra), modules=whole),
        Saved(name=f"{module} down input", bytes=held.narrow * size, modules=(*whole, "elementwise")),
    ]


def _experts(model: Model, held: Held) -> list[Saved]:
    """Return router and experts: topk rows a token, of which a rank has as many as it sends."""
    cut = held.cut
    rows = cut.tokens * model.topk * cut.etp / cut.tp * held.load
    hidden = rows * model.expert_ffn / cut.etp
    gates = 2 if model.gated else 1
    tokens = cut.tokens / held.sequence
    found = [
        Saved(name="router", bytes=2 * SINGLE * tokens * model.experts),
        Saved(name="expert input", bytes=held.narrow * rows * model.expert_hidden, modules=("moe",)),
        Saved(name="expert up output", bytes=held.wide * gates * hidden, modules=("moe",)),
        Saved(
            name="expert down input", bytes=held.narrow * hidden, modules=("moe", "moe_act", "elementwise")
        ),
    ]
    if model.shared_ffn:
        found += _mlp(model, held, model.shared_ffn, "shared_experts")
    if model.moe_latent:
        found.append(
            Saved(name="latent rows", bytes=held.narrow * tokens * model.moe_latent, modules=("moe",))
        )
    return found


def _mamba(model: Model, held: Held) -> list[Saved]:
    """Return a Mamba-2 mixer in its fused form: the projected input and the output of the scan [4]_."""
    if (part := model.mamba) is None:
        raise ValueError(f"{model.name} has no Mamba layer")
    t, inner = held.cut.tokens / held.cut.tp, part.inner
    projected = inner + part.convolved + part.heads
    return [
        *_norm(model, held, "mamba "),
        Saved(name="mamba projected input", bytes=held.wide * t * projected),
        Saved(name="mamba scan output", bytes=held.wide * t * inner),
        Saved(name="mamba output input", bytes=held.narrow * t * inner),
    ]
