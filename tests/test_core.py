"""The compiled core against the plain solver, exact fractions and itself; its certificate; what it counts."""

import random
from dataclasses import replace

import numba
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import CheckError
from simulator.network import core
from simulator.network._compiled import compiled
from simulator.network._core_calendar import calendar, earliest, set_due, take
from simulator.network._core_run import advance, begin, instant
from simulator.network._core_state import FLOWING, HELD, MESSAGES, state_of
from simulator.network.core import batch, run, together
from simulator.network.flows import Flow, Link
from simulator.network.flows import replay as replay_flows
from simulator.network.lanes import NEVER, Book
from simulator.network.live_lanes import LiveLanes
from tests._lane_cases import all_to_all, lanes_from, random_lanes, rings, straggling
from tests._lane_oracle import truth
from tests.oracle import exact_finish
from tests.test_flow_network import random_network

seeds = st.integers(0, 2**32)


def certified(state):
    """Every flow has a full link on which nobody is faster, and no link carries more than it can."""
    links, lanes = state.links, state.flows
    for number in np.flatnonzero(links["count"]):
        link = links[number]
        load, fastest = 0.0, 0.0
        for member in state.members[link["start"] : link["start"] + link["count"]]:
            lane = lanes[member >> 32]
            at = state.route_start[lane["joined"]] + (member & 0xFFFFFFFF)
            assert state.crossed[at] == number
            load += (state.weights[at] if len(state.weights) else 1.0) * lane["rate"]
            fastest = max(fastest, lane["rate"])
        assert load <= link["bandwidth"] * (1 + 1e-9)
        for member in state.members[link["start"] : link["start"] + link["count"]]:
            if lanes[member >> 32]["bottleneck"] == number:
                assert load == pytest.approx(link["bandwidth"], rel=1e-9)
                assert lanes[member >> 32]["rate"] == pytest.approx(fastest, rel=1e-9)
    flowing = state.lanes["state"] == FLOWING
    assert (lanes["bottleneck"][flowing] >= 0).all()
    holds = np.bincount(lanes["bottleneck"][flowing], minlength=len(links))
    assert (holds == links["holds"]).all()


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_flows_end_when_exact_fractions_say(seed):
    links, flows = random_network(random.Random(seed), most=16)
    exact = {id_: float(at) for id_, at in exact_finish(links, flows).items()}
    found = replay_flows(links, flows, solver="compiled")
    assert found.finish == pytest.approx(exact, rel=1e-11, abs=0)
    assert found.carried == pytest.approx(replay_flows(links, flows, solver="plain").carried, rel=1e-12)
    folded = replay_flows(links, flows, fold="on", solver="compiled")
    assert folded.finish == pytest.approx(exact, rel=1e-11, abs=0)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_many_random_flows_end_when_the_plain_solver_says(seed):
    rng = np.random.default_rng(seed)
    count, wires = int(rng.integers(30, 120)), int(rng.integers(5, 40))
    links = {number: Link(float(b)) for number, b in enumerate(rng.choice([1, 2, 3, 7.3], wires))}
    flows = [
        Flow(
            id=number,
            route=tuple(rng.choice(wires, rng.integers(1, 5), replace=False).tolist()),
            size=float(rng.choice([1, 2, rng.random() + 0.1])),
            delay=float(rng.choice([0, 0, 0.5, rng.random()])),
        )
        for number in range(count)
    ]
    plain, compiled = (replay_flows(links, flows, solver=s) for s in ("plain", "compiled"))
    assert compiled.finish == pytest.approx(plain.finish, rel=1e-11, abs=0)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_lanes_end_when_their_messages_do(rng, copies):
    lanes = random_lanes(rng, copies)
    exact, found = truth(lanes), run(lanes)
    assert found.finish == pytest.approx(exact.finish, rel=1e-11)
    assert found.carried == pytest.approx(exact.carried, rel=1e-12)
    assert found.messages == len(exact.messages) == lanes.messages


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_rates_carry_a_certificate_at_every_instant(rng):
    state = state_of(random_lanes(rng, 2))
    begin(state, 0.0)
    instant(state, 0.0, 0)
    certified(state)
    while (now := earliest(state.calendar)) < np.inf:
        instant(state, now, take(state.calendar, now, state.batch))
        certified(state)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_one_wake_up_an_instant_and_running_ahead_are_the_same_to_a_bit(rng):
    lanes = random_lanes(rng, 2)
    state = state_of(lanes)
    begin(state, 0.0)
    instant(state, 0.0, 0)
    while (now := earliest(state.calendar)) < np.inf:
        advance(state, now, np.iinfo(np.int64).max)
    assert state.lanes["since"].tolist() == run(lanes).finish.tolist()


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_processes_that_only_watch_change_nothing(rng):
    lanes = random_lanes(rng, 2)
    heard = {}
    env = simpy.Environment()
    everybody = np.arange(len(lanes.programme))
    live = LiveLanes(
        env, lanes, everybody[:0], everybody, lambda lane, sent: heard.update({lane: (sent, env.now)})
    )

    def ticking():
        while live.unfinished():
            yield env.timeout(0.3)

    env.process(ticking())
    env.run()
    alone = run(lanes)
    assert {lane: sent for lane, (sent, _) in heard.items()} == {
        lane: sum(lanes.programmes.count[slice(*lanes.programmes.start[programme : programme + 2])])
        for lane, programme in enumerate(lanes.programme)
    }
    assert [heard[lane][1] for lane in everybody] == pytest.approx(alone.finish.tolist(), rel=1e-12)


def nudged(order):
    """Two held lanes let go two senders on one link, in some order, at 1 s; the first sends twice."""
    book = Book()
    book.phase(NEVER)
    held = book.programme()
    book.phase(2, 3.0, slot=0, gates=[(0, 1, 0)])
    twice = book.programme()
    book.phase(1, 2.0, slot=0, gates=[(0, 1, 0)])
    once = book.programme()
    lanes = lanes_from(
        book.made(), [held, held, twice, once], [[], [], [0], [1]], [[], [], [[0]], [[0]]], [1.0]
    )
    env = simpy.Environment()
    heard = []
    live = LiveLanes(
        env, lanes, np.array([0, 1]), np.array([2, 3]), lambda lane, sent: heard.append((lane, sent, env.now))
    )

    def process():
        yield env.timeout(1.0)
        for lane in order:
            live.nudge(lane)

    env.process(process())
    env.run()
    assert live.unfinished() == []
    assert live.state.counters[MESSAGES] == 5
    assert (live.state.lanes["state"][:2] == HELD).all()
    return heard


def test_what_a_process_lets_go_shares_the_link():
    assert nudged([0, 1]) == [(3, 1, 5.0), (2, 1, 6.0), (2, 2, 9.0)]


def test_the_order_of_requests_at_one_instant_cannot_matter():
    assert nudged([1, 0]) == nudged([0, 1])


@pytest.mark.parametrize("ranks", [2, 5, 64])
def test_a_ring_takes_an_instant_a_step_and_never_solves(ranks):
    lanes = rings(1, ranks)
    found = run(lanes)
    assert found.messages == lanes.messages == ranks * 2 * (ranks - 1)
    assert found.solves == found.looks == 0
    assert found.instants <= 2 * (ranks - 1) * 2 + 1


def test_work_does_not_grow_with_what_cannot_change():
    """In an all-to-all whoever leaves was fastest: one solve, and hardly a link is looked at again."""
    lanes = spread(32)
    found = run(lanes)
    assert found.solves == 1
    assert found.changes == len(lanes.programme)
    assert found.looks <= 3 * len(lanes.bandwidth)


def spread(hosts, seed=1):
    """All to all over four spines chosen at random; lanes of one message."""
    rng = np.random.default_rng(seed)
    routes = []
    for src in range(hosts):
        for dst in range(hosts):
            if src != dst:
                spine = int(rng.integers(4))
                routes.append(
                    [src, 2 * hosts + 4 * (src // 8) + spine, 3 * hosts + 4 * (dst // 8) + spine, hosts + dst]
                )
    starts = np.cumsum([0, *map(len, routes)])
    return batch(starts, np.concatenate(routes), 1e6, np.full(4 * hosts, 50e9))


def test_one_solve_gives_all_ends_of_equal_messages():
    lanes = spread(24)
    ends = together(lanes.route_start, lanes.links, 1e6, lanes.bandwidth)
    assert ends == pytest.approx(run(lanes).finish, rel=1e-11)
    load = np.bincount(lanes.links, minlength=len(lanes.bandwidth))
    assert ends.max() == pytest.approx(1e6 * (load / lanes.bandwidth).max(), rel=1e-12)


def test_memory_does_not_grow_with_messages():
    """A lane sends a million messages; its tables are those of one that sends two."""

    def size(count):
        lanes = rings(2, 4)
        programmes = replace(lanes.programmes, count=np.full_like(lanes.programmes.count, count))
        state = state_of(replace(lanes, programmes=programmes))
        tables = [field for field in state if isinstance(field, np.ndarray)]
        return sum(table.nbytes for table in [*tables, *state.calendar])

    assert size(1_000_000) == size(2)


def test_a_straggler_slows_those_that_wait_for_it():
    lanes = all_to_all(8, 4)
    slow = straggling(lanes, 3, 1.0)
    assert run(slow).finish == pytest.approx(truth(slow).finish, rel=1e-12)


def test_lanes_that_wait_for_each_other_are_named():
    book = Book()
    book.phase(1, gates=[(0, 1, 0)])
    book.programme()
    with pytest.raises(CheckError, match="2 lanes never ended: 0, 1"):
        run(lanes_from(book.made(), [0, 0], [[1], [0]], [[], []], [1.0]))


def test_progress_is_told(monkeypatch):
    monkeypatch.setattr("simulator.network.live_lanes.SLICE", 100)
    lanes, told = rings(2, 4), []
    run(lanes, progress=told.append)
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == lanes.messages


@pytest.mark.parametrize("count", [1, 63, 64, 65, 5000])
def test_a_calendar_gives_whoever_is_due(count):
    rng = np.random.default_rng(count)
    due = rng.integers(0, 20, count).astype(float)
    kept, taken = calendar(count), np.zeros(count, np.int32)
    for number, at in enumerate(due):
        set_due(kept, number, at)
    for at in np.unique(due):
        assert earliest(kept) == at
        found = taken[: take(kept, at, taken)]
        assert sorted(found) == np.flatnonzero(due == at).tolist()
    assert earliest(kept) == np.inf


def test_an_inner_fault_is_told(monkeypatch):
    lanes = rings(1, 4)

    def spoiled(given):
        state = state_of(given)
        state.lanes["left"] = 0
        return state

    monkeypatch.setattr("simulator.network.live_lanes.state_of", spoiled)
    monkeypatch.setattr("simulator.network.live_lanes.begin", lose)
    with pytest.raises(CheckError, match="ended without all of its bytes"):
        core.run(lanes)


def lose(state, now):
    """Begin, and let each message that is under way have ten times its rate."""
    begin(state, now)
    instant(state, now, 0)
    state.flows["rate"] *= 10


def test_machine_code_that_cannot_be_kept_is_made_all_the_same(monkeypatch):
    compile_ = numba.njit

    def nowhere(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(function, **options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert compiled(lambda x: x + 1)(1) == 2
