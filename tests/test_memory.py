"""Memory of a step: cited formulas, conservation, order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.accounting import activations, weights
from simulator.accounting.activations import Held, kept
from simulator.accounting.memory import STRATEGIES, account, fullest, in_flight, states
from simulator.accounting.plan import Plan
from simulator.accounting.plan import of as plan_of
from simulator.accounting.weights import Count
from workloads.layers import Slice
from workloads.layout import Layout
from workloads.model import Model, find, gpt, names
from workloads.schedules import SCHEDULES
from workloads.training import Training
from workloads.transformer import mtp_parameters, parameters

GPT3 = gpt("gpt3", layers=96, hidden=12288, heads=96, vocab=51200, context=2048)


def plan(model: Model, layout: Layout, **changes) -> Plan:
    usual = {"microbatch": 1, "seq_len": 2048, "microbatches": 8}
    return Plan(model=model, layout=layout, **(usual | changes))


def held(tokens=2048.0, seq_len=2048, tp=1, sp=False, attention="unfused", dropout=True, **rest) -> Held:
    cut = Slice(
        tokens=tokens, seq_len=seq_len, tp=tp, etp=tp, sequence_parallel=sp, attention=attention, **rest
    )
    return Held(cut=cut, dropout=dropout)


# --- cited formulas -------------------------------------------------------------------------------


@given(
    tokens=st.integers(1, 4096),
    heads=st.integers(1, 16),
    width=st.sampled_from([64, 128]),
    tp=st.sampled_from([1, 2, 4]),
)
def test_korthikanti_formulas(tokens, heads, width, tp):
    """arXiv:2205.05198, equations 1 to 6: 2-byte activations, 1-byte masks, GELU, biases."""
    heads *= tp
    h = heads * width
    model = gpt("gpt", layers=1, hidden=h, heads=heads, vocab=1000, context=tokens)
    kind, sbh, scores = model.layer_kinds()[0], tokens * h, 5 * heads * tokens / h

    def layer(sp: bool, recompute: str) -> float:
        at = held(tokens, tokens, tp, sp)
        return kept(model, kind, at, recompute=recompute)

    assert layer(False, "none") == pytest.approx(sbh * (10 + 24 / tp + scores / tp))
    assert layer(True, "none") == pytest.approx(sbh / tp * (34 + scores))
    assert layer(True, "selective") == pytest.approx(34 * sbh / tp)
    assert layer(False, "full") == 2 * sbh


def test_worked_values():
    """formulas.md 6.3 and 6.4, 4.4."""
    kind = GPT3.layer_kinds()[0]
    none = [
        kept(GPT3, kind, held(tp=tp, sp=sp), recompute="none")
        for tp, sp in ((1, False), (8, False), (8, True))
    ]
    assert none == [2868903936, 578813952, 358612992]
    assert kept(GPT3, kind, held(tp=8, sp=True), recompute="selective") == 106954752
    assert kept(GPT3, kind, held(tp=8), recompute="full") == 50331648
    interleaved = plan(GPT3, Layout(pp=8, vpp=4), schedule="interleaved", microbatches=64)
    assert in_flight(interleaved, 0) / 8 == pytest.approx(1.21875)


@pytest.mark.parametrize(
    ("strategy", "total"),
    [("ddp", 1.2e11), ("zero1", 3.140625e10), ("zero2", 1.6640625e10), ("zero3", 1.875e9)],
)
def test_zero_paper(strategy, total):
    """arXiv:1910.02054, figure 1: 7.5B parameters on 64 GPUs take 120, 31.4, 16.6 and 1.9 GB."""
    at = plan(GPT3, Layout(dp=64), strategy=strategy, grad_bytes=2)
    assert sum(states(at, Count(sliced=7.5e9))) == total


@pytest.mark.parametrize("ranks", [1, 8, 64])
def test_distributed_optimizer(ranks):
    """Megatron-LM, dist_optimizer.md: 18 bytes a parameter, 6 + 12/d where it is sharded; FSDP 16/d."""
    layout = Layout(dp=ranks)
    found = {
        strategy: sum(states(plan(GPT3, layout, strategy=strategy), Count(sliced=1.0)))
        for strategy in ("ddp", "zero1", "fsdp")
    }
    assert found == pytest.approx({"ddp": 18, "zero1": 6 + 12 / ranks, "fsdp": 16 / ranks})


@pytest.mark.parametrize(("name", "saved"), [("megatron-175b", 0.70), ("megatron-530b", 0.65)])
def test_what_selective_recomputation_saves(name, saved):
    """arXiv:2205.05198, section 5: 70 % of GPT-3's activations, 65 % of MT-NLG's."""
    model = find(name)
    none, some = (
        kept(model, model.layer_kinds()[0], held(tp=8, sp=True), recompute=how)
        for how in ("none", "selective")
    )
    assert 1 - some / none == pytest.approx(saved, abs=0.01)


# --- conservation and order -----------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_ranks_hold_the_whole_model(name):
    """However it is spread, the weights of all ranks are the model's, an untied head and copies apart."""
    model = find(name)
    layers = model.encoder_layers + model.layers
    pp = 2 if layers > 1 else 1
    split = (layers - layers // 2, layers // 2) if pp == 2 else ()
    for layout in (Layout(), Layout(pp=pp), Layout(dp=4, ep=4) if model.experts % 4 == 0 else Layout(dp=4)):
        at = plan(
            model, layout, stage_layers=split if layout.pp == 2 else (), prediction=bool(model.mtp_layers)
        )
        held_here = sum(stage.weights / 2 for stage in account(at))
        once = parameters(model) + (model.vocab * model.hidden if model.tied and layout.pp == 2 else 0)
        once += mtp_parameters(model) if at.prediction else 0
        if layout.ep > 1:
            counts = [weights.layer(model, k) for k in (*model.encoder_kinds(), *model.layer_kinds())]
            once -= 3 / 4 * sum(count.experts for count in counts)
            once -= 3 / 4 * weights.prediction(model).experts if at.prediction else 0
        assert held_here == pytest.approx(once)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_schedules_hold_every_layer(schedule):
    """DualPipe holds the model twice, DeepSeek-V3, table 2."""
    model, vpp = find("llama3-70b"), 5 if schedule == "interleaved" else 1
    at = plan(model, Layout(pp=4, vpp=vpp), schedule=schedule, microbatches=16)
    assert sum(stage.weights / 2 for stage in account(at)) == at.copies * parameters(model)
    assert at.copies == (2 if schedule == "dualpipe" else 1)


def test_plan_of_a_training_step():
    layout = Layout(tp=8, pp=4, dp=2)
    training = Training(model=find("llama3-70b"), layout=layout, microbatch=1, global_batch=16, seq_len=4096)
    made = plan_of(training, optimizer="adam-bf16")
    same = plan(training.model, layout, seq_len=4096, sequence_parallel=True, attention="cudnn")
    assert made == same.replace(optimizer="adam-bf16", grad_bytes=4.0)


shapes = st.builds(
    lambda layers, heads, ffn, gated: Model(
        name="any",
        layers=4 * layers,
        hidden=64 * 8 * heads,
        heads=8 * heads,
        kv_heads=8,
        head_dim=64,
        ffn=512 * ffn,
        vocab=32000,
        context=4096,
        gated=gated,
    ),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 32),
    st.booleans(),
)


@settings(max_examples=40)
@given(model=shapes, tp=st.sampled_from([1, 2, 4]), pp=st.sampled_from([1, 2, 4]), dp=st.sampled_from([2, 8]))
def test_more_sharding_needs_less(model, tp, pp, dp):
    base = plan(model, Layout(tp=tp, pp=pp, dp=dp), strategy="ddp", sequence_parallel=tp > 1)

    def bytes_of(**changes) -> float:
        return fullest(account(base.replace(**changes))).allocated

    ladder = [bytes_of(strategy=name, grad_bytes=2) for name in ("ddp", "zero1", "zero2")]
    assert ladder == sorted(ladder, reverse=True)
    assert len(set(ladder)) == 3
    kept_bytes = [
        fullest(account(base.replace(recompute=how, attention="unfused"))).activations
        for how in ("none", "selective", "full")
    ]
    assert kept_bytes == sorted(kept_bytes, reverse=True)
    assert len(set(kept_bytes)) == 3
    assert bytes_of(layout=Layout(tp=2 * tp, pp=pp, dp=dp), sequence_parallel=True) < bytes_of()
    assert bytes_of(layout=Layout(tp=tp, pp=pp, dp=dp, cp=2)) < bytes_of()
    assert bytes_of(microbatch=2) > bytes_of()


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_parts_add_up(strategy):
    for stage in account(plan(GPT3, Layout(tp=8, pp=8, dp=2), strategy=strategy)):
        assert sum(stage.parts().values()) == pytest.approx(stage.total)
        assert min(stage.parts().values()) >= 0
        assert stage.allocated < stage.total


def test_ends_carry_embedding_and_head():
    stages = account(plan(find("llama3-70b"), Layout(pp=4, dp=2), microbatches=4))
    assert stages[0].weights > stages[1].weights == stages[2].weights < stages[3].weights
    assert [bool(stage.logits) for stage in stages] == [False, False, False, True]
    flying = [stage.activations for stage in stages]
    assert flying == pytest.approx([flying[3] * n for n in (4, 3, 2, 1)])


def test_shard_group_smaller_than_the_replicas():
    model = find("llama3-8b")
    whole, part = (account(plan(model, Layout(dp=16, shard=shard), strategy="hsdp"))[0] for shard in (0, 8))
    assert part.optimizer == 2 * whole.optimizer
    assert part.weights == 2 * whole.weights


def test_vision_tower_stands_on_the_first_stage():
    model = next(m for m in map(find, names()) if m.vision is not None and m.layers % 2 == 0)
    first, last = account(plan(model, Layout(pp=2), microbatches=1))
    more = account(plan(model, Layout(pp=2), microbatches=1, microbatch=2))
    assert first.activations > last.activations
    assert more[0].activations == pytest.approx(2 * first.activations)


def test_experts_take_the_load_of_the_fullest():
    model = find("deepseek-v3")
    layout = Layout(dp=8, ep=8, etp=1)
    even, uneven = (account(plan(model, layout, load=load))[0].activations for load in (1.0, 1.5))
    kind = model.layer_kinds()[-1]
    rows = 2048 * 8 * (7168 * 2 + 3 * 2048 * 2)  # input, both gates, their product; bf16
    assert uneven - even == pytest.approx(0.5 * rows * model.moe_layers)
    assert sum(t.bytes for t in activations.layer(model, kind, held(attention="flash", dropout=False))) > rows
