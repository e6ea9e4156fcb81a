"""Folding against the plain solver, against refinement from the definition, and on symmetries that are known."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import CheckError
from simulator.network import _folding_colours, folding
from simulator.network._folding_check import check_equitable
from simulator.network._folding_hash import chiefs
from simulator.network._folding_shape import shape
from simulator.network.folding import fold
from simulator.network.lanes import Book, Lanes
from simulator.network.lanes_of_flows import of_flows
from simulator.network.traffic import Link
from tests._lane_cases import all_to_all, lanes_from, random_lanes, rings, straggling
from tests._lane_oracle import truth
from tests._refinement import by_definition, classes
from tests.test_flow_network import networks

# Random lanes, as they are or several copies of them

rngs = st.randoms(use_true_random=False)
any_lanes = st.builds(random_lanes, rngs, st.integers(1, 4))


def same_runs(lanes, folded):
    """Compare all there is: when each message of each lane ends, and what each link carried."""
    whole, quotient = truth(lanes), truth(folded.lanes)
    np.testing.assert_allclose(folded.finish(quotient.finish), whole.finish, rtol=1e-12)
    np.testing.assert_allclose(folded.carried(quotient.carried), whole.carried, rtol=1e-12)
    there = {(lane, k): quotient.messages[folded.lane_class[lane], k] for lane, k in whole.messages}
    assert there == pytest.approx(whole.messages, rel=1e-12, abs=0)


@settings(max_examples=120, deadline=None)
@given(any_lanes)
def test_folded_is_unfolded(lanes):
    same_runs(lanes, fold(lanes))


@settings(max_examples=60, deadline=None)
@given(any_lanes, rngs)
def test_folded_is_unfolded_whatever_the_hint(lanes, rng):
    hint = np.array([rng.randrange(3) for _ in lanes.programme])
    folded = fold(lanes, hint)
    same_runs(lanes, folded)
    assert len({*zip(folded.lane_class, hint, strict=True)}) == len(folded.members)  # within the hint


@given(rngs, st.integers(2, 5))
def test_copies_fold_onto_one(rng, copies):
    lanes = random_lanes(rng, copies)
    assert fold(lanes).members.min() >= copies


@settings(max_examples=60, deadline=None)
@given(rngs, st.integers(2, 4), st.booleans())
def test_a_slow_link_or_lane_parts_no_copy_that_it_does_not_meet(rng, others, link):
    lanes = random_lanes(rng, others + 1, apart=True)
    each = len(lanes.programme) // (others + 1)
    if link:
        bandwidth = lanes.bandwidth.copy()
        bandwidth[rng.randrange(len(bandwidth) // (others + 1))] *= 0.5
        lanes = replace(lanes, bandwidth=bandwidth)
    else:
        lanes = straggling(lanes, rng.randrange(each), 0.5)
    folded = fold(lanes, np.arange(len(lanes.programme)) % each)
    same_runs(lanes, folded)
    copies = folded.lane_class.reshape(others + 1, each)
    assert (copies[1:] == copies[1]).all()


# Refinement from the definition


def is_coarsest(lanes, hint=None):
    folded = fold(lanes, hint)
    wanted = by_definition(lanes, np.zeros(len(lanes.programme)) if hint is None else hint)
    crossed = [(link, number) for link, number in enumerate(folded.link_class) if number >= 0]
    assert (classes(enumerate(folded.lane_class)), classes(crossed)) == wanted


@settings(deadline=None)
@given(any_lanes, st.booleans(), rngs)
def test_the_partition_is_the_coarsest(lanes, hinted, rng):
    is_coarsest(lanes, np.array([rng.randrange(2) for _ in lanes.programme]) if hinted else None)


@settings(deadline=None)
@given(any_lanes, rngs)
def test_differences_and_everything_anew_give_the_same(lanes, rng):
    lanes = straggling(lanes, rng.randrange(len(lanes.programme)), 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_folding_colours, "_MANY", 0)
        is_coarsest(lanes)


@pytest.mark.parametrize("late", [0, 5, 37])
def test_the_partition_around_a_straggler_is_the_coarsest(late):
    is_coarsest(straggling(rings(leaves=3, nodes=4, rails=4), late, 0.5))


@settings(deadline=None)
@given(any_lanes, rngs)
def test_a_partition_that_is_too_coarse_is_refused(lanes, rng):
    seen, folded = shape(lanes), fold(lanes)
    lane, link = folded.lane_class.copy(), folded.link_class.copy()
    which = rng.choice([numbers for numbers in (lane, link) if numbers.max(initial=-1) > 0] or [None])
    if which is None:
        return
    gone = rng.randrange(which.max()) + 1
    which[which == gone] = rng.randrange(gone)
    which[which > gone] -= 1
    crossed = np.flatnonzero(link >= 0)
    chief = chiefs(lane, lane.max() + 1)
    link_chief = crossed[chiefs(link[crossed], link.max() + 1)]
    with pytest.raises(CheckError, match="folding took"):
        check_equitable(seen, lane, chief, link, link_chief)


# Symmetries that are known


@pytest.mark.parametrize(("leaves", "nodes", "rails"), [(2, 1, 1), (2, 4, 3), (3, 5, 2), (4, 8, 2)])
def test_a_ring_over_leaves_has_as_many_classes_as_a_leaf_has_nodes(leaves, nodes, rails):
    folded = fold(rings(leaves, nodes, rails))
    assert folded.members.tolist() == [leaves * rails] * nodes
    assert (folded.lane_class == np.arange(leaves * nodes * rails) % nodes).all()
    assert folded.lanes.weights is None


def test_a_ring_in_one_switch_is_one_lane():
    assert fold(rings(1, 16, 1)).members.tolist() == [16]


def test_a_straggler_parts_its_ring_and_no_other():
    lanes = straggling(rings(3, 4, rails=5), 2 * 12 + 3, 0.5)
    folded = fold(lanes)
    assert sorted(folded.members) == [1] * 12 + [12] * 4
    same_runs(lanes, folded)


def test_a_slow_link_parts_its_ring_and_no_other():
    lanes = rings(3, 4, rails=5)
    lanes.bandwidth[0] /= 2
    folded = fold(lanes)
    assert sorted(folded.members) == [1] * 12 + [12] * 4
    same_runs(lanes, folded)


def test_hints_right_coarse_and_fine():
    lanes = rings(3, 4, rails=5)
    right = np.arange(len(lanes.programme)) % 4
    assert fold(lanes, right).rounds == 1
    for hint, classes_ in ((right, 4), (right // 2, 4), (np.arange(len(right)) % 12, 12)):
        folded = fold(lanes, hint)
        assert len(folded.members) == classes_
        same_runs(lanes, folded)
    late = fold(straggling(lanes, 0, 0.5), right)
    assert len(late.members) == 12 + 4
    with pytest.raises(ValueError, match="60 numbers"):
        fold(lanes, right[1:])


def test_an_all_to_all_folds_onto_a_leaf():
    lanes = all_to_all(12, 4)
    folded = fold(lanes)
    assert folded.members.tolist() == [3] * 4
    same_runs(lanes, folded)


def test_like_programmes_are_alike_by_content():
    one = rings(2, 2, rails=2)
    book = one.programmes
    twice = replace(
        book,
        **{
            name: np.append(getattr(book, name), getattr(book, name))
            for name in (
                "count",
                "size",
                "delay",
                "slot",
                "slot_stride",
                "gate_partner",
                "gate_base",
                "gate_stride",
            )
        },
        start=np.array([0, 1, 2]),
        gate_start=np.array([0, 1, 2]),
    )
    lanes = replace(one, programmes=twice, programme=np.array([0, 1] * 4))
    assert fold(lanes).members.tolist() == [4, 4]


def test_lanes_may_share_a_stretch_of_slots():
    """Four senders on one link, each with a programme that names another slot of the same stretch."""
    book = Book()
    for slot in range(4):
        book.phase(2, 1.0, slot=slot)
        book.programme()
    none = np.zeros(4, np.int64)
    lanes = Lanes(
        programmes=book.made(),
        programme=np.arange(4),
        partner_start=none,
        partners=none[:0],
        slot_start=none,
        slots=np.arange(4),
        route_start=np.arange(0, 9, 2),
        links=np.array([0, 1, 0, 2, 3, 0, 0, 4]),
        bandwidth=np.array([1.0, 2.0, 2.0, 2.0, 2.0, 5.0]),
    )
    folded = fold(lanes)
    assert folded.members.tolist() == [4]
    assert folded.link_class.tolist() == [0, 1, 1, 1, 1, -1]
    assert folded.lanes.weights.tolist() == [4.0, 1.0]
    assert folded.carried(np.array([8.0, 2.0])).tolist() == [8.0, 2.0, 2.0, 2.0, 2.0, 0.0]
    same_runs(lanes, folded)


def test_a_route_over_two_links_of_one_class_crosses_the_class_once():
    book = Book()
    book.phase(1, 6.0, slot=0)
    book.programme()
    routes = [[[lane, (lane + 1) % 3]] for lane in range(3)]
    lanes = lanes_from(book.made(), [0] * 3, [[]] * 3, routes, [1.0] * 3)
    folded = fold(lanes)
    assert (folded.lanes.links.tolist(), folded.lanes.weights.tolist()) == ([0], [2.0])
    same_runs(lanes, folded)


def test_no_lanes_fold_onto_none():
    lanes, ids = of_flows({"a": Link(1.0)}, [])
    folded = fold(lanes)
    assert (ids, folded.members.tolist(), folded.link_class.tolist()) == ([], [], [-1])


@settings(deadline=None)
@given(networks)
def test_folded_flows_are_unfolded_flows(net):
    lanes, _ = of_flows(*net)
    same_runs(lanes, fold(lanes))


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(folding).failed == 0
