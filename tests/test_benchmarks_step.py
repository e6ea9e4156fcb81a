"""The training step of the benchmarks: messages by count, closed forms, the plain solver, folding."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.network import core
from simulator.network.flows import replay
from simulator.network.folding import fold
from tests._lane_oracle import expand, network
from tests.benchmarks.rows import sent
from tests.benchmarks.step import BACKWARD, COMPUTE, EXCHANGE, FORWARD, layers_of, step
from tests.benchmarks.step_programmes import (
    BUCKET,
    COLLECTIVE_S,
    FORWARD_S,
    GATHERED,
    HANDED_ON,
    LATENCY,
    PARAMETERS,
)

WIRE = 50e9  # bytes/s


def of_kind(made, kind):
    book = made.lanes.programmes
    whole = np.add.reduceat(np.where(book.slot >= 0, book.count, 0), book.start[:-1])
    return int(whole[made.lanes.programme[made.kind == kind]].sum())


def test_sizes_of_the_step():
    assert (PARAMETERS, GATHERED, HANDED_ON, BUCKET) == (3_187_671_040, 268_435_456, 33_554_432, 796_917_760)
    assert BUCKET / 128 == 6_225_920
    assert sum(layers_of(16)) == 126


def test_messages_of_the_step():
    made = step()
    assert of_kind(made, EXCHANGE) == 32_772_096
    assert of_kind(made, FORWARD) + of_kind(made, BACKWARD) == 491_520
    assert of_kind(made, COMPUTE) == 0
    assert sent(made) == 33_263_616
    folded = fold(made.lanes, made.hint)
    assert sent(replace(made, lanes=folded.lanes)) == 1_039_488
    assert folded.rounds == 1  # the hint is right


def test_messages_of_the_step_with_tensor_parallel_ones():
    made = step(tp_messages=True)
    assert of_kind(made, COMPUTE) == 144_506_880
    assert sent(made) == 33_263_616 + 144_506_880


@given(
    replicas=st.integers(2, 8),
    layers=st.integers(1, 4),
    microbatches=st.integers(1, 4),
    tensor=st.booleans(),
)
def test_a_step_of_one_stage_has_a_closed_form(replicas, layers, microbatches, tensor):
    """All but the last reduce-scatter hide behind backward passes, the all-gathers behind nothing."""
    lanes = step(replicas, 1, [layers], microbatches, tp_messages=tensor).lanes
    exchange = (replicas - 1) * (LATENCY + BUCKET / replicas / WIRE)
    layer = 3 * FORWARD_S + 10 * COLLECTIVE_S
    expected = microbatches * layers * layer + (1 + layers) * exchange
    assert core.run(lanes).makespan == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("replicas", "stages", "tensor"), [(3, 3, False), (2, 2, True), (4, 2, False)])
def test_a_small_step_is_what_the_plain_solver_says(replicas, stages, tensor):
    lanes = step(replicas, stages, [1] * stages, 1, tp_messages=tensor).lanes
    flows, ids = expand(lanes)
    ends = replay(network(lanes), flows, solver="plain").finish
    assert core.run(lanes).finish == pytest.approx([ends[own[-1]] for own in ids], rel=1e-12)


@pytest.mark.parametrize("replicas", [8, 12, 32, 64])
def test_folded_by_symmetry_is_unfolded(replicas):
    made = step(replicas, 3, [1, 2, 1], 4)
    known = fold(made.lanes, made.hint)
    assert known.rounds == 1
    assert len(known.members) <= 8 * 3 * min(replicas, 32)
    assert np.array_equal(known.finish(core.run(known.lanes).finish), core.run(made.lanes).finish)


def test_tensor_parallel_messages_end_as_their_formula_says():
    plainer, whole = step(4, 4, microbatches=4), step(4, 4, microbatches=4, tp_messages=True)
    ends = [core.run(each.lanes).finish[each.kind == EXCHANGE] for each in (plainer, whole)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-12)


@pytest.mark.parametrize("bad", [{"dp": 1}, {"pp": 0}, {"layers": [1]}, {"rails": 4, "tp_messages": True}])
def test_a_step_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="no such step"):
        step(**({"dp": 2, "pp": 2} | bad))
