"""Every topology by what must hold: counts, degrees, bisection bandwidth, known graphs, refusals."""

import itertools
import math
from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import TOPOLOGIES, _fabrics
from topologies._graph import Cable, Tier, gpu_nodes
from topologies._machine import Machine, bare

WIRE = Cable(bandwidth_Bps=10e9, latency_s=1e-6)
TIER = Tier(ports=64, cable=WIRE, latency_s=3e-7)
COUNTS = (8, 16, 4, 72, 256)


def machine(**changes):
    values = {
        "intra_bandwidth_Bps": 450e9, "intra_latency_s": 1e-6, "intra_cables": 18, "nics": 8,
        "pcie": Cable(bandwidth_Bps=63e9), "port": Cable(bandwidth_Bps=50e9), "nic_latency_s": 6e-7,
    }  # fmt: skip
    return Machine(**values | changes)


def smallest(name):
    """Return a fabric at the first of a few counts that it can have."""
    for gpus in COUNTS:
        try:
            return _fabrics.build(name, gpus), gpus
        except ValueError:
            continue
    raise AssertionError(f"{name} can have none of {COUNTS}")


def simple(graph, kind="gpu"):
    """Return the undirected graph of the direct links between nodes of a kind."""
    return nx.Graph(graph.subgraph(node for node in graph if node[0] == kind))


@pytest.mark.parametrize("name", _fabrics.names())
def test_named_fabric_is_a_fabric(name):
    graph, gpus = smallest(name)
    assert gpu_nodes(graph) == [("gpu", rank) for rank in range(gpus)]
    assert nx.is_strongly_connected(graph)
    for node, attributes in graph.nodes(data=True):
        assert attributes["kind"] == node[0]
        assert node[0] != "gpu" or type(attributes["host"]) is int
    for tail, head, edge in graph.edges(data=True):
        assert 0 < edge["bandwidth_Bps"] < 1e14
        assert 0 <= edge["latency_s"] < 0.1
        assert type(edge["cables"]) is int
        assert edge["cables"] >= 1
        assert graph.edges[head, tail]["bandwidth_Bps"] == edge["bandwidth_Bps"]
    row = _fabrics.describe(name)
    assert graph.graph["name"] == name
    assert graph.graph["family"] == row.family
    assert row.about
    assert row.about.endswith(".")
    assert row.assumed or row.verified or row.checked == "part"
    assert nx.utils.graphs_equal(graph, _fabrics.build(name, gpus))


def test_every_family_has_a_named_fabric():
    families = {_fabrics.describe(name).family for name in _fabrics.names()}
    assert families == set(TOPOLOGIES) - {"from_file"}


@pytest.mark.parametrize(
    "name", [n for n in _fabrics.names() if _fabrics.build(n, smallest(n)[1]).graph.get("intra")]
)
def test_machine_fabric_says_what_its_machines_are(name):
    graph, gpus = smallest(name)
    about = graph.graph
    assert about["intra"] in ("nvswitch", "nvlink_mesh", "pcie", "xgmi")
    assert about["inter"] in ("infiniband", "roce", "efa", "slingshot", "tcp", "omni-path", "")
    assert about["host_cpu"] in ("intel", "amd", "arm", "")
    assert about["gpus_per_node"] <= max(gpus, 72)
    assert about["intra_bandwidth_Bps"] > 0
    assert (about["nics_per_node"] > 0) == bool(about["inter"])
    per_host = Counter(graph.nodes[gpu]["host"] for gpu in gpu_nodes(graph))
    assert set(per_host.values()) == {min(about["gpus_per_node"], gpus)}


# machines, leaves, spines, cores, cables leaf to spine and spine to core, as the vendor prints them at
# docs.nvidia.com/dgx-superpod/reference-architecture-scalable-infrastructure-b200 (DGX SuperPOD Architecture)
# and, for 32 and 96 machines, -h100 (Network Fabrics, table 4)
SUPERPOD = [
    (32, 8, 4, 0, 256, 0), (64, 16, 8, 0, 512, 0), (96, 24, 16, 0, 768, 0), (128, 32, 16, 0, 1024, 0),
    (256, 64, 32, 0, 2048, 0), (512, 128, 128, 64, 4096, 4096), (1024, 256, 256, 128, 8192, 8192),
]  # fmt: skip


@pytest.mark.parametrize(("machines", "leaves", "spines", "cores", "to_spines", "to_cores"), SUPERPOD)
def test_superpod_has_the_switches_and_cables_that_the_vendor_prints(
    machines, leaves, spines, cores, to_spines, to_cores
):
    graph = _fabrics.build("dgx-b200-ib400", machines * 8)
    kinds = Counter(node[0] for node in graph)
    cables = Counter()
    for tail, head, edge in graph.edges(data=True):
        cables[tail[0], head[0]] += edge["cables"]
    assert (kinds["leaf"], kinds["spine"], kinds["core"]) == (leaves, spines, cores)
    assert cables["nic", "leaf"] == machines * 8
    assert cables["leaf", "spine"] == to_spines
    assert cables["spine", "core"] == to_cores


@pytest.mark.parametrize("gpus", [64, 2048, 4096])
def test_no_switch_has_more_cables_than_ports(gpus):
    graph = _fabrics.build("dgx-h100-ib400", gpus)
    for node in graph:
        if node[0] in ("leaf", "spine", "core"):
            assert sum(edge["cables"] for *_, edge in graph.out_edges(node, data=True)) <= 64


@pytest.mark.parametrize(
    ("graph", "known"),
    [
        (TOPOLOGIES["ring"].build(9, link=WIRE), nx.cycle_graph(9)),
        (TOPOLOGIES["torus"].build(24, link=WIRE, dims=(4, 6)), nx.grid_graph((4, 6), periodic=True)),
        (TOPOLOGIES["torus"].build(27, link=WIRE, dimensions=3), nx.grid_graph((3, 3, 3), periodic=True)),
        (TOPOLOGIES["torus"].build(12, link=WIRE, dims=(3, 4), wrap_from=9), nx.grid_graph((3, 4))),
        (TOPOLOGIES["star"].build(7, link=WIRE), nx.star_graph(7)),
        (TOPOLOGIES["tree"].build(8, link=WIRE), nx.balanced_tree(2, 3)),
        (TOPOLOGIES["tree"].build(27, link=WIRE, arity=3), nx.balanced_tree(3, 3)),
        (_fabrics.build("mi300x", 8), nx.complete_graph(8)),
    ],
)
def test_is_the_graph_that_everybody_knows(graph, known):
    assert nx.is_isomorphic(nx.Graph(graph), known)


def test_hybrid_cube_mesh_is_two_full_quads_and_a_matching():
    mesh = simple(_fabrics.build("dgx-1v", 8))
    assert nx.is_isomorphic(mesh, nx.cartesian_product(nx.complete_graph(4), nx.complete_graph(2)))
    assert {degree for _, degree in mesh.degree(weight="cables")} == {6}
    assert {cables for *_, cables in mesh.edges(data="cables")} == {1, 2}
    cuts = [
        sum(b for u, v, b in mesh.edges(data="bandwidth_Bps") if (u in half) != (v in half))
        for half in map(set, itertools.combinations(mesh, 4))
    ]
    assert min(cuts) == TOPOLOGIES["dgx_1v"].bisection(machine=machine(intra_bandwidth_Bps=150e9)) == 150e9


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.data())
def test_fat_tree_counts(half, data):
    k = 2 * half
    gpus = data.draw(st.integers(1, k**3 // 4))
    graph = TOPOLOGIES["fat_tree"].build(gpus, machine=bare(WIRE), tier=TIER, k=k)
    kinds = Counter(node[0] for node in graph)
    assert (kinds["edge"], kinds["aggregation"], kinds["core"]) == (k * half, k * half, half * half)
    degree = Counter(dict(graph.out_degree()))
    assert all(degree[node] == k for node in graph if node[0] in ("aggregation", "core"))
    assert all(degree[node] <= k for node in graph if node[0] == "edge")
    assert graph.number_of_edges() == 2 * (gpus + k**3 // 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_torus_degrees(dims):
    graph = TOPOLOGIES["torus"].build(math.prod(dims), link=WIRE, dims=tuple(dims))
    degree = sum({1: 0, 2: 1}.get(length, 2) for length in dims)
    assert {found for _, found in graph.out_degree()} == {degree}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.data())
def test_dragonfly_groups_all_meet(routers, hosts, uplinks, data):
    groups = data.draw(st.integers(1, routers * uplinks + 1))
    graph = TOPOLOGIES["dragonfly"].build(
        groups * routers * hosts, machine=bare(WIRE), tier=TIER, routers=routers, hosts=hosts, uplinks=uplinks
    )
    between, ports = Counter(), Counter()
    for tail, head, edge in graph.edges(data=True):
        if tail[0] == head[0] == "router" and tail[1] != head[1]:
            between[tail[1], head[1]] += edge["cables"]
            ports[tail] += edge["cables"]
    assert len(between) == groups * (groups - 1)
    assert len(set(between.values())) <= 1
    assert all(used <= uplinks for used in ports.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 16), st.sampled_from([1, 2, 4, 8]), st.integers(4, 16))
def test_rail_fabric_puts_every_adapter_on_a_leaf_of_its_rail(hosts, nics, half):
    tier = Tier(ports=2 * half, cable=WIRE)
    graph = TOPOLOGIES["rail_optimized"].build(hosts * 8, machine=machine(nics=nics), tier=tier)
    for node, attributes in graph.nodes(data=True):
        if node[0] == "nic":
            (leaf,) = (other for other in graph.successors(node) if other[0] == "leaf")
            assert graph.nodes[leaf]["rail"] == attributes["rail"]
            served = [other for other in graph.successors(node) if other[0] == "gpu"]
            assert len(served) == 8 // nics
            assert {graph.nodes[gpu]["rail"] for gpu in served} == {attributes["rail"]}
    assert nx.is_strongly_connected(graph)


def test_path_latency_is_what_its_parts_say():
    graph = _fabrics.build("dgx-h100-ib400", 16)
    way = [("gpu", 0), ("nic", 0, 0), ("leaf", 0, 0), ("nic", 1, 0), ("gpu", 8)]
    waits = sum(graph.edges[edge]["latency_s"] for edge in itertools.pairwise(way))
    assert waits == pytest.approx(600e-9 + 330e-9 + 2 * 30 * 4.9e-9)  # adapters, one switch, two cables
    inside = [("gpu", 0), ("nvswitch", 0), ("gpu", 1)]
    assert sum(graph.edges[edge]["latency_s"] for edge in itertools.pairwise(inside)) == pytest.approx(
        936.25e-9
    )


def test_several_adapters_of_one_gpu_act_as_one():
    graph = _fabrics.build("aws-p5", 16)
    assert graph.graph["nics_per_node"] == 32
    assert graph.graph["nic_bandwidth_Bps"] == 12.5e9
    rates = {
        edge["bandwidth_Bps"]
        for tail, head, edge in graph.edges(data=True)
        if (tail[0], head[0]) == ("nic", "leaf")
    }
    assert rates == {50e9}


def test_part_of_each_machine():
    graph = _fabrics.build("dgx-h100-ib400", 4, gpus_per_node=1)
    assert graph.graph["gpus_per_node"] == 1
    assert [graph.nodes[gpu]["host"] for gpu in gpu_nodes(graph)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="a machine of this fabric has 8 GPUs, 9 are wanted"):
        _fabrics.build("dgx-h100-ib400", 18, gpus_per_node=9)


@pytest.mark.parametrize(
    ("name", "gpus", "fault"),
    [
        ("dgx-h100-ib400", 12, "nearest: 8, 16"),
        ("dgx-h100-ib400", 0, "gpus must be 1 or more, got 0"),
        ("dgx-h100", 9, "1 to 8 GPUs, got 9"),
        ("gb200-nvl72", 100, "nearest: 72, 144"),
        ("tpu-v4", 13, "nearest: 12, 16"),
        ("trn2", 8, "has 16 GPUs, got 8"),
        ("wide-area-10g", 7, "nearest: 6, 8"),
        ("dgx-h100-ib40", 8, "nearest: dgx-h100-ib400"),
        ("ring-100g", -1, "got -1"),
    ],
)
def test_impossible_counts_are_refused_with_the_nearest_that_work(name, gpus, fault):
    with pytest.raises(ValueError, match=fault):
        _fabrics.build(name, gpus)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.integers(1, 3))
def test_counts_named_as_nearest_do_work(gpus, dimensions):
    try:
        dims = TOPOLOGIES["torus"].balanced(gpus, dimensions)
    except ValueError as error:
        for count in str(error).partition("nearest: ")[2].split(", "):
            assert math.prod(TOPOLOGIES["torus"].balanced(int(count), dimensions)) == int(count)
    else:
        assert math.prod(dims) == gpus
        assert len(dims) == dimensions
