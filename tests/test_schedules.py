"""Every pipeline schedule by what must hold: complete, no deadlock, bubble and memory as in closed form."""

import inspect
import re
import time
from dataclasses import replace
from functools import cache
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workloads.schedules import SCHEDULES
from workloads.schedules._check import check
from workloads.schedules._clock import rows, run, usual
from workloads.schedules._faults import ScheduleError
from workloads.schedules._tasks import groups, loop, peaks, share, word
from workloads.step_graph import Task

NAMES = list(SCHEDULES)
SECONDS = st.integers(1, 9)


@st.composite
def sizes(draw, names=tuple(NAMES)):
    """A schedule with stages, microbatches and chunks that it takes."""
    name = draw(st.sampled_from(names))
    stages, microbatches, chunks = draw(st.integers(1, 7)), draw(st.integers(1, 24)), 1
    if name == "interleaved":
        chunks, microbatches = draw(st.integers(2, 4)), stages * draw(st.integers(1, 4))
    if name == "zb_v":
        chunks = 2
    if name == "dualpipe":
        chunks, stages = 2, 2 * draw(st.integers(1, 4))
        microbatches = 2 * stages + 2 * draw(st.integers(0, 5))
    return name, stages, microbatches, chunks


def passes(name, chunks):
    """Return through how many chunks of a stage a microbatch goes: DualPipe has copies of one."""
    return 1 if name == "dualpipe" else chunks


def timed(name, stages, microbatches, chunks, forward, backward, weight, pair=None):
    """Return a run with the times of one microbatch on a whole stage."""
    schedule = SCHEDULES[name]
    part = passes(name, chunks)
    whole = backward if schedule.SPLIT else backward + weight
    seconds = usual(forward / part, whole / part, weight / part, pair)
    return run(schedule.order(stages, microbatches, chunks), schedule.routes(stages, chunks), seconds)


def test_these_schedules_are_there():
    assert set(NAMES) == {"gpipe", "1f1b", "interleaved", "zb_h1", "zb_h2", "zb_v", "dualpipe"}


@pytest.mark.parametrize("name", NAMES)
def test_each_offers_the_same(name):
    schedule = SCHEDULES[name]
    parameters = {
        "routes": ["stages", "chunks"],
        "order": ["stages", "microbatches", "chunks"],
        "bubble": ["stages", "microbatches", "chunks", "forward", "backward", "weight"],
        "in_flight": ["stages", "microbatches", "chunks", "stage"],
    }
    for function, wanted in parameters.items():
        assert list(inspect.signature(getattr(schedule, function)).parameters)[: len(wanted)] == wanted
    for function in ("order", "bubble", "in_flight"):
        assert re.search(r"arXiv:\d{4}\.\d{5}", getattr(schedule, function).__doc__)
    assert isinstance(schedule.SPLIT, bool)
    assert isinstance(schedule.STAGGERED, bool)
    assert isinstance(schedule.CHUNKS, range)
    copies = 2 if name == "dualpipe" else 1
    assert copies == schedule.COPIES
    least = schedule.CHUNKS[0]
    assert schedule.order(2, 4) == schedule.order(2, 4, least)  # chunks left out are the fewest
    assert schedule.routes(2) == schedule.routes(2, least)


@given(sizes())
def test_each_runs_every_task_once_and_comes_to_an_end(size):
    name, stages, microbatches, chunks = size
    schedule = SCHEDULES[name]
    orders, routes = schedule.order(stages, microbatches, chunks), schedule.routes(stages, chunks)
    check(orders, routes, microbatches)
    kinds = "FBW" if schedule.SPLIT else "FB"
    wanted = passes(name, chunks) * microbatches
    for order in orders:
        assert {kind: sum(task.kind == kind for task in order) for kind in kinds} == dict.fromkeys(
            kinds, wanted
        )
    assert any(task.kind == "W" for task in orders[0]) is schedule.SPLIT


@given(sizes())
def test_activations_in_flight_are_those_of_the_closed_form(size):
    name, stages, microbatches, chunks = size
    schedule = SCHEDULES[name]
    held = peaks(schedule.order(stages, microbatches, chunks), schedule.routes(stages, chunks))
    closed = [schedule.in_flight(stages, microbatches, chunks, stage) for stage in range(stages)]
    assert list(held) == closed


@given(sizes(["gpipe", "1f1b", "interleaved", "zb_h1"]), SECONDS, SECONDS, SECONDS)
def test_the_bubble_is_that_of_the_closed_form(size, forward, backward, weight):
    name, stages, microbatches, chunks = size
    times = timed(*size, forward, backward, weight)
    bubble = SCHEDULES[name].bubble(stages, microbatches, chunks, forward, backward, weight)
    assert max(times.idle) == pytest.approx(bubble, rel=1e-9, abs=1e-9)
    whole = times.period if SCHEDULES[name].STAGGERED else times.makespan
    assert whole == pytest.approx(microbatches * (forward + backward + weight) + bubble)


@given(st.integers(1, 7), st.integers(1, 30), SECONDS, SECONDS, SECONDS)
def test_zb_h2_waits_as_long_as_its_closed_form_says(stages, microbatches, forward, backward, weight):
    got = max(timed("zb_h2", stages, microbatches, 1, forward, backward, weight).idle)
    bubble = SCHEDULES["zb_h2"].bubble(stages, microbatches, 1, forward, backward, weight)
    if microbatches >= 2 * stages - 1:
        assert got == bubble
    else:
        assert got >= bubble


@given(st.integers(1, 7), st.integers(0, 20), SECONDS)
def test_zb_h2_and_zb_v_have_no_bubble_if_all_tasks_are_as_long(stages, more, seconds):
    microbatches = 2 * stages - 1 + more
    for name, chunks in (("zb_h2", 1), ("zb_v", 2)):
        times = timed(name, stages, microbatches, chunks, seconds, seconds, seconds)
        assert max(times.idle) == 0
        assert times.period == 3 * seconds * microbatches
        assert SCHEDULES[name].bubble(stages, microbatches, chunks, seconds, seconds, seconds) == 0


@given(st.integers(1, 6), st.integers(1, 40), SECONDS, SECONDS, SECONDS)
def test_zb_v_waits_for_what_differs(stages, microbatches, forward, backward, weight):
    got = max(timed("zb_v", stages, microbatches, 2, forward, backward, weight).idle)
    bubble = SCHEDULES["zb_v"].bubble(stages, microbatches, 2, forward, backward, weight)
    assert got == pytest.approx(bubble, abs=1e-9)
    if weight <= forward <= backward and microbatches >= 2 * stages - 1:
        assert got == pytest.approx((stages - 1) * (backward - weight), abs=1e-9)


@given(sizes(["dualpipe"]), SECONDS, SECONDS)
def test_dualpipe_waits_as_long_as_its_closed_form_says(size, forward, weight):
    assume(weight <= forward)
    _, stages, microbatches, chunks = size
    times = timed(*size, forward, forward, weight)
    assert max(times.idle) == SCHEDULES["dualpipe"].bubble(
        stages, microbatches, chunks, forward, forward, weight
    )
    assert times.idle == times.idle[::-1]


@given(sizes(["dualpipe"]), SECONDS, SECONDS, st.floats(0.5, 1))
def test_overlap_in_dualpipe_leaves_no_more_than_the_closed_form(size, forward, weight, share_of):
    assume(weight <= forward)
    _, stages, microbatches, chunks = size
    pair = max(forward + weight, share_of * (2 * forward + weight))
    got = max(timed(*size, forward, forward, weight, pair).idle)
    bubble = SCHEDULES["dualpipe"].bubble(stages, microbatches, chunks, forward, forward, weight, pair)
    assert got <= bubble + 1e-9
    if stages <= 4:
        assert got == pytest.approx(bubble, abs=1e-9)


@given(sizes(["dualpipe"]))
def test_dualpipe_has_the_published_phases(size):
    """Counted from the eight phases in https://github.com/deepseek-ai/DualPipe, for each rank."""
    _, stages, microbatches, chunks = size
    for stage, order in enumerate(SCHEDULES["dualpipe"].order(stages, microbatches, chunks)):
        depth = min(stage, stages - 1 - stage)
        inner = stages // 2 - 1 - depth
        kinds = ["".join(task.kind for task in group) for group in groups(order)]
        assert kinds.count("FBW") == 2 * (microbatches // 2 - stages + depth + 1) + inner - (inner == 0)
        assert kinds.count("W") == kinds.count("B") == 2 * inner + depth + 1
        assert kinds[-depth - 1 :] == ["W"] * (depth + 1)
        assert {kind for kind in kinds if len(kind) > 1} <= {"FBW", "BW"}


# formulas of section 6, worked values of section 16: 6.1, 6.2, 6.4


def test_worked_value_bubble_over_ideal_time():
    ideal = 32 * 3.0
    bubble = SCHEDULES["1f1b"].bubble(8, 32, 1, 1.0, 1.0, 1.0)
    assert bubble / ideal == pytest.approx(0.21875)
    assert bubble / (ideal + bubble) == pytest.approx(0.1794871795)
    assert SCHEDULES["interleaved"].bubble(8, 32, 4, 1.0, 1.0, 1.0) / ideal == pytest.approx(0.0546875)


def test_worked_value_bubble_time():
    found = {
        name: SCHEDULES[name].bubble(8, 32, 1, 10.0, 10.0, 10.0)
        for name in ("1f1b", "gpipe", "zb_h1", "zb_h2")
    }
    assert found == {"1f1b": 210, "gpipe": 210, "zb_h1": 70, "zb_h2": 0}
    assert SCHEDULES["dualpipe"].bubble(8, 32, 2, 10.0, 10.0, 10.0, pair=28.0) == 54


def test_worked_value_interleaving_memory_factor():
    assert (
        SCHEDULES["interleaved"].in_flight(8, 32, 4, 0) / SCHEDULES["1f1b"].in_flight(8, 32, 1, 0) == 1.21875
    )


def test_published_memory_of_the_zero_bubble_schedules():
    for stage in range(8):
        assert SCHEDULES["zb_h1"].in_flight(8, 32, 1, stage) == 8
        assert SCHEDULES["zb_h2"].in_flight(8, 32, 1, stage) == 15
        assert SCHEDULES["zb_v"].in_flight(8, 32, 2, stage) == 8
        assert SCHEDULES["dualpipe"].in_flight(8, 32, 2, stage) == 9


@given(sizes(), SECONDS, SECONDS, SECONDS)
def test_what_improves_a_schedule_improves_the_bubble(size, forward, backward, weight):
    name, stages, microbatches, chunks = size
    times = (forward, backward, weight)
    bubble = SCHEDULES[name].bubble(stages, microbatches, chunks, *times)
    assert bubble >= 0
    step = {"dualpipe": 2}.get(name, 1)
    if name != "interleaved" and microbatches >= 2 * (stages + step):
        assert SCHEDULES[name].bubble(stages + step, microbatches, chunks, *times) >= bubble - 1e-9
    if name == "interleaved":
        plain = SCHEDULES["1f1b"].bubble(stages, microbatches, 1, *times)
        assert SCHEDULES[name].bubble(stages, microbatches, chunks + 1, *times) <= bubble <= plain
    if name in ("zb_h1", "zb_h2"):
        h1, plain = (SCHEDULES[other].bubble(stages, microbatches, 1, *times) for other in ("zb_h1", "1f1b"))
        assert bubble <= h1 <= plain


# stages that differ


@st.composite
def uneven(draw):
    stages = draw(st.integers(1, 6))
    return [(draw(SECONDS), draw(SECONDS)) for _ in range(stages)], draw(st.integers(1, 12))


def by_stage(times):
    """Return the seconds of tasks that differ from stage to stage, F and B."""
    return lambda stage, group: sum(times[stage]["FB".index(task.kind)] for task in group)


@given(uneven())
def test_gpipe_on_unequal_stages(case):
    times, microbatches = case
    orders = SCHEDULES["gpipe"].order(len(times), microbatches)
    forwards, backwards = zip(*times, strict=True)
    slowest = (microbatches - 1) * (max(forwards) + max(backwards))
    found = run(orders, loop(len(times), 1), by_stage(times)).makespan
    assert found == sum(forwards) + sum(backwards) + slowest


@given(uneven())
def test_1f1b_on_unequal_stages(case):
    times, microbatches = case
    orders = SCHEDULES["1f1b"].order(len(times), microbatches)
    found = run(orders, loop(len(times), 1), by_stage(times)).makespan
    both = [sum(stage) for stage in times]
    assert found >= microbatches * max(both)
    for stage in range(len(times)):  # whoever is slowest, what is before it is passed twice more
        assert found >= sum(both[:stage]) + microbatches * both[stage]
    slow = [*times[:-1], tuple(map(max, zip(*times, strict=True)))]
    found = run(orders, loop(len(times), 1), by_stage(slow)).makespan
    assert found == sum(both[:-1]) + microbatches * sum(slow[-1])  # the last one never waits


@given(sizes(), st.integers(0, 5))
def test_one_slow_task_makes_no_schedule_faster(size, more):
    name, stages, microbatches, chunks = size
    schedule = SCHEDULES[name]
    orders, routes = schedule.order(stages, microbatches, chunks), schedule.routes(stages, chunks)

    def slow(stage, group):
        return 1 + (more if stage == 0 and group[0].microbatch == 0 else 0)

    assert run(orders, routes, slow).makespan >= run(orders, routes, lambda *_: 1).makespan


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 7))
def test_the_way_between_stages_counts_once_there_and_once_back(stages, microbatches, transfer):
    seconds = usual(2, 4)
    orders, routes = SCHEDULES["gpipe"].order(stages, microbatches), loop(stages, 1)
    near, far = (run(orders, routes, seconds, delay).makespan for delay in (0.0, float(transfer)))
    assert far == near + 2 * (stages - 1) * transfer
    assert run(orders, routes, seconds, lambda *_: transfer).makespan == far
    orders, routes = SCHEDULES["interleaved"].order(1, microbatches, 3), loop(1, 3)
    assert run(orders, routes, seconds, 99.0) == run(orders, routes, seconds)  # no way from a stage to itself


def test_each_direction_has_its_own_time():
    orders, routes = SCHEDULES["1f1b"].order(2, 1), loop(2, 1)
    times = run(orders, routes, usual(1, 1), lambda source, sink: {(0, 1): 10.0, (1, 0): 100.0}[source, sink])
    assert times.start == ((0.0, 113.0), (11.0, 12.0))
    assert times.makespan == 114


# the clock and the check against a graph of what waits for what


def waiting(orders, routes, microbatches):
    """Return the graph of groups: an edge from what must end first."""
    graph, owner = nx.DiGraph(), {}
    for stage, order in enumerate(orders):
        for place, group in enumerate(groups(order)):
            graph.add_node((stage, place), group=group)
            owner |= {(t.kind, t.microbatch, stage, t.chunk): (stage, place) for t in group}
            if place:
                graph.add_edge((stage, place - 1), (stage, place))
    for number, route in enumerate(routes):
        for microbatch in share(number, len(routes), microbatches):
            way = [("F", microbatch, *place) for place in route]
            way += [("B", microbatch, *place) for place in reversed(route)]
            links = [*pairwise(way)]
            links += [(("F", microbatch, *place), ("B", microbatch, *place)) for place in route]
            links += [(("B", microbatch, *place), ("W", microbatch, *place)) for place in route]
            for one, other in links:
                if other in owner and not (other[0] == "W" and owner[one] == owner[other]):
                    graph.add_edge(owner[one], owner[other])
    return graph


@given(sizes(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_a_run_is_the_longest_path_and_a_deadlock_is_a_ring(size, random, swaps):
    name, stages, microbatches, chunks = size
    schedule = SCHEDULES[name]
    routes = schedule.routes(stages, chunks)
    orders = [list(groups(order)) for order in schedule.order(stages, microbatches, chunks)]
    for _ in range(swaps):
        order = random.choice(orders)
        one, other = (random.randrange(len(order)) for _ in range(2))
        order[one], order[other] = order[other], order[one]
    mixed = tuple(tuple(task for group in order for task in group) for order in orders)
    graph = waiting(mixed, routes, microbatches)
    if not nx.is_directed_acyclic_graph(graph):
        with pytest.raises(ScheduleError, match="waits for"):
            check(mixed, routes, microbatches)
        return
    check(mixed, routes, microbatches)
    duration = cache(lambda stage, group: random.randint(0, 9))
    ends = {}
    for node in nx.topological_sort(graph):
        begin = max((ends[before] for before in graph.predecessors(node)), default=0)
        ends[node] = begin + duration(node[0], graph.nodes[node]["group"])
    times = run(mixed, routes, duration)
    assert times.makespan == max(ends.values())
    for stage, order in enumerate(mixed):
        in_groups = [ends[stage, place] for place, group in enumerate(groups(order)) for _ in group]
        assert list(times.end[stage]) == in_groups
        busy = sum(duration(stage, group) for group in groups(order))
        assert times.busy[stage] == busy == times.span[stage] - times.idle[stage]


def test_rows_say_when_each_task_runs():
    orders = SCHEDULES["1f1b"].order(2, 2)
    found = rows(orders, run(orders, loop(2, 1), usual(1, 2)))
    assert found[0] == {"stage": 0, "kind": "F", "microbatch": 0, "chunk": 0, "start_s": 0.0, "end_s": 1.0}
    assert len(found) == 8
    assert {row["end_s"] - row["start_s"] for row in found if row["kind"] == "B"} == {2.0}


@given(sizes(), st.randoms(use_true_random=False), st.sampled_from(["drop", "twice", "chunk", "microbatch"]))
def test_a_task_too_few_or_too_many_is_named_with_its_stage(size, random, fault):
    name, stages, microbatches, chunks = size
    orders = [list(order) for order in SCHEDULES[name].order(stages, microbatches, chunks)]
    stage = random.randrange(stages)
    place = random.randrange(1, len(orders[stage]))
    task = orders[stage][place]
    changed = {
        "drop": [],
        "twice": [task, task],
        "chunk": [replace(task, chunk=chunks)],
        "microbatch": [replace(task, microbatch=microbatches)],
    }[fault]
    orders[stage][place : place + 1] = changed
    assume(
        task.kind != "W" or any(other.kind == "W" for order in orders for other in order)
    )  # else none has W
    with pytest.raises(ScheduleError) as error:
        check(tuple(map(tuple, orders)), SCHEDULES[name].routes(stages, chunks), microbatches)
    said = " ".join(str(found) for found in error.value.faults if found.stage == stage)
    assert word(task) in said
    assert f"stage {stage}: " in said
    assert {"drop": "never runs", "twice": "more than once"}.get(fault, "not its own") in said


def test_all_that_is_wrong_is_said_at_once():
    def tasks(text):
        return tuple(Task(kind=name[0], microbatch=int(name[1:])) for name in text.split())

    orders = (tasks("F0 B0 F2 B1 B2"), tasks("F0 F1 F2 B0 B0 B1 B2"), tasks("F0 B0 F1 B1 F2 B2"))
    with pytest.raises(ScheduleError) as error:
        check(orders, loop(3, 1), 3)
    assert str(error.value) == "stage 0: never runs F1; stage 1: runs B0 more than once"
    with pytest.raises(ScheduleError, match="F0 runs beside the task before it"):
        check(((Task(kind="F", microbatch=0, beside=True), *tasks("B0")),), loop(1, 1), 1)


def test_a_deadlock_names_who_waits_for_whom():
    def tasks(text):
        return tuple(Task(kind=name[0], microbatch=int(name[1:])) for name in text.split())

    with pytest.raises(ScheduleError) as error:
        check((tasks("F0 B0 F1 B1"), tasks("F1 B1 F0 B0")), loop(2, 1), 2)
    assert "stage 0: B0, its task 2, waits for B0 of stage 1" in str(error.value)
    assert "stage 1: F1, its task 1, waits for F1 of stage 0" in str(error.value)
    with pytest.raises(ScheduleError, match="stage 0: B0, its task 1, waits for F0, which has not run"):
        check((tasks("B0 F0"),), loop(1, 1), 1)
    with pytest.raises(
        ScheduleError, match="stage 0: B1, its task 2, waits for B1 of stage 1, which nobody runs"
    ):
        run((tasks("F1 B1"), tasks("F0")), loop(2, 1), usual(1, 1))


def test_ways_that_lead_nowhere_are_refused():
    orders = SCHEDULES["1f1b"].order(2, 2)
    for routes, said in (
        ((((0, 0), (1, 0), (2, 0)),), "stage 2, there are only 0 to 1"),
        ((((0, 0),),), "stage 1: no route goes through it"),
        ((((0, 0), (1, 0), (0, 0)),), "stage 0: the routes pass chunk 0 2 times"),
        ((((0, 0), (1, 0)), ((1, 1),)), "routes of 2 and 1 places"),
    ):
        with pytest.raises(ScheduleError, match=said):
            check(orders, routes, 2)


# what a schedule cannot have


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("interleaved", (4, 10, 2), "10 microbatches are no multiple of 4 stages; try 8 or 12"),
        ("interleaved", (4, 2, 2), "try 4 microbatches"),
        ("interleaved", (4, 8, 1), "1 chunks a stage: takes 2 or more; without chunks it is 1f1b"),
        ("1f1b", (4, 8, 2), "2 chunks a stage: takes exactly 1"),
        ("zb_v", (4, 8, 1), "takes exactly 2"),
        ("dualpipe", (5, 20, 2), "5 stages: must be even; try 4 or 6"),
        ("dualpipe", (1, 20, 2), "1 stages: must be even; try 2"),
        ("dualpipe", (4, 9, 2), "at least twice the 4 stages; try 10"),
        ("dualpipe", (4, 6, 2), "at least twice the 4 stages; try 8"),
        ("gpipe", (0, 8, 1), "0 stages: must be 1 or more"),
        ("zb_h1", (4, 0, 1), "0 microbatches: must be 1 or more"),
    ],
)
def test_what_is_impossible_is_refused_with_a_way_out(name, size, said):
    schedule = SCHEDULES[name]
    calls = [
        lambda: schedule.order(*size),
        lambda: schedule.bubble(*size, 1.0, 1.0, 1.0),
        lambda: schedule.in_flight(*size, 0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"schedule {name}.*{re.escape(said)}"):
            call()


def test_a_stage_that_is_not_there_has_no_activations():
    for name in NAMES:
        with pytest.raises(ValueError, match="no stage 4, there are 0 to 3"):
            SCHEDULES[name].in_flight(4, 8, SCHEDULES[name].CHUNKS[0], 4)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(stages=st.integers(-1, 9), microbatches=st.integers(-1, 20), chunks=st.integers(-1, 4))
def test_any_size_is_scheduled_or_refused(name, stages, microbatches, chunks):
    try:
        orders = SCHEDULES[name].order(stages, microbatches, chunks)
    except ValueError as error:
        said = str(error)
        assert said.startswith(f"schedule {name}")
    else:
        check(orders, SCHEDULES[name].routes(stages, chunks), microbatches)


def test_large_schedules_are_quick():
    begin = time.perf_counter()
    orders = SCHEDULES["interleaved"].order(16, 512, 8)
    assert time.perf_counter() - begin < 60  # a hang, not a benchmark: other work may run beside
    assert sum(map(len, orders)) == 16 * 512 * 8 * 2
    begin = time.perf_counter()
    assert max(run(orders, loop(16, 8), usual(1, 2)).idle) == 45
    assert time.perf_counter() - begin < 60
