"""The graph of one training step: work that no layout changes, published counts, and when things happen."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workloads.layout import Layout
from workloads.listing import rows
from workloads.model import LayerKind, Mamba, Model, Vision, gpt
from workloads.schedules import SCHEDULES
from workloads.step_graph import Block, Chunk, Collective, Compute, Operation, StepGraph, Task
from workloads.training import MODULES, Software, Training
from workloads.training_step import build
from workloads.transformer import forward_flops, parameters

BASE = {
    "name": "small", "layers": 8, "hidden": 512, "heads": 8, "kv_heads": 8, "head_dim": 64, "ffn": 1024,
    "vocab": 2048, "context": 4096,
}  # fmt: skip
MIXTURE = {"experts": 16, "topk": 2, "expert_ffn": 256, "shared_experts": 1, "shared_ffn": 256}
LATENT = {"kv_lora_rank": 128, "qk_nope_dim": 64, "qk_rope_dim": 32, "v_head_dim": 64}
SCAN = Mamba(pattern="M*-EM-M-", state=64, heads=16, head_dim=64, groups=8)
MODELS = {
    "dense": Model(**BASE, gated=True),
    "grouped": Model(**BASE | {"kv_heads": 4}),
    "window": Model(**BASE, window=64, window_every=2),
    "chunks": Model(**BASE, window=96, full_every=4, window_chunked=True),
    "latent": Model(**BASE, **LATENT, q_lora_rank=192),
    "latent, whole query": Model(**BASE, **LATENT),
    "mixture": Model(**BASE, **MIXTURE, dense_layers=2, gated=True),
    "narrow mixture": Model(**BASE, **MIXTURE, moe_latent=128),
    "hybrid": Model(**BASE, **MIXTURE, mamba=SCAN),
    "encoder, decoder": Model(**BASE | {"layers": 4}, arch="encdec", encoder_layers=4),
    "encoder": Model(**BASE, arch="encoder", tied=True),
    "image": Model(**BASE | {"vocab": 0}, arch="vit"),
    "tied": Model(**BASE, tied=True),
    "prediction": Model(**BASE, mtp_layers=2),
}
ALONE = Layout()
PIPES = [
    ("1f1b", 1, 1), ("1f1b", 4, 1), ("gpipe", 2, 1), ("interleaved", 2, 2), ("interleaved", 4, 2),
    ("zb_h1", 2, 1), ("zb_h2", 4, 1), ("zb_v", 4, 1), ("zb_v", 2, 2), ("dualpipe", 4, 1), ("dualpipe", 2, 2),
]  # fmt: skip


def training(model: Model = MODELS["dense"], layout: Layout = ALONE, **changes) -> Training:
    given = {"microbatch": 1, "global_batch": 8 * layout.dp, "seq_len": 256, "schedule": "1f1b"}
    return Training(model=model, layout=layout, **given | changes)


def run(graph: StepGraph, stage: int) -> Iterator[tuple[Task | None, Block | None, Operation]]:
    """Yield what a rank of a stage does in a step, every time that it does it."""
    about = graph.stages[stage]
    yield from ((None, None, one) for one in about.before)
    for task in about.tasks:
        for block in about.chunks[task.chunk].work.get(task.kind, ()):
            for _ in range(block.repeat):
                yield from ((task, block, one) for one in block.operations if graph.happens(one, task))
    yield from ((None, None, one) for one in about.after)


def flops(graph: StepGraph, layout: Layout) -> float:
    """Return what all ranks compute in a step."""
    ranks = layout.world // layout.pp
    return ranks * sum(
        one.flops for stage in range(layout.pp) for _, _, one in run(graph, stage) if isinstance(one, Compute)
    )


def sent(operation: Operation, layout: Layout) -> float:
    """Return the bytes that leave a rank by the best algorithms, formulas of ring and pairwise exchange."""
    ranks = layout.size(operation.axis)
    return (2 if operation.op == "all_reduce" else 1) * (ranks - 1) / ranks * operation.size


def spoken(graph: StepGraph, layout: Layout, stage: int = 0, **wanted: str) -> float:
    """Return the bytes that a rank of a stage sends in a step, in collectives with some attributes."""
    return sum(
        sent(one, layout)
        for _, _, one in run(graph, stage)
        if isinstance(one, Collective) and all(getattr(one, key) == value for key, value in wanted.items())
    )


def expected(step: Training, *, again: float = 0.0, core_back: float = 2.5) -> float:
    """Return the FLOPs of a step from the counts of the model alone; head of an encoder too."""
    model, s = step.model, step.seq_len
    source = s if model.encoder_layers else 0
    images = 0.0 if model.vision is None else 1.0
    unfused = False if step.software.attention == "unfused" else None
    found = forward_flops(model, s, source_len=source, images=images, causal=unfused)
    if model.arch == "encoder":
        found["head"] = 2.0 * s * model.hidden * model.vocab
    core = sum(value for name, value in found.items() if name.endswith("attention core"))
    core += model.layers * 4.0 * s * s * model.heads * model.head_dim if model.arch == "encdec" else 0.0
    if images:  # one image: the tower's own attention
        tower = model.vision
        core += 4.0 * tower.layers * (tower.image // tower.patch) ** 4 * tower.hidden
    every = sum(found.values())
    repeated = again * (every - found.get("head", 0.0))
    return step.global_batch * (3 * every + (core_back - 2) * core + repeated)


# --- how much is computed ---


@pytest.mark.parametrize("name", [name for name in MODELS if name != "prediction"])
def test_a_step_computes_what_the_model_counts(name):
    step = training(MODELS[name])
    graph = build(step)
    assert flops(graph, step.layout) == pytest.approx(expected(step))


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_no_layout_changes_how_much_is_computed(name, data):
    model = MODELS[name]
    schedule, pp, vpp = data.draw(st.sampled_from(PIPES))
    tp, cp, dp = (data.draw(st.sampled_from([1, 2, 4])) for _ in range(3))
    ep = data.draw(st.sampled_from([1, 2, 4])) if model.experts else 1
    etp = data.draw(st.sampled_from([0, 1])) if model.experts else 0
    assume(tp * cp * dp % (ep * (etp or tp)) == 0)
    at = Layout(tp=tp, cp=cp, dp=dp, pp=pp, vpp=vpp, ep=ep, etp=etp)
    way = data.draw(st.sampled_from(["ring", "all_gather", "ulysses"]))
    assume(way != "ulysses" or model.heads // tp % cp == 0)
    options = {
        "strategy": data.draw(st.sampled_from(["ddp", "zero1", "fsdp"])),
        "software": Software(context=way),
        "mtp": bool(model.mtp_layers),
    }
    spread = training(model, at, schedule=schedule, **options)
    alone = training(model, global_batch=8 * dp, mtp=bool(model.mtp_layers))
    assert flops(build(spread), at) == pytest.approx(flops(build(alone), alone.layout))


@pytest.mark.parametrize("tp", [1, 2, 4])
@pytest.mark.parametrize("pp", [1, 2, 8])
def test_narayanan_counts_an_iteration_with_recomputation(tp, pp):
    """SC21, arXiv:2104.04473, appendix; worked value 11.3, its batch in one data-parallel rank of 8 samples."""
    model = gpt("GPT-3", layers=96, hidden=12288, heads=96, vocab=51200, context=2048)
    at = Layout(tp=tp, pp=pp)
    step = training(model, at, seq_len=2048, recompute="full", software=Software(attention="unfused"))
    assert flops(build(step), at) * 1536 / 8 == pytest.approx(4.510970753e18, rel=1e-9)


def test_an_image_goes_through_the_tower_with_its_gradients():
    tower = Vision(
        layers=2, hidden=256, heads=4, ffn=512, patch=16, image=128, merge=4, projector_params=512**2
    )
    step = training(Model(**BASE, vision=tower))
    graph = build(step)
    assert flops(graph, step.layout) == pytest.approx(expected(step))
    assert graph.model_flops > build(training()).model_flops * 0.5
    held = optimized(graph, 0)
    assert held == parameters(step.model)


@pytest.mark.parametrize("name", MODELS)
def test_useful_work_is_what_is_done_but_for_the_scores_again(name):
    step = training(MODELS[name], mtp=bool(MODELS[name].mtp_layers))
    done = flops(build(step), step.layout)
    head = 6 * 256 * 512 * 2048 * 8 if name == "encoder" else 0  # which the published convention leaves out
    assert build(step).model_flops + head <= done <= 1.2 * (build(step).model_flops + head)


@settings(deadline=None)
@given(layers=st.integers(0, 8))
def test_full_recomputation_runs_the_forward_of_so_many_layers_again(layers):
    none, full = build(training()), build(training(recompute="full", recompute_layers=layers))
    forward = sum(
        one.flops * block.repeat
        for block in none.stages[0].chunks[0].work["F"]
        for one in block.operations
        if isinstance(one, Compute) and block.name.startswith("layer")
    )
    more = flops(full, Layout()) - flops(none, Layout())
    assert more == pytest.approx(forward * (layers or 8) / 8 * 8)


@pytest.mark.parametrize(
    ("schedule", "vpp"), [("1f1b", 1), ("interleaved", 2), ("interleaved", 4), ("zb_v", 1)]
)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_recomputed_layers_are_those_of_a_stage_whatever_its_chunks(schedule, vpp, layers):
    at = Layout(pp=2, vpp=vpp)
    graph = build(training(layout=at, schedule=schedule, recompute="full", recompute_layers=layers))
    for stage in graph.stages:
        again = sum(
            block.repeat
            for chunk in stage.chunks
            for block in chunk.work["B"]
            if any(one.name.endswith(" again") for one in block.operations)
        )
        assert again == layers


def again_in(chunk: Chunk) -> int:
    """Return of how many layers a chunk computes the projections again."""
    return sum(
        block.repeat for block in chunk.work["B"] if any(one.name == "qkv again" for one in block.operations)
    )


def repeated(graph: StepGraph) -> list[int]:
    return [sum(again_in(chunk) for chunk in stage.chunks) for stage in graph.stages]


@settings(deadline=None)
@given(data=st.data(), wanted=st.integers(1, 9))
def test_uneven_chunks_repeat_as_many_layers_as_one_would(data, wanted):
    schedule, pp, vpp = data.draw(st.sampled_from([pipe for pipe in PIPES if pipe[0] != "dualpipe"]))
    left, given_ = 8, []
    for _ in range(pp - 1):
        given_.append(data.draw(st.integers(0, left)))
        left -= given_[-1]
    at, given_ = Layout(pp=pp, vpp=vpp), (*given_, left)
    some = training(layout=at, schedule=schedule, chunk_layers=given_)
    full = build(some.replace(recompute="full", recompute_layers=wanted))
    assert repeated(full) == [min(wanted, layers) for layers in given_]
    for stage in full.stages:
        counts = [(again_in(chunk), chunk.layers) for chunk in stage.chunks]
        most = max(again for again, _ in counts)
        assert all(again >= min(layers, most - 1) for again, layers in counts), "dealt evenly"
    every = build(some.replace(recompute="selective", recompute_modules=("half_blocks",)))
    for again, layers in zip(repeated(every), given_, strict=True):
        assert layers // 2 <= again <= (layers + 1) // 2
    assert sum(chunk.layers for stage in every.stages for chunk in stage.chunks) == 8


def test_every_second_block_and_half_of_the_products():
    none, full = flops(build(training()), Layout()), flops(build(training(recompute="full")), Layout())
    for modules, extra in ((("half_blocks",), 0), (("half_products",), 1)):
        found = flops(build(training(recompute="selective", recompute_modules=modules)), Layout())
        core = sum(forward_flops(MODELS["dense"], 256)[name] for name in ("attention core",)) * 8
        assert found - none == pytest.approx((full - none - extra * core) / 2)


@pytest.mark.parametrize("way", ["ring", "ulysses"])
def test_a_fused_kernel_needs_no_selective_recomputation_and_sends_nothing_again(way):
    at = Layout(cp=2)
    for kernel, more in (("flash", False), ("unfused", True)):
        stack = Software(attention=kernel, context=way)
        none, some = (
            build(training(layout=at, software=stack, recompute=kind)) for kind in ("none", "selective")
        )
        assert (flops(some, at) > flops(none, at)) == more
        assert (spoken(some, at, axis="cp") > spoken(none, at, axis="cp")) == more


@pytest.mark.parametrize("module", MODULES)
def test_every_module_repeats_something_somewhere(module):
    model = MODELS[{"mamba": "hybrid", "mla_up_proj": "latent"}.get(module, "mixture")]
    graph = build(training(model, recompute="selective", recompute_modules=(module,)))
    assert any(one.name.endswith(" again") for _, place, _, one in graph.operations() if place == "B")


@pytest.mark.parametrize(
    ("module", "parts"),
    [
        ("mlp", {"mlp"}),
        ("shared_experts", {"shared expert"}),
        ("moe", {"experts", "router", "shared expert"}),
        ("moe_act", set()),
    ],
)
def test_a_module_repeats_its_own_products(module, parts):
    """Megatron-LM, megatron/core/transformer/transformer_config.py, recompute_modules."""
    graph = build(training(MODELS["mixture"], recompute="selective", recompute_modules=(module,)))
    names = {
        one.name
        for block in graph.stages[0].chunks[0].work["B"]
        for one in block.operations
        if one.name.endswith(" again") and "gemm" in getattr(one, "law", "")
    }
    assert {re.sub("( up| down)? again$", "", name) for name in names} == parts


def test_frozen_weights_have_no_gradients_anywhere():
    for schedule, pp, vpp in PIPES:
        for strategy in ("zero1", "fsdp", "zeropp"):
            at = Layout(pp=pp, dp=2, vpp=vpp)
            graph = build(training(layout=at, schedule=schedule, strategy=strategy, frozen=True))
            names = [one.name for _, _, _, one in graph.operations()]
            assert not [name for name in names if "weight gradient" in name or "reduction" in name]
            assert all(not stage.after for stage in graph.stages)
            gathered = any("gather" in name for name in names)
            assert gathered == (strategy != "zero1")


def test_lora_computes_four_of_six():
    """Formulas 11: 4N a token and not 6N, attention apart."""
    step = training(frozen=True)
    core = forward_flops(step.model, 256)["attention core"]
    full = forward_flops(step.model, 256)
    assert flops(build(step), step.layout) == pytest.approx(8 * (2 * sum(full.values()) + 1.5 * core))


@pytest.mark.parametrize(("tp", "padded"), [(1, 50304), (8, 51200)])
def test_the_vocabulary_is_padded_for_each_rank(tp, padded):
    """Megatron-LM pads GPT-2's 50257 words to a multiple of 128 tp."""
    graph = build(training(Model(**BASE | {"vocab": 50257}), Layout(tp=tp)))
    products = {one.shape for _, _, one in run(graph, 0) if one.name == "head"}
    assert products == {(256, padded // tp, 512)}


def test_rows_of_a_narrow_mixture_are_sorted_and_sent_narrow():
    """Experts that work in a space of 128 get rows of 128, a quarter of the model's width."""
    at, moved = Layout(dp=4, ep=4), {}
    for name in ("mixture", "narrow mixture"):
        once = list(run(build(training(MODELS[name].replace(dense_layers=0), at)), 0))
        sorted_ = sum(one.bytes for _, _, one in once if getattr(one, "law", "") == "permute")
        moved[name] = (sorted_, sum(one.size for _, _, one in once if getattr(one, "axis", "") == "ep"))
    assert moved["mixture"] == tuple(4 * some for some in moved["narrow mixture"])
    assert all(moved["mixture"])


def test_imbalance_fills_the_experts_and_the_ports_of_the_fullest_rank():
    at = Layout(dp=4, ep=4)
    even, full = (
        build(training(MODELS["mixture"], at, software=Software(imbalance=load))) for load in (1.0, 1.5)
    )

    def routed(graph: StepGraph) -> float:
        return sum(one.flops for _, _, one in run(graph, 0) if getattr(one, "law", "") == "grouped_gemm")

    assert routed(full) == pytest.approx(1.5 * routed(even))
    assert spoken(full, at, axis="ep") == pytest.approx(1.5 * spoken(even, at, axis="ep"))


# --- parameters ---


def optimized(graph: StepGraph, stage: int) -> float:
    """Return the parameters that a rank of a stage updates."""
    return sum(one.bytes for one in graph.stages[stage].after if getattr(one, "law", "") == "optimizer")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "tied"])
@pytest.mark.parametrize(("schedule", "pp", "vpp"), [pipe for pipe in PIPES if pipe[0] != "dualpipe"])
def test_stages_hold_all_parameters_once(name, schedule, pp, vpp):
    model = MODELS[name]
    graph = build(training(model, Layout(pp=pp, vpp=vpp), schedule=schedule, strategy="ddp"))
    copies = model.vocab * model.hidden if model.tied and pp > 1 and schedule != "zb_v" else 0
    assert sum(optimized(graph, stage) for stage in range(pp)) == parameters(model) + copies


@pytest.mark.parametrize(("schedule", "pp", "vpp"), PIPES)
def test_a_tied_table_on_two_stages_is_summed_up_once(schedule, pp, vpp):
    graph = build(training(MODELS["tied"], Layout(pp=pp, vpp=vpp), schedule=schedule))
    with_it = [
        stage
        for stage, about in enumerate(graph.stages)
        if any(getattr(one, "axis", "") == "embedding" for one in about.after)
    ]
    assert with_it == ([0, pp - 1] if pp > 1 and schedule != "zb_v" else [])
    for stage in with_it:
        table = [one for one in graph.stages[stage].after if getattr(one, "axis", "") == "embedding"]
        assert [one.size for one in table] == [4.0 * 2048 * 512]


def test_a_tied_table_that_is_sharded_is_summed_up_by_shards():
    sizes = {}
    for strategy in ("zero1", "fsdp"):
        graph = build(training(MODELS["tied"], Layout(pp=2, dp=4), strategy=strategy))
        sizes[strategy] = [one.size for one in graph.stages[0].after if one.name.startswith("tied")]
    assert sizes == {"zero1": [4.0 * 2048 * 512], "fsdp": [2048 * 512]}


def test_both_directions_of_dualpipe_hold_a_copy():
    """DeepSeek-V3, arXiv:2412.19437, table 2: two copies of the parameters."""
    graph = build(training(layout=Layout(pp=4), schedule="dualpipe", strategy="ddp"))
    held = [optimized(graph, stage) for stage in range(4)]
    assert sum(held) == 2 * parameters(MODELS["dense"])
    assert held == held[::-1]


def test_layers_of_prediction_exchange_their_gradients():
    model, at = MODELS["prediction"], Layout(dp=4)
    with_it, without = (build(training(model, at, strategy="ddp", mtp=mtp)) for mtp in (True, False))
    more = optimized(with_it, 0) - optimized(without, 0)
    assert more > 2 * 2 * 512**2
    volume = spoken(with_it, at, axis="dp_cp") - spoken(without, at, axis="dp_cp")
    assert volume == pytest.approx(2 * 3 / 4 * 4.0 * more)


# --- when things happen ---


@pytest.mark.parametrize(("schedule", "pp", "vpp"), PIPES)
def test_gradients_leave_after_the_last_task_that_makes_them(schedule, pp, vpp):
    at = Layout(pp=pp, vpp=vpp, dp=2)
    graph = build(training(layout=at, schedule=schedule, strategy="ddp"))
    makes = "W" if SCHEDULES[schedule].SPLIT else "B"
    for stage, about in enumerate(graph.stages):
        order = list(run(graph, stage))
        for chunk in range(len(about.chunks)):
            mine = [task for task in about.tasks if task.chunk == chunk]
            reduces = {
                task for task, _, one in order if task and task.chunk == chunk and "reduction" in one.name
            }
            assert reduces == {[task for task in mine if task.kind == makes][-1]}


@pytest.mark.parametrize(("schedule", "pp", "vpp"), PIPES)
def test_fully_sharded_gradients_follow_the_weights(schedule, pp, vpp):
    at = Layout(pp=pp, vpp=vpp, dp=2)
    graph = build(training(layout=at, schedule=schedule, strategy="fsdp"))
    makes = "W" if SCHEDULES[schedule].SPLIT else "B"
    for stage in range(pp):
        done: Counter[int] = Counter()
        for task, block, one in run(graph, stage):
            if "weight gradient" in one.name:
                done[id(block)] += 1
            if "gradient reduction" in one.name and block.name.startswith(("layer", "head")):
                assert task.kind == makes
                assert done[id(block)]


def test_backward_turns_layers_around():
    graph = build(training(MODELS["mixture"], schedule="zb_h1", layout=Layout(pp=2)))
    work = graph.stages[0].chunks[0].work
    assert [block.name for block in work["B"]] == [block.name for block in work["F"]][::-1]
    assert work["F"][0].name == "embedding"
    assert graph.stages[1].chunks[0].work["F"][-1].name == "head"


def test_a_stage_may_hold_the_head_alone():
    at = Layout(pp=3)
    for schedule in ("1f1b", "zb_h1"):
        graph = build(training(layout=at, chunk_layers=(4, 4, 0), schedule=schedule))
        assert [block.name for block in graph.stages[2].chunks[0].work["F"]] == ["head"]
        assert flops(graph, at) == pytest.approx(flops(build(training()), Layout()))


@pytest.mark.parametrize("given", [(1, 3, 2, 2), (4, 4, 0, 0)])
def test_layers_of_a_stage_stay_there_when_the_way_turns_around(given):
    graph = build(training(layout=Layout(pp=4), schedule="zb_v", chunk_layers=given))
    assert tuple(sum(chunk.layers for chunk in stage.chunks) for stage in graph.stages) == given


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(MODELS)), pipe=st.sampled_from(PIPES), tp=st.sampled_from([1, 2]),
    strategy=st.sampled_from(["ddp", "zero1", "zero2", "fsdp", "hsdp", "zeropp"]),
    precision=st.sampled_from(["bf16", "fp32", "fp8"]),
    sliced=st.booleans(),
)  # fmt: skip
def test_every_operation_is_of_a_size(name, pipe, tp, strategy, precision, sliced):
    schedule, pp, vpp = pipe
    shard = 2 if strategy in ("zero1", "hsdp", "zeropp") else 0
    at = Layout(tp=tp, dp=4, pp=pp, vpp=vpp, ep=2 if MODELS[name].experts else 1, shard=shard)
    graph = build(
        training(
            MODELS[name],
            at,
            schedule=schedule,
            strategy=strategy,
            precision=precision,
            sequence_parallel=sliced,
        )
    )
    for _, _, block, one in graph.operations():
        size = one.size if isinstance(one, Collective) else one.flops + one.bytes + one.count
        assert 0 < size < float("inf"), one
        assert block is None or block.repeat > 0
        if isinstance(one, Compute) and "gemm" in one.law:
            assert one.flops == pytest.approx(2 * one.count * one.shape[0] * one.shape[1] * one.shape[2])
    assert graph.boundary.size > 0
    hash(graph.stages[0].before)


def test_single_precision_moves_twice_the_bytes():
    at = Layout(tp=2, cp=2, pp=2)
    half, single = (build(training(layout=at, precision=name)) for name in ("bf16", "fp32"))
    assert single.boundary.size == 2 * half.boundary.size
    for axis in ("tp", "cp"):
        loss = 3 * 4 * 128 * 8  # is in single precision anyway
        small = loss if axis == "tp" else 0
        assert spoken(single, at, 1, axis=axis) - small == pytest.approx(
            2 * (spoken(half, at, 1, axis=axis) - small)
        )


# --- the listing ---


def test_rows_list_every_operation_once_and_add_up():
    at = Layout(tp=2, dp=2, pp=2)
    graph = build(training(layout=at, strategy="ddp"))
    listed = rows(graph)
    assert len(listed) == len(list(graph.operations()))
    per_task = {"before": 1, "after": 1, "F": 8, "B": 8}
    total = sum((row["flops"] or 0) * row["repeat"] * per_task[row["task"]] for row in listed)
    assert total * at.tp * at.dp == pytest.approx(flops(graph, at))
    axes = {row["axis"] for row in listed}
    assert axes == {"", "tp", "dp_cp"}
    assert {row["stage"] for row in listed} == {0, 1}
    assert all((row["flops"] is None) == bool(row["axis"]) for row in listed)


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"microbatch": 0}, "--mbs 0: must be 1 or more"),
        ({"global_batch": 9, "layout": Layout(dp=2)}, "try: --gbs 8 or 10"),
        ({"precision": "fp7"}, "--precision fp7: wanted one of"),
        ({"recompute": "some"}, "--recompute some: wanted one of none, selective, full"),
        (
            {"recompute": "selective", "recompute_modules": ("nothing",)},
            "--recompute-modules nothing: wanted",
        ),
        ({"recompute": "full", "recompute_layers": -1}, "--recompute-layers -1"),
        ({"packing": 0.0}, "packing 0.0"),
        (
            {"layout": Layout(dp=4, shard=2), "strategy": "fsdp"},
            "--shard 2: --strategy fsdp shards over all of dp x cp",
        ),
        ({"layout": Layout(dp=4, shard=2), "strategy": "ddp"}, "try: --strategy hsdp, or leave --shard out"),
        ({"seq_len": 255, "layout": Layout(cp=2)}, "does not divide over --cp 2"),
        ({"layout": Layout(dp=2, ep=2)}, "--ep 2: small has 0 experts"),
        ({"model": MODELS["mixture"], "layout": Layout(dp=3, ep=3)}, "--ep 3: small has 16 experts"),
        ({"layout": Layout(tp=3)}, "--tp 3: does not divide the 8 heads"),
        ({"layout": Layout(pp=3)}, "8 layers do not divide over 3 stages; try: --stage-layers 3,3,2"),
        ({"layout": Layout(pp=2), "chunk_layers": (4, 5)}, "--stage-layers 4,5: wanted 2 numbers"),
        ({"schedule": "2f2b"}, "--schedule 2f2b: wanted one of"),
        ({"strategy": "zero9"}, "--strategy zero9: wanted one of"),
        ({"layout": Layout(pp=2, vpp=2)}, "1f1b with 2 chunks"),
        ({"layout": Layout(pp=2), "schedule": "interleaved"}, "interleaved with 1 chunks"),
        ({"layout": Layout(pp=2, vpp=4), "schedule": "zb_v"}, "zb_v with 4 chunks"),
        ({"software": Software(context="star")}, "'star'"),
        ({"layout": Layout(tp=2, cp=8), "software": Software(context="ulysses")}, "--cp 8 with Ulysses"),
    ],
)
def test_bad_input_is_named_with_a_way_out(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        build(training(**{"model": MODELS["dense"]} | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"imbalance": 0.5}, "--imbalance 0.5: must be 1"),
        ({"imbalance": float("nan")}, "--imbalance nan"),
        ({"dispatch_width": 0.0}, "dispatch width 0.0: must be above 0"),
        ({"combine_width": -1.0}, "combine width -1.0"),
        ({"node_limit": -1}, "node limit -1: must be 0 or more"),
        ({"wide_layers": -2}, "wide layers -2"),
    ],
)
def test_software_that_cannot_be_is_named(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Software(**changes)


def test_kinds_of_a_layer_have_a_name():
    names = {row["block"] for row in rows(build(training(MODELS["chunks"])))}
    assert {"layer: chunk 96, mlp", "layer: attention, mlp"} <= names
    assert LayerKind(mixer="none", ffn="moe") in MODELS["hybrid"].layer_kinds()
