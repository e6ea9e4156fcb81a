"""(model, layout, schedule, strategy) -> the step graph of one training step."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from workloads import layers
from workloads._flops import training_flops
from workloads.backward import inputs, interleaved, weights
from workloads.layers import Slice
from workloads.model import LayerKind, Model
from workloads.parallelism import data, pipeline, tensor
from workloads.parallelism.data import Held
from workloads.schedules import SCHEDULES
from workloads.schedules._tasks import Orders
from workloads.step_graph import Block, Chunk, Compute, Kind, Operation, Stage, StepGraph
from workloads.strategies import STRATEGIES
from workloads.strategies._parts import Exchange
from workloads.training import Training
from workloads.training_layer import Layer, blocks, cut_of, held


def build(training: Training) -> StepGraph:
    """Return the step graph of one training step.

    Raises
    ------
    ValueError
        Unknown plugins, layers that do not divide, a schedule that this layout cannot have.
    """
    at = training.layout
    schedule = SCHEDULES[training.schedule]
    chunks = at.vpp if at.vpp in schedule.CHUNKS else schedule.CHUNKS[0]
    orders = _orders(training.schedule, at.pp, training.microbatches, chunks)
    routes = schedule.routes(at.pp, chunks)
    kinds = _virtual(training, routes, chunks)
    stages = []
    for stage in range(at.pp):
        built, owned = [], Held()
        for chunk in range(chunks):
            one, parameters = _chunk(training, routes, kinds, stage, chunk, split=schedule.SPLIT)
            built.append(one)
            owned += parameters
        after = [] if training.frozen else STRATEGIES[training.strategy].step(owned, at, training.wire)
        fixed = Compute(name="step", law="step", variant=training.software.host)
        stages.append(Stage(chunks=tuple(built), tasks=orders[stage], before=(fixed,), after=tuple(after)))
    cut = cut_of(training)
    software = training.software
    return StepGraph(
        stages=tuple(stages),
        routes=routes,
        boundary=pipeline.boundary(
            cut, training.model.hidden, sliced=software.sliced_sends, overlap=software.p2p_overlap
        ),
        microbatches=training.microbatches,
        tokens=float(training.global_batch * training.seq_len),
        model_flops=useful_flops(training.model, training.seq_len) * training.global_batch,
    )


@lru_cache(maxsize=64)
def _orders(schedule: str, stages: int, microbatches: int, chunks: int) -> Orders:
    found: Orders = SCHEDULES[schedule].order(stages, microbatches, chunks)
    return found


@lru_cache(maxsize=1024)
def useful_flops(model: Model, seq_len: int) -> float:
    """Return what training on one sample takes, nothing computed again, causal attention counted as seen."""
    source = seq_len if model.encoder_layers else 0
    return training_flops(model, seq_len, source_len=source)


def _virtual(
    training: Training, routes: Sequence[Sequence[tuple[int, int]]], chunks: int
) -> dict[tuple[int, int], tuple[tuple[LayerKind, bool], ...]]:
    """Return the layers of each (stage, chunk): their kinds and whether they stay in 16 bits."""
    model = training.model
    kinds = (*model.encoder_kinds(), *model.layer_kinds())
    ends = training.software.wide_layers // 2
    marked = [(kind, i < ends or i >= len(kinds) - ends) for i, kind in enumerate(kinds)]
    found: dict[tuple[int, int], tuple[tuple[LayerKind, bool], ...]] = {}
    for route in routes:
        places = len(route)
        per_stage = places // training.layout.pp
        shares = pipeline.split(len(kinds), training.layout.pp, per_stage, training.chunk_layers)
        start = 0
        for place, share in zip(route, shares, strict=True):
            found[place] = tuple(marked[start : start + share])
            start += share
    if len(found) != training.layout.pp * chunks:
        raise ValueError(f"--schedule {training.schedule}: its routes do not visit every chunk")
    return found


def _chunk(
    training: Training,
    routes: Sequence[Sequence[tuple[int, int]]],
    kinds: dict[tuple[int, int], tuple[tuple[LayerKind, bool], ...]],
    stage: int,
    chunk: int,
    *,
    split: bool,
) -> tuple[Chunk, Held]:
    """Return what a stage runs of one chunk, and the parameters that it holds of it."""
    at, strategy = training.layout, STRATEGIES[training.strategy]
    place = (stage, chunk)
    first = any(route[0] == place for route in routes)
    last = any(route[-1] == place for route in routes)
    tasks: tuple[Kind, ...] = ("F", "B", "W") if split else ("F", "B")
    work: dict[Kind, list[Block]] = {task: [] for task in tasks}
    owned = Held()
    entry: Exchange | None = None
    for (kind, wide, recompute), repeat in Counter(_marked(training, kinds[place])).items():
        layer = Layer(kind=kind, wide=wide, repeat=repeat, recompute=recompute)
        own = held(training, layer)
        exchange = Exchange() if training.frozen else strategy.layer(own, at, training.wire)
        entry = entry or exchange
        owned += own.times(repeat)
        for task, block in blocks(training, layer, exchange, split=split).items():
            work[task].append(block)
    if entry and entry.entry:
        work["F"].insert(0, Block(name="first gather", operations=entry.entry))
    work["B"].reverse()
    if first:
        owned += _ends(training, work, "embedding", data.embedding(training.model, at))
    if last:
        if training.mtp:
            owned += _prediction(training, work, split=split)
        lone = not (first and training.model.tied)
        owned += _ends(training, work, "head", data.head(training.model, at).times(float(lone)))
    finished: dict[Kind, tuple[Block, ...]] = {task: tuple(parts) for task, parts in work.items()}
    return Chunk(layers=len(kinds[place]), work=finished), owned


def _marked(training: Training, kinds: Sequence[tuple[LayerKind, bool]]) -> list[tuple[LayerKind, bool, str]]:
    """Return the layers of a chunk, each with how it is recomputed."""
    chunks = max(1, training.layout.vpp)
    first = training.recompute_layers / chunks
    found = []
    for place, (kind, wide) in enumerate(kinds):
        recompute = training.recompute
        if recompute == "selective" and "half_blocks" in training.recompute_modules:
            recompute = "full" if place % 2 == 0 else "none"
        elif recompute == "full" and training.recompute_layers and place >= first:
            recompute = "none"
        found.append((kind, wide, recompute))
    return found


def _ends(training: Training, work: dict[Kind, list[Block]], name: str, own: Held) -> Held:
    """Add the embedding or the head to the work of a chunk; return its parameters."""
    model, at = training.model, training.layout
    cut = cut_of(training)
    if name == "embedding":
        forward: list[Operation] = layers.embedding(model, cut)
        forward += tensor.leave(cut, model.hidden, "embedding")
        forward += _tower(model, training.microbatch)
    else:
        forward = [
            *tensor.enter(cut, model.hidden, "head"),
            *layers.head(model, cut),
            *tensor.loss(cut),
        ]
    exchange = Exchange() if training.frozen else STRATEGIES[training.strategy].layer(own, at, training.wire)
    back: list[Operation] = inputs(forward) if "W" in work else interleaved(forward, frozen=training.frozen)
    after = exchange.backward if "W" not in work else ()
    ahead = Block(name=name, operations=(*exchange.forward, *forward))
    behind = Block(name=name, operations=(*exchange.backward_before, *back, *after))
    if name == "embedding":
        work["F"].insert(0, ahead)
        work["B"].append(behind)
    else:
        work["F"].append(ahead)
        work["B"].insert(0, behind)
    if "W" in work:
        work["W"].append(Block(name=name, operations=(*weights(forward), *exchange.backward)))
    return own


def _prediction(training: Training, work: dict[Kind, list[Block]], *, split: bool) -> Held:
    """Add the layers of multi-token prediction, each with the product that joins two vectors and a head."""
    model, owned = training.model, Held()
    cut = cut_of(training)
    for kind in model.mtp_kinds():
        layer = Layer(kind=kind, wide=False, repeat=1, recompute=training.recompute)
        for task, block in blocks(training, layer, Exchange(), split=split).items():
            work[task].insert(0, block) if task == "B" else work[task].append(block)
        owned += held(training, layer)
    extra: list[Operation] = [
        layers.gemm("joint projection", cut, cut.tokens / cut.tp, model.hidden, 2 * model.hidden),
        *layers.head(model, cut),
    ] * model.mtp_layers
    work["F"].append(Block(name="multi-token prediction", operations=tuple(extra)))
    behind = inputs(extra) if split else interleaved(extra)
    work["B"].insert(0, Block(name="multi-token prediction", operations=tuple(behind)))
    if split:
        work["W"].append(Block(name="multi-token prediction", operations=tuple(weights(extra))))
    return owned


def _tower(model: Model, samples: int) -> list[Operation]:
    """Return the vision tower forward, one image a sample: encoder layers without slicing, then the projector."""
    tower = model.vision
    if tower is None:
        return []
    patches = samples * (tower.image // tower.patch) ** 2
    h = tower.hidden
    eye = Slice(tokens=patches, seq_len=patches // samples, precision="bf16", causal=False)
    one: list[Operation] = [
        layers.elementwise("vision norms, residual", eye, 2 * patches * h),
        layers.gemm("vision qkv", eye, patches, 3 * h, h),
        *layers.core(eye, tower.heads, h / tower.heads, h / tower.heads),
        layers.gemm("vision output", eye, patches, h, h),
        layers.gemm("vision mlp up", eye, patches, tower.ffn, h),
        layers.gemm("vision mlp down", eye, patches, h, tower.ffn),
    ]
    projected = layers.gemm("vision projector", eye, patches / tower.merge, model.hidden, h * tower.merge)
    return [*one * tower.layers, projected]
