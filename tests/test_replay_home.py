"""What a stage sends to itself alone is played once: the step must be the same as with every play."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine._replay_wire import Wire
from simulator.engine.bundles import Traffic
from simulator.engine.replay import replay
from simulator.engine.result import Result
from tests.test_replay import at_size, networks, priced, step, talk, work
from topologies import _fabrics
from workloads.layout import Layout
from workloads.schedules import SCHEDULES
from workloads.step_graph import Block, Chunk, Stage, StepGraph

LAYOUT = Layout(tp=8, pp=2, dp=2)
HOMELY = Traffic(
    _fabrics.build("dgx-h100-ib400", 32), LAYOUT
)  # tensor parallel groups inside machines, data across
SLOWER = 1.2  # than the links alone: two streams of a stage then hold each other up


def replayed(case: tuple[Traffic, StepGraph], *, home: bool) -> tuple[Result, int]:
    """Return what a step does and how often it asked for the network."""
    network, graph = case
    asked = []
    ask = Wire.ask

    def counted(wire, use, after=()):
        asked.append(use)
        return ask(wire, use, after)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "ask", counted)
        if not home:
            patch.setattr("simulator.engine._replay_stage.home_of", lambda program, wire: None)
        prices = at_size(graph, priced(network, SLOWER))
        return replay(graph, prices, network=network), len(asked)


def same(case: tuple[Traffic, StepGraph]) -> None:
    played, without = replayed(case, home=True)[0], replayed(case, home=False)[0]
    assert played.step_s == pytest.approx(without.step_s, rel=1e-11)
    assert played.ends_s == pytest.approx(without.ends_s, rel=1e-11)
    assert played.breakdown_s == pytest.approx(without.breakdown_s, rel=1e-11, abs=1e-11 * without.step_s)
    assert played.slowed_s == pytest.approx(without.slowed_s, rel=1e-9, abs=1e-10)


@st.composite
def blocks(draw) -> tuple[Block, ...]:
    """Return blocks that are repeated, most of whose bytes stay in the machine and overlap."""
    inside = st.builds(
        talk,
        st.floats(1e9, 5e10),
        axis=st.just("tp"),
        op=st.sampled_from(["all_gather", "reduce_scatter"]),
        overlap=st.sampled_from(["", "tp", "tp"]),
        stream=st.sampled_from(["", "tp"]),
        when=st.sampled_from(["every", "every", "first"]),
    )
    outside = st.builds(
        talk,
        st.floats(1e9, 5e10),
        axis=st.just("dp"),
        stream=st.sampled_from(["", "dp", "tp"]),
        until=st.sampled_from(["block", "task", "step"]),
        when=st.sampled_from(["last", "every"]),
    )
    one = st.one_of(inside, inside, st.builds(work, st.floats(0.05, 0.5)), outside)
    content = draw(st.lists(st.lists(one, min_size=1, max_size=5), min_size=1, max_size=2))
    return tuple(
        Block(name=f"b{at}", operations=tuple(part), repeat=draw(st.integers(1, 3)))
        for at, part in enumerate(content)
    )


@st.composite
def homely(draw) -> tuple[Traffic, StepGraph]:
    """Return a step of two stages of such blocks."""
    order = SCHEDULES["1f1b"].order(2, draw(st.integers(1, 4)))
    parts = [Chunk(layers=1, work={"F": draw(blocks()), "B": draw(blocks())}) for _ in order]
    stages = [Stage(chunks=(part,), tasks=own) for part, own in zip(parts, order, strict=True)]
    return HOMELY, step(*stages, blocking=draw(st.booleans()))


@settings(max_examples=100, deadline=None)
@given(case=homely())
def test_a_stage_that_feels_itself_alone_is_played_once(case):
    same(case)


@settings(max_examples=10, deadline=None)
@given(case=networks())
def test_any_step_is_the_same(case):
    same(case)


def layers(*sent, repeat: int) -> tuple[Traffic, StepGraph]:
    """Return sixteen microbatches through two stages of equal layers."""
    block = (Block(name="layer", operations=(work(0.1), *sent, work(0.1), *sent), repeat=repeat),)
    part = Chunk(layers=repeat, work={"F": block, "B": block})
    order = SCHEDULES["1f1b"].order(2, 16)
    return HOMELY, step(*[Stage(chunks=(part,), tasks=own) for own in order])


def test_equal_layers_and_microbatches_ask_for_the_network_no_more():
    case = layers(talk(4e11, overlap="tp"), repeat=4)
    (played, few), (without, many) = replayed(case, home=True), replayed(case, home=False)
    assert many > 2 * 2 * 16 * 4 * 2  # stages, kinds, microbatches, layers, collectives: in two parts each
    assert few <= 2 * 16  # what passes between the stages
    assert played.slowed_s["tp"] > 0  # the parts hold each other up, as they do without
    assert played.slowed_s == pytest.approx(without.slowed_s, rel=1e-9)


def test_a_timeline_shows_every_use_in_its_place():
    network, graph = layers(talk(4e11, overlap="tp"), repeat=2)
    prices = at_size(graph, priced(network, SLOWER))
    traced = replay(graph, prices, network=network, spans=True)
    assert traced.step_s == pytest.approx(replay(graph, prices, network=network).step_s, rel=1e-11)
    names = [span.name for span in traced.spans if span.kind == "collective"]
    assert len(names) == 2 * 2 * 16 * 2 * 2 * 2
