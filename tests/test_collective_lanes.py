"""Collectives as lanes: the same times and bytes as flow by flow, and tables that messages do not fill."""

from math import inf, isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator.engine._collective_lanes as module
import simulator.engine._collective_memory as memory
from simulator.collectives import COLLECTIVES
from simulator.collectives._alpha_beta import SWITCH, Message
from simulator.engine._collective_alike import alike
from simulator.engine._collective_lanes import lanes_of, messages_of
from simulator.engine._collective_sheet import Sheet
from simulator.engine._collective_stream import WIDE, Stream
from simulator.engine.channels import run_rings, turned
from simulator.engine.collective import run
from simulator.engine.collective_plan import lay
from simulator.errors import CommsimError, InfeasibleError
from simulator.network import core
from simulator.network.flows import replay
from simulator.planning.place import Fabric
from tests._collective_checks import CASES
from topologies._routing import Router

FABRICS = {name: Fabric(name) for name in ("leaf-spine-400g", "star-100g", "dgx-h100-ib400")}
ALIKE = [
    "direct_all_gather",
    "direct_all_to_all",
    "direct_reduce_scatter",
    "one_shot_all_reduce",
    "pairwise_all_to_all",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
]
CONDITIONS = {
    "fabric": st.sampled_from(sorted(FABRICS)),
    "ranks": st.integers(2, 33),
    "size": st.one_of(st.just(0), st.integers(1, 10**9)),
    "alpha": st.sampled_from([0.0, 3e-6]),
    "gamma": st.sampled_from([0.0, 4e-12]),
}


def plans_of(name, fabric, ranks, size, alpha, gamma, *, channels=1, **chosen):
    room = ranks + 3  # for servers
    graph = FABRICS[fabric].graph(-(-room // 8) * 8 if fabric.startswith("dgx") else room)
    router = Router(graph, "rail") if "rails" in graph.graph else None
    settings_ = {"alpha": alpha, "gamma": gamma, "router": router, **chosen}
    if channels == 1:
        return [lay(graph, COLLECTIVES[name], ranks, size, **settings_)]
    orders = [turned(ranks, 8, channel) for channel in range(channels)]
    return [lay(graph, COLLECTIVES[name], ranks, size, placement=one, **settings_) for one in orders]


def by_flows(plans):
    links = {name: link for plan in plans for name, link in plan.links().items()}
    flows = [flow for number, plan in enumerate(plans) for flow in plan.messages(number)]
    return replay(links, flows, solver="plain")


def followed(plans):
    """Return lanes of messages that were followed one by one, and their links."""
    sheet = Sheet()
    for plan in plans:
        Stream(plan, sheet).written()
    return sheet.edges, sheet.made()


def check(plans):
    expected = by_flows(plans)
    edges, lanes = followed(plans)
    for ran in (core.run(lanes), core.run(lanes_of(plans))):
        assert isclose(ran.makespan, expected.makespan, rel_tol=1e-12)
    ran = core.run(lanes)
    for edge, size in zip(edges, ran.carried.tolist(), strict=True):
        assert isclose(size, expected.carried[edge], rel_tol=1e-9)


@pytest.mark.parametrize(("name", "chosen"), CASES)
@given(**CONDITIONS)
@settings(max_examples=3, deadline=None)
def test_lanes_take_as_long_as_flows(name, chosen, fabric, ranks, size, alpha, gamma):
    try:
        plans = plans_of(name, fabric, ranks, size, alpha, gamma, **chosen)
    except CommsimError:  # a shape, or a switch that reduces, that this fabric does not have
        return
    check(plans)


@pytest.mark.parametrize("name", ["ring_all_gather", "ring_all_reduce", "ring_reduce_scatter"])
@given(
    machines=st.integers(2, 4),
    size=st.integers(0, 10**9),
    channels=st.integers(2, 8),
    gamma=CONDITIONS["gamma"],
)
@settings(max_examples=2, deadline=None)
def test_rings_side_by_side(name, machines, size, channels, gamma):
    check(plans_of(name, "dgx-h100-ib400", 8 * machines, size, 3e-6, gamma, channels=channels))


@pytest.mark.parametrize("name", ALIKE)
def test_a_formula_says_what_the_steps_say(name):
    plan = plans_of(name, "leaf-spine-400g", 40, 7e8, 1e-6, 0.0)[0]
    form = alike(plan)
    phases = list(plan.phases())
    assert (form.phases, form.messages) == (len(phases), sum(map(len, phases)))
    assert {message.size for phase in phases for message in phase} == {form.each}
    assert isclose(form.sent(), plan.loads.sent(), rel_tol=1e-12)
    _, lanes = followed([plan])
    written = lanes_of([plan])
    assert written.messages == lanes.messages == form.messages
    both = [core.run(one) for one in (written, lanes)]
    assert isclose(both[0].makespan, both[1].makespan, rel_tol=1e-12)
    np.testing.assert_allclose(np.sort(both[0].finish), np.sort(both[1].finish), rtol=1e-12)


@pytest.mark.parametrize("name", ["direct_all_to_all", "pairwise_all_to_all", "ring_all_reduce"])
def test_a_run_counts_what_its_messages_put_on_links(name):
    graph = FABRICS["leaf-spine-400g"].graph(50)
    found = run(graph, COLLECTIVES[name], 50, 7e8, fidelity="messages")
    formula = run(graph, COLLECTIVES[name], 50, 7e8)
    assert (found.steps, found.messages) == (formula.steps, formula.messages)
    assert isclose(found.volume_bytes_per_rank, formula.volume_bytes_per_rank, rel_tol=1e-12)
    assert found.link_bytes.keys() == formula.link_bytes.keys()
    for edge, size in formula.link_bytes.items():
        assert isclose(found.link_bytes[edge], size, rel_tol=1e-9)


def test_loads_of_a_ring_are_those_of_its_steps():
    plan = plans_of("ring_all_reduce", "leaf-spine-400g", 12, 7e8, 0.0, 0.0)[0]
    counted = type(plan.loads).__mro__[1](plan.paths)
    for phase in plan.phases():
        counted.add(phase)
    assert (counted.phases, counted.messages) == (plan.loads.phases, plan.loads.messages)
    assert counted.link_bytes() == plan.loads.link_bytes()
    assert counted.sent() == plan.loads.sent()


@pytest.mark.parametrize("name", ["ring_all_reduce", "bidirectional_ring_all_reduce"])
def test_programmes_do_not_grow_with_messages(name):
    """Twice the ranks are twice the lanes and four times the messages, but no more to say to each."""
    lines = []
    for ranks in (16, 32):
        _, lanes = followed(plans_of(name, "star-100g", ranks, 1e6, 0.0, 0.0))
        lines.append(len(lanes.programmes.count))
        assert len(lanes.programme) <= 2 * ranks
        assert len(lanes.slots) <= 2 * ranks
    assert lines[1] <= 2 * lines[0]


class Steps:
    """An algorithm in which ranks wait for more messages than a lane could wait for one by one."""

    OP = "all_to_all"

    @staticmethod
    def steps(ranks, size):
        for _ in range(3):
            yield [
                Message(src, dst, size * (1 + src), (0,), reduces=src % 2 == 0)
                for src in range(ranks)
                for dst in range(ranks)
                if src != dst
            ]
        yield [Message(rank, SWITCH, size, (0,)) for rank in range(ranks)] + [
            Message(SWITCH, rank, size, (0,)) for rank in range(ranks)
        ]

    @staticmethod
    def cost(ranks, size, link):
        return 0.0


@pytest.mark.parametrize("gamma", [0.0, 1e-10])
def test_many_messages_are_waited_for_by_one_lane(gamma):
    ranks = WIDE + 3
    plan = lay(FABRICS["star-100g"].graph(ranks), Steps, ranks, 1e5, alpha=1e-6, gamma=gamma)
    check([plan])
    _, lanes = followed([plan])
    gates = np.diff(lanes.programmes.gate_start)
    assert gates[lanes.programmes.size > 0].max() <= 3  # what it sent, what it and the other received
    assert gates.max() > WIDE  # of a lane without bytes


def test_few_messages_and_a_missing_compiler_take_the_plain_way(monkeypatch):
    few = plans_of("ring_all_reduce", "star-100g", 8, 1e6, 0.0, 0.0)
    many = plans_of("ring_all_reduce", "star-100g", 40, 1e6, 0.0, 0.0)
    expected = messages_of(many)[0]
    monkeypatch.setattr(module, "_written", None)  # nobody writes lanes
    assert isclose(messages_of(few)[0], by_flows(few).makespan, rel_tol=1e-12)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert isclose(messages_of(many)[0], expected, rel_tol=1e-12)


def test_folding_changes_nothing(monkeypatch):
    graph = FABRICS["dgx-h100-ib400"].graph(32)
    given_ = {"channels": 8, "fidelity": "messages", "alpha": 3e-6, "router": Router(graph, "rail")}
    plain = run_rings(graph, COLLECTIVES["ring_all_reduce"], 32, 3e7, **given_)
    monkeypatch.setattr(module, "PAYS", 0)
    monkeypatch.setattr(module, "EACH", 0)
    folded = run_rings(graph, COLLECTIVES["ring_all_reduce"], 32, 3e7, **given_)
    assert isclose(plain.time_s, folded.time_s, rel_tol=1e-12)
    star = FABRICS["star-100g"].graph(50)
    found = run(star, COLLECTIVES["pairwise_all_to_all"], 50, 7e8, fidelity="messages")
    formula = run(star, COLLECTIVES["pairwise_all_to_all"], 50, 7e8)
    for edge, size in formula.link_bytes.items():
        assert isclose(found.link_bytes[edge], size, rel_tol=1e-9)


@pytest.mark.parametrize("name", ["pairwise_all_to_all", "ring_all_reduce", "bruck_all_to_all"])
def test_tables_that_do_not_fit_are_refused(monkeypatch, name):
    graph = FABRICS["star-100g"].graph(300 if name.startswith("bruck") else 64)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000.0)
    ranks = len([node for node in graph if node[0] == "gpu"])
    with pytest.raises(InfeasibleError, match=r"needs tables of .* are free") as raised:
        run(graph, COLLECTIVES[name], ranks, 1e6, fidelity="messages")
    assert "--fidelity fluid or formula" in raised.value.hint


def test_free_memory_is_told_or_endless():
    assert 0 < memory.free_bytes() <= inf


def test_progress_tells_how_many_messages_ended():
    told = []
    plan = plans_of("ring_all_reduce", "star-100g", 40, 1e6, 0.0, 0.0)[0]
    run(FABRICS["star-100g"].graph(40), plan.module, 40, 1e6, fidelity="messages", progress=told.append)
    assert told[-1] == 2 * 39 * 40
