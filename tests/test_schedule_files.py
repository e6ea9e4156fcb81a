"""Schedules of the user's own: what is read is what stands there, and what is wrong is said by line."""

import re
import tracemalloc
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_schedules import sizes
from workloads.schedules import SCHEDULES, _file
from workloads.schedules._check import check
from workloads.schedules._faults import ScheduleError
from workloads.schedules._file import read
from workloads.schedules._tasks import groups, loop, vee, word


def toml(orders, routes=()):
    """Return a file with a line for each order."""
    lines = ["stages = [", *(f'"{order}",' for order in orders), "]"]
    if routes:
        lines += ["routes = [", *(f'"{route}",' for route in routes), "]"]
    return "\n".join(lines)


def faults(text, stages=2, microbatches=4):
    with pytest.raises(ScheduleError) as error:
        read(text, stages, microbatches)
    assert str(error.value.faults[0]) in str(error.value)
    return [(fault.line, fault.stage, fault.message) for fault in error.value.faults]


@given(st.integers(1, 20))
def test_the_file_of_the_manual_is_1f1b_on_two_stages(microbatches):
    (example,) = re.findall(r"^ +(stages = .*)$", _file.__doc__, re.MULTILINE)
    found = read(example, 2, microbatches)
    assert found.orders == SCHEDULES["1f1b"].order(2, microbatches)
    assert (found.routes, found.chunks, found.split) == (loop(2, 1), 1, False)


@given(st.integers(1, 6), st.integers(0, 9))
def test_one_file_serves_any_number_of_microbatches(stages, more):
    orders = [f"F*{ahead} (F B)* B*{ahead}" if ahead else "(F B)*" for ahead in reversed(range(stages))]
    microbatches = stages + more
    assert read(toml(orders), stages, microbatches).orders == SCHEDULES["1f1b"].order(stages, microbatches)


@given(sizes())
def test_every_schedule_can_be_written_down(size):
    name, stages, microbatches, chunks = size
    orders, routes = (
        SCHEDULES[name].order(stages, microbatches, chunks),
        SCHEDULES[name].routes(stages, chunks),
    )
    text = toml(
        [" ".join("+".join(map(word, group)) for group in groups(order)) for order in orders],
        [" ".join(f"{stage}.{chunk}" for stage, chunk in route) for route in routes],
    )
    found = read(text, stages, microbatches)
    assert (found.orders, found.routes) == (orders, routes)
    assert (found.chunks, found.split) == (chunks, SCHEDULES[name].SPLIT)


@given(sizes(["gpipe", "1f1b", "interleaved", "zb_h1", "zb_h2", "zb_v"]))
def test_numbers_in_order_can_be_left_out(size):
    name, stages, microbatches, chunks = size
    schedule = SCHEDULES[name]
    orders, routes = schedule.order(stages, microbatches, chunks), schedule.routes(stages, chunks)
    backwards = name == "gpipe"  # its B come last first: they need their numbers
    lines = [
        " ".join(
            word(task) if backwards and task.kind == "B" else re.sub(r"\d+", "", word(task), count=1)
            for task in order
        )
        for order in orders
    ]
    ways = [
        "" if name != "zb_v" else " ".join(f"{stage}.{chunk}" for stage, chunk in route) for route in routes
    ]
    assert read(toml(lines, [way for way in ways if way]), stages, microbatches).orders == orders


def test_a_bare_letter_is_the_one_after_the_last_that_was_named():
    found = read(toml(["F1 F F0 B1 B B0 W2 W0 W"]), 1, 3)
    assert " ".join(map(word, found.orders[0])) == "F1 F2 F0 B1 B2 B0 W2 W0 W1"


def test_chunks_go_round_unless_routes_say_otherwise():
    orders = ["F F.1 B.1 B", "F F.1 B.1 B"]
    assert read(toml(orders, ["0 1 1.1 0.1"]), 2, 1).routes == vee(2)
    round_again = ["F F.1 B.1 B", "F F.1 B.1 B"]
    assert read(toml(round_again), 2, 1).routes == loop(2, 2)


def test_two_ways_share_the_microbatches():
    found = read(toml(["F F.1 B.1 B", "F.1 F B B.1"], ["0 1", "1.1 0.1"]), 2, 2)
    assert [(task.kind, task.microbatch, task.chunk) for task in found.orders[0]] == [
        ("F", 0, 0), ("F", 1, 1), ("B", 1, 1), ("B", 0, 0)
    ]  # fmt: skip
    crossed = read(toml(["F F.1 B.1 B", "F F.1 B.1 B"], ["0 1.1", "1 0.1"]), 2, 2)
    assert [task.microbatch for task in crossed.orders[0]] == [0, 1, 1, 0]
    assert [task.microbatch for task in crossed.orders[1]] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages = [", "no TOML: "),
        ("x=[" * 5000, "no TOML: "),
        ("", 'stages must be a list of texts, such as stages = ["F (F B)* B", "(F B)*"]'),
        ("stages = 3", "stages must be a list of texts"),
        ("stages = [3]", "stages must be a list of texts"),
        ('stages = ["(F B)*"]', "stages has 1 orders, the pipeline 2 stages: write one for each"),
        ('stages = ["F (F B)* B", "(F B)*"]\nrouts = []', "unknown key 'routs': has stages and routes"),
        (
            'stages = ["F (F B)* B", "(F B)*"]\nroutes = []',
            'routes must be a list of texts, such as routes = ["0 1"]',
        ),
    ],
)
def test_a_file_that_is_none(text, said):
    assert faults(text)[0][2].startswith(said)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("F0 F1 X", "'X' is no task: F, B or W, a microbatch, a chunk, as in F3 or F3.1"),
        ("f0", "'f0' is no task"),
        ("F-1", "'F-1' is no task"),
        ("F1.", "'F1.' is no task"),
        ("F0+", "'F0+' is no task"),
        ("()*", "'()*' is no task"),
        ("(F B", "'(' is no task"),
        ("(F (F B)* B)", "'(' is no task"),
        ("F*99", "'F*99' stands more often than there are microbatches: 4"),
        ("(F3 B)*2", "'(F3 B)*2' would run the same microbatch again: leave its number out"),
        ("F3*", "'F3*' would run the same microbatch again"),
        ("F* B*", "more than one * without a number: only one can take what is left"),
        ("(F F F B)*", "'(F F F B)*' cannot take what is left: it would have to stand F 1.33333, B 4 times"),
        ("F (F B)* B B", "it would have to stand F 3, B 2 times"),
        ("F F F F F (F B)* B B B B B", "it would have to stand F -1, B -1 times"),
        ("F F B B", "never runs F2, F3, B2, B3"),
        ("F*4 B0 B1 B1 B2 B3", "runs B1 more than once"),
        ("F*4 B*4 F4 B4", "runs F4, B4, which is not its own"),
        ("(F B)* F0.7", "runs F0.7, which is not its own"),
        ("F*4 B*4 W*4", "never"),
        ("", "never runs F0 to F3, B0 to B3"),
        ("B0 (F B)*", "it would have to stand F 4, B 3 times"),
    ],
)
def test_an_order_that_cannot_be_followed_is_said_with_its_line(order, said):
    found = faults(toml(["F (F B)* B", order], ["0 1"]))
    assert any(said in message and place[1] == (1 if said != "never" else 0) for *place, message in found)
    assert {line for line, _, _ in found} <= {2, 3}
    assert {line - 2 for line, _, _ in found} == {stage for _, stage, _ in found}


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("0 one", "'one' in a route is no stage: 2, or 2.1 for its chunk 1"),
        ("0 1 2", "a route goes through stage 2, there are only 0 to 1"),
        ("0", "no route goes through it"),
        ("", "no route goes through it"),
        ("0 1 0", "the routes pass chunk 0 2 times"),
    ],
)
def test_a_route_that_cannot_be_taken(route, said):
    assert said in faults(toml(["F (F B)* B", "(F B)*"], [route]))[0][2]


def test_all_that_is_wrong_is_said_at_once():
    text = "colour = 1\n" + toml(["F*9 B*4", "(F B)*", "F*4 B*3", "F*4 Q"])
    assert [(line, stage) for line, stage, _ in faults(text, 5)] == [
        (None, None), (None, None), (3, 0), (5, 2), (6, 3)
    ]  # fmt: skip
    with pytest.raises(ScheduleError, match=r"line 3, stage 0: .*; line 5, stage 2: never runs B3; line 6"):
        read(text, 5, 4)
    with pytest.raises(ScheduleError, match=r"and 4 more$") as error:
        read(toml(["F B"] * 12), 12, 2)
    assert len(error.value.faults) == 12


def test_alike_orders_have_lines_of_their_own():
    found = faults(toml(["F B", "F B", "F*2 B*2", "F B"]), 4, 2)
    assert [(line, stage) for line, stage, _ in found] == [(2, 0), (3, 1), (5, 3)]
    assert faults("stages = ['F B', 'F X']")[1][0] == 1
    assert faults('stages = ["\\u0046 X"]', 1)[0][:2] == (None, 0)  # written with an escape


def test_a_deadlock_names_who_waits_for_whom():
    ((line, stage, message),) = faults(toml(["F0 B0 F1 B1", "F1 B1 F0 B0"]), 2, 2)
    assert (line, stage) == (None, None)
    assert "stage 0: B0, its task 2, waits for B0 of stage 1" in message
    assert "stage 1: F1, its task 1, waits for F1 of stage 0" in message
    ((line, stage, message),) = faults(toml(["F0 F1 B0 B1", "F0 F1+B1 B0"]), 2, 2)
    assert (line, stage) == (3, 1)
    assert message == "F1+B1, its task 2, waits for F1, which has not run by then: put it before"


@given(st.lists(st.text("FBW012.()*+ ,", max_size=24), min_size=1, max_size=3), st.integers(1, 4))
def test_any_words_are_a_sound_schedule_or_refused(orders, microbatches):
    try:
        found = read(toml(orders), len(orders), microbatches)
    except ScheduleError as error:
        assert error.faults  # noqa: PT017
    else:
        check(found.orders, found.routes, microbatches)
        for order in found.orders:
            for _, same in groupby(
                sorted(order, key=lambda t: (t.kind, t.chunk)), key=lambda t: (t.kind, t.chunk)
            ):
                assert len({task.microbatch for task in same}) == microbatches


def test_a_small_file_asks_for_no_large_memory():
    tracemalloc.start()
    assert "stands more often" in faults(toml(["F*999999999", "(F B)*"]))[0][2]
    assert "is no task" in faults(toml(["F0.999999999", "(F B)*"]))[0][2]
    assert "not its own" in faults(toml(["F*4 B*4 F999999999", "(F B)*"]))[0][2]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24  # the tasks would be gigabytes


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="for 0 stages, 4 microbatches: must be 1 or more"):
        read(toml(["(F B)*"]), 0, 4)
