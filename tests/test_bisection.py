"""Bandwidth between the halves of a fabric: maximum flow on the graph against the literature's formula."""

import networkx as nx
import pytest

from topologies import TOPOLOGIES, _fabrics
from topologies._graph import Cable, Tier, gpu_nodes
from topologies._machine import Machine, bare

WIRE = Cable(bandwidth_Bps=10e9, latency_s=1e-6)
TIER = Tier(ports=64, cable=WIRE, latency_s=3e-7)


def machine(**changes):
    values = {
        "intra_bandwidth_Bps": 450e9, "intra_latency_s": 1e-6, "intra_cables": 18, "nics": 8,
        "pcie": Cable(bandwidth_Bps=63e9), "port": Cable(bandwidth_Bps=50e9), "nic_latency_s": 6e-7,
    }  # fmt: skip
    return Machine(**values | changes)


def flow(graph, left, right):
    """Return bytes/s from one set of nodes to another, by maximum flow."""
    flows = nx.DiGraph()
    for tail, head, edge in graph.edges(data=True):
        flows.add_edge(tail, head, capacity=edge["bandwidth_Bps"])
    flows.add_edges_from(("from", node) for node in left)
    flows.add_edges_from((node, "to") for node in right)
    return nx.maximum_flow_value(flows, "from", "to")


def halves(graph):
    gpus = gpu_nodes(graph)
    return gpus[: len(gpus) // 2], gpus[len(gpus) // 2 :]


BISECTIONS = [
    (TOPOLOGIES["ring"].build(8, link=WIRE), TOPOLOGIES["ring"].bisection(8, link=WIRE)),
    (TOPOLOGIES["ring"].build(2, link=WIRE), TOPOLOGIES["ring"].bisection(2, link=WIRE)),
    (TOPOLOGIES["tree"].build(16, link=WIRE), TOPOLOGIES["tree"].bisection(16, link=WIRE)),
    (
        TOPOLOGIES["tree"].build(16, link=WIRE, arity=4, fatness=4),
        TOPOLOGIES["tree"].bisection(16, link=WIRE, arity=4, fatness=4),
    ),
    (TOPOLOGIES["star"].build(10, link=WIRE), TOPOLOGIES["star"].bisection(10, link=WIRE)),
    (
        TOPOLOGIES["nvlink_node"].build(8, machine=machine()),
        TOPOLOGIES["nvlink_node"].bisection(8, machine=machine()),
    ),
    (TOPOLOGIES["nvl72"].build(8, machine=machine()), TOPOLOGIES["nvl72"].bisection(8, machine=machine())),
    (_fabrics.build("mi300x", 8), 16 * 64e9),
    (
        _fabrics.build("torus-2d-100g", 16),
        TOPOLOGIES["torus"].bisection((4, 4), link=Cable(bandwidth_Bps=12.5e9)),
    ),
    (_fabrics.build("tpu-v4", 64), TOPOLOGIES["torus"].bisection((4, 4, 4), link=Cable(bandwidth_Bps=50e9))),
    (
        TOPOLOGIES["torus"].build(32, link=WIRE, dims=(8, 4), wrap_from=9),
        TOPOLOGIES["torus"].bisection((8, 4), link=WIRE, wrap_from=9),
    ),
    (
        TOPOLOGIES["leaf_spine"].build(32, machine=bare(WIRE), tier=TIER, per_leaf=8, spines=2),
        TOPOLOGIES["leaf_spine"].bisection(4, per_leaf=8, spines=2, port=10e9, uplink=10e9),
    ),
    (
        TOPOLOGIES["fat_tree"].build(16, machine=bare(WIRE), tier=TIER, k=4),
        TOPOLOGIES["fat_tree"].bisection(4, bandwidth=10e9),
    ),
    (
        TOPOLOGIES["fat_tree"].build(32, machine=bare(WIRE), tier=TIER, k=4, oversubscription=2),
        TOPOLOGIES["fat_tree"].bisection(4, bandwidth=10e9),
    ),
    (
        TOPOLOGIES["rail_optimized"].build(
            64, machine=machine(), tier=Tier(ports=8, cable=Cable(bandwidth_Bps=50e9))
        ),
        TOPOLOGIES["rail_optimized"].bisection(64, machine=machine()),
    ),
    (
        TOPOLOGIES["wide_area"].build(12, link=WIRE, wan=Cable(bandwidth_Bps=1e9), sites=4),
        TOPOLOGIES["wide_area"].bisection(4, wan=Cable(bandwidth_Bps=1e9)),
    ),
    (_fabrics.build("pcie-box-a100", 8), 48e9),
]


@pytest.mark.parametrize(("graph", "formula"), BISECTIONS, ids=lambda value: getattr(value, "name", ""))
def test_bisection_is_what_the_formula_says(graph, formula):
    assert flow(graph, *halves(graph)) == pytest.approx(formula, rel=1e-12)


def test_dragonfly_bisection_between_whole_groups():
    graph = TOPOLOGIES["dragonfly"].build(32, machine=bare(WIRE), tier=TIER, routers=4, hosts=2, uplinks=2)
    routers = [node for node in graph if node[0] == "router"]
    left = [node for node in routers if node[1] < 2]
    right = [node for node in routers if node[1] >= 2]
    formula = TOPOLOGIES["dragonfly"].bisection(4, routers=4, uplinks=2, bandwidth=10e9)
    assert flow(graph, left, right) == pytest.approx(formula)


@pytest.mark.parametrize(("workers", "servers"), [(8, 2), (2, 8), (5, 5)])
def test_parameter_server_gives_the_narrower_side(workers, servers):
    module = TOPOLOGIES["parameter_server"]
    graph = module.build(workers, link=WIRE, servers=servers)
    ends = [[node for node in graph if node[0] == kind] for kind in ("gpu", "server")]
    assert flow(graph, *ends) == pytest.approx(module.bisection(workers, link=WIRE, servers=servers))
