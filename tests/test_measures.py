"""Diameter and bandwidth between the halves: known graphs, and NetworkX's own algorithms as oracle."""

import itertools

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import TOPOLOGIES, _fabrics
from topologies._graph import Cable, add, connect, start
from topologies._measures import bisection, cables_until_cut, census, diameter, flow, wiring

WIRE = Cable(bandwidth_Bps=50e9, latency_s=1e-6)


@given(gpus=st.integers(3, 40))
def test_a_ring(gpus: int):
    ring = TOPOLOGIES["ring"].build(gpus, link=WIRE)
    assert census(ring) == {"gpu": gpus, "cables": gpus}
    assert diameter(ring) == gpus // 2
    assert bisection(ring) == 2 * WIRE.bandwidth_Bps
    assert cables_until_cut(ring) == 2


@given(gpus=st.integers(2, 40))
def test_a_star(gpus: int):
    star = TOPOLOGIES["star"].build(gpus, link=WIRE)
    assert diameter(star) == 2
    assert bisection(star) == pytest.approx(gpus // 2 * WIRE.bandwidth_Bps)


def test_one_gpu_has_nothing_to_cross():
    alone = start("alone")
    add(alone, ("gpu", 0))
    assert (diameter(alone), bisection(alone)) == (0, 0.0)
    with pytest.raises(ValueError, match="single GPU"):
        cables_until_cut(alone)


def test_a_gpu_that_cannot_be_reached_is_refused():
    apart = start("apart")
    for rank in range(2):
        add(apart, ("gpu", rank))
    with pytest.raises(ValueError, match="not connected"):
        diameter(apart)
    assert bisection(apart) == 0.0
    assert cables_until_cut(apart) == 0


@given(
    gpus=st.integers(2, 6),
    switches=st.integers(1, 4),
    rates=st.lists(st.floats(1e6, 1e12), min_size=4, max_size=4),
    data=st.data(),
)
def test_any_connected_graph_as_networkx_sees_it(gpus: int, switches: int, rates: list[float], data):
    graph = start("random")
    nodes = [add(graph, ("gpu", rank)) for rank in range(gpus)]
    nodes += [add(graph, ("switch", number)) for number in range(switches)]
    for place, node in enumerate(nodes[1:], start=1):
        for other in {0, place - 1, data.draw(st.integers(0, place - 1))}:
            connect(graph, node, nodes[other], Cable(bandwidth_Bps=data.draw(st.sampled_from(rates))))
    ends = nodes[:gpus]
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    assert diameter(graph) == max(lengths[one][other] for one in ends for other in ends)
    both = graph.copy()
    both.add_edges_from([("source", node) for node in ends[: gpus // 2]])
    both.add_edges_from([(node, "sink") for node in ends[-(gpus // 2) :]])
    expected = nx.maximum_flow_value(both, "source", "sink", capacity="bandwidth_Bps")
    rounding = graph.number_of_edges() * graph.size(weight="bandwidth_Bps") / 2**30
    assert bisection(graph) == pytest.approx(expected, abs=rounding)
    halves = flow(graph, ends[: gpus // 2], ends[-(gpus // 2) :])
    assert halves == bisection(graph)
    cables = nx.Graph(graph)
    pairs = itertools.combinations(ends, 2)
    assert cables_until_cut(graph) == min(nx.edge_connectivity(cables, one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("name", "gpus", "inside", "network", "switches", "until_cut"),
    [
        ("ring-100g", 16, 0, 16, 0, 2),
        ("tree-100g", 16, 0, 30, 15, 1),
        ("parameter-server-100g", 16, 0, 20, 1, 1),
        # a GPU: 18 NVLinks and a bus to its adapter; a machine: lost with its 8 cables; for 128 machines
        # 32 leaves, 16 spines and 1024 cables between them, as the vendor's reference architecture prints at
        # docs.nvidia.com/dgx-superpod/reference-architecture-scalable-infrastructure-b200
        ("dgx-h100-ib400", 1024, 19 * 1024, 1024 + 1024, 48, 8),
    ],
)
def test_what_has_to_be_bought(name, gpus, inside, network, switches, until_cut):
    graph = _fabrics.build(name, gpus)
    found = wiring(graph)
    assert (found.inside, found.network, found.switches) == (inside, network, switches)
    assert found.host_plugs + found.switch_plugs == 2 * found.network
    assert found.inside + found.network == census(graph)["cables"]
    machines = {"ring-100g": 2 * gpus, "parameter-server-100g": gpus + 4}.get(name, gpus)
    assert found.host_plugs == machines
    if gpus < 100:
        assert cables_until_cut(graph) == until_cut
    else:
        assert cables_until_cut(_fabrics.build(name, 64)) == until_cut


@given(k=st.sampled_from([2, 4, 6]), data=st.data())
def test_as_many_cables_lost_as_are_counted_may_cut_and_fewer_never_do(k: int, data):
    graph = TOPOLOGIES["torus"].build(k * 4, link=WIRE, dims=(k, 4))
    cables = sorted({frozenset(edge) for edge in graph.edges}, key=sorted)
    fewer = data.draw(st.lists(st.sampled_from(cables), max_size=cables_until_cut(graph) - 1))
    graph.remove_edges_from(
        [edge for one, other in map(sorted, fewer) for edge in ((one, other), (other, one))]
    )
    assert nx.is_strongly_connected(graph)
