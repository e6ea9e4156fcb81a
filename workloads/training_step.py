"""(model, layout, schedule, strategy) -> the step graph of one training step."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import ModuleType

from workloads._flops import training_flops
from workloads.model import LayerKind, Model
from workloads.parallelism import data, pipeline
from workloads.parallelism.data import Held
from workloads.recomputation import policies
from workloads.schedules import SCHEDULES
from workloads.schedules._tasks import Orders
from workloads.step_graph import Block, Chunk, Collective, Compute, Kind, Operation, Stage, StepGraph
from workloads.strategies import STRATEGIES
from workloads.strategies._parts import Exchange
from workloads.training import Training
from workloads.training_ends import embed, predict, project
from workloads.training_layer import Layer, blocks, cut_of, exchanged, held

Place = tuple[int, int]  # stage, chunk
Routes = Sequence[Sequence[Place]]
Layers = tuple[tuple[LayerKind, bool], ...]  # kinds, and whether they stay in 16 bits
_ONE_GROUP = {"ddp": "shards nothing"} | dict.fromkeys(
    ("zero2", "fsdp", "zero3"), "shards over all of dp x cp: gradients of groups would not be summed up"
)


def build(training: Training) -> StepGraph:
    """Return the step graph of one training step.

    Raises
    ------
    ValueError
        Unknown plugins, layers that do not divide, a schedule that this layout cannot have.
    """
    at, software = training.layout, training.software
    schedule, chunks = _schedule(training)
    orders = _orders(training.schedule, at.pp, training.microbatches, chunks)
    routes = schedule.routes(at.pp, chunks)
    kinds = dealt(training, routes, chunks)
    fixed = Compute(name="step", law="step", variant=software.host)
    stages = []
    for stage in range(at.pp):
        built, owned = [], Held()
        for chunk in range(chunks):
            one, parameters = _chunk(training, routes, kinds, (stage, chunk), split=schedule.SPLIT)
            built.append(one)
            owned += parameters
        after = closing(training, owned, routes, stage)
        stages.append(Stage(chunks=tuple(built), tasks=orders[stage], before=(fixed,), after=after))
    useful = useful_flops(training.model, training.seq_len, mtp=training.mtp)
    return StepGraph(
        stages=tuple(stages),
        routes=routes,
        boundary=pipeline.boundary(
            cut_of(training),
            training.model.hidden,
            sliced=software.sliced_sends,
            overlap=software.p2p_overlap,
        ),
        microbatches=training.microbatches,
        tokens=float(training.global_batch * training.seq_len),
        model_flops=useful * training.global_batch,
    )


def _schedule(training: Training) -> tuple[ModuleType, int]:
    name, chunks = training.schedule, training.layout.vpp
    for plugins, flag, wanted in (
        (SCHEDULES, "--schedule", name),
        (STRATEGIES, "--strategy", training.strategy),
    ):
        if wanted not in plugins:
            raise ValueError(f"{flag} {wanted}: wanted one of {', '.join(plugins)}")
    why = _ONE_GROUP.get(training.strategy)
    if why and training.layout.size("replicate") > 1:
        raise ValueError(
            f"--shard {training.layout.shard}: --strategy {training.strategy} {why}; "
            "try: --strategy hsdp, or leave --shard out"
        )
    schedule = SCHEDULES[name]
    if chunks == 1 and len(schedule.CHUNKS) == 1:
        chunks = schedule.CHUNKS[0]
    return schedule, chunks


@lru_cache(maxsize=64)
def _orders(schedule: str, stages: int, microbatches: int, chunks: int) -> Orders:
    found: Orders = SCHEDULES[schedule].order(stages, microbatches, chunks)
    return found


@lru_cache(maxsize=1024)
def useful_flops(model: Model, seq_len: int, *, mtp: bool = False) -> float:
    """Return what training on one sample takes, nothing computed again, causal attention counted as seen.

    A model with a vision tower has an image in each sample; an encoder's sequence is as long as the decoder's.
    """
    source = seq_len if model.encoder_layers else 0
    images = 0.0 if model.vision is None else 1.0
    return training_flops(model, seq_len, source_len=source, images=images, mtp=mtp)


def dealt(training: Training, routes: Routes, chunks: int) -> dict[Place, Layers]:
    """Return the layers of each (stage, chunk): their kinds, and whether they stay in 16 bits.

    Parameters
    ----------
    training : Training
        The step.
    routes : sequence of sequence of (int, int)
        Ways of a microbatch, of its schedule.
    chunks : int
        Of a stage.

    Raises
    ------
    ValueError
        Layers that do not divide, ways that leave a chunk out.
    """
    model, stages = training.model, training.layout.pp
    kinds = (*model.encoder_kinds(), *model.layer_kinds())
    ends = training.software.wide_layers // 2
    marked = [(kind, i < ends or i >= len(kinds) - ends) for i, kind in enumerate(kinds)]
    found: dict[Place, Layers] = {}
    for route in routes:
        way = [stage for stage, _ in route]
        shares = pipeline.split(len(kinds), stages, len(route) // stages, training.chunk_layers, way=way)
        start = 0
        for place, share in zip(route, shares, strict=True):
            found[place] = tuple(marked[start : start + share])
            start += share
    if len(found) != stages * chunks:
        raise ValueError(f"--schedule {training.schedule}: its routes do not visit every chunk")
    return found


def _chunk(
    training: Training, routes: Routes, kinds: Mapping[Place, Layers], place: Place, *, split: bool
) -> tuple[Chunk, Held]:
    """Return what a stage runs of one chunk, and the parameters that it holds of it."""
    tasks: tuple[Kind, ...] = ("F", "B", "W") if split else ("F", "B")
    work: dict[Kind, list[Block]] = {task: [] for task in tasks}
    owned, entry = Held(), Exchange()
    shares = [len(some) for (stage, _), some in sorted(kinds.items()) if stage == place[0]]
    again = policies(training, shares)[place[1]]
    every = [(kind, wide, policy) for (kind, wide), policy in zip(kinds[place], again, strict=True)]
    for (kind, wide, policy), repeat in Counter(every).items():
        layer = Layer(kind=kind, wide=wide, repeat=repeat, recompute=policy)
        own = held(training, layer)
        exchange = exchanged(training, own)
        entry = entry if work["F"] else exchange
        owned += own.times(repeat)
        for task, block in blocks(training, layer, exchange, split=split).items():
            work[task].append(block)
    work["F"] = _ahead(work["F"], entry)
    work["B"].reverse()
    if any(route[0] == place for route in routes):
        owned += embed(training, work)
    if any(route[-1] == place for route in routes):
        if training.mtp:
            owned += predict(training, work)
        here = any(route[0][0] == place[0] for route in routes)
        owned += project(training, work, own=not (here and training.model.tied))
    finished: dict[Kind, tuple[Block, ...]] = {task: tuple(parts) for task, parts in work.items()}
    return Chunk(layers=len(kinds[place]), work=finished), owned


def _ahead(blocks: list[Block], exchange: Exchange) -> list[Block]:
    """Return the forward with a gather before it; each layer then gathers the next, so that one has nothing to do."""
    if not exchange.entry:
        return blocks
    first, rest = blocks[0], blocks[1:]
    idle = tuple(one for one in first.operations if one not in exchange.forward)
    found = [Block(name="first gather", operations=exchange.entry)]
    if first.repeat > 1:
        found.append(replace(first, repeat=first.repeat - 1))
    return [*found, replace(first, operations=idle, repeat=1), *rest]


def closing(training: Training, owned: Held, routes: Routes, stage: int) -> tuple[Operation, ...]:
    """Return what follows the last task of a stage: a tied table's gradients are summed up, then the strategy.

    Parameters
    ----------
    training : Training
        The step.
    owned : Held
        Parameters of a rank of the stage.
    routes : sequence of sequence of (int, int)
        Ways of a microbatch.
    stage : int
        Pipeline rank.
    """
    if training.frozen:
        return ()
    model, at, wire = training.model, training.layout, training.wire
    found: list[Operation] = []
    ends = {route[end][0] for route in routes for end in (0, -1)}
    if model.tied and model.vocab and len(ends) > 1 and stage in ends:
        size = data.tied(model, at).dense * wire.grad_bytes
        if STRATEGIES[training.strategy].STATES == "fully sharded":
            size /= at.size("shard")  # each rank has the sum of its own shard and no more
        name = "tied embedding reduction"
        found.append(Collective(name=name, op="all_reduce", axis="embedding", size=size))
    return (*found, *STRATEGIES[training.strategy].step(owned, at, wire))
