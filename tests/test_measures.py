"""Diameter and bandwidth between the halves: known graphs, and NetworkX's own algorithms as oracle."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import TOPOLOGIES
from topologies._graph import Cable, add, connect, start
from topologies._measures import bisection, census, diameter

WIRE = Cable(bandwidth_Bps=50e9, latency_s=1e-6)


@given(gpus=st.integers(3, 40))
def test_a_ring(gpus: int):
    ring = TOPOLOGIES["ring"].build(gpus, link=WIRE)
    assert census(ring) == {"gpu": gpus, "cables": gpus}
    assert diameter(ring) == gpus // 2
    assert bisection(ring) == 2 * WIRE.bandwidth_Bps


@given(gpus=st.integers(2, 40))
def test_a_star(gpus: int):
    star = TOPOLOGIES["star"].build(gpus, link=WIRE)
    assert diameter(star) == 2
    assert bisection(star) == pytest.approx(gpus // 2 * WIRE.bandwidth_Bps)


def test_one_gpu_has_nothing_to_cross():
    alone = start("alone")
    add(alone, ("gpu", 0))
    assert (diameter(alone), bisection(alone)) == (0, 0.0)


def test_a_gpu_that_cannot_be_reached_is_refused():
    apart = start("apart")
    for rank in range(2):
        add(apart, ("gpu", rank))
    with pytest.raises(ValueError, match="not connected"):
        diameter(apart)
    assert bisection(apart) == 0.0


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
