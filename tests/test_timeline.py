"""The timeline read back as its viewer does: nothing lost, nothing overlaps, arrows end at who waited."""

import gzip
import json
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.replay import replay
from simulator.engine.result import Span
from simulator.errors import UsageError
from simulator.planning.estimate import Desk, made, prepared, run
from simulator.planning.place import Fabric
from simulator.reports._timeline_tracks import TASKS, arrows, tracks
from simulator.reports.timeline import first_ranks, write
from workloads.layout import Layout
from workloads.schedules import SCHEDULES
from workloads.step_graph import Block, Boundary, Chunk, Collective, Compute, Stage, StepGraph

FLAT = Layout(tp=2, dp=2, pp=4)
NS = 2e-9  # a time is rounded to the next ns, a duration is between two of them


class Prices:
    """A computation lasts its FLOPs, a collective its bytes, a send a second and a half."""

    def seconds(self, operation, stage):
        return operation.flops if isinstance(operation, Compute) else operation.size

    def transfer(self, source, target):
        return 1.5

    def exposed(self, operation):
        return 0.25


def graph(name, stages=4, microbatches=8):
    """Return a step of a schedule: a layer computes, waits for one collective and starts another one beside."""
    schedule = SCHEDULES[name]
    chunks = schedule.CHUNKS[0]
    layer = Block(
        name="layer",
        operations=(
            Compute(name="matrix", law="gemm", flops=0.7),
            Collective(name="reduction", op="all_reduce", axis="tp", size=0.2),
            Collective(name="gradients", op="all_reduce", axis="dp", size=0.9, stream="dp", until="step"),
        ),
        repeat=2,
    )
    one = Chunk(layers=2, work=dict.fromkeys("FBW", (layer,)))
    return StepGraph(
        stages=tuple(
            Stage(chunks=(one,) * chunks, tasks=tasks)
            for tasks in schedule.order(stages, microbatches, chunks)
        ),
        routes=schedule.routes(stages, chunks),
        boundary=Boundary(size=1.0, blocking=False),
        microbatches=microbatches,
        tokens=1.0,
        model_flops=1.0,
    )


def spans_of(name):
    return replay(graph(name), Prices(), spans=True).spans


def read(path):
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))["traceEvents"]


class Viewer:
    """Puts events in order of time as they stand in the file, and keeps the open slices of every thread."""

    def __init__(self, events):
        self.slices, self.arrows, self.names = [], {}, {}
        open_ = defaultdict(list)
        for event in events:
            if event["ph"] == "M":
                key = event["name"], event["pid"], event["tid"]
                assert key not in self.names
                self.names[key] = next(iter(event["args"].values()))
        for event in sorted((one for one in events if one["ph"] != "M"), key=lambda one: one["ts"]):
            stack, start = open_[event["pid"], event["tid"]], round(event["ts"] * 1000)
            if event["ph"] == "X":
                end = start + round(event["dur"] * 1000)
                assert end > start
                while stack and stack[-1][1] <= start:
                    stack.pop()
                if stack:
                    assert end <= stack[-1][1], f"{event} sticks out of {stack[-1][2]}"
                    assert stack[-1][2]["cat"] in TASKS
                self.slices.append((start / 1e9, end / 1e9, event, [one[2] for one in stack]))
                stack.append((start, end, event))
            else:
                assert stack[-1][0] == start  # the slice that has just begun
                assert event["ph"] == "s" or event["bp"] == "e"
                key = event["id"], event["cat"], event["name"]
                assert event["ph"] not in self.arrows.setdefault(key, {})
                self.arrows[key][event["ph"]] = stack[-1][2]

    def thread(self, event):
        return self.names["thread_name", event["pid"], event["tid"]]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_span_is_a_slice_of_its_rank_and_stream(name, tmp_path):
    spans, path = spans_of(name), tmp_path / "step.json"
    said = write(path, spans, FLAT)
    assert f"{len(spans):,} slices, 4 of 16 ranks; --ranks all" in said
    viewer = Viewer(read(path))
    streams = {"compute": "compute", "dp": "dp", "pp": "pp send"}
    wanted = sorted(
        (first_ranks(FLAT)[s.stage], s.name, streams[s.stream], s.start_s, s.end_s) for s in spans
    )
    found = sorted(
        (event["pid"], event["name"], viewer.thread(event).rstrip(" 23456789"), start, end)
        for start, end, event, _ in viewer.slices
    )
    assert [one[:3] for one in found] == [one[:3] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one[3:] == pytest.approx(other[3:], abs=NS)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_tasks_are_the_parents_of_their_operations(name, tmp_path):
    write(tmp_path / "step.json", spans_of(name), FLAT)
    viewer = Viewer(read(tmp_path / "step.json"))
    inside = 0
    for _, _, event, parents in viewer.slices:
        if viewer.thread(event) == "compute" and event["cat"] in ("compute", "collective"):
            assert event["args"] in [parent["args"] for parent in parents]  # of this microbatch and chunk
            inside += 1
        elif event["cat"] not in (*TASKS, "wait"):
            assert not parents
    assert inside >= 4 * 8 * 2  # each forward and backward of each stage


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_an_arrow_for_each_send_from_its_task_to_the_task_that_needs_it(name, tmp_path):
    step, spans = graph(name), spans_of(name)
    write(tmp_path / "step.json", spans, FLAT)
    viewer = Viewer(read(tmp_path / "step.json"))
    ways = [way for way in step.routes for _ in range(step.microbatches // len(step.routes))]
    wanted = set()
    for microbatch, way in enumerate(ways):
        for one, other in pairwise(way):
            if one[0] != other[0]:
                wanted |= {("F", microbatch, one[0], other), ("B", microbatch, other[0], one)}
    found = set()
    for (_, _, name_), ends in viewer.arrows.items():
        sent, taken = ends["s"], ends["f"]
        assert viewer.thread(sent).startswith("pp send")
        assert taken["name"] == name_
        assert sent["name"].startswith(f"{name_} to stage")
        assert round(taken["ts"] * 1000) >= round((sent["ts"] + sent["dur"]) * 1000) - 2
        stage = {rank: number for number, rank in enumerate(first_ranks(FLAT))}
        about = taken["args"]
        found.add((name_[0], about["microbatch"], stage[sent["pid"]], (stage[taken["pid"]], about["chunk"])))
    assert found == wanted
    assert len(viewer.arrows) == len(wanted)


def test_names_say_where_a_rank_is_and_how_many_are_like_it(tmp_path):
    write(tmp_path / "step.json", spans_of("1f1b"), FLAT, ranks=[0, 5, 15])
    viewer = Viewer(read(tmp_path / "step.json"))
    named = {pid: text for (kind, pid, _), text in viewer.names.items() if kind == "process_name"}
    assert named == {
        0: "rank 0 (pp 0, dp 0, tp 0)", 5: "rank 5 (pp 1, dp 0, tp 1)", 15: "rank 15 (pp 3, dp 1, tp 1)",
    }  # fmt: skip
    assert {text for (kind, _, _), text in viewer.names.items() if kind == "process_labels"} == {
        "one of 4 alike"
    }
    assert not viewer.arrows  # none of the three talks to another one of them
    for pid in named:
        threads = {
            tid: text
            for (kind, rank, tid), text in viewer.names.items()
            if (kind, rank) == ("thread_name", pid)
        }
        assert threads[1] == "compute"
        assert sorted(threads) == list(range(1, len(threads) + 1))


def test_an_order_of_axes_moves_the_ranks(tmp_path):
    layout = Layout(tp=2, dp=2, pp=4, order=("pp", "tp", "cp", "dp"))
    write(tmp_path / "step.json", spans_of("1f1b"), layout)
    viewer = Viewer(read(tmp_path / "step.json"))
    named = {pid: text for (kind, pid, _), text in viewer.names.items() if kind == "process_name"}
    assert named == {rank: f"rank {rank} (pp {rank}, dp 0, tp 0)" for rank in range(4)}


def test_all_ranks_of_a_stage_show_the_same_and_send_to_their_own_peers(tmp_path):
    said = write(tmp_path / "step.json", spans_of("zb_h1"), FLAT, ranks="all")
    assert "16 of 16 ranks)" in said
    viewer = Viewer(read(tmp_path / "step.json"))
    by_rank = defaultdict(list)
    for start, end, event, _ in viewer.slices:
        by_rank[event["pid"]].append((event["tid"], start, end, event["name"]))
    for stage in range(4):
        ranks = FLAT.stage_ranks(stage)
        assert all(by_rank[rank] == by_rank[ranks[0]] for rank in ranks)
    pairs = {(ends["s"]["pid"], ends["f"]["pid"]) for ends in viewer.arrows.values()}
    groups = FLAT.groups("pp")
    assert pairs == {pair for group in groups for one in pairwise(group) for pair in (one, one[::-1])}


def test_the_same_spans_make_the_same_bytes(tmp_path):
    spans = spans_of("interleaved")
    for name in ("a.json.gz", "b.json.gz", "c.json"):
        write(tmp_path / name, spans, FLAT)
    content = (tmp_path / "a.json.gz").read_bytes()
    assert content == (tmp_path / "b.json.gz").read_bytes()  # neither name nor time of the file is in it
    assert gzip.decompress(content) == (tmp_path / "c.json").read_bytes()


times = st.integers(0, 40).map(lambda tenths: tenths / 10 / 3)


@st.composite
def any_spans(draw):
    found = []
    for _ in range(draw(st.integers(0, 14))):
        start, more = draw(times), draw(times)
        kind = draw(st.sampled_from(["F", "B", "compute", "collective"]))
        about = {"stage": 0, "name": kind, "kind": kind, "microbatch": 0, "chunk": 0}
        stream = draw(st.sampled_from(["compute", "tp", "new"]))
        found.append(Span(stream=stream, start_s=start, end_s=start + more, **about))
    return found


@settings(max_examples=200, deadline=None)
@given(spans=any_spans())
def test_whatever_overlaps_gets_tracks_on_which_nothing_does(spans):
    found = tracks(spans)
    kept = sorted(id(one.span) for track in found for one in track.slices)
    assert kept == sorted(id(span) for span in spans if span.end_s > span.start_s)
    assert len({track.title for track in found}) == len(found)
    for _, slices in found:
        open_ = []
        for one in slices:
            assert (one.start / 1e9, one.end / 1e9) == pytest.approx(
                (one.span.start_s, one.span.end_s), abs=NS
            )
            while open_ and open_[-1].end <= one.start:
                open_.pop()
            assert all(outer.end >= one.end and outer.span.kind in TASKS for outer in open_)
            open_.append(one)


def test_times_that_touch_but_for_their_rounding_share_a_track():
    about = {"stage": 0, "stream": "dp", "kind": "collective", "microbatch": 0, "chunk": 0}
    one = Span(name="one", start_s=1.0, end_s=1.0000000016, **about)
    other = Span(name="other", start_s=1.0000000014, end_s=2.0, **about)  # 0.2 ns too early, 1 ns as whole ns
    (track,) = tracks([one, other])
    assert track.slices[0].end == track.slices[1].start


def test_a_send_that_nobody_takes_has_no_arrow():
    sends = [span for span in spans_of("1f1b") if span.kind == "send"]
    assert sends
    assert arrows(sends) == []


@pytest.mark.parametrize(
    ("name", "ranks", "words"),
    [
        ("step.json", [16], "--ranks 16: ranks are 0 to 15"),
        ("step.json", [0, -1], "--ranks -1"),
        ("step.json", "some", "--ranks some: wanted all"),
        ("step.json", [], "names no rank"),
        ("step.txt", None, "ends in .json or .json.gz"),
        ("no/step.json", None, "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_written_is_refused(name, ranks, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        write(tmp_path / name, spans_of("1f1b"), FLAT, ranks=ranks)
    assert list(tmp_path.iterdir()) == []


def test_no_timeline_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="no timeline"):
        write(tmp_path / "step.json", (), FLAT)
    assert list(tmp_path.iterdir()) == []


def test_a_step_of_70_billion_parameters_on_512_gpus(tmp_path):
    options = made(
        {"model": "llama3-70b", "fabric": "dgx-h100-ib400", "gpus": 512, "tp": 8, "pp": 4, "vpp": 5,
         "gbs": 512, "seq_len": 8192}
    )  # fmt: skip
    desk = Desk(Fabric(options.fabric))
    step = prepared(options, desk)
    spans = run(step, desk, spans=True).spans
    write(tmp_path / "step.json.gz", spans, step.layout)
    viewer = Viewer(read(tmp_path / "step.json.gz"))
    assert len(viewer.slices) == sum(span.end_s - span.start_s > NS for span in spans) > 100_000
    # the sum of slices is the sum of spans, thread by thread: nothing grew or shrank
    for stage, rank in enumerate(first_ranks(step.layout)):
        mine = sum(end - start for start, end, event, _ in viewer.slices if event["pid"] == rank)
        assert mine == pytest.approx(sum(s.end_s - s.start_s for s in spans if s.stage == stage), rel=1e-6)
