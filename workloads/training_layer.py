"""One layer of a training step: its operations forward, backward and again, with what each axis adds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workloads import layers
from workloads.backward import Body, Mirror
from workloads.layers import Slice
from workloads.model import LayerKind
from workloads.parallelism import context, data, expert, sequence, tensor
from workloads.recomputation import again
from workloads.step_graph import Block, Collective, Compute, Kind, Operation
from workloads.strategies import STRATEGIES
from workloads.strategies._parts import Exchange
from workloads.training import Training

Section = tuple[str, Iterable[Operation]]  # module that may be recomputed, its operations
Sections = tuple[tuple[str, tuple[Operation, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A kind of layer as one rank runs it: what is computed again, and how many there are."""

    kind: LayerKind
    wide: bool
    repeat: int
    recompute: str


def cut_of(training: Training, *, wide: bool = False, causal: bool = True) -> Slice:
    """Return how a layer is sliced for one rank; ``wide`` ones compute in 16 bits whatever the precision."""
    at, software = training.layout, training.software
    narrow = training.precision in ("fp8", "fp8row", "mxfp8", "nvfp4")
    return Slice(
        tokens=training.microbatch * training.seq_len / at.cp,
        seq_len=training.seq_len,
        tp=at.tp,
        etp=at.expert_tp,
        ep=at.ep,
        cp=at.cp,
        sequence_parallel=training.sequence_parallel and at.tp > 1,
        precision="bf16" if wide and narrow else training.precision,
        fusion=software.fusion,
        attention=software.attention,
        causal=causal,
        packing=training.packing,
        load=software.imbalance,
    )


def sections(training: Training, layer: Layer, *, mirror: bool = False) -> Sections:
    """Return the forward operations of one layer, section by section; ``mirror``: as the backward mirrors them."""
    kind = layer.kind
    cut = cut_of(training, wide=layer.wide, causal=kind.causal)
    found: list[Section] = []
    if kind.mixer == "mamba":
        found += _scan(training, kind, cut)
    elif kind.mixer != "none":
        found += _mixer(training, kind, cut)
    if kind.cross:
        found.append(("attention", _cross(training, kind, cut, mirror=mirror)))
    if kind.ffn == "dense":
        found += _dense(training, cut)
    elif kind.ffn == "moe":
        found += _mixture(training, cut)
    return tuple((module, tuple(operations)) for module, operations in found)


def _norm(training: Training, cut: Slice, name: str) -> Compute:
    return layers.elementwise(name, cut, sequence.tokens(cut) * training.model.hidden)


def _overlap(training: Training) -> str:
    return "tp" if training.software.tp_overlap else ""


def _scan(training: Training, kind: LayerKind, cut: Slice) -> list[Section]:
    model, overlap = training.model, _overlap(training)
    inner, way = layers.mamba(model, cut), training.software.context
    first = next(i for i, one in enumerate(inner) if one.name == "mamba convolution")
    last = next(i for i, one in enumerate(inner) if isinstance(one, Compute) and one.law == "scan") + 1
    return [
        ("layernorm", [_norm(training, cut, "attention norm, residual")]),
        (
            "mamba",
            [
                *tensor.enter(cut, model.hidden, "attention", overlap),
                *inner[:first],
                *context.before(model, kind, cut, way),
                *inner[first:last],
                *context.after(model, kind, cut, way),
                *inner[last:],
                *tensor.leave(cut, model.hidden, "attention", overlap),
            ],
        ),
    ]


def _mixer(training: Training, kind: LayerKind, cut: Slice) -> list[Section]:
    model, way = training.model, training.software.context
    inner = layers.attention(model, kind, cut)
    split = next(i for i, one in enumerate(inner) if isinstance(one, Compute) and one.law == "attention")
    core = [one for one in inner[split:] if isinstance(one, Compute) and one.law in ("attention", "scores")]
    last = inner[split + len(core) :]
    leave = tensor.leave(cut, model.hidden, "attention", _overlap(training))
    return [
        ("layernorm", [_norm(training, cut, "attention norm, residual")]),
        ("attention", _entered(training, kind, cut, inner[:split])),
        ("core_attn", [*_exchanged(training, kind, cut), *core, *context.after(model, kind, cut, way)]),
        ("attn_proj", [*last, *leave]),
    ]


def _entered(training: Training, kind: LayerKind, cut: Slice, inner: list[Operation]) -> list[Operation]:
    """Return projections with the gather of their input: of the latent vectors where they are narrower [1]_.

    .. [1] Megatron-LM, megatron/core/transformer/multi_latent_attention.py.
    """
    model, overlap = training.model, _overlap(training)
    if kind.mixer != "mla":
        return [*tensor.enter(cut, model.hidden, "attention", overlap), *inner]
    place = next(i for i, one in enumerate(inner) if one.name == "kv down") + 1
    latent = model.q_lora_rank + model.kv_lora_rank + model.qk_rope_dim
    whole = [] if model.q_lora_rank else tensor.enter(cut, model.hidden, "attention", overlap)
    return [*inner[:place], *whole, *tensor.enter(cut, latent, "attention latent", overlap), *inner[place:]]


def _exchanged(training: Training, kind: LayerKind, cut: Slice) -> list[Operation]:
    """Return what comes from the other context ranks, beside the core or not."""
    found = context.before(training.model, kind, cut, training.software.context)
    if training.software.cp_overlap:
        return found
    return [replace(one, overlap="") if isinstance(one, Collective) else one for one in found]


def _cross(training: Training, kind: LayerKind, cut: Slice, *, mirror: bool) -> list[Operation]:
    """Return attention to the encoder, whose sequence is as long: q from the decoder, k and v from the encoder."""
    model = training.model
    t, h, d = cut.tokens, model.hidden, model.head_dim
    width = model.heads * d / cut.tp
    pair = 2 * max(model.kv_heads * d / cut.tp, d)
    source = (
        tensor.turned if mirror else tensor.enter
    )  # no exit stands for the gradient of the encoder's output
    return [
        _norm(training, cut, "cross attention norm, residual"),
        *tensor.enter(cut, h, "cross attention"),
        layers.gemm("cross query", cut, t, width, h),
        *source(cut, h, "encoder output"),
        layers.gemm("cross key, value", cut, t, pair, h),
        *_exchanged(training, replace(kind, mixer="attention", window=0), cut),
        *layers.core(replace(cut, causal=False), model.heads, d, d),
        *context.after(model, replace(kind, mixer="attention"), cut, training.software.context),
        layers.gemm("cross output", cut, t, h, width),
        *tensor.leave(cut, h, "cross attention"),
    ]


def _dense(training: Training, cut: Slice) -> list[Section]:
    norm = _norm(training, cut, "mlp norm, residual")
    return [("layernorm", [norm]), ("mlp", _mlp(training, cut, training.model.ffn, "mlp"))]


def _mlp(training: Training, cut: Slice, ffn: float, name: str) -> list[Operation]:
    model, overlap = training.model, _overlap(training)
    return [
        *tensor.enter(cut, model.hidden, name, overlap),
        *layers.mlp(model, cut, ffn, name),
        *tensor.leave(cut, model.hidden, name, overlap),
    ]


def _mixture(training: Training, cut: Slice) -> list[Section]:
    model, software = training.model, training.software
    overlap = "ep" if software.ep_overlap else ""
    rows = _copies(training)
    dispatch = expert.exchange(
        model, cut, "dispatch", rows=rows, width=software.dispatch_width, overlap=overlap
    )
    combine = expert.exchange(model, cut, "combine", rows=rows, width=software.combine_width, overlap=overlap)
    enter, leave = (layers.latent(model, cut, f"expert {name}") for name in ("entry", "exit"))
    inner: list[Section] = [
        ("layernorm", [_norm(training, cut, "mixture norm, residual")]),
        ("router", layers.router(model, cut)),
        ("moe", [*enter, layers.permute(model, cut, "permute"), *dispatch]),
        ("moe", layers.experts(model, cut)),
        ("moe", [*combine, layers.permute(model, cut, "unpermute"), *leave]),
    ]
    if model.shared_ffn:
        inner.append(("shared_experts", _mlp(training, cut, model.shared_ffn, "shared expert")))
    return inner


def _copies(training: Training) -> float:
    """Return how often a token is sent: to each of its experts, or once to each node that has some."""
    model, software, at = training.model, training.software, training.layout
    nodes = at.shape("ep", training.gpus_per_node).nodes
    if not software.deduplicated or nodes == 1:
        return float(model.topk)
    return expert.copies(model, at.ep, nodes, software.node_limit)


def blocks(training: Training, layer: Layer, exchange: Exchange, *, split: bool) -> dict[Kind, Block]:
    """Return the blocks of one kind of layer for each kind of task.

    Parameters
    ----------
    layer : Layer
        What it is and how often it comes.
    exchange : Exchange
        What the strategy adds.
    split : bool
        Whether the schedule runs gradients of weights as tasks of their own.
    """
    return Sliced(training, layer).blocks(training, layer, exchange, split=split)


class Sliced:
    """The work of a kind of layer, from which the blocks of every way to compute again are made.

    Parameters
    ----------
    training : Training
        How it is sliced and run.
    layer : Layer
        Its kind.
    """

    def __init__(self, training: Training, layer: Layer) -> None:
        self._sections = sections(training, layer)
        self._forward = tuple(one for _, operations in self._sections for one in operations)
        behind = (one for _, some in sections(training, layer, mirror=True) for one in some)
        self._mirror = Mirror(behind, frozen=training.frozen)

    def blocks(
        self, training: Training, layer: Layer, exchange: Exchange, *, split: bool
    ) -> dict[Kind, Block]:
        """Return the blocks; the layer and the step differ from those it was made of in what is computed again."""
        moe = layer.kind.ffn == "moe"
        launch = _launch(training, "forward", moe)
        relaunch = (*_launch(training, "backward", moe), *(launch if layer.recompute == "full" else ()))
        repeated = again(training, layer.recompute, self._sections)
        body = Body(
            forward=self._forward,
            mirror=self._mirror,
            before=(*launch, *exchange.forward),
            before_back=(*relaunch, *exchange.backward_before, *repeated),
            after=exchange.backward,
            gathers=layer.recompute != "full",
        )
        return body.blocks(_name(layer), layer.repeat, split=split)


def _launch(training: Training, way: str, moe: bool) -> tuple[Operation, ...]:
    """Return the launching of a layer's kernels by the host, beside what was launched before."""
    if training.software.graphs:
        return ()
    kind = "mixture" if moe else "dense"
    return (
        Compute(
            name=f"{way} launch",
            law="host",
            variant=f"{training.software.host}.{kind}",
            shape=(training.layout.tp, 0, 0),  # ranks that wait for the slowest host
            count=1.0 if way == "forward" else 2.0,
            stream="host",
        ),
    )


def _name(layer: Layer) -> str:
    words: list[str] = [] if layer.kind.mixer == "none" else [layer.kind.mixer]
    if layer.kind.window:
        words[-1:] = [f"{'chunk' if layer.kind.chunked else 'window'} {layer.kind.window}"]
    if layer.kind.cross:
        words.append("cross attention")
    if layer.kind.ffn != "none":
        words.append("mixture" if layer.kind.ffn == "moe" else "mlp")
    if layer.wide:
        words.append("16 bit")
    if layer.recompute == "full":
        words.append("computed again")
    return "layer: " + ", ".join(words)


def held(training: Training, layer: Layer) -> data.Held:
    """Return the parameters of one such layer on one rank."""
    return data.layer(training.model, layer.kind, training.layout)


def exchanged(training: Training, own: data.Held) -> Exchange:
    """Return what the strategy exchanges for some parameters; frozen ones are only gathered where they are sharded."""
    strategy = STRATEGIES[training.strategy]
    found: Exchange = strategy.layer(own, training.layout, training.wire)
    if not training.frozen:
        return found
    return replace(found, backward=()) if strategy.STATES == "fully sharded" else Exchange()
