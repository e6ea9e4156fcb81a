"""What collectives of a layout load on a fabric: ways, rings, bytes."""

import random
from math import gcd
from time import perf_counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine._replay_ways import Ways
from simulator.engine.bundles import Load, Traffic
from simulator.errors import InfeasibleError, UsageError
from topologies import _fabrics
from topologies._graph import Cable, add, connect, start
from topologies._routing import Router
from workloads.layout import Layout

FABRICS = (
    "dgx-h100-ib400",
    "hgx-h100-roce400",
    "aws-p4d",
    "gb200-nvl72",
    "dgx-1v-ib100",
    "mi300x-roce400",
    "fat-tree-100g",
    "leaf-spine-400g",
    "dragonfly-100g",
    "torus-2d-100g",
    "tree-100g",
    "pcie-box-l40s",
    "wide-area-10g",
)


def grown(name: str) -> nx.DiGraph:
    for gpus in (288, 64, 16, 8, 4):
        try:
            return _fabrics.build(name, gpus)
        except ValueError:
            continue
    raise AssertionError(name)


@pytest.mark.parametrize("policy", ["spread", "ecmp"])
@pytest.mark.parametrize("name", FABRICS)
def test_ways_are_as_long_as_the_router_finds_them_and_lose_no_byte(name, policy):
    graph = grown(name)
    ways, router, chance = Ways(graph, policy), Router(graph, "rail"), random.Random(1)
    for _ in range(60):
        src, dst = chance.sample(range(len(ways.gpus)), 2)
        shares = ways.shares(src, dst)
        assert sum(shares.values()) == pytest.approx(len(router.route(ways.gpus[src], ways.gpus[dst])))
        left = dict.fromkeys(graph, 0.0)
        for edge, share in shares.items():
            tail, head = ways.edges[edge]
            left[tail] += share
            left[head] -= share
        wanted = dict.fromkeys(graph, 0.0) | {ways.gpus[src]: 1.0, ways.gpus[dst]: -1.0}
        assert left == pytest.approx(wanted, abs=1e-9)
        if policy == "ecmp":
            assert set(shares.values()) == {1.0}


def test_networks_that_route_packet_by_packet_spread():
    assert Ways(_fabrics.build("dgx-h100-ib400", 16)).policy == "spread"
    assert Ways(_fabrics.build("hgx-h100-roce400", 16)).policy == "ecmp"
    with pytest.raises(ValueError, match="not one of spread, ecmp"):
        Ways(_fabrics.build("dgx-h100-ib400", 16), "best")


def test_bytes_spread_over_all_spines_in_proportion_to_their_cables():
    graph = start("by hand")
    for gpu, leaf in ((0, 0), (1, 1)):
        add(graph, ("leaf", leaf))
        connect(graph, add(graph, ("gpu", gpu), host=gpu), ("leaf", leaf), Cable(bandwidth_Bps=4.0))
    for spine, cables in ((0, 1), (1, 3)):
        add(graph, ("spine", spine))
        for leaf in range(2):
            connect(graph, ("leaf", leaf), ("spine", spine), Cable(bandwidth_Bps=1.0), cables)
    ways = Ways(graph, "spread")
    shares = {ways.edges[edge]: share for edge, share in ways.shares(0, 1).items()}
    assert shares[("leaf", 0), ("spine", 0)] == 0.25
    assert shares[("spine", 1), ("leaf", 1)] == 0.75
    assert len(set(Ways(graph, "ecmp").shares(0, 1).values())) == 1


def on(traffic: Traffic, load: Load, tail: str, head: str) -> list[float]:
    """Return the bytes on the links of a kind, per byte of the size."""
    ways = traffic.ways
    return [
        float(busy * ways.bandwidth[edge])
        for edge, busy in zip(load.edges, load.busy, strict=True)
        if (ways.edges[edge][0][0], ways.edges[edge][1][0]) == (tail, head)
    ]


def test_a_ring_in_a_machine_loads_what_leaves_each_gpu():
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 16), Layout(tp=8, dp=2))
    for op, factor in (("all_gather", 7 / 8), ("reduce_scatter", 7 / 8), ("all_reduce", 14 / 8)):
        load = traffic.load(0, "tp", op)
        assert on(traffic, load, "gpu", "nvswitch") == pytest.approx([factor] * 16)
        assert not on(traffic, load, "gpu", "nic")
    assert traffic.load(0, "tp", "all_reduce").messages == 2 * 8 * 14


def test_a_group_over_machines_uses_all_adapters_of_its_ranks():
    # Patarasuk and Yuan, JPDC 69(2), 2009: a rank sends (n - 1)/n of the array in a reduce-scatter; ring c
    # of eight leaves its machine by adapter c, so each adapter sends an eighth of that
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 16), Layout(dp=16))
    load = traffic.load(0, "dp", "reduce_scatter")
    assert on(traffic, load, "nic", "leaf") == pytest.approx([15 / 16 / 8] * 16)
    assert not on(traffic, load, "leaf", "spine")  # each hop stays on its rail
    assert on(traffic, load, "gpu", "nvswitch") == pytest.approx([15 / 16 * 7 / 8] * 16)


def test_data_parallel_groups_stay_on_their_rail():
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 64), Layout(tp=8, dp=8))
    load = traffic.load(0, "dp", "all_gather")
    assert on(traffic, load, "nic", "leaf") == pytest.approx([7 / 8] * 64)
    assert not on(traffic, load, "gpu", "nvswitch")
    assert load.unit == 7 / 8
    assert set(load.counts) == {1.0}


@settings(max_examples=25, deadline=None)
@given(ep=st.sampled_from([2, 4, 8, 16, 32]), name=st.sampled_from(["dgx-h100-ib400", "fat-tree-100g"]))
def test_all_to_all_sends_what_it_must(ep, name):
    traffic = Traffic(_fabrics.build(name, 32), Layout(dp=32, ep=ep))
    load = traffic.load(0, "ep", "all_to_all")
    first = [e for e in load.edges if traffic.ways.edges[e][0][0] == "gpu"]
    busy = dict(zip(load.edges, load.busy, strict=True))
    sent = sum(busy[edge] * traffic.ways.bandwidth[edge] for edge in first)
    inside = on(traffic, load, "gpu", "nvswitch")
    relayed = (
        sum(inside) - 32 * (min(ep, 8) - 1) / ep if inside else 0.0
    )  # over a neighbour on the right rail
    assert sent - relayed == pytest.approx(32 * (ep - 1) / ep)
    assert load.messages == 32 * (ep - 1)


def test_experts_on_other_rails_are_reached_over_a_neighbour():
    # 8 of the 15 others are in the other machine, one of them on the own rail; the rest goes over the
    # neighbour on their rail, so no byte needs a spine and each adapter sends 8/16 of the buffer
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 16), Layout(dp=16, ep=16))
    load = traffic.load(0, "ep", "all_to_all")
    assert on(traffic, load, "nic", "leaf") == pytest.approx([8 / 16] * 16)
    assert not on(traffic, load, "leaf", "spine")
    assert on(traffic, load, "gpu", "nvswitch") == pytest.approx([(7 + 7) / 16] * 16)


def test_a_boundary_sends_from_each_rank_to_its_peer():
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 32), Layout(tp=8, dp=2, pp=2))
    load = traffic.boundary(0, 1)
    ways = traffic.ways
    sending = [ways.edges[e][0][1] for e in load.edges if ways.edges[e][0][0] == "gpu"]
    assert sending == list(range(16))
    assert on(traffic, load, "leaf", "nic") == pytest.approx([1.0] * 16)
    assert list(traffic.peers(0, 1)) == [(gpu, gpu + 16) for gpu in range(16)]


def test_of_groups_over_stages_a_stage_sends_its_own_part():
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 32), Layout(tp=8, pp=4))
    first, last = (traffic.load(stage, "embedding", "all_reduce") for stage in (0, 3))
    ways = traffic.ways
    assert {ways.edges[e][0][1] for e in first.edges if ways.edges[e][0][0] == "gpu"} == set(range(8))
    assert {ways.edges[e][0][1] for e in last.edges if ways.edges[e][0][0] == "gpu"} == set(range(24, 32))
    assert not len(traffic.load(1, "embedding", "all_reduce").edges)


def test_a_placement_moves_the_traffic():
    graph = _fabrics.build("dgx-h100-ib400", 16)
    across = [8 * (rank % 2) + rank // 2 for rank in range(16)]  # neighbours on different machines
    usual, moved = (Traffic(graph, Layout(tp=2, dp=8), order) for order in (None, across))
    assert not on(usual, usual.load(0, "tp", "all_gather"), "nic", "leaf")
    assert on(moved, moved.load(0, "tp", "all_gather"), "nic", "leaf") == pytest.approx([0.5] * 16)


@settings(max_examples=30, deadline=None)
@given(
    tp=st.sampled_from([1, 2, 4]),
    cp=st.sampled_from([1, 2]),
    dp=st.sampled_from([1, 2, 4]),
    order=st.permutations(["tp", "cp", "dp", "pp"]),
    mesh=st.booleans(),
)
def test_rings_visit_every_rank_once_and_go_machine_by_machine(tp, cp, dp, order, mesh):
    layout = Layout(tp=tp, cp=cp, dp=dp, pp=32 // (tp * cp * dp), order=tuple(order))
    traffic = Traffic(_fabrics.build("mi300x-roce400" if mesh else "dgx-h100-ib400", 32), layout)
    for axis in ("tp", "cp", "dp", "dp_cp"):
        for group in traffic.groups(axis, 0):
            rings = traffic.rings(group)
            hosts = [traffic.ways.host[gpu] for gpu in group]
            for ring in rings:
                assert sorted(ring) == sorted(group)
                assert [traffic.ways.host[gpu] for gpu in ring] == hosts
            per_node = len(hosts) // len(set(hosts))
            free = sum(gcd(s, per_node) == 1 for s in range(1, per_node)) if mesh else 1
            assert len(rings) == (per_node if len(set(hosts)) > 1 else max(1, free))


def test_what_cannot_be_placed_or_sent_is_refused():
    graph = _fabrics.build("dgx-h100-ib400", 16)
    with pytest.raises(InfeasibleError, match="32 ranks"):
        Traffic(graph, Layout(dp=32))
    with pytest.raises(UsageError, match="different GPUs"):
        Traffic(graph, Layout(dp=16), [0] * 16)
    with pytest.raises(UsageError, match="no traffic is known for the operation 'gossip'"):
        Traffic(graph, Layout(dp=16)).load(0, "dp", "gossip")


def test_thousands_of_gpus_are_no_matter():
    graph, layout = _fabrics.build("dgx-h100-ib400", 2048), Layout(tp=4, pp=4, dp=128, ep=64)
    begun = perf_counter()
    traffic = Traffic(graph, layout)
    loads = [traffic.load(stage, "ep", "all_to_all") for stage in range(4)]
    loads += [traffic.load(stage, "dp", "all_gather") for stage in range(4)]
    loads += [traffic.boundary(stage, stage + 1) for stage in range(3)]
    assert perf_counter() - begun < 30  # half a second on an idle core; pair by pair it is a minute
    assert all(np.all(load.busy > 0) for load in loads)
