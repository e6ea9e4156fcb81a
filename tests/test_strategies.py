"""Every way of exchanging gradients and holding parameters: one contract, published volumes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_training_step import MODELS, PIPES, run, sent, spoken, training
from workloads.layout import GROUPS, Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Collective, Compute
from workloads.strategies import STRATEGIES
from workloads.strategies._parts import Exchange, Wire
from workloads.training_step import build

STATES = {"replicated", "sharded", "fully sharded"}
SIXTEEN = Wire(grad_bytes=2.0)


def operations(exchange: Exchange) -> list[Collective]:
    parts = (exchange.entry, exchange.forward, exchange.backward_before, exchange.backward)
    return [one for part in parts for one in part]


def volume(name: str, held: Held, at: Layout, wire: Wire = SIXTEEN, **wanted: str) -> float:
    """Return the bytes that a rank sends for some parameters in a step of one microbatch."""
    exchange = STRATEGIES[name].layer(held, at, wire)
    found = [*exchange.forward, *exchange.backward_before, *exchange.backward]
    found += [one for one in STRATEGIES[name].step(held, at, wire) if isinstance(one, Collective)]
    return sum(
        sent(one, at) for one in found if all(getattr(one, key) == value for key, value in wanted.items())
    )


# --- the contract ---


@pytest.mark.parametrize("name", STRATEGIES)
@settings(deadline=None)
@given(
    dense=st.floats(1, 1e12), expert=st.sampled_from([0.0, 1e9]), dp=st.sampled_from([1, 2, 8]),
    cp=st.sampled_from([1, 2]), ep=st.sampled_from([1, 2]), shard=st.sampled_from([0, 1, 2]),
    wire=st.builds(Wire, grad_overlap=st.booleans(), param_overlap=st.booleans(), gathered=st.booleans()),
)  # fmt: skip
def test_every_strategy_keeps_the_contract(name, dense, expert, dp, cp, ep, shard, wire):
    if dp * cp % max(shard, 1) or dp * cp % ep:
        return
    at, held = Layout(dp=dp, cp=cp, ep=ep, shard=shard), Held(dense=dense, expert=expert)
    module = STRATEGIES[name]
    assert module.__doc__
    assert module.STATES in STATES
    exchange = module.layer(held, at, wire)
    after = module.step(held, at, wire)
    for one in [*operations(exchange), *(one for one in after if isinstance(one, Collective))]:
        assert one.axis in GROUPS
        assert at.size(one.axis) > 1
        assert 0 < one.size < float("inf")
    updates = [one for one in after if isinstance(one, Compute)]
    assert [one.law for one in updates] == ["optimizer"]
    assert 0 < updates[0].bytes <= dense + expert
    assert not any(one.stream for one in after)
    assert all(one.stream for one in (*exchange.forward, *exchange.backward_before, *exchange.backward))
    assert not any(one.stream for one in exchange.entry)
    if exchange.entry:
        assert [one.size for one in exchange.entry] == [one.size for one in exchange.forward]
    if module.STATES == "replicated":
        assert updates[0].bytes == dense + expert


@pytest.mark.parametrize("name", STRATEGIES)
def test_one_replica_exchanges_nothing(name):
    assert not operations(STRATEGIES[name].layer(Held(dense=1e9), Layout(tp=8), Wire()))
    step = STRATEGIES[name].step(Held(dense=1e9), Layout(tp=8), Wire())
    assert [one.law for one in step if isinstance(one, Compute)] == ["optimizer"]
    assert len(step) == 1


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("overlap", [False, True])
def test_no_byte_depends_on_when_it_is_sent(name, overlap):
    at, held = Layout(dp=8), Held(dense=1e9)
    wire = Wire(grad_overlap=overlap, param_overlap=overlap)
    assert volume(name, held, at, wire) == volume(name, held, at, Wire())


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_gradient_is_reduced_over_all_replicas(name):
    """The product of the groups that reduce is the number of replicas."""
    for shard in (0, 2, 4):
        at = Layout(dp=8, shard=shard)
        exchange = STRATEGIES[name].layer(Held(dense=1e9), at, Wire())
        ranks = 1
        for one in exchange.backward:
            ranks *= at.size(one.axis)
        assert ranks == (at.size("shard") if name in ("zero2", "fsdp", "zero3") else 8)


# --- published volumes ---


@pytest.mark.parametrize("name", ["ddp", "zero1", "zero2"])
def test_gradients_of_a_replica_as_worked_out(name):
    """Worked value 4.1; ZeRO stages 1 and 2 exchange the same, arXiv:1910.02054, section 7."""
    assert volume(name, Held(dense=1.3e9), Layout(dp=64)) == 5118750000


@pytest.mark.parametrize("name", ["fsdp", "zero3"])
def test_full_sharding_exchanges_half_as_much_again(name):
    """Worked value 4.5."""
    held, at = Held(dense=8.03e9), Layout(dp=64)
    assert volume(name, held, at) == pytest.approx(4.74271875e10)
    assert volume(name, held, at) == pytest.approx(1.5 * volume("ddp", held, at))
    gathered = Wire(grad_bytes=2.0, gathered=True)
    assert volume(name, held, at, gathered) == pytest.approx(volume("ddp", held, at))


def test_hybrid_sharding_inside_and_between():
    """Worked value 4.6."""
    held, at = Held(dense=8.03e9), Layout(dp=64, shard=8)
    assert volume("hsdp", held, at, axis="shard") == pytest.approx(4.21575e10)
    assert volume("hsdp", held, at, axis="replicate") == 3513125000


@pytest.mark.parametrize("overlap", [False, True])
def test_optimizer_states_in_groups_are_summed_up_between_them(overlap):
    """As `hsdp` without the gathers for each pass: 2 (s - 1)/s inside, 2 (r - 1)/r of 1/s between."""
    held, wire = (
        Held(dense=1e9, expert=3e9),
        Wire(grad_bytes=2.0, grad_overlap=overlap, param_overlap=overlap),
    )
    at = Layout(dp=64, shard=8, ep=4)
    assert volume("zero1", held, at, wire, axis="shard") == pytest.approx(2 * 7 / 8 * 2e9)
    assert volume("zero1", held, at, wire, axis="replicate") == pytest.approx(2 * 7 / 8 * 2e9 / 8)
    assert volume("zero1", held, at, wire, axis="edp") == pytest.approx(2 * 15 / 16 * 6e9)
    assert volume("zero1", held, at, wire, axis="dp_cp") == 0
    updated = [one.bytes for one in STRATEGIES["zero1"].step(held, at, wire) if isinstance(one, Compute)]
    assert updated == [1e9 / 8 + 3e9 / 16]


def test_zeropp_sends_a_quarter_between_nodes():
    """Worked value 4.7, (p - 1)/p of it with p ranks; the second gather stays inside a node."""
    held, at = Held(dense=8e9), Layout(dp=1024, shard=8)
    share = 1023 / 1024
    assert volume("fsdp", held, Layout(dp=1024)) == pytest.approx(4.8e10 * share)
    assert volume("zeropp", held, at, axis="dp_cp") == pytest.approx(1.2e10 * share)
    assert volume("zeropp", held, at, axis="shard") == pytest.approx(7 / 8 * 1.6e10)


@pytest.mark.parametrize(
    ("name", "each", "once"), [("ddp", 0, 2), ("zero1", 0, 2), ("zero2", 1, 1), ("fsdp", 3, 0)]
)
@pytest.mark.parametrize("microbatches", [1, 4])
@pytest.mark.parametrize("model", ["dense", "tied", "hybrid", "prediction"])
def test_a_step_exchanges_so_often(name, each, once, microbatches, model):
    """Formulas 4: once a step, or 3 A times with A microbatches; nothing counted twice around embedding and head."""
    at = Layout(dp=8)
    step = training(
        MODELS[model],
        at,
        strategy=name,
        global_batch=8 * microbatches,
        wire=SIXTEEN,
        mtp=model == "prediction",
    )
    graph = build(step)
    total = sum(one.bytes for _, _, one in run(graph, 0) if getattr(one, "law", "") == "optimizer")
    total *= 1 if name == "ddp" else 8
    wanted = (each * microbatches + once) * 7 / 8 * 2 * total
    found = spoken(graph, at, axis="dp_cp") + spoken(graph, at, axis="shard") + spoken(graph, at, axis="edp")
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["zero1", "zero2"])
def test_gathers_of_updated_parameters_run_beside_the_whole_step(name):
    """A layer that comes late may still be under way when the first microbatch is through: only the step waits."""
    exchange = STRATEGIES[name].layer(Held(dense=1e9, expert=1e9), Layout(dp=8, ep=2), Wire())
    assert {(one.until, one.when) for one in exchange.forward} == {("step", "first")}
    assert not exchange.backward_before


@pytest.mark.parametrize("name", ["fsdp", "zero3", "hsdp"])
@pytest.mark.parametrize("microbatches", [1, 4])
def test_gathered_parameters_are_exchanged_once_a_step(name, microbatches):
    at = Layout(dp=8, shard=2 if name == "hsdp" else 0)
    each, once = (
        build(
            training(
                layout=at,
                strategy=name,
                global_batch=8 * microbatches,
                wire=Wire(grad_bytes=2.0, gathered=gathered),
            )
        )
        for gathered in (False, True)
    )
    one_way = spoken(once, at, axis="shard") / 2
    assert spoken(each, at, axis="shard") == pytest.approx(3 * microbatches * one_way)
    late = [one.until for _, _, one in run(once, 0) if getattr(one, "axis", "") == "shard"]
    assert set(late) == {"step"}


@pytest.mark.parametrize(("schedule", "pp", "vpp"), PIPES)
@pytest.mark.parametrize("name", ["ddp", "zero1", "fsdp"])
def test_stages_share_out_the_volume(name, schedule, pp, vpp):
    at = Layout(dp=4, pp=pp, vpp=vpp)
    wire = Wire(gathered=name == "fsdp")
    graph = build(training(layout=at, schedule=schedule, strategy=name, wire=wire))
    alone = build(training(layout=Layout(dp=4), strategy=name, wire=wire))

    def total(graph, at):
        return sum(
            spoken(graph, at, stage, axis=axis) for stage in range(at.pp) for axis in ("dp_cp", "shard")
        )

    copies = 2 if schedule == "dualpipe" else 1
    assert total(graph, at) == pytest.approx(copies * total(alone, Layout(dp=4)))


def test_experts_are_exchanged_where_they_are_alike():
    at = Layout(dp=8, ep=4)
    exchange = STRATEGIES["ddp"].layer(Held(dense=1e9, expert=4e9), at, Wire())
    assert {one.axis: one.size for one in exchange.backward} == {"dp_cp": 4e9, "edp": 1.6e10}
