"""Routes: contiguous, shortest, spread evenly, the same in every run, on their rail; GPUs do not forward."""

import itertools
import subprocess
import sys
from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import TOPOLOGIES, _fabrics
from topologies._graph import Cable, Tier, gpu_nodes
from topologies._machine import bare
from topologies._routing import POLICIES, Router, mix

WIRE = Cable(bandwidth_Bps=10e9, latency_s=1e-6)
TIER = Tier(ports=64, cable=WIRE, latency_s=3e-7)
GRAPHS = {
    name: _fabrics.build(name, gpus)
    for name, gpus in (
        ("ring-100g", 9), ("torus-2d-100g", 12), ("tree-100g", 8), ("star-100g", 5), ("fat-tree-100g", 16),
        ("dragonfly-100g", 24), ("leaf-spine-400g", 80), ("wide-area-10g", 8), ("parameter-server-100g", 4),
        ("dgx-1v", 8), ("mi300x", 8), ("pcie-box-a100", 8), ("dgx-h100-ib400", 32), ("dgx-1v-ib100", 16),
        ("mi300x-roce400", 16), ("aws-p4d", 16), ("polaris", 16), ("gb200-nvl72", 144),
    )
}  # fmt: skip


def kinds(route):
    """Return the kinds of the nodes that a route passes, both ends included."""
    return [route[0][0][0]] + [head[0] for _, head in route] if route else []


def check(graph, route, src, dst):
    """A route is a walk over edges of the graph, from its source to its destination, no node twice."""
    assert route[0][0] == src
    assert route[-1][1] == dst
    assert all(graph.has_edge(*edge) for edge in route)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(route))
    nodes = [src] + [head for _, head in route]
    assert len(set(nodes)) == len(nodes)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", GRAPHS)
def test_routes_are_walks_from_end_to_end(name, policy):
    graph = GRAPHS[name]
    router = Router(graph, policy)
    gpus = gpu_nodes(graph)[:20] + gpu_nodes(graph)[-4:]
    for src, dst in itertools.product(gpus, gpus):
        route = router.route(src, dst, key=3)
        if src == dst:
            assert route == ()
        else:
            check(graph, route, src, dst)


@pytest.mark.parametrize(
    "name", ["ring-100g", "torus-2d-100g", "tree-100g", "star-100g", "fat-tree-100g", "dragonfly-100g",
             "leaf-spine-400g", "wide-area-10g", "dgx-1v", "mi300x", "pcie-box-a100"]
)  # fmt: skip
def test_routes_have_the_fewest_hops(name):
    graph = GRAPHS[name]
    router = Router(graph)
    length = dict(nx.all_pairs_shortest_path_length(graph))
    for src, dst in itertools.permutations(gpu_nodes(graph), 2):
        assert len(router.route(src, dst)) == length[src][dst]


@pytest.mark.parametrize("name", ["dgx-h100-ib400", "aws-p4d", "polaris", "dgx-1v-ib100", "mi300x-roce400"])
def test_gpus_do_not_forward_between_machines(name):
    graph = GRAPHS[name]
    router = Router(graph)
    for src, dst in itertools.permutations(gpu_nodes(graph)[:24], 2):
        between = kinds(router.route(src, dst))[1:-1]
        if graph.nodes[src]["host"] != graph.nodes[dst]["host"]:
            assert "gpu" not in between
            assert between.count("nic") == 2
        else:
            assert "nic" not in between


def test_servers_and_switches_are_ends_too():
    router = Router(GRAPHS["parameter-server-100g"])
    route = router.route(("gpu", 1), ("server", 2))
    assert route == ((("gpu", 1), ("switch", 0)), (("switch", 0), ("server", 2)))
    assert router.route(("server", 0), ("switch", 0)) == ((("server", 0), ("switch", 0)),)


def test_all_pairs_of_a_64_gpu_rail_fabric_stay_on_their_rail():
    graph = _fabrics.build("dgx-h100-ib400", 64)
    router = Router(graph, "rail")
    for src, dst in itertools.permutations(gpu_nodes(graph), 2):
        route = router.route(src, dst)
        check(graph, route, src, dst)
        nodes = [head for _, head in route]
        rails = {graph.nodes[node]["rail"] for node in nodes if node[0] in ("nic", "leaf")}
        one_machine = graph.nodes[src]["host"] == graph.nodes[dst]["host"]
        assert rails == (set() if one_machine else {graph.nodes[dst]["rail"]})
        assert not any(node[0] == "spine" for node in nodes)
        relays = [node for node in nodes[:-1] if node[0] == "gpu"]
        assert all(graph.nodes[node]["host"] == graph.nodes[src]["host"] for node in relays)
        assert len(relays) <= 1


def test_without_rails_the_same_flow_crosses_a_spine():
    graph = _fabrics.build("dgx-h100-ib400", 64)
    assert "spine" in kinds(Router(graph).route(("gpu", 0), ("gpu", 9)))
    assert "spine" not in kinds(Router(graph).route(("gpu", 0), ("gpu", 8)))


@pytest.mark.parametrize("k", [4, 6, 8])
def test_path_diversity_of_a_fat_tree(k):
    graph = TOPOLOGIES["fat_tree"].build(k**3 // 4, machine=bare(WIRE), tier=TIER, k=k)
    router = Router(graph)
    far = {router.route(("gpu", 0), ("gpu", k**3 // 4 - 1), key) for key in range(40 * k * k)}
    near = {router.route(("gpu", 0), ("gpu", k // 2), key) for key in range(20 * k)}
    assert len(far) == k * k // 4  # one for each core
    assert len(near) == k // 2  # one for each aggregation switch of the pod
    shortest = {router.route(("gpu", 0), ("gpu", k**3 // 4 - 1), key) for key in range(5)}
    assert shortest <= far


def test_flows_spread_evenly():
    graph = TOPOLOGIES["leaf_spine"].build(64, machine=bare(WIRE), tier=TIER, per_leaf=8, spines=8)
    router = Router(graph)
    count = 8000
    taken = Counter(router.route(("gpu", 0), ("gpu", 63), key)[2][0] for key in range(count))
    expected = count / 8
    chi = sum((seen - expected) ** 2 / expected for seen in taken.values())
    assert len(taken) == 8
    assert chi < 30  # 7 degrees of freedom: a fair hash is above once in 10,000


def test_shortest_policy_takes_one_way_whatever_the_key():
    graph = GRAPHS["leaf-spine-400g"]
    router = Router(graph, "shortest")
    assert len({router.route(("gpu", 0), ("gpu", 79), key) for key in range(50)}) == 1


def test_routes_do_not_depend_on_the_order_in_which_a_graph_was_written():
    graph = GRAPHS["fat-tree-100g"]
    turned = nx.DiGraph(**graph.graph)
    turned.add_nodes_from(reversed(list(graph.nodes(data=True))))
    turned.add_edges_from(reversed(list(graph.edges(data=True))))
    one, other = Router(graph), Router(turned)
    for src, dst in itertools.permutations(gpu_nodes(graph), 2):
        assert one.route(src, dst, 7) == other.route(src, dst, 7)


def test_routes_are_the_same_in_every_process():
    program = (
        "from topologies import _fabrics; from topologies._routing import Router\n"
        "router = Router(_fabrics.build('leaf-spine-400g', 2048))\n"
        "print([router.route(('gpu', 0), ('gpu', 2000), key) for key in range(20)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_two_that_are_not_connected():
    graph = TOPOLOGIES["ring"].build(4, link=WIRE)
    graph.add_node(("gpu", 4), kind="gpu", host=4)
    with pytest.raises(ValueError, match=r"no way from \('gpu', 0\) to \('gpu', 4\)"):
        Router(graph).route(("gpu", 0), ("gpu", 4))


def test_unknown_names_are_refused():
    graph = GRAPHS["star-100g"]
    with pytest.raises(ValueError, match=r"\('gpu', 99\) is not in the graph"):
        Router(graph).route(("gpu", 0), ("gpu", 99))
    with pytest.raises(ValueError, match="routing policy 'best' is not one of"):
        Router(graph, "best")


def test_gpu_forwards_where_there_is_no_other_way():
    graph = nx.DiGraph(TOPOLOGIES["star"].build(2, link=WIRE))
    graph.add_edge(("gpu", 1), ("switch", 9), bandwidth_Bps=1.0, latency_s=0.0, cables=1)
    graph.nodes[("switch", 9)]["kind"] = "switch"
    assert kinds(Router(graph).route(("gpu", 0), ("switch", 9))) == ["gpu", "switch", "gpu", "switch"]


@given(st.integers(0, 2**64 - 1))
def test_mix_changes_half_of_the_bits(value):
    flipped = [bin(mix(value) ^ mix(value ^ (1 << bit))).count("1") for bit in range(64)]
    assert 24 < sum(flipped) / 64 < 40
    assert 0 <= mix(value) < 2**64


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(0, 60))
def test_any_graph_of_gpus_is_routed_shortest(seed, nodes, extra):
    plain = nx.gnm_random_graph(nodes, min(nodes - 1 + extra, nodes * (nodes - 1) // 2), seed=seed)
    graph = nx.relabel_nodes(plain, {node: ("gpu", node) for node in plain}).to_directed()
    nx.set_node_attributes(graph, "gpu", "kind")
    router = Router(graph)
    length = dict(nx.all_pairs_shortest_path_length(graph))
    for src, dst in itertools.permutations(graph, 2):
        if dst in length[src]:
            assert len(router.route(src, dst)) == length[src][dst]
        else:
            with pytest.raises(ValueError, match="not connected"):
                router.route(src, dst)
