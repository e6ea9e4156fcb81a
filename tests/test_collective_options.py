"""What algorithms are called, which options they take, how ranks are numbered in them."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.collectives import COLLECTIVES
from simulator.collectives._alpha_beta import AlphaBeta
from simulator.collectives._names import OPERATIONS, algorithms, resolve
from simulator.collectives._rounds import lines, near_square
from simulator.collectives._terms import terms
from simulator.errors import UsageError
from tests._collective_checks import cost, steps

SIZE = 720720.0


def test_terms_of_a_pipeline_need_its_packets():
    with pytest.raises(UsageError, match="packets"):
        terms(COLLECTIVES["chain_broadcast"], 8, SIZE)
    with pytest.raises(UsageError, match="unknown option of ring_all_reduce 'shape'"):
        terms(COLLECTIVES["ring_all_reduce"], 8, SIZE, shape=(2, 4))


def test_names():
    assert algorithms("all_reduce")["ring"] == "ring_all_reduce"
    assert algorithms("gather") == {"binomial": "binomial_gather", "direct": "direct_gather"}
    assert set(algorithms("reduce")) == {"binomial", "chain", "double_binary_tree"}
    assert resolve("all_to_all", "bruck") == resolve("all_to_all", "bruck_all_to_all") == "bruck_all_to_all"
    assert sorted(name for op in OPERATIONS for name in algorithms(op).values()) == sorted(COLLECTIVES)
    with pytest.raises(UsageError, match="unknown algorithm for broadcast 'ring'"):
        resolve("broadcast", "ring")
    with pytest.raises(UsageError, match="unknown operation 'all_reduec'"):
        algorithms("all_reduec")


@given(ranks=st.integers(1, 500))
def test_near_square(ranks):
    large, small = near_square(ranks)
    assert large * small == ranks
    assert large >= small
    assert not [side for side in range(small + 1, large) if ranks % side == 0 and side * side <= ranks]


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple))
def test_lines_part_the_ranks_along_every_axis(shape):
    for axis, side in enumerate(shape):
        groups = lines(shape, axis)
        assert sorted(rank for group in groups for rank in group) == list(range(prod(shape)))
        assert {len(group) for group in groups} == {side}


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("hierarchical_all_reduce", {"shape": (3, 5)}),
        ("torus_all_reduce", {"shape": (2, 0)}),
        ("hierarchical_all_to_all", {"shape": (2, 2, 2)}),
        ("nvls_tree_all_reduce", {"shape": (8, 2)}),
        ("parameter_server_all_reduce", {"servers": 0}),
        ("pat_all_gather", {"aggregation": 0}),
        ("chain_broadcast", {"packets": 0}),
        ("double_binary_tree_reduce", {"packets": -1}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, chosen):
    with pytest.raises(UsageError):
        cost(name, 8, SIZE, AlphaBeta(0.0, 1.0), chosen)
    with pytest.raises(UsageError):
        steps(name, 8, SIZE, chosen)


def test_levels_must_fit_the_shape():
    link = AlphaBeta(0.0, 1.0)
    with pytest.raises(UsageError, match="2 levels, got 1"):
        cost("hierarchical_all_reduce", 8, SIZE, link, {"shape": (2, 4), "levels": [link]})
