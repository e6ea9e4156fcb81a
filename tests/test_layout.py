"""Ranks and groups: every rank once, axes that multiply, sentences with a way out."""

from itertools import permutations
from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workloads.layout import AXES, GROUPS, Layout, degrees, label

SIZES = st.sampled_from([1, 2, 3, 4])


@st.composite
def layouts(draw) -> Layout:
    tp, cp, dp, pp = (draw(SIZES) for _ in range(4))
    ep, etp, shard = (
        draw(st.sampled_from([1, 2, 4])),
        draw(st.sampled_from([0, 1, 2])),
        draw(st.integers(0, 4)),
    )
    assume(tp * cp * dp % (ep * (etp or tp)) == 0)
    assume(not shard or dp * cp % shard == 0)
    order = draw(st.sampled_from(list(permutations(AXES))))
    return Layout(tp=tp, cp=cp, dp=dp, pp=pp, ep=ep, etp=etp, shard=shard, order=order)


@given(at=layouts(), axis=st.sampled_from(GROUPS))
def test_groups_of_an_axis_hold_every_rank_once(at, axis):
    whole = axis in ("pp", "embedding")
    found = [
        rank for stage in range(1 if whole else at.pp) for group in at.groups(axis, stage) for rank in group
    ]
    assert len(found) == len(set(found))
    if axis != "embedding":
        assert sorted(found) == list(range(at.world))
    for stage in range(at.pp):
        assert {len(group) for group in at.groups(axis, stage)} == {at.size(axis)}


@given(at=layouts())
def test_axes_multiply_to_the_ranks_of_a_stage(at):
    stage = at.tp * at.cp * at.dp
    assert at.world == stage * at.pp
    assert at.size("shard") * at.size("replicate") == at.size("dp_cp")
    assert at.size("ep") * at.size("etp") * at.size("edp") == stage


@given(at=layouts(), data=st.data())
def test_order_says_whose_ranks_are_neighbours(at, data):
    steps = [at.rank(**{axis: 1}) for axis in at.order]
    assert steps == [prod(getattr(at, axis) for axis in at.order[:place]) for place in range(4)]
    place = {axis: data.draw(st.integers(0, getattr(at, axis) - 1)) for axis in AXES}
    assert at.rank(**place) in at.stage_ranks(place["pp"])
    for axis in ("tp", "cp", "dp"):
        group = next(g for g in at.groups(axis, place["pp"]) if at.rank(**place) in g)
        assert group == [at.rank(**place | {axis: i}) for i in range(getattr(at, axis))]


def test_megatron_puts_tensor_ranks_inside_a_node():
    """Narayanan et al., SC21, arXiv:2104.04473: 8 x 8 x 2 GPUs in nodes of 8."""
    at = Layout(tp=8, pp=8, dp=2)
    assert (at.shape("tp", 8).nodes, at.shape("dp", 8).nodes) == (1, 2)
    assert at.shape("dp", 8).per_node == 1
    assert at.crosses(0, 1, 8)
    assert not Layout(tp=2, pp=2).crosses(0, 1, 4)
    assert at.groups("embedding") == [[i, 112 + i] for i in range(16)]


def test_experts_lie_next_to_each_other():
    at = Layout(tp=2, dp=8, ep=4, etp=1)
    assert at.groups("ep")[0] == [0, 1, 2, 3]
    assert at.groups("edp")[0] == [0, 4, 8, 12]
    assert Layout(tp=2, dp=8, ep=4).groups("ep")[0] == [0, 2, 4, 6]


@given(tp=SIZES, cp=SIZES, pp=SIZES, dp=SIZES)
def test_degrees_work_out_what_is_left(tp, cp, pp, dp):
    gpus = tp * cp * pp * dp
    assert degrees(gpus, tp=tp, cp=cp, pp=pp) == degrees(gpus, tp=tp, cp=cp, pp=pp, dp=dp) == dp


@given(gpus=st.integers(1, 500), tp=SIZES, pp=st.integers(1, 9), dp=st.integers(0, 9))
def test_what_a_refusal_proposes_works(gpus, tp, pp, dp):
    try:
        degrees(gpus, tp=tp, pp=pp, dp=dp)
    except ValueError as fault:
        way = str(fault).partition("; try: ")[2]
        counts = way.partition("--gpus ")[2]
        for count in counts.split(", ") if counts else []:
            assert degrees(int(count), tp=tp, pp=pp)
        for piece in way.split(" or "):
            if piece.startswith("--pp "):
                other, _, rest = piece.removeprefix("--pp ").partition(" (dp ")
                assert degrees(gpus, tp=tp, pp=int(other)) == int(rest.rstrip(")"))
            if piece.startswith("--dp "):
                assert degrees(gpus, tp=tp, pp=pp, dp=int(piece.removeprefix("--dp ")))
        assert way


def test_a_plan_has_a_short_name():
    assert label(Layout(tp=8, pp=4, dp=16)) == "tp8 pp4 dp16"
    assert label(Layout()) == "dp1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tp": 0}, "--tp 0: must be 1 or more"),
        ({"vpp": -1}, "--vpp -1"),
        ({"order": ("tp", "cp", "dp")}, "--order tp-cp-dp: must name each of tp, cp, dp, pp once"),
        ({"dp": 4, "ep": 3}, "--ep 3: must divide dp x cp = 4"),
        ({"tp": 2, "dp": 4, "ep": 16, "etp": 1}, "--ep 16: must divide tp x cp x dp / etp = 8"),
        ({"dp": 4, "shard": 3}, "a shard group of 3 does not divide dp x cp = 4"),
    ],
)
def test_degrees_that_do_not_fit_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        Layout(**changes)
