"""What tensor, sequence, context, expert and pipeline parallelism send: worked values and conserved bytes."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_training_step import BASE, LATENT, MODELS, run, sent, spoken, training
from workloads.layers import Slice
from workloads.layout import Layout
from workloads.model import LayerKind, Model, gpt
from workloads.parallelism import context, expert, pipeline, sequence, tensor
from workloads.parallelism.data import Held, embedding, head, layer
from workloads.step_graph import Collective
from workloads.strategies._parts import Exchange
from workloads.training import Software
from workloads.training_layer import Layer, blocks
from workloads.training_step import build
from workloads.transformer import parameters

PLAIN = LayerKind(mixer="attention", ffn="dense")
WIDE = gpt("wide", layers=1, hidden=8192, heads=64, vocab=1024, context=4096)


def layer_bytes(tp: int, *, sliced: bool, recompute: str = "none", model: Model = WIDE, **changes) -> float:
    """Return what a rank sends for one layer and microbatch, forward and backward."""
    at = Layout(tp=tp)
    step = training(model, at, seq_len=4096, sequence_parallel=sliced, recompute=recompute, **changes)
    kind = model.layer_kinds()[-1]
    built = blocks(step, Layer(kind=kind, wide=False, repeat=1, recompute=recompute), Exchange(), split=False)
    return sum(
        sent(one, at) for block in built.values() for one in block.operations if isinstance(one, Collective)
    )


# --- tensor and sequence ---


@pytest.mark.parametrize(("recompute", "wanted"), [("none", 469762048), ("full", 704643072)])
def test_megatron_sends_so_much_for_a_layer(recompute, wanted):
    """Worked value 5.1."""
    assert layer_bytes(8, sliced=False, recompute=recompute) == wanted


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("split", [False, True])
def test_a_sliced_sequence_sends_the_same_and_gathers_kept_slices_again(recompute, split):
    """Korthikanti et al., arXiv:2205.05198, section 4.2.2: two more gathers, hidden under input gradients."""
    whole = layer_bytes(8, sliced=False, recompute=recompute)
    gather = 7 / 8 * 2 * 4096 * 8192
    assert layer_bytes(8, sliced=True, recompute=recompute) == whole + (recompute == "none") * 2 * gather
    assert layer_bytes(8, sliced=True, recompute=recompute, frozen=True) == whole
    step = training(WIDE, Layout(tp=8), seq_len=4096)
    about = Layer(kind=PLAIN, wide=False, repeat=1, recompute="none")
    work = blocks(step, about, Exchange(), split=split)["W" if split else "B"].operations
    places = [i for i, one in enumerate(work) if one.stream == "tp"]
    assert len(places) == 2
    product = "weight" if split else "input"
    assert [work[i + 1].name for i in places] == [f"{name} {product} gradient" for name in ("mlp up", "qkv")]


@settings(deadline=None)
@given(
    tp=st.sampled_from([1, 2, 4, 8]), name=st.sampled_from(["dense", "window", "hybrid", "encoder, decoder"])
)
def test_slicing_the_sequence_changes_no_byte_of_the_forward(tp, name):
    at, totals = Layout(tp=tp, etp=1), []
    for sliced in (False, True):
        graph = build(training(MODELS[name], at, sequence_parallel=sliced))
        done = [
            one for task, _, one in run(graph, 0)
            if task and task.kind == "F" and isinstance(one, Collective) and one.axis == "tp"
        ]  # fmt: skip
        totals.append(sum(sent(one, at) for one in done if "loss" not in one.name))
    gather = 8 * (tp - 1) / tp * 2 * 256 * 512
    more = 4 * gather if name == "encoder, decoder" else 0  # each layer gathers the encoder's output too
    assert totals[1] == pytest.approx(totals[0] + more)


@pytest.mark.parametrize("sliced", [False, True])
def test_embedding_and_head_have_one_sum_each(sliced):
    """Narayanan et al., arXiv:2104.04473: the embedding is summed up forward, the head's gradient backward."""
    at = Layout(tp=4, pp=2)
    graph = build(training(layout=at, sequence_parallel=sliced))
    once = 2 * 3 / 4 * 2 * 256 * 512
    for stage, name in ((0, "embedding"), (1, "head")):
        work = graph.stages[stage].chunks[0].work
        found = {
            task: sum(
                sent(one, at) for block in blocks_ if block.name == name for one in block.operations
                if isinstance(one, Collective) and "loss" not in one.name and not one.stream
            )
            for task, blocks_ in work.items()
        }  # fmt: skip
        whole = {"embedding": {"F": once, "B": 0.0}, "head": {"F": 0.0, "B": once}}[name]
        assert found == ({"F": once / 2, "B": once / 2} if sliced else whole)


def test_the_loss_over_a_sliced_vocabulary_has_three_small_sums():
    """Shoeybi et al., arXiv:1909.08053, section 3; forward only."""
    at = Layout(tp=2)
    graph = build(training(layout=at))
    small = [(task.kind, one.size) for task, _, one in run(graph, 0) if one.name.startswith("loss ")]
    assert small == [("F", 4.0 * 256)] * 3 * 8


@pytest.mark.parametrize(("rank", "width"), [(192, 192 + 128 + 32), (0, 512 + 128 + 32)])
def test_latent_attention_gathers_its_narrow_vectors(rank, width):
    model = Model(**BASE, **LATENT, q_lora_rank=rank)
    step = training(model, Layout(tp=2))
    about = Layer(kind=model.layer_kinds()[0], wide=False, repeat=1, recompute="none")
    forward = blocks(step, about, Exchange(), split=False)["F"].operations
    gathers = [one.size for one in forward if getattr(one, "op", "") == "all_gather"]
    assert sum(gathers[:-1]) == 2 * 256 * width
    assert gathers[-1] == 2 * 256 * 512  # of the MLP


def test_one_rank_sends_nothing():
    cut = Slice(tokens=64, seq_len=64)
    found = [
        *tensor.enter(cut, 8, "a"),
        *tensor.leave(cut, 8, "a"),
        *tensor.turned(cut, 8, "a"),
        *tensor.loss(cut),
    ]
    assert not found + context.before(WIDE, PLAIN, cut) + context.after(WIDE, PLAIN, cut)
    assert not [one for _, _, one in run(build(training()), 0) if isinstance(one, Collective)]


@given(tokens=st.integers(1, 1 << 20), tp=st.integers(1, 64))
def test_norms_work_on_a_slice_of_the_sequence(tokens, tp):
    whole, sliced = (
        Slice(tokens=tokens, seq_len=tokens, tp=tp, sequence_parallel=on) for on in (False, True)
    )
    assert sequence.tokens(whole) == tokens
    assert sequence.tokens(sliced) * tp == pytest.approx(tokens)


# --- context ---


def pieces(model: Model, cut: Slice, way: str, kind: LayerKind = PLAIN) -> float:
    at = Layout(cp=cut.cp)
    found = context.before(model, kind, cut, way) + context.after(model, kind, cut, way)
    return sum(sent(one, at) for one in found)


@pytest.mark.parametrize("way", ["ring", "all_gather"])
def test_a_ring_sends_keys_and_values_around(way):
    """Worked value 5.2; the same bytes by one gather, Llama 3, arXiv:2407.21783, section 3.3.2."""
    cut = Slice(tokens=131072 / 16, seq_len=131072, cp=16)
    model = WIDE.replace(heads=64, kv_heads=8)
    assert pieces(model, cut, way) == 503316480


def test_ulysses_trades_sequence_for_heads():
    """Worked value 5.3: key and value heads as many as ranks, so that none is copied."""
    cut = Slice(tokens=131072 / 16, seq_len=131072, cp=16)
    model = WIDE.replace(heads=128, kv_heads=16, head_dim=64)
    assert pieces(model, cut, "ulysses") == 283115520


def test_ulysses_copies_heads_that_are_too_few():
    cut = Slice(tokens=1024, seq_len=4096, cp=4, tp=2)
    found = context.before(WIDE.replace(kv_heads=4), PLAIN, cut, "ulysses")
    assert [one.size for one in found] == [2 * 1024 * (32 + 2 * 4) * 128]  # 4 / tp = 2 of each, copied to 4


@pytest.mark.parametrize("kind", ["attention", "mla", "mamba"])
def test_ulysses_brings_back_as_many_rows_as_it_sent(kind):
    cut = Slice(tokens=64, seq_len=256, cp=4)
    model = MODELS["hybrid"] if kind == "mamba" else MODELS["latent"] if kind == "mla" else MODELS["dense"]
    about = LayerKind(mixer=kind, ffn="none")
    ahead, back = context.before(model, about, cut, "ulysses"), context.after(model, about, cut, "ulysses")
    assert [one.op for one in ahead + back] == ["all_to_all"] * 2
    width = {"attention": 512, "mla": 8 * 64, "mamba": 1024}[kind]
    assert back[0].size == 2 * 64 * width
    assert ahead[0].size > back[0].size


@given(window=st.integers(2, 1 << 20))
def test_a_window_needs_its_halo_only(window):
    cut = Slice(tokens=131072 / 16, seq_len=131072, cp=16)
    kind = LayerKind(mixer="attention", ffn="none", window=window)
    model = WIDE.replace(kv_heads=8)
    found = pieces(model, cut, "ring", kind)
    assert found == pytest.approx(min(503316480, 2 * (window - 1) * 1024 * 2))


def test_the_halo_of_a_window_as_worked_out():
    """Worked value 10.3."""
    cut = Slice(tokens=131072 / 16, seq_len=131072, cp=16)
    kind = LayerKind(mixer="attention", ffn="none", window=4096)
    assert pieces(WIDE.replace(kv_heads=8), cut, "ring", kind) == pytest.approx(16773120)


def test_chunks_that_end_with_blocks_need_nobody():
    cut = Slice(tokens=1024, seq_len=4096, cp=4)
    for window, share in ((256, 0), (1024, 0), (2048, 1 / 3), (4096, 1), (300, 299 / 3072)):
        kind = LayerKind(mixer="attention", ffn="none", window=window, chunked=True)
        whole = pieces(WIDE, cut, "ring")
        assert pieces(WIDE, cut, "ring", kind) == pytest.approx(share * whole)


@pytest.mark.parametrize("model", ["dense", "latent"])
def test_backward_carries_keys_values_and_their_gradients(model):
    """Liu et al., arXiv:2310.01889: twice the bytes of the forward."""
    at = Layout(cp=4)
    graph = build(training(MODELS[model], at))
    ways = {"F": 0.0, "B": 0.0}
    for task, _, one in run(graph, 0):
        if getattr(one, "axis", "") == "cp":
            ways[task.kind] += sent(one, at)
    assert ways["B"] == 2 * ways["F"] > 0


def test_ulysses_backward_sends_as_much_as_forward():
    at = Layout(cp=4)
    graph = build(training(layout=at, software=Software(context="ulysses")))
    ops = [(task.kind, one.size) for task, _, one in run(graph, 0) if getattr(one, "axis", "") == "cp"]
    assert sum(size for kind, size in ops if kind == "F") == sum(size for kind, size in ops if kind == "B")


def test_attention_to_an_encoder_that_is_spread_goes_around_too():
    at = Layout(cp=2)
    graph = build(training(MODELS["encoder, decoder"], at))
    rings = [one for _, _, one in run(graph, 0) if one.name == "key, value ring"]
    assert len(rings) == 8 * (4 + 2 * 4)


# --- experts ---

SPARSE = Model(**BASE | {"hidden": 7168}, experts=256, topk=8, expert_ffn=2048)


def test_dispatch_and_combine_as_worked_out():
    """Worked value 5.4."""
    cut, at = Slice(tokens=4096, seq_len=4096, ep=64), Layout(dp=64, ep=64)
    ways = (("dispatch", expert.WIDTHS["fp8"]), ("combine", 2.0))
    found = [one for name, width in ways for one in expert.exchange(SPARSE, cut, name, rows=8, width=width)]
    assert sum(sent(one, at) for one in found) == 700858368


def test_a_token_meets_so_many_groups():
    """Worked value 5.5; DeepSeek-V3, arXiv:2412.19437, section 3.2.2: at most four nodes."""
    assert expert.copies(SPARSE, 64, 8) == pytest.approx(5.294652, rel=1e-6)
    assert expert.copies(SPARSE, 64, 8, limit=4) == 4


@given(groups=st.sampled_from([1, 2, 4, 8, 16, 32, 64]), k=st.integers(1, 16))
def test_copies_grow_with_groups_and_never_pass_the_experts_of_a_token(groups, k):
    model = SPARSE.replace(topk=k)
    found = expert.copies(model, 64, groups)
    assert 1 - 1e-9 <= found <= min(groups, k) + 1e-9
    assert found <= expert.copies(model, 64, 2 * groups) + 1e-9


def test_padding_to_a_capacity_sends_every_place():
    """Worked value 5.6: the capacity factor is the load of the fullest."""
    model = Model(**BASE | {"hidden": 4096}, experts=64, topk=2, expert_ffn=1024)
    cut = Slice(tokens=4096, seq_len=4096, ep=64, load=1.25)
    capacity = ceil(1.25 * 2 * 4096 / 64)
    assert capacity == 160
    assert [one.size for one in expert.exchange(model, cut, "dispatch", rows=2)] == [83886080]
    assert 64 * capacity * 4096 * 2 == 83886080


@settings(deadline=None)
@given(ep=st.sampled_from([2, 4, 8]), etp=st.sampled_from([1, 2]), tp=st.sampled_from([1, 2]))
def test_what_is_dispatched_is_combined_and_comes_back(ep, etp, tp):
    at = Layout(tp=tp, dp=16, ep=ep, etp=etp)
    graph = build(training(MODELS["mixture"], at))
    for axis in ("ep", "etp"):
        by_task = {
            (kind, name): sum(
                sent(one, at) for task, _, one in run(graph, 0)
                if task and task.kind == kind and getattr(one, "axis", "") == axis and name in one.name
            )
            for kind in "FB" for name in ("dispatch", "combine")
        }  # fmt: skip
        assert len(set(by_task.values())) == 1
        assert (by_task["F", "dispatch"] > 0) == (at.size(axis) > 1)


def test_one_copy_a_node_sends_less():
    at = Layout(dp=32, ep=32)
    model = Model(**BASE, experts=64, topk=8, expert_ffn=256)
    each, once = (
        build(training(model, at, gpus_per_node=8, software=Software(deduplicated=on)))
        for on in (False, True)
    )
    assert spoken(once, at, axis="ep") / spoken(each, at, axis="ep") == pytest.approx(
        expert.copies(model, 32, 4) / 8
    )


# --- pipeline ---


@pytest.mark.parametrize(
    ("tp", "sliced", "own", "share"),
    [(1, False, True, 1), (8, False, True, 8), (8, False, False, 1), (8, True, False, 8)],
)
def test_a_boundary_passes_the_activations_of_a_rank(tp, sliced, own, share):
    """Formulas 6: bshe, 1/t of it with scatter and gather, Narayanan et al., section 4.1, or sliced anyway."""
    cut = Slice(tokens=2 * 4096, seq_len=4096, tp=tp, sequence_parallel=sliced)
    assert pipeline.boundary(cut, 8192, sliced=own).size == 2 * 4096 * 8192 * 2 / share


@given(layers=st.integers(0, 200), stages=st.integers(1, 16), chunks=st.integers(1, 4))
def test_layers_are_split_without_loss_or_refused_with_a_split_that_works(layers, stages, chunks):
    try:
        found = pipeline.split(layers, stages, chunks)
    except ValueError as fault:
        given_ = [int(n) for n in str(fault).partition("--stage-layers ")[2].split(",")]
        found = pipeline.split(layers, stages, chunks, given_)
        by_stage = [sum(found[place] for place in range(s, stages * chunks, stages)) for s in range(stages)]
        assert by_stage == given_
        assert max(given_) - min(given_) <= 1
    assert sum(found) == layers
    assert len(found) == stages * chunks


def test_given_layers_follow_the_way():
    assert pipeline.split(10, 2, 2, (4, 6), way=(0, 1, 1, 0)) == (2, 3, 3, 2)
    assert pipeline.split(10, 2, 2, (1, 2, 3, 4)) == (1, 2, 3, 4)
    with pytest.raises(ValueError, match="wanted 2 numbers that add up to 10; try: 5,5"):
        pipeline.split(10, 2, 2, (4, 5))


# --- data ---


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(MODELS)), tp=st.sampled_from([1, 2, 4]), ep=st.sampled_from([1, 2, 4]),
    etp=st.sampled_from([0, 1]),
)  # fmt: skip
def test_ranks_together_hold_every_parameter(name, tp, ep, etp):
    model = MODELS[name]
    at = Layout(tp=tp, dp=4, ep=ep, etp=etp)
    kinds = (*model.encoder_kinds(), *model.layer_kinds())
    held = sum((layer(model, kind, at) for kind in kinds), Held())
    held += embedding(model, at) + head(model, at, own=not model.tied)
    assert held.dense * tp + held.expert * ep * at.expert_tp == pytest.approx(parameters(model))
