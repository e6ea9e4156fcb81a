"""One step by formula: what events give, published bubbles, and prices that add up to the time."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.engine._ledger import Entry
from simulator.engine.closed_form import Solved, solve
from simulator.engine.replay import replay
from simulator.errors import CheckError
from tests.test_replay import Prices, alone, chunk, operations, scheduled, step, steps, talk, tasks, work
from workloads.layout import Layout
from workloads.model import find
from workloads.schedules import SCHEDULES
from workloads.step_graph import Block, Compute, Operation, Stage, StepGraph
from workloads.strategies import STRATEGIES
from workloads.training import RECOMPUTE, Software, Training
from workloads.training_step import build


@dataclass(frozen=True)
class Sloping(Prices):
    """Later stages are slower, and so is what passes down."""

    def seconds(self, operation: Operation, stage: int) -> float:
        return Prices.seconds(self, operation, stage) * (1 + stage / 8)

    def transfer(self, source: int, target: int) -> float:
        return self.hop * (2 if target > source else 1)


SHARES = st.one_of(st.just(0.0), st.floats(0, 1))
ALL_PRICES = st.one_of(
    *[st.builds(kind, hop=st.floats(0, 2), share=SHARES, held=SHARES) for kind in (Prices, Sloping)]
)


@dataclass(frozen=True)
class Uneven(Prices):
    """Every operation on every stage and every pair of stages has its own speed, so nothing ends at once."""

    seed: int = 0
    known: dict = field(default_factory=dict, hash=False, compare=False)

    def of(self, *key) -> float:
        if key not in self.known:
            self.known[key] = Random(f"{self.seed} {key}").uniform(0.5, 1.5)
        return self.known[key]

    def seconds(self, operation: Operation, stage: int) -> float:
        if isinstance(operation, Compute):
            least = operation.flops / 4e14 + operation.bytes / 2e12 + 1e-6
        else:
            least = operation.size / 1e11 + 1e-5
        return least * self.of(operation, stage)

    def transfer(self, source: int, target: int) -> float:
        return self.hop * self.of(source, target)


def value(entry: Entry, prices) -> float:
    """Return what the price of an entry is among some prices."""
    if isinstance(entry.what, int):
        return prices.transfer(entry.stage, entry.what)
    seconds = prices.seconds(entry.what, entry.stage)
    if entry.part == "whole":
        return seconds
    share = prices.exposed(entry.what)
    return seconds * (share if entry.part == "exposed" else 1 - share)


def agree(graph: StepGraph, prices) -> Solved:
    """Compare the formula with events and with the sum of its own prices."""
    solved, events = solve(graph, prices), replay(graph, prices)
    found = solved.result
    assert found.step_s == pytest.approx(events.step_s, rel=1e-9)
    assert found.ends_s == pytest.approx(events.ends_s, rel=1e-9)
    assert found.breakdown_s == pytest.approx(events.breakdown_s, rel=1e-9, abs=1e-9 * found.step_s)
    assert sum(found.breakdown_s.values()) == pytest.approx(found.step_s, rel=1e-9)
    total = sum(w * s for w, s in zip(solved.weights, solved.seconds, strict=True))
    assert total == pytest.approx(found.step_s, rel=1e-9)
    assert min(solved.weights, default=1) > 0
    assert len(set(solved.entries)) == len(solved.entries)
    assert [value(entry, prices) for entry in solved.entries] == pytest.approx(list(solved.seconds))
    return solved


# Formula against events


@settings(max_examples=150, deadline=None)
@given(graph=steps(), prices=ALL_PRICES)
def test_formula_and_events_agree_on_any_step(graph, prices):
    agree(graph, prices)


@st.composite
def schedules(draw) -> StepGraph:
    """Return a schedule with tasks of any kind; alike on all stages or each its own."""
    name = draw(st.sampled_from(sorted(SCHEDULES)))
    module = SCHEDULES[name]
    stages, microbatches = draw(st.sampled_from([(2, 4), (4, 8), (4, 12)]))
    chunks = draw(st.sampled_from([one for one in (1, 2, 3) if one in module.CHUNKS]))
    block = st.builds(
        Block,
        name=st.just("b"),
        operations=st.lists(operations, min_size=1, max_size=4).map(tuple),
        repeat=st.integers(1, 4),
    )
    kinds = {kind: st.lists(block, max_size=2).map(tuple) for kind in ("FBW" if module.SPLIT else "FB")}
    parts = draw(st.lists(st.fixed_dictionaries(kinds), min_size=1, max_size=2))
    once = st.lists(operations, max_size=2).map(tuple)
    orders, routes = module.order(stages, microbatches, chunks), module.routes(stages, chunks)
    return step(
        *[
            Stage(
                chunks=tuple(chunk(**parts[(number + place) % len(parts)]) for place in range(chunks)),
                tasks=order,
                before=draw(once),
                after=draw(once),
            )
            for number, order in enumerate(orders)
        ],
        routes=routes,
        blocking=draw(st.booleans()),
    )


@settings(max_examples=80, deadline=None)
@given(graph=schedules(), prices=ALL_PRICES)
def test_formula_and_events_agree_on_any_schedule(graph, prices):
    agree(graph, prices)


MODELS = [
    find("llama3-8b").replace(layers=8),
    find("mixtral-8x7b").replace(layers=8),
]


@st.composite
def trainings(draw) -> Training:
    """Return a step of a real model, a few layers of it, on any layout that can be."""
    degree = st.sampled_from([1, 2, 4])
    model = draw(st.sampled_from(MODELS))
    layout = {axis: draw(degree) for axis in ("tp", "cp", "dp", "pp")}
    if model.experts:
        layout["ep"] = draw(degree)
    name = draw(st.sampled_from(sorted(SCHEDULES)))
    vpp = draw(st.sampled_from([one for one in (1, 2) if one in SCHEDULES[name].CHUNKS]))
    try:
        return Training(
            model=model,
            layout=Layout(**layout, vpp=vpp),
            microbatch=1,
            global_batch=layout["dp"] * layout["pp"] * draw(st.sampled_from([1, 2, 4])),
            seq_len=4096,
            schedule=name,
            strategy=draw(st.sampled_from(sorted(STRATEGIES))),
            recompute=draw(st.sampled_from(RECOMPUTE)),
            software=Software(ep_overlap=draw(st.booleans()), p2p_overlap=draw(st.booleans())),
        )
    except ValueError:
        assume(False)
        raise


@settings(max_examples=40, deadline=None)
@given(training=trainings(), share=SHARES, held=SHARES, seed=st.integers(0, 99))
def test_formula_and_events_agree_on_real_steps(training, share, held, seed):
    try:
        graph = build(training)
    except ValueError:
        assume(False)
        raise
    agree(graph, Uneven(hop=1e-4, share=share, held=held, seed=seed))


def test_a_stream_that_the_step_and_a_block_wait_for_keeps_its_order():
    late, soon = talk(5, "dp", stream="a", until="step"), talk(1, "tp", stream="a")
    graph = alone("F0 F1", F=[late, work(1), soon])
    # late 0-5, soon 5-6; then late 6-11, soon 11-12
    solved = agree(graph, Prices())
    assert solved.result.step_s == 12
    assert {entry.what: weight for entry, weight in zip(solved.entries, solved.weights, strict=True)} == {
        late: 2,
        soon: 2,
    }
    later = alone(
        "F0 F1", F=[work(1), soon, late]
    )  # only the second task meets the stream busy: 2-7, soon 7-8
    assert agree(later, Prices()).result.step_s == 8 + 5


def test_what_starts_before_all_tasks_may_run_until_the_step_ends():
    long = talk(9, "dp", stream="a", until="step")
    assert agree(alone("F0", before=(long,), F=[work(1)]), Prices()).result.step_s == 9
    after = alone("F0", before=(long,), after=(work(2, "optimizer"), long), F=[work(1), talk(2, stream="a")])
    assert agree(after, Prices()).result.step_s == 9 + 2 + 2 + 9


@pytest.mark.parametrize("down", [1.0, 3.0])
def test_a_blocking_stage_waits_for_the_slower_of_two_sends(down):
    class Uphill(Prices):
        def transfer(self, source, target):
            return down if target > source else 2.0

    part = chunk(F=[work(1)], B=[work(1)])
    orders = ("F0 F1 B0 B1", "F0 F1 +B0 B1", "F0 B0 F1 B1")
    graph = step(*[Stage(chunks=(part,), tasks=tasks(order)) for order in orders], blocking=True)
    solved = agree(graph, Uphill())
    assert {(entry.stage, entry.what) for entry in solved.entries if isinstance(entry.what, int)} >= {(1, 0)}


# What the parts of the sum mean


@settings(max_examples=60, deadline=None)
@given(graph=st.one_of(steps(), schedules()), seed=st.integers(0, 99))
def test_the_longest_way_is_a_lower_bound_at_any_other_prices(graph, seed):
    @dataclass(frozen=True)
    class Other(Uneven):
        def seconds(self, operation, stage):
            return Prices.seconds(self, operation, stage) * self.of(operation, stage)

    solved = solve(graph, Prices(hop=1, share=0.5, held=0.25))
    prices = Other(hop=1, share=0.5, held=0.25, seed=seed)
    there = sum(w * value(entry, prices) for entry, w in zip(solved.entries, solved.weights, strict=True))
    assert solve(graph, prices).result.step_s >= there * (1 - 1e-12)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_weights_are_derivatives(name):
    vpp = SCHEDULES[name].CHUNKS[0]
    training = Training(
        model=MODELS[0],
        layout=Layout(tp=2, dp=2, pp=2, vpp=vpp),
        microbatch=1,
        global_batch=16,
        seq_len=4096,
        schedule=name,
    )
    graph, prices = build(training), Uneven(hop=1e-4, share=0.3, held=0.1)
    solved = solve(graph, prices)
    spent: Counter = Counter()
    for entry, weight, seconds in zip(solved.entries, solved.weights, solved.seconds, strict=True):
        spent[entry.stage, entry.what] += weight * seconds
    wanted = [(stage, operation) for stage, _, _, operation in graph.operations()]
    for stage, what in [*dict.fromkeys(wanted), (0, 1), (1, 0)][::7]:
        more = Uneven(hop=1e-4, share=0.3, held=0.1)
        key = (stage, what) if isinstance(what, int) else (what, stage)
        more.known[key] = prices.of(*key) * (1 + 1e-7)
        change = solve(graph, more).result.step_s - solved.result.step_s
        assert change == pytest.approx(1e-7 * spent[stage, what], rel=1e-3, abs=1e-13 * solved.result.step_s)


# Closed forms


@pytest.mark.parametrize("name", ["1f1b", "gpipe", "interleaved", "zb_h1"])
@pytest.mark.parametrize("size", [(2, 4), (8, 32), (16, 64)])
def test_equal_stages_have_the_published_bubble(name, size):
    module, (forward, backward, weight) = SCHEDULES[name], (3.0, 3.0, 2.0)
    for chunks in (2, 4) if name == "interleaved" else (1,):
        parts = {"F": forward, "B": backward, "W": weight}
        if not module.SPLIT:
            parts = {"F": forward, "B": backward + weight}
        found = solve(scheduled(name, *size, chunks, parts), Prices()).result
        bubble = found.step_s - size[1] * (forward + backward + weight)
        assert bubble == pytest.approx(module.bubble(*size, chunks, forward, backward, weight))
        assert found.breakdown_s["bubble"] == pytest.approx(bubble)


@pytest.mark.parametrize(
    ("name", "chunks", "expected"),
    [("1f1b", 1, 0.21875), ("gpipe", 1, 0.21875), ("interleaved", 4, 0.0546875)],
)
def test_bubble_over_ideal_time(name, chunks, expected):  # (p - 1)/(v m), Narayanan et al. 2021
    found = solve(scheduled(name, 8, 32, chunks, {"F": 1.0, "B": 2.0}), Prices()).result
    assert found.step_s / (32 * 3) - 1 == pytest.approx(expected)
    if name == "1f1b":
        assert found.breakdown_s["bubble"] / found.step_s == pytest.approx(0.1794871795)


@pytest.mark.parametrize(("name", "expected"), [("1f1b", 210), ("zb_h1", 70), ("zb_h2", 0)])
def test_bubble_times_of_the_zero_bubble_paper(
    name, expected
):  # Qi et al. 2024, T_F = T_B = T_W = 10 ms, p = 8
    split = SCHEDULES[name].SPLIT
    parts = {"F": 10.0, "B": 10.0, "W": 10.0} if split else {"F": 10.0, "B": 20.0}
    ends = solve(scheduled(name, 8, 32, 1, parts), Prices()).result.ends_s
    spans = [end - 10.0 * stage for stage, end in enumerate(ends)]  # F0 reaches stage s after s forwards
    whole = max(spans) if SCHEDULES[name].STAGGERED else max(ends)
    assert whole - 32 * 30 == pytest.approx(expected)


def test_the_parts_of_a_1f1b_step_are_its_closed_form():  # (m + p - 1)(F + B) + 2 (p - 1) hop
    stages, microbatches = 4, 16
    graph = scheduled("1f1b", stages, microbatches, 1, {"F": 1.0, "B": 2.17})
    solved = agree(graph, Prices(hop=1e-3))
    counts: Counter = Counter()
    for entry, weight in zip(solved.entries, solved.weights, strict=True):
        counts["hop" if isinstance(entry.what, int) else entry.what.flops] += weight
    assert counts[1.0] == counts[2.17] == microbatches + stages - 1
    assert counts["hop"] >= 2 * (stages - 1)


def test_gradients_in_buckets_end_as_their_recurrence_says():
    # five buckets of 26,214,400 B ready at 2, 4, .. 10 ms; a ring of 16, 5 us and 12.5e9 B/s a step
    bucket = 2 * 15 * (5e-6 + 26214400 / 16 / 12.5e9)
    layer = Block(
        name="layer", operations=(work(2e-3), talk(bucket, "dp", stream="dp", until="step")), repeat=5
    )
    found = agree(alone("F0", F=(layer,)), Prices()).result
    assert found.step_s == pytest.approx(0.0224108, abs=1e-10)
    assert found.breakdown_s["exposed_data"] == pytest.approx(0.0124108, abs=1e-10)


def test_pieces_hide_all_but_the_last_one():  # C = 8, W = 6 in 4 pieces: C + W/4
    pieces = Block(name="piece", operations=(work(2), talk(1.5, stream="tp", until="task")), repeat=4)
    assert agree(alone("F0", F=(pieces,)), Prices()).result.step_s == 9.5


@pytest.mark.parametrize("repeat", [1, 2, 3, 50, 1000])
@pytest.mark.parametrize("until", ["block", "task", "step"])
@pytest.mark.parametrize("sends", [0.5, 1.0, 3.0])
def test_a_block_that_repeats_is_that_many_blocks(repeat, until, sends):
    layer = Block(name="layer", operations=(work(1), talk(sends, stream="a", until=until)), repeat=repeat)
    found = agree(alone("F0", F=(layer,)), Prices()).result.step_s
    whole = repeat * (1 + sends) if until == "block" else max(repeat + sends, 1 + repeat * sends)
    assert found == pytest.approx(whole)


# Wrong input


def test_what_cannot_be_is_refused():
    with pytest.raises(CheckError, match="stage 0 waits to run W0"):
        solve(alone("F0 W0 B0", F=[work(1)], B=[work(1)], W=[work(1)]), Prices())
    with pytest.raises(CheckError, match="stage 0 waits to run B0"):
        solve(alone("B0 F0", F=[work(1)], B=[work(1)]), Prices())
    with pytest.raises(ValueError, match="first task"):
        solve(alone("+F0", F=[work(1)]), Prices())
    with pytest.raises(ValueError, match="a number from 0 on"):
        solve(alone("F0", F=[work(-1)]), Prices())
    with pytest.raises(ValueError, match="0 to 1"):
        solve(alone("F0", F=[talk(1, overlap="tp")]), Prices(share=1.5))
    parts = (chunk(F=[work(1)]),)
    with pytest.raises(ValueError, match="lies on no way"):
        solve(step(*[Stage(chunks=parts, tasks=tasks("F0"))] * 2, routes=(((0, 0),),)), Prices())


def test_stages_that_wait_for_each_other_are_named():
    parts = (chunk(F=[work(2)], B=[work(4)]),)
    orders = ("F0 B1 B0 F1", "F0 F1 B1 B0")
    graph = step(*[Stage(chunks=parts, tasks=tasks(order)) for order in orders])
    with pytest.raises(CheckError, match="stage 0 waits to run B1"):
        solve(graph, Prices())


def test_nothing_to_do_takes_no_time():
    solved = solve(alone("F0 B0", F=[], B=[]), Prices())
    assert (solved.result.step_s, solved.entries, solved.weights) == (0.0, (), ())


def test_equal_stages_are_priced_once_each():
    asked: Counter = Counter()

    class Counting(Prices):
        def seconds(self, operation, stage):
            asked[operation, stage] += 1
            return Prices.seconds(self, operation, stage)

    layer = Block(name="layer", operations=(work(1), talk(0.5), work(2)), repeat=20)
    order = SCHEDULES["1f1b"].order(4, 32)
    graph = step(*[Stage(chunks=(chunk(F=(layer,), B=(layer,)),), tasks=own) for own in order])
    solve(graph, Counting())
    assert set(asked.values()) == {1}
