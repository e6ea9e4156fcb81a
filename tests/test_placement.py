"""Where ranks sit, and whether it matters."""

from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives import COLLECTIVES
from simulator.engine.collective import FIDELITIES, run
from simulator.engine.placement import place
from simulator.errors import InfeasibleError, UsageError
from tests._collective_checks import idle_switch, two_levels
from topologies._graph import Cable


def test_placement():
    graph = idle_switch(5)
    assert place(graph, 3) == (("gpu", 0), ("gpu", 1), ("gpu", 2))
    assert place(graph, 3, [7, 0, 4]) == (("gpu", 7), ("gpu", 0), ("gpu", 4))
    assert place(graph, 2, [0, 2], servers=2) == (("gpu", 0), ("gpu", 2), ("gpu", 1), ("gpu", 3))
    with pytest.raises(InfeasibleError, match="9 ranks need as many GPUs, the fabric has 8"):
        place(graph, 9)
    with pytest.raises(InfeasibleError, match="4 servers need as many places, the fabric has 3 left"):
        place(graph, 5, servers=4)
    for order in ([0, 1], [0, 0, 1], [0, 1, 8], [0, 1, -1]):
        with pytest.raises(UsageError, match="must name 3 different GPUs of 0 to 7"):
            place(graph, 3, order)


@given(order=st.permutations(range(8)))
@settings(max_examples=10, deadline=None)
def test_placement_does_not_matter_behind_one_switch(order):
    graph = idle_switch(8)
    for fidelity in FIDELITIES:
        placed = run(graph, COLLECTIVES["ring_all_reduce"], 8, 1e8, fidelity=fidelity, placement=order)
        assert isclose(placed.time_s, 14 * (2.5e-6 + 1e8 / 8 / 50e9), rel_tol=1e-9)


def test_placement_matters_between_levels():
    inside, between = Cable(bandwidth_Bps=450e9), Cable(bandwidth_Bps=50e9)
    graph = two_levels(4, 2, inside, between)
    scattered = [0, 4, 1, 5, 2, 6, 3, 7]
    near = run(graph, COLLECTIVES["rabenseifner_all_reduce"], 8, 1e9, fidelity="messages")
    far = run(graph, COLLECTIVES["rabenseifner_all_reduce"], 8, 1e9, fidelity="messages", placement=scattered)
    assert far.time_s != pytest.approx(near.time_s)
