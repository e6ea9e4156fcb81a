"""One layer of a training step: its operations forward, backward and again, with what each axis adds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workloads import layers
from workloads.backward import inputs, interleaved, weights
from workloads.layers import Slice
from workloads.model import LayerKind
from workloads.parallelism import context, data, expert, tensor
from workloads.step_graph import Block, Collective, Compute, Kind, Operation
from workloads.strategies._parts import Exchange
from workloads.training import Training

Sections = tuple[tuple[str, tuple[Operation, ...]], ...]  # module that may be recomputed, its operations
_PRODUCTS = ("gemm", "grouped_gemm")
_UP = ("q up", "kv up", "latent norms, rope")
_LIGHT = ("elementwise", "activation", "scores", "cast")


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
    )


def sections(training: Training, layer: Layer) -> Sections:
    """Return the forward operations of one layer, section by section."""
    kind = layer.kind
    cut = cut_of(training, wide=layer.wide, causal=kind.causal)
    found: list[tuple[str, Iterable[Operation]]] = []
    if kind.mixer != "none":
        found += _mixer(training, kind, cut)
    if kind.cross:
        found.append(("attention", _cross(training, cut)))
    if kind.ffn == "dense":
        found += _dense(training, cut, training.model.ffn, "mlp")
    elif kind.ffn == "moe":
        found += _mixture(training, cut)
    return tuple((module, tuple(operations)) for module, operations in found)


def _norm(training: Training, cut: Slice, name: str) -> Compute:
    tokens = cut.tokens / (cut.tp if cut.sequence_parallel else 1)
    return layers.elementwise(name, cut, tokens * training.model.hidden)


def _mixer(training: Training, kind: LayerKind, cut: Slice) -> list[tuple[str, Iterable[Operation]]]:
    model, software = training.model, training.software
    overlap = "tp" if software.tp_overlap else ""
    norm = _norm(training, cut, "attention norm, residual")
    enter = tensor.enter(cut, model.hidden, "attention", overlap)
    leave = tensor.leave(cut, model.hidden, "attention", overlap)
    if kind.mixer == "mamba":
        return [("layernorm", [norm]), ("mamba", [*enter, *layers.mamba(model, cut), *leave])]
    way = software.context
    exchanged = context.before(model, kind, cut, way)
    exchanged = [
        replace(one, overlap="") if isinstance(one, Collective) and not software.cp_overlap else one
        for one in exchanged
    ]
    inner = layers.attention(model, kind, cut)
    split = next(i for i, one in enumerate(inner) if isinstance(one, Compute) and one.law == "attention")
    core = [one for one in inner[split:] if isinstance(one, Compute) and one.law in ("attention", "scores")]
    last = inner[split + len(core) :]
    return [
        ("layernorm", [norm]),
        ("attention", [*enter, *inner[:split]]),
        ("core_attn", [*exchanged, *core, *context.after(model, kind, cut, way)]),
        ("attn_proj", [*last, *leave]),
    ]


def _cross(training: Training, cut: Slice) -> list[Operation]:
    """Return attention to the encoder, whose sequence is as long: q from the decoder, k and v from the encoder."""
    model = training.model
    t, width = cut.tokens, model.heads * model.head_dim / cut.tp
    return [
        _norm(training, cut, "cross attention norm, residual"),
        layers.gemm("cross query", cut, t, width, model.hidden),
        layers.gemm("cross key, value", cut, t, 2 * width, model.hidden),
        *layers.core(replace(cut, causal=False), model.heads, model.head_dim, model.head_dim),
        layers.gemm("cross output", cut, t, model.hidden, width),
        *tensor.leave(cut, model.hidden, "cross attention"),
    ]


def _dense(
    training: Training, cut: Slice, ffn: float, name: str, *, norm: bool = True
) -> list[tuple[str, Iterable[Operation]]]:
    model = training.model
    overlap = "tp" if training.software.tp_overlap else ""
    found: list[tuple[str, Iterable[Operation]]] = []
    if norm:
        found.append(("layernorm", [_norm(training, cut, f"{name} norm, residual")]))
    inner = layers.mlp(model, cut, ffn, name)
    found.append(
        (
            "mlp",
            [
                *tensor.enter(cut, model.hidden, name, overlap),
                *inner,
                *tensor.leave(cut, model.hidden, name, overlap),
            ],
        )
    )
    return found


def _mixture(training: Training, cut: Slice) -> list[tuple[str, Iterable[Operation]]]:
    model, software, at = training.model, training.software, training.layout
    overlap = "ep" if software.ep_overlap else ""
    nodes = max(1, at.shape("ep", training.gpus_per_node).nodes)
    rows = float(model.topk)
    if software.deduplicated:
        rows = expert.copies(model, at.ep, nodes, software.node_limit) if nodes > 1 else rows
    sent = {"rows": rows, "overlap": overlap, "imbalance": software.imbalance}
    dispatch = expert.exchange(model, cut, "dispatch", width=software.dispatch_width, **sent)  # type: ignore[arg-type]
    combine = expert.exchange(model, cut, "combine", width=software.combine_width, **sent)  # type: ignore[arg-type]
    inner: list[tuple[str, Iterable[Operation]]] = [
        ("layernorm", [_norm(training, cut, "mixture norm, residual")]),
        ("router", layers.router(model, cut)),
        (
            "moe",
            [*layers.latent(model, cut, "expert entry"), layers.permute(model, cut, "permute"), *dispatch],
        ),
        ("moe", layers.experts(model, cut)),
        (
            "moe",
            [*combine, layers.permute(model, cut, "unpermute"), *layers.latent(model, cut, "expert exit")],
        ),
    ]
    if model.shared_ffn:
        inner += _dense(training, cut, model.shared_ffn, "shared expert", norm=False)
    return inner


def again(training: Training, layer: Layer, found: Sections) -> list[Operation]:
    """Return what is computed a second time before the backward of a layer.

    Full recomputation repeats the whole forward [Chen et al., arXiv:1604.06174]; selective one the named
    modules, by default the core of attention [Korthikanti et al., arXiv:2205.05198, section 5].
    """
    if layer.recompute == "none":
        return []
    pairs = [(module, operation) for module, operations in found for operation in operations]
    if layer.recompute == "full":
        return _named(operation for _, operation in pairs)
    chosen: list[Operation] = []
    for module, operation in pairs:
        if isinstance(operation, Compute) and operation.law in _PRODUCTS and _halved(training):
            half = replace(operation, flops=operation.flops / 2, bytes=operation.bytes / 2)
            chosen.append(half)
        elif _selected(training, module, operation):
            chosen.append(operation)
    return _named(chosen)


def _halved(training: Training) -> bool:
    return "half_products" in training.recompute_modules


def _selected(training: Training, module: str, operation: Operation) -> bool:
    """Tell whether selective recomputation repeats an operation of a module."""
    modules = training.recompute_modules or ("core_attn",)
    law = operation.law if isinstance(operation, Compute) else ""
    fused = law == "attention" and training.software.attention != "unfused"
    if fused and "core_attn" not in training.recompute_modules:
        return False  # a fused kernel does so by itself
    return (
        module in modules
        or ("elementwise" in modules and law in _LIGHT)
        or ("moe_act" in modules and law == "activation" and module == "moe")
        or ("mla_up_proj" in modules and operation.name in _UP)
    )


def _named(operations: Iterable[Operation]) -> list[Operation]:
    return [replace(one, name=f"{one.name} again") for one in operations]


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
    found = sections(training, layer)
    forward = [operation for _, operations in found for operation in operations]
    moe = layer.kind.ffn == "moe"
    launch = _launch(training, "forward", moe)
    repeated = again(training, layer, found)
    name = _name(layer)
    built: dict[Kind, Block] = {}
    built["F"] = Block(name=name, operations=(*launch, *exchange.forward, *forward), repeat=layer.repeat)
    after = exchange.backward
    if split:
        back = [*repeated, *inputs(forward)]
        built["W"] = Block(name=name, operations=(*weights(forward), *after), repeat=layer.repeat)
        after = ()
    else:
        back = [*repeated, *interleaved(forward, frozen=training.frozen)]
    launches = (*_launch(training, "backward", moe), *(launch if layer.recompute == "full" else ()))
    built["B"] = Block(
        name=name, operations=(*launches, *exchange.backward_before, *back, *after), repeat=layer.repeat
    )
    return built


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
        words[-1:] = [f"window {layer.kind.window}"]
    if layer.kind.ffn != "none":
        words.append("mixture" if layer.kind.ffn == "moe" else "mlp")
    if layer.wide:
        words.append("16 bit")
    return "layer: " + ", ".join(words)


def held(training: Training, layer: Layer) -> data.Held:
    """Return the parameters of one such layer on one rank."""
    return data.layer(training.model, layer.kind, training.layout)
