"""Flows as lanes against the flows themselves, and the oracle of lanes against values worked out by hand."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from simulator.network import lanes_of_flows
from simulator.network._folding_shape import plain
from simulator.network.flows import replay
from simulator.network.lanes import Book
from simulator.network.lanes_of_flows import of_flows
from simulator.network.traffic import Flow, Link
from tests._lane_cases import all_to_all, lanes_from
from tests._lane_oracle import expand, network, truth
from tests.test_flow_network import networks


@settings(deadline=None)
@given(networks)
def test_flows_as_lanes_end_when_they_do(net):
    links, flows = net
    lanes, ids = of_flows(links, flows)
    ran = replay(links, flows)
    assert dict(zip(ids, truth(lanes).finish, strict=True)) == pytest.approx(ran.finish, rel=1e-12, abs=0)
    np.testing.assert_allclose(truth(lanes).carried, list(ran.carried.values()), rtol=1e-12)


A = Flow(id="a", route=("x",), size=1.0)


@pytest.mark.parametrize(
    "flows",
    [
        [A, A],
        [replace(A, route=("y",))],
        [replace(A, after=("b",))],
        [replace(A, after=("b",)), replace(A, id="b", after=("a",))],
    ],
)
def test_flows_that_make_no_sense_are_refused_as_a_replay_refuses_them(flows):
    with pytest.raises(ValueError, match="flow") as wanted:
        replay({"x": Link(1.0)}, flows)
    with pytest.raises(ValueError, match="flow") as got:
        of_flows({"x": Link(1.0)}, flows)
    assert str(got.value).split(":")[0] == str(wanted.value).split(":")[0]


# The oracle itself


def test_the_oracle_counts_messages_from_one():
    book = Book()
    book.phase(2, 1.0, delay=0.5, slot=0)
    book.programme()
    book.phase(3, 0.0, gates=[(0, 0, 1)])  # its first waits for nothing, its third for both
    book.programme()
    lanes = lanes_from(book.made(), [0, 1], [[], [0]], [[[0]], []], [1.0])
    flows, ids = expand(lanes)
    assert [flow.after for flow in flows[2:]] == [(), ((1, 0), (0, 0)), ((1, 1), (0, 1))]
    assert ids == [[(0, 0), (0, 1)], [(1, 0), (1, 1), (1, 2)]]
    assert truth(lanes).finish.tolist() == [3.0, 3.0]
    assert truth(lanes).carried.tolist() == [2.0]


def test_plain_lanes_do_the_same():
    lanes = all_to_all(4, 2)
    assert truth(plain(lanes)).messages == truth(lanes).messages
    assert network(lanes)[0] == Link(1e9)


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(lanes_of_flows).failed == 0
