"""What one layer computes forward on one rank: matrix products after slicing, attention, memory-bound work.

Every function returns operations of one microbatch. T tokens are those that a rank holds: microbatch x sequence
/ cp. The communication that slicing asks for comes from `workloads.parallelism`; `workloads.backward` turns the
forward operations around.

References
----------
.. [1] Shoeybi et al., Megatron-LM, arXiv:1909.08053: columns of the first, rows of the second product.
.. [2] Narayanan et al., SC21, arXiv:2104.04473, appendix: FLOPs of every product.
.. [3] Dao et al., FlashAttention, arXiv:2205.14135: 4 T S d FLOPs forward a head, 2.5 times that backward.
"""

from dataclasses import dataclass

from workloads._flops import CHUNK, seen_keys
from workloads.model import LayerKind, Model
from workloads.step_graph import Compute, Operation

ELEMENT = 2.0  # bytes of an activation in half precision
_TILE = 128  # the vocabulary is padded to so many a rank
SCORE_PASSES = 1.0  # of the S x S matrix that a law multiplies by its own count


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """How a layer is cut for one rank, and in which numbers it computes.

    Parameters
    ----------
    tokens : float
        T, tokens of a microbatch on this rank.
    seq_len : int
        Keys that a query may look at.
    tp, etp, ep, cp : int
        Degrees.
    sequence_parallel : bool
        Whether norms and residuals are sliced over tp as well.
    precision : str
        Of the matrix products.
    fusion : str
        ``eager``, ``fused`` or ``compiled``: how elementwise work is run.
    attention : str
        Kernel: ``unfused``, ``triton``, ``flash``, ``sdpa``, ``cudnn``.
    causal : bool
        Whether a query looks back only. Fused kernels then skip half.
    packing : float
        Share of the score matrix that packed short samples leave, 1 if a sample fills the sequence.
    load : float
        Rows of the fullest rank's experts over the mean.
    """

    tokens: float
    seq_len: int
    tp: int = 1
    etp: int = 1
    ep: int = 1
    cp: int = 1
    sequence_parallel: bool = False
    precision: str = "bf16"
    fusion: str = "fused"
    attention: str = "flash"
    causal: bool = True
    packing: float = 1.0
    load: float = 1.0

    @property
    def element(self) -> float:
        """Return the bytes of an activation: only single precision keeps more than 16 bits."""
        return 2 * ELEMENT if self.precision == "fp32" else ELEMENT

    @property
    def own_tokens(self) -> float:
        """Return the tokens that norms, residuals and unsliced products of one rank work on."""
        return self.tokens / (self.tp if self.sequence_parallel else 1)


def gemm(
    name: str,
    cut: Slice,
    m: float,
    n: float,
    k: float,
    *,
    count: float = 1.0,
    law: str = "gemm",
    own: str = "",
) -> Compute:
    """Return a matrix product of m x k by k x n, in the precision of the slice or its ``own``."""
    width = {"fp8": 1.0, "fp8row": 1.0, "mxfp8": 1.0, "nvfp4": 0.56, "fp32": 4.0}.get(
        own or cut.precision, ELEMENT
    )
    out = 2 * ELEMENT if (own or cut.precision) == "fp32" else ELEMENT
    return Compute(
        name=name,
        law=law,
        flops=2.0 * m * n * k * count,
        bytes=count * (width * (m * k + k * n) + out * m * n),
        shape=(round(m), round(n), round(k)),
        count=count,
        precision=own or cut.precision,
    )


def cast(name: str, cut: Slice, elements: float) -> list[Operation]:
    """Return the quantisation of a product's input, if products are narrower than activations."""
    if cut.precision not in ("fp8", "fp8row", "mxfp8", "nvfp4"):
        return []
    return [Compute(name=name, law="cast", bytes=elements, precision=cut.precision)]


def elementwise(name: str, cut: Slice, elements: float) -> Compute:
    """Return norms, residuals, dropout: one pass over so many elements; the law knows how many passes."""
    return Compute(name=name, law="elementwise", bytes=cut.element * elements, variant=cut.fusion)


def attention(model: Model, kind: LayerKind, cut: Slice) -> list[Operation]:
    """Return projections and core of self-attention, of the kind that the layer has."""
    if kind.mixer == "mla":
        return _latent(model, kind, cut)
    t, h, d = cut.tokens, model.hidden, model.head_dim
    width = model.heads * d / cut.tp
    pair = 2 * max(model.kv_heads * d / cut.tp, d)  # kv heads fewer than tp are copied
    return [
        *cast("attention input cast", cut, t * h),
        gemm("qkv", cut, t, width + pair, h),
        *core(cut, model.heads, d, d, kind),
        *cast("attention output cast", cut, t * width),
        gemm("attention output", cut, t, h, width),
    ]


def core(cut: Slice, heads: int, d: float, dv: float, kind: LayerKind | None = None) -> list[Operation]:
    """Return softmax(q k) v of all heads of a rank.

    A fused kernel skips what causality or a window hides; an unfused one computes all scores and passes over
    them in memory several times [Dao 2022].
    """
    keys, heads_here = cut.seq_len, heads / cut.tp
    fused = cut.attention != "unfused"
    about = kind or LayerKind(mixer="attention", ffn="none", causal=cut.causal)
    seen = cut.packing * seen_keys(about, keys, causal=cut.causal if fused else False)
    flops = 2.0 * cut.tokens * seen * heads_here * (d + dv)
    moved = cut.element * cut.tokens * heads_here * (2 * d + 2 * dv)
    operations: list[Operation] = [
        Compute(
            name="attention core",
            law="attention",
            flops=flops,
            bytes=moved,
            shape=(round(cut.tokens), round(keys), round(d)),
            count=heads_here,
            variant=cut.attention,
        )
    ]
    if not fused:
        scores = cut.element * cut.tokens * keys * heads_here
        operations.append(Compute(name="softmax", law="scores", bytes=SCORE_PASSES * scores))
    return operations


def _latent(model: Model, kind: LayerKind, cut: Slice) -> list[Operation]:
    """Return multi-head latent attention, DeepSeek-V2, arXiv:2405.04434, section 2.1."""
    t, h, a = cut.tokens, model.hidden, model.heads / cut.tp
    d, dv = model.qk_nope_dim + model.qk_rope_dim, model.v_head_dim
    down, rank = cut.own_tokens, model.q_lora_rank  # the narrow products are not sliced by tp
    return [
        *cast("attention input cast", cut, t * h),
        *([gemm("q down", cut, down, rank, h)] if rank else []),
        gemm("kv down", cut, down, model.kv_lora_rank + model.qk_rope_dim, h),
        gemm("q up", cut, t, a * d, rank) if rank else gemm("q", cut, t, a * d, h),
        gemm("kv up", cut, t, a * (model.qk_nope_dim + dv), model.kv_lora_rank),
        elementwise("latent norms, rope", cut, t * a * (2 * d + dv) / 4),
        *core(cut, model.heads, d, dv, kind),
        *cast("attention output cast", cut, t * a * dv),
        gemm("attention output", cut, t, h, a * dv),
    ]


def mlp(model: Model, cut: Slice, ffn: float, name: str = "mlp") -> list[Operation]:
    """Return a dense feed-forward network of a width."""
    t, h, f = cut.tokens, model.hidden, ffn / cut.tp
    gates = 2 if model.gated else 1
    return [
        *cast(f"{name} input cast", cut, t * h),
        gemm(f"{name} up", cut, t, gates * f, h),
        Compute(
            name=f"{name} activation", law="activation", bytes=cut.element * t * gates * f, variant=cut.fusion
        ),
        *cast(f"{name} hidden cast", cut, t * f),
        gemm(f"{name} down", cut, t, h, f),
    ]


def experts(model: Model, cut: Slice) -> list[Operation]:
    """Return the routed experts of the fullest rank: E / ep experts, each sliced over etp.

    In the mean a rank has T topk / (tp / etp) rows: with experts that are not sliced every tensor-parallel rank
    keeps the tokens of its own part of the sequence.
    """
    h, f = model.expert_hidden, model.expert_ffn / cut.etp
    rows = _rows(model, cut)
    here = model.experts / cut.ep
    gates = 2 if model.gated else 1
    each = rows / here
    return [
        *cast("expert input cast", cut, rows * h),
        gemm("experts up", cut, each, gates * f, h, count=here, law="grouped_gemm"),
        Compute(
            name="expert activation",
            law="activation",
            bytes=cut.element * rows * gates * f,
            variant=cut.fusion,
        ),
        *cast("expert hidden cast", cut, rows * f),
        gemm("experts down", cut, each, h, f, count=here, law="grouped_gemm"),
    ]


def _rows(model: Model, cut: Slice) -> float:
    return cut.load * cut.tokens * model.topk * cut.etp / cut.tp


def latent(model: Model, cut: Slice, name: str) -> list[Operation]:
    """Return the product into or out of the narrower space that routed experts work in; none without one."""
    if not model.moe_latent:
        return []
    wide, narrow = model.hidden, model.moe_latent
    return [gemm(name, cut, cut.own_tokens, *((narrow, wide) if name == "expert entry" else (wide, narrow)))]


def router(model: Model, cut: Slice) -> list[Operation]:
    """Return the router of a mixture of experts, never in 8 bits or less, on the tokens of this rank."""
    return [gemm("router", cut, cut.own_tokens, model.experts, model.hidden, own=unscaled(cut))]


def permute(model: Model, cut: Slice, name: str) -> Compute:
    """Return the sorting of token rows by expert, or back: one pass; the law knows how many."""
    return Compute(name=name, law="permute", bytes=cut.element * _rows(model, cut) * model.expert_hidden)


def mamba(model: Model, cut: Slice) -> list[Operation]:
    """Return a Mamba-2 mixer: projections, short convolution, chunked scan.

    Dao, Gu, arXiv:2405.21060, section 6: in a chunk of Q tokens each looks back at (Q + 1)/2 of them, by groups
    of states and by the inner width; states of all chunks cost 4 N a channel.
    """
    if model.mamba is None:
        raise ValueError(f"{model.name} has no Mamba layer")
    part, t, h = model.mamba, cut.tokens, model.hidden
    inner = part.inner
    width = (inner + part.convolved + part.heads) / cut.tp
    inside = (CHUNK + 1) * (part.groups * part.state + inner)
    scan = t / cut.tp * (inside + 4.0 * inner * part.state)
    return [
        *cast("mamba input cast", cut, t * h),
        gemm("mamba in", cut, t, width, h),
        Compute(
            name="mamba convolution",
            law="elementwise",
            bytes=cut.element * t * part.convolved / cut.tp,
            variant=cut.fusion,
        ),
        Compute(name="mamba scan", law="scan", flops=scan, bytes=cut.element * t * 4 * inner / cut.tp),
        *cast("mamba output cast", cut, t * inner / cut.tp),
        gemm("mamba out", cut, t, h, inner / cut.tp),
    ]


def head(model: Model, cut: Slice) -> list[Operation]:
    """Return the output projection and the loss over the vocabulary of a rank; nothing without a vocabulary."""
    if not model.vocab:
        return []
    t, v = cut.tokens, -(-model.vocab // (_TILE * cut.tp)) * _TILE
    return [
        gemm("head", cut, t, v, model.hidden, own=unscaled(cut)),
        Compute(name="loss", law="logits", bytes=t * v),
    ]


def unscaled(cut: Slice) -> str:
    """Return the precision of what is never computed in 8 bits or less."""
    return cut.precision if cut.precision in ("bf16", "fp16", "fp32") else "bf16"


def embedding(model: Model, cut: Slice) -> list[Operation]:
    """Return the look-up of the token vectors."""
    return [elementwise("embedding", cut, cut.tokens * model.hidden)]
