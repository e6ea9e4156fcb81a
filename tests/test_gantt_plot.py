"""The chart of a pipeline: each task is a box where and when it runs."""

import ast
import inspect

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from simulator.reports import gantt_plot
from simulator.reports.gantt_plot import MOST_NUMBERS, gantt
from workloads.schedules import SCHEDULES
from workloads.schedules._clock import rows, run, usual


def frame(name, stages=4, microbatches=8, chunks=1):
    schedule = SCHEDULES[name]
    orders = schedule.order(stages, microbatches, chunks)
    return pd.DataFrame(rows(orders, run(orders, schedule.routes(stages, chunks), usual(1.0, 2.0, 1.0))))


def boxes(axes):
    """Return (kind and chunk in words, left, right, top, bottom) of each box."""
    found = []
    for collection in axes.collections:
        for path in collection.get_paths():
            (left, top), (right, low) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            found.append((collection.get_label(), left, right, top, low))
    return found


def test_every_task_is_a_box_on_the_lane_of_its_stage():
    table = frame("zb_v", chunks=2)
    words = {"F": "forward", "B": "backward", "W": "weight gradients"}
    wanted = {
        (words[row.kind] + (", chunk 1" if row.chunk else ""), row.start_s, row.end_s, row.stage)
        for row in table.itertuples()
    }
    axes = gantt(table.sample(frac=1, random_state=1))
    found = boxes(axes)
    assert {(name, left, right, round((top + low) / 2, 9)) for name, left, right, top, low in found} == wanted
    assert len(found) == len(table)
    assert all(low - top == pytest.approx(0.8) for *_, top, low in found)
    assert axes.get_xlim() == (table.start_s.min(), table.end_s.max())
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first stage is on top
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"stage {i}" for i in range(4)]


def test_the_legend_names_each_colour_once():
    axes = gantt(frame("interleaved", chunks=2))
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "forward", "forward, chunk 1", "backward", "backward, chunk 1", "waits"
    ]  # fmt: skip
    colours = {patch.get_label(): to_hex(patch.get_facecolor()) for patch in legend.legend_handles}
    assert len(set(colours.values())) == 5
    for collection in axes.collections:
        assert colours[collection.get_label()] == to_hex(collection.get_facecolor()[0])


def test_tasks_that_run_together_share_the_height_of_their_stage():
    table = frame("dualpipe", 4, 8, 2)
    found = boxes(gantt(table))
    assert len(found) == len(table)
    for one in found:
        for other in found:
            if one is not other:
                apart = max(one[1], other[1]) >= min(one[2], other[2])
                assert apart or max(one[3], other[3]) >= min(one[4], other[4]) - 1e-9
    assert {round(low - top, 6) for *_, top, low in found} == {0.8, 0.4, round(0.8 / 3, 6)}


def test_boxes_are_numbered_while_that_can_be_read():
    table = frame("1f1b")
    assert sorted(text.get_text() for text in gantt(table).texts) == sorted(map(str, table.microbatch))
    assert not gantt(table.assign(microbatch=-1)).texts
    large = frame("1f1b", 8, MOST_NUMBERS // 8)
    assert len(large) > MOST_NUMBERS
    assert not gantt(large).texts


def test_other_kinds_have_their_name_and_their_colour():
    table = pd.concat(
        [
            frame("1f1b", 2, 2),
            pd.DataFrame(
                [{"stage": 0, "kind": "optimizer", "microbatch": -1, "chunk": 0, "start_s": 20, "end_s": 22}]
            ),
        ]
    )
    axes = gantt(table)
    assert ("optimizer", 20, 22, -0.4, 0.4) in [tuple(box) for box in boxes(axes)]
    assert [text.get_text() for text in axes.get_legend().get_texts()][-2:] == ["optimizer", "waits"]


def test_given_axes_are_drawn_on_and_nothing_is_refused():
    place = Figure().add_subplot()
    assert gantt(frame("gpipe"), place) is place
    with pytest.raises(ValueError, match="at least one task, got none"):
        gantt(frame("gpipe").iloc[:0])


def test_no_window_system_is_needed():
    tree = ast.parse(inspect.getsource(gantt_plot))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    assert "pyplot" not in "".join(map(ast.unparse, imported))
