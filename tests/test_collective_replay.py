"""Collectives on graphs: the three fidelities against each other, what they load, where ranks sit."""

from math import isclose, prod

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives import COLLECTIVES
from simulator.collectives._alpha_beta import SWITCH, AlphaBeta, Message
from simulator.collectives._bounds import torus_all_to_all
from simulator.engine._order import phases
from simulator.engine._paths import Paths
from simulator.engine.collective import FIDELITIES, run
from simulator.engine.collective_plan import lay
from simulator.engine.placement import place
from simulator.errors import InfeasibleError, UsageError
from simulator.network.flows import Flow, Link, replay
from tests._collective_checks import CASES, idle_switch, two_levels
from topologies import leaf_spine, parameter_server, ring, torus
from topologies._graph import Cable, Tier
from topologies._machine import bare
from topologies._routing import Router

IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in chosen.items())}" for name, chosen in CASES]
CABLE = Cable(bandwidth_Bps=50e9, latency_s=1e-6)
CONTENDED = 0.25  # stated bound of fluid against messages where links are shared


def times(graph, name, ranks, size, **settings_):
    return [
        run(graph, COLLECTIVES[name], ranks, size, fidelity=fidelity, **settings_).time_s
        for fidelity in FIDELITIES
    ]


def same(found, rel_tol=1e-9):
    return all(isclose(time, found[0], rel_tol=rel_tol) for time in found)


@pytest.mark.parametrize(("name", "chosen"), CASES, ids=IDS)
@given(
    ranks=st.one_of(st.integers(2, 16), st.integers(2, 64)),
    size=st.integers(0, 10**10),
    bandwidth=st.floats(1e8, 1e12),
    latency=st.sampled_from([0.0, 3e-7, 1e-5]),
    alpha=st.sampled_from([0.0, 2e-6]),
    gamma=st.sampled_from([0.0, 4e-12]),
)
@settings(max_examples=3, deadline=None)
def test_fidelities_agree_on_an_idle_switch(name, chosen, ranks, size, bandwidth, latency, alpha, gamma):
    found = times(
        idle_switch(ranks, bandwidth, latency), name, ranks, size, alpha=alpha, gamma=gamma, **chosen
    )
    assert same(found), found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chosen"), CASES, ids=IDS)
def test_fidelities_agree_for_all_rank_counts(name, chosen):
    for ranks in range(2, 65):
        found = times(idle_switch(ranks), name, ranks, 720720, alpha=2e-6, gamma=4e-12, **chosen)
        assert same(found), (ranks, found)


@pytest.mark.parametrize("name", COLLECTIVES)
def test_the_best_packets_are_taken_from_the_graph(name):
    found = times(idle_switch(12), name, 12, 3e7, alpha=2e-6, gamma=4e-12)
    assert same(found), found
    link = AlphaBeta(2e-6 + 2.5e-6, 50e9, 4e-12)
    assert isclose(found[0], COLLECTIVES[name].cost(12, 3e7, link), rel_tol=1e-12)


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("name", COLLECTIVES)
def test_one_rank_takes_no_time(name, fidelity):
    alone = run(idle_switch(1), COLLECTIVES[name], 1, 1e9, fidelity=fidelity, alpha=1e-6)
    assert (alone.time_s, alone.messages, alone.volume_bytes_per_rank, alone.bottleneck) == (
        0.0,
        0,
        0.0,
        None,
    )


@pytest.mark.parametrize(
    "name", ["hierarchical_all_reduce", "hierarchical_all_to_all", "nvls_tree_all_reduce"]
)
@pytest.mark.parametrize(("local", "nodes"), [(2, 2), (4, 3), (8, 4), (1, 5), (6, 1)])
def test_two_levels_of_links(name, local, nodes):
    inside, between = Cable(bandwidth_Bps=450e9, latency_s=2e-7), Cable(bandwidth_Bps=50e9, latency_s=9e-7)
    graph = two_levels(local, nodes, inside, between)
    found = times(graph, name, local * nodes, 3e7, alpha=1e-6, gamma=2e-12, shape=(local, nodes))
    assert same(found), found
    if local > 1:
        assert run(graph, COLLECTIVES[name], local * nodes, 3e7, alpha=1e-6, gamma=2e-12).time_s == found[0]
    levels = [AlphaBeta(1e-6 + 4e-7, 450e9, 2e-12), AlphaBeta(1e-6 + 1.8e-6, 50e9, 2e-12)]
    expected = COLLECTIVES[name].cost(local * nodes, 3e7, levels[1], shape=(local, nodes), levels=levels)
    assert isclose(found[0], expected, rel_tol=1e-9)


@pytest.mark.parametrize("dims", [(4, 4), (3, 5), (4, 3, 3), (3, 3, 3)])
def test_torus_all_reduce_on_a_torus(dims):
    ranks = prod(dims)
    found = times(torus.build(ranks, link=CABLE, dims=dims), "torus_all_reduce", ranks, 1e9, alpha=1e-6)
    # where sides differ, the formula lets a step last as long as its busiest link; not all ranks wait for it
    assert same(found) if len(set(dims)) == 1 else same(found, 0.03), found


def test_a_ring_of_cables_carries_both_directions_at_once():
    graph = ring.build(9, link=CABLE)
    found = times(graph, "bidirectional_ring_all_reduce", 9, 1e9, alpha=1e-6)
    assert same(found)
    one_way = times(graph, "ring_all_reduce", 9, 1e9, alpha=1e-6)
    assert same(one_way)
    assert isclose(one_way[0] - 16 * 2e-6, 2 * (found[0] - 16 * 2e-6), rel_tol=1e-9)


def test_all_to_all_on_a_torus_cannot_beat_the_bisection():
    graph = torus.build(16, link=CABLE, dims=(4, 4))
    time = run(graph, COLLECTIVES["direct_all_to_all"], 16, 64e6, fidelity="messages").time_s
    assert time >= torus_all_to_all(4, 64e6, AlphaBeta(0.0, 50e9))


def test_servers_of_their_own():
    graph = parameter_server.build(6, link=CABLE, servers=2)
    plan = lay(graph, COLLECTIVES["parameter_server_all_reduce"], 6, 1e8, servers=2)
    assert {edge[1] for edge in plan.loads.link_bytes()} >= {("server", 0), ("server", 1)}
    assert same(times(graph, "parameter_server_all_reduce", 6, 1e8, servers=2, gamma=1e-12))


@pytest.mark.parametrize("oversubscription", [2.0, 4.0])
@pytest.mark.parametrize(
    "name",
    [
        "bruck_all_to_all",
        "direct_all_to_all",
        "double_binary_tree_all_reduce",
        "hierarchical_all_to_all",
        "pairwise_all_to_all",
        "rabenseifner_all_reduce",
        "recursive_doubling_all_reduce",
        "ring_all_reduce",
    ],
)
def test_fluid_stays_near_messages_where_links_are_shared(name, oversubscription):
    tier = Tier(ports=16, cable=CABLE)
    graph = leaf_spine.build(32, machine=bare(CABLE), tier=tier, oversubscription=oversubscription)
    _, fluid, messages = times(graph, name, 32, 0, alpha=1e-6)
    assert isclose(fluid, messages, rel_tol=1e-9), "without bytes nothing is shared"
    for size in (1e4, 1e8):
        _, fluid, messages = times(graph, name, 32, size, alpha=1e-6)
        assert isclose(fluid, messages, rel_tol=CONTENDED), (size, fluid, messages)


@pytest.mark.parametrize("name", ["ring_send_recv", "direct_all_to_all"])
def test_a_bundle_gets_the_share_of_its_messages(name):
    plan = lay(idle_switch(6), COLLECTIVES[name], 6, 6e8)
    port = (("gpu", 2), ("switch", 0))
    other = Flow(id="other", route=(port,), size=1e10, latency=0.0)
    flow, own = plan.bundle("bundle")
    bundled = replay(plan.links() | own, [flow, other])
    apart = replay(plan.links(), [*plan.messages("messages"), other])
    last = max(end for id_, end in apart.finish.items() if id_ != "other")
    assert isclose(bundled.finish["bundle"], last, rel_tol=1e-9)
    assert isclose(bundled.finish["other"], apart.finish["other"], rel_tol=1e-9)


@pytest.mark.parametrize(("name", "chosen"), CASES, ids=IDS)
def test_every_byte_sent_is_on_the_links(name, chosen):
    graph = idle_switch(9)
    results = [run(graph, COLLECTIVES[name], 9, 720720, fidelity=f, alpha=1e-6, **chosen) for f in FIDELITIES]
    for result in results:
        out = {edge[0]: size for edge, size in result.link_bytes.items() if edge[0][0] == "gpu"}
        into = {edge[1]: size for edge, size in result.link_bytes.items() if edge[1][0] == "gpu"}
        assert isclose(max(out.values(), default=0.0), result.volume_bytes_per_rank, rel_tol=1e-12)
        if not name.startswith(
            "nvls_tree"
        ):  # there the switch copies and adds: more or less goes in than out
            assert isclose(sum(out.values()), sum(into.values()), rel_tol=1e-12, abs_tol=0.0)
        if result.bottleneck:
            assert 0 < result.bottleneck[1] <= 1 + 1e-9
    assert results[0].link_bytes == results[1].link_bytes == results[2].link_bytes
    plan = lay(graph, COLLECTIVES[name], 9, 720720, alpha=1e-6, **chosen)
    carried = replay(plan.links(), plan.messages()).carried
    for edge, size in results[0].link_bytes.items():
        assert isclose(carried[edge], size, rel_tol=1e-9)


def test_a_slow_port_is_the_bottleneck_and_slows_a_ring():
    graph = idle_switch(8)
    slow = (("gpu", 5), ("switch", 0))
    graph.edges[slow]["bandwidth_Bps"] /= 4
    results = [
        run(graph, COLLECTIVES["ring_all_reduce"], 8, 1e9, fidelity=fidelity) for fidelity in FIDELITIES
    ]
    assert {result.bottleneck[0] for result in results} == {slow}
    assert same([result.time_s for result in results])


def test_phases_join_what_is_streamed():
    first, second = Message(0, 1, 1.0, (0,)), Message(1, 2, 1.0, (0,), streamed=True)
    assert list(phases([[second], [second], [first], [second]])) == [[second, second], [first, second]]
    assert list(phases([])) == []


def test_ranks_that_share_no_switch_cannot_reduce_in_one():
    graph = two_levels(4, 2, CABLE, CABLE)
    assert run(graph, COLLECTIVES["nvls_all_reduce"], 4, 1e6).time_s > 0
    with pytest.raises(InfeasibleError, match="next to different ones"):
        run(graph, COLLECTIVES["nvls_all_reduce"], 8, 1e6)
    with pytest.raises(InfeasibleError, match="no switch that could reduce"):
        run(ring.build(4, link=CABLE), COLLECTIVES["nvls_all_reduce"], 4, 1e6)
    # SHARP over several levels reduces in the network, beyond the adapters
    reduced = run(graph, COLLECTIVES["sharp_all_reduce"], 8, 1e6, switch_levels=2)
    assert {edge[0] for edge in reduced.link_bytes if edge[1] == ("spine", 0)} == {
        ("nic", rank) for rank in range(8)
    }


def test_switches_side_by_side_share_the_bytes():
    graph = nx.DiGraph()
    for rank in range(4):
        graph.add_node(("gpu", rank), kind="gpu")
        for plane in range(2):
            graph.add_node(("nvswitch", plane), kind="nvswitch")
            for edge in [(("gpu", rank), ("nvswitch", plane)), (("nvswitch", plane), ("gpu", rank))]:
                graph.add_edge(*edge, bandwidth_Bps=100e9, latency_s=1e-6)
    path = Paths(graph, place(graph, 4), Router(graph)).path(0, SWITCH)
    assert (path.bandwidth, path.latency, path.shares) == (200e9, 2e-6, (0.5, 0.5))
    found = times(graph, "nvls_all_reduce", 4, 1e9)
    assert same(found)
    assert isclose(
        found[0], COLLECTIVES["nvls_all_reduce"].cost(4, 1e9, AlphaBeta(2e-6, 200e9)), rel_tol=1e-12
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1.0},
        {"size": float("nan")},
        {"ranks": 0},
        {"alpha": -1e-6},
        {"gamma": float("inf")},
        {"speed": 3},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    chosen = {"ranks": 4, "size": 1e6} | wrong
    with pytest.raises(UsageError):
        run(idle_switch(4), COLLECTIVES["ring_all_reduce"], **chosen)


def test_an_unknown_fidelity_is_refused():
    with pytest.raises(UsageError, match="unknown fidelity 'packets'"):
        run(idle_switch(4), COLLECTIVES["ring_all_reduce"], 4, 1e6, fidelity="packets")


def test_a_bundle_without_bytes_only_waits():
    flow, own = lay(idle_switch(4), COLLECTIVES["dissemination_barrier"], 4, 0).bundle()
    assert (flow.size, flow.route, own) == (0.0, (), {})
    assert isclose(replay({"unused": Link(1.0)}, [flow]).makespan, 2 * 2.5e-6, rel_tol=1e-12)
