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

from workloads._flops import seen_keys
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
    return Compute(
        name=name,
        law=law,
        flops=2.0 * m * n * k * count,
        bytes=count * (width * (m * k + k * n) + ELEMENT * m * n),
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
    return Compute(name=name, law="elementwise", bytes=ELEMENT * elements, variant=cut.fusion)


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
    moved = ELEMENT * cut.tokens * heads_here * (2 * d + 2 * dv)
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
        scores = ELEMENT * cut.tokens * keys * heads_here
        operations.append(Compute(name="softmax", law="scores", bytes=SCORE_PASSES * scores))
    return operations


def _latent(model: Model, kind: LayerKind, cut: Slice) -> list[Operation]:
    """Return multi-head latent attention, DeepSeek-V2, arXiv:2405.04434, section 2.1."""
    t, h, a = cut.tokens, model.hidden, model.heads / cut.tp
    d, dv = model.qk_nope_dim + model.qk_rope_dim, model.v_head_dim
    down = t / (cut.tp if cut.sequence_parallel else 1)  # the narrow products are not sliced by tp
    query = (
        [
            gemm("q down", cut, down, model.q_lora_rank, h),
            gemm("q up", cut, t, a * d, model.q_lora_rank),
        ]
        if model.q_lora_rank
        else [gemm("q", cut, t, a * d, h)]
    )
    return [
        *cast("attention input cast", cut, t * h),
        *query,
        gemm("kv down", cut, down, model.kv_lora_rank + model.qk_rope_dim, h),
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
            name=f"{name} activation", law="activation", bytes=ELEMENT * t * gates * f, variant=cut.fusion
        ),
        *cast(f"{name} hidden cast", cut, t * f),
        gemm(f"{name} down", cut, t, h, f),
    ]


def experts(model: Model, cut: Slice) -> list[Operation]:
    """Return the routed experts of a rank with balanced load: E / ep experts, each sliced over etp.

    A rank brings T topk / (tp / etp) rows: with experts that are not sliced every tensor-parallel rank keeps the
    tokens of its own part of the sequence.
    """
    h, f = model.expert_hidden, model.expert_ffn / cut.etp
    rows = cut.tokens * model.topk * cut.etp / cut.tp
    here = model.experts / cut.ep
    gates = 2 if model.gated else 1
    each = rows / here
    return [
        *cast("expert input cast", cut, rows * h),
        gemm("experts up", cut, each, gates * f, h, count=here, law="grouped_gemm"),
        Compute(
            name="expert activation", law="activation", bytes=ELEMENT * rows * gates * f, variant=cut.fusion
        ),
        *cast("expert hidden cast", cut, rows * f),
        gemm("experts down", cut, each, h, f, count=here, law="grouped_gemm"),
    ]


def latent(model: Model, cut: Slice, name: str) -> list[Operation]:
    """Return the product into or out of the narrower space that routed experts work in; none without one."""
    if not model.moe_latent:
        return []
    tokens = cut.tokens / (cut.tp if cut.sequence_parallel else 1)
    wide, narrow = model.hidden, model.moe_latent
    return [gemm(name, cut, tokens, *((narrow, wide) if name == "expert entry" else (wide, narrow)))]


def router(model: Model, cut: Slice) -> list[Operation]:
    """Return the router of a mixture of experts, in single precision, on the tokens of this rank."""
    tokens = cut.tokens / (cut.tp if cut.sequence_parallel else 1)
    return [gemm("router", cut, tokens, model.experts, model.hidden, own="bf16")]


def permute(model: Model, cut: Slice, name: str) -> Compute:
    """Return the sorting of token rows by expert, or back: one pass; the law knows how many."""
    rows = cut.tokens * model.topk * cut.etp / cut.tp
    return Compute(name=name, law="permute", bytes=ELEMENT * rows * model.expert_hidden)


def mamba(model: Model, cut: Slice) -> list[Operation]:
    """Return a Mamba-2 mixer: projections, short convolution, chunked scan.

    Dao, Gu, arXiv:2405.21060, section 6: with chunks of Q the scan costs about
    2 T H P (2 Q + 2 N) FLOPs for H heads of width P and states of width N.
    """
    if model.mamba is None:
        raise ValueError(f"{model.name} has no Mamba layer")
    part, t, h = model.mamba, cut.tokens, model.hidden
    inner, chunk = part.heads * part.head_dim, 128
    width = (2 * inner + 2 * part.groups * part.state + part.heads) / cut.tp
    scan = 2.0 * t * inner / cut.tp * (2 * chunk / 2 + 2 * part.state)
    return [
        *cast("mamba input cast", cut, t * h),
        gemm("mamba in", cut, t, width, h),
        Compute(
            name="mamba convolution",
            law="elementwise",
            bytes=ELEMENT * t * (inner + 2 * part.groups * part.state) / cut.tp,
            variant=cut.fusion,
        ),
        Compute(name="mamba scan", law="scan", flops=scan, bytes=ELEMENT * t * 4 * inner / cut.tp),
        *cast("mamba output cast", cut, t * inner / cut.tp),
        gemm("mamba out", cut, t, h, inner / cut.tp),
    ]


def head(model: Model, cut: Slice) -> list[Operation]:
    """Return the output projection and the loss over the vocabulary of a rank."""
    t, v = cut.tokens, -(-model.vocab // (_TILE * cut.tp)) * _TILE
    return [
        gemm("head", cut, t, v, model.hidden, own="bf16"),
        Compute(name="loss", law="logits", bytes=t * v),
    ]


def embedding(model: Model, cut: Slice) -> list[Operation]:
    """Return the look-up of the token vectors."""
    return [elementwise("embedding", cut, cut.tokens * model.hidden)]
