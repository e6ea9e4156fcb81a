"""Readers of measured runs: every shape of nccl-tests output comes back exactly."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration.logs import LOGS
from simulator.calibration.logs._environment import version_of
from simulator.calibration.logs._frame import frame
from simulator.calibration.logs._operations import gpus_of_factor
from simulator.calibration.logs._read import read_measured
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.errors import InputError
from simulator.operations import OPERATIONS
from tests._nccl_log import GATHERED, HEADER, RUN, edited, printed, put, rendered

DATA = Path(__file__).parent / "data" / "logs"


def said(log, words):
    return any(words in warning for warning in log.warnings)


# Shapes: one file each, invented numbers


@pytest.mark.parametrize(
    ("name", "op", "gpus", "nodes", "rows", "first_us"),
    [
        ("two_nodes.log", "all_reduce", 8, 2, 10, None),
        ("old_header.log", "all_reduce", 4, 1, 5, None),
        ("old_blank_redop.log", "all_gather", 4, 1, 5, (15.10, 14.94)),
        ("launcher_prefix.log", "all_reduce", 16, 2, 7, None),
        ("labels_all_gather.log", "all_gather", 16, None, 6, None),
        ("per_iteration.log", "reduce_scatter", 8, 1, 4, None),
        ("rccl_kubectl.log", "all_reduce", 8, 1, 5, None),
        ("milliseconds_tabs.log", "all_reduce", 4, 1, 4, None),
        ("in_place_only.log", "all_reduce", 4, 1, 4, (30.68, None)),
        ("two_copies.log", "all_reduce", 8, 1, 4, None),
        ("cut.log", "all_reduce", 8, 1, 8, None),
        ("report.json", "all_reduce", 8, 2, 4, None),
        ("table.csv", "all_reduce", 16, 2, 4, None),
        ("table_minimal.csv", "all_to_all", 8, None, 4, None),
    ],
)
def test_controls_are_read(name, op, gpus, nodes, rows, first_us):
    log = read_measured(DATA / name)
    assert {(row.op, row.gpus, row.nodes) for row in log.rows} == {(op, gpus, nodes)}
    assert len(log.rows) == rows
    assert [row.size_bytes for row in log.rows] == sorted(row.size_bytes for row in log.rows)
    assert all(1e-6 < row.time_s < 1 for row in log.rows)
    assert len({row.case_id for row in log.rows}) == rows
    if first_us:
        row = log.rows[0]
        assert row.time_s == pytest.approx(first_us[0] * 1e-6)
        assert row.time_in_place_s == (first_us[1] and pytest.approx(first_us[1] * 1e-6))
        assert row.in_place == (first_us[1] is None)


def test_several_operations_keep_their_own_gpu_counts():
    log = read_measured(DATA / "several_operations.log")
    assert [(row.op, row.gpus) for row in log.rows[::4]] == [
        ("all_reduce", 8),
        ("all_to_all", 4),
        ("send_recv", 2),
        ("broadcast", 8),
    ]
    assert log.rows[8].dtype == "float16"


def test_what_the_log_says_of_the_run_is_kept():
    pinned = read_measured(DATA / "launcher_prefix.log")
    assert {(row.algorithm_forced, row.library, row.library_version) for row in pinned.rows} == {
        ("Ring", "nccl", "2.21.5")
    }
    assert pinned.skipped["info"] == 6
    assert pinned.skipped["warn"] == 5
    assert pinned.rows[0].gpu == "NVIDIA A100-SXM4-40GB"
    assert pinned.rows[0].gpus_per_node == 8
    assert {row.library for row in read_measured(DATA / "rccl_kubectl.log").rows} == {"rccl"}
    report = read_measured(DATA / "report.json").rows[0]
    assert (report.protocol_forced, report.library_version, report.gpus_per_node) == ("LL128", "2.28.9", 4)
    table = read_measured(DATA / "table.csv").rows[0]
    assert (table.algorithm_forced, table.notes, table.series_id) == ("Ring", "tuned, twice", "run-a")


def test_what_was_guessed_or_lost_is_said():
    inferred = read_measured(DATA / "labels_all_gather.log")
    assert inferred.inferred_ranks
    assert said(inferred, "16 GPUs inferred")
    assert said(inferred, "not checked")
    cut = read_measured(DATA / "cut.log")
    assert said(cut, "was cut or hung")
    assert cut.skipped["garbled"] == 1
    assert read_measured(DATA / "two_copies.log").skipped["duplicate"] == 3


def test_clean_logs_raise_no_warning():
    for name in ("two_nodes.log", "old_header.log", "per_iteration.log", "report.json", "table.csv"):
        assert read_measured(DATA / name).warnings == []


def test_millisecond_header_is_obeyed():
    rows = read_measured(DATA / "milliseconds_tabs.log").rows
    assert rows[-1].size_bytes / rows[-1].time_s == pytest.approx(100e9, rel=0.05)


def test_corpus_is_read_whole(shared_data):
    log = read_measured(shared_data / "collectives.csv")
    assert len(log.rows) == 4353
    assert len({row.series_id for row in log.rows}) == 308
    assert sum(row.spike for row in log.rows) == 36
    assert log.warnings == []


def test_frame_has_a_row_a_point_and_si_units():
    log = read_measured(DATA / "table.csv")
    table = frame(log)
    assert len(table) == len(log.rows)
    assert table.time_s.tolist() == [row.time_s for row in log.rows]
    assert table.size_bytes.tolist() == [row.size_bytes for row in log.rows]


# Random logs: what was written is what is read


NOISE = st.sampled_from(
    [
        "node7:12:34 [3] NCCL INFO Channel 00/0 : 5[a0] -> 6[b0] [send] via NET/IB/0",
        "[2025-01-02 03:04:05] node7:12:34 [0] transport/net_ib.cc:100 NCCL WARN retry 4 of 7",
        "node7:12:34 [1] NCCL INFO 24 coll channels, 16 p2p channels per peer",
        "Warning: Permanently added '10.0.0.7' (ED25519) to the list of known hosts.",
        "",
        "x" * 2000,
    ]
)
PREFIX = st.sampled_from(
    [
        "",
        "0: ",
        " 12: ",
        "[1,0]<stdout>:",
        "pod-abc-0: ",
        "[pod/launch-1/main] ",
        "2025-05-06T07:08:09.123456Z ",
        "\x1b[36m[worker-0]\x1b[0m ",
    ]
)
TIME = st.integers(500, 9_999_900).map(lambda hundredths: float(printed(hundredths / 100, 7)))
ROWS = st.lists(st.tuples(st.integers(2, 2**26), TIME, TIME), min_size=1, max_size=8)


@st.composite
def logs(draw):
    """Draw (bytes of a log, rows as (op, gpus, size, us, us in place or None))."""
    prefix, lines, rows = draw(PREFIX), [], []
    for op in draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3)):
        hosts, each, points = draw(st.integers(1, 4)), draw(st.integers(2, 8)), draw(ROWS)
        halves = draw(st.integers(1, 2))
        lines += rendered(
            op, hosts, each, points, root=draw(st.booleans()), extra=draw(st.booleans()), halves=halves
        )
        gpus = hosts * each
        scale = 4 * (gpus if op in GATHERED else 1)
        rows += [(op, gpus, scale * c, us, again if halves == 2 else None) for c, us, again in points]
    lines = [prefix + line for line in lines]
    for noise in draw(st.lists(NOISE, max_size=6)):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(["", prefix])) + noise)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return newline.join(lines).encode(encoding), rows


@settings(max_examples=150, deadline=None)
@given(drawn=logs())
def test_reading_gives_back_what_was_written(tmp_path_factory, drawn):
    content, rows = drawn
    log = read_measured(put(tmp_path_factory.mktemp("log"), content))
    got = [
        (
            r.op,
            r.gpus,
            r.size_bytes,
            round(r.time_s * 1e6, 2),
            r.time_in_place_s and round(r.time_in_place_s * 1e6, 2),
        )
        for r in log.rows
    ]
    assert got == rows
    assert "garbled" not in log.skipped
    assert not log.inferred_ranks


@settings(max_examples=100, deadline=None)
@given(drawn=logs(), data=st.data())
def test_a_log_cut_anywhere_gives_a_part_of_its_rows_or_is_refused(tmp_path_factory, drawn, data):
    content, rows = drawn
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        log = read_measured(put(tmp_path_factory.mktemp("log"), content))
    except InputError:
        return
    got = [(row.op, row.size_bytes) for row in log.rows]
    assert got == [(op, size) for op, _, size, _, _ in rows][: len(got)]


@settings(max_examples=100, deadline=None)
@given(
    op=st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]), gpus=st.integers(2, 24)
)
def test_ranks_are_inferred_from_the_bandwidths(tmp_path_factory, op, gpus):
    # 1 GiB in 20 ms: busbw near 50.00 tells counts apart up to some tens of GPUs
    rows = [(2**28 // (gpus if op in GATHERED else 1), us, us) for us in (20_000.0, 20_010.0)]
    content = "\n".join(rendered(op, 1, gpus, rows, ranks=False))
    log = read_measured(put(tmp_path_factory.mktemp("log"), content))
    assert [row.gpus for row in log.rows] == [gpus, gpus]
    assert log.inferred_ranks
    assert said(log, "inferred from busbw/algbw")


@given(op=st.sampled_from(OPERATIONS[:4]), gpus=st.integers(1, 5000), width=st.floats(1e-9, 1e-3))
def test_factor_and_its_inverse_agree(op, gpus, width):
    factor = bus_factor(op, gpus)
    found = gpus_of_factor(op, factor * (1 - width), factor * (1 + width), 10**6)
    assert gpus in found
    outside = [n for n in (found.start - 1, found.stop) if 1 <= n < 10**6]
    assert all(abs(bus_factor(op, n) - factor) > factor * width * 0.99 for n in outside)


def test_communicator_size_of_debug_lines_stands_in_for_a_list_of_ranks(tmp_path):
    lines = rendered("broadcast", 1, 8, [(2**20, 100.0, 100.0)], ranks=False)
    lines.insert(1, "n:1:2 [0] NCCL INFO comm 0x55 rank 0 nranks 8 cudaDev 0 busId 1b000 - Init COMPLETE")
    assert [row.gpus for row in read_measured(put(tmp_path, "\n".join(lines))).rows] == [8]


def test_operation_of_columns_when_nobody_names_it(tmp_path):
    for op, named in (("all_reduce", True), ("reduce_scatter", True), ("all_gather", False)):
        content = "\n".join(rendered(op, 1, 4, [(2**24, 900.0, 901.0)], command=False))
        path = put(tmp_path, content)
        if named:
            log = read_measured(path)
            assert (log.rows[0].op, said(log, "not named")) == (op, True)
        else:
            with pytest.raises(InputError, match="all_gather or all_to_all"):
                read_measured(path)
            assert read_measured(put(tmp_path, content, "allgather-run.log")).rows[0].op == op


def test_a_part_of_the_list_of_ranks_is_not_taken_for_the_whole(tmp_path):
    lines = [line for line in RUN if "Rank  1 " not in line and "Rank  7 " not in line]
    log = read_measured(put(tmp_path, "\n".join(lines)))
    assert {row.gpus for row in log.rows} == {8}
    assert log.inferred_ranks


def test_a_test_that_concluded_names_no_further_table(tmp_path):
    rows = [(2**22, 900.0, 901.0)]
    first = rendered("all_reduce", 1, 4, rows, command=False)
    second = rendered("reduce_scatter", 1, 4, rows, command=False)
    lines = ["# Collective test starting: all_reduce_perf", *first]
    lines += ["# Collective test concluded: all_reduce_perf", *second]
    log = read_measured(put(tmp_path, "\n".join(lines)))
    assert [row.op for row in log.rows] == ["all_reduce", "reduce_scatter"]


def test_a_corrupted_row_is_left_out_and_named(tmp_path):
    line = next(k for k, row in enumerate(RUN) if row.split()[:1] == [str(4 * 2**20)])
    lines = [*RUN[:line], RUN[line].replace(" 4194304 ", " 8388608 ", 1), *RUN[line + 1 :]]
    log = read_measured(put(tmp_path, "\n".join(lines)))
    assert len(log.rows) == 9
    assert said(log, f"line {line + 1}: algbw is not size / time")


def test_warnings_of_the_test_itself(tmp_path):
    failed = read_measured(put(tmp_path, edited("values : 0 OK", "values : 3 FAILED")))
    assert said(failed, "3 FAILED")
    wrong = read_measured(put(tmp_path, edited("       0", "       7")))
    assert said(wrong, "results were wrong")


def test_a_row_interrupted_by_another_process_costs_only_itself(tmp_path):
    torn = RUN[HEADER + 3]
    lines = [*RUN[: HEADER + 3], torn[:50] + "n:1:2 [0] NCCL INFO x", *RUN[HEADER + 4 :]]
    log = read_measured(put(tmp_path, "\n".join(lines)))
    assert len(log.rows) == 9
    assert said(log, f"line {HEADER + 4}")


def test_processes_that_measured_alone_are_kept_apart(tmp_path):
    other = rendered("all_reduce", 2, 4, [(2**k, 25.0 + 2**k / 1e5, 26.0) for k in (10, 20)])
    both = [f"0: {line}" for line in RUN] + [f"1: {line}" for line in other]
    log = read_measured(put(tmp_path, "\n".join(both)))
    assert len(log.rows) == 12
    assert len({row.series_id for row in log.rows}) == 2
    assert said(log, "without MPI")


def test_pinned_choice_ends_with_its_command(tmp_path):
    lines = ["mpirun -x NCCL_ALGO=Tree ./all_reduce_perf", *RUN[1:], *RUN]
    log = read_measured(put(tmp_path, "\n".join(lines)))
    assert [row.algorithm_forced for row in log.rows[::10]] == ["Tree", ""]


def test_outliers_are_marked(tmp_path):
    rows = [(2**10, 90.0, 30.0), (2**12, 30.0, 30.0)]
    log = read_measured(put(tmp_path, "\n".join(rendered("all_reduce", 1, 2, rows))))
    assert [row.spike for row in log.rows] == [True, False]


def test_empty_operations_are_no_points(tmp_path):
    rows = [(0, 0.13, 0.12), (0, 0.13, 0.12), (2**20, 90.0, 90.0)]
    log = read_measured(put(tmp_path, "\n".join(rendered("all_gather", 1, 4, rows))))
    assert len(log.rows) == 1
    assert log.skipped["empty"] == 2


@pytest.mark.parametrize(("code", "version"), [(2708, "2.7.8"), (21903, "2.19.3"), (23007, "2.30.7")])
def test_version_codes(code, version):
    assert version_of(code) == version


def test_blank_times_only_where_they_are_not_needed(tmp_path):
    path = put(tmp_path, "op,gpus,size_bytes,time_us\nall_reduce,8,1024,\n", "t.csv")
    assert read_measured(path, need_time=False).rows[0].time_s is None
    with pytest.raises(InputError, match=r"t\.csv:2: time_us is blank"):
        read_measured(path)


def test_doubtful_tables_are_read_with_a_warning(tmp_path):
    row = "all_reduce,8,1024,20"
    log = read_measured(put(tmp_path, f"op,gpus,size_bytes,time_us,size_byte\n{row},\n{row},\n", "t.csv"))
    assert said(log, "'size_byte' is not used; did you mean 'size_bytes'?")
    assert said(log, "line 3: the same series and size as line 2")
    alone = read_measured(put(tmp_path, "op,gpus,size_bytes,time_us\nall_reduce,1,1024,20\n", "t.csv"))
    assert said(alone, "1 GPU")


def test_compressed_files_are_read(tmp_path):
    packed = put(tmp_path, gzip.compress((DATA / "two_nodes.log").read_bytes()), "two_nodes.log")
    plain = read_measured(DATA / "two_nodes.log")
    assert read_measured(packed).rows == plain.rows


def test_reports_of_another_shape(tmp_path):
    report = json.loads((DATA / "report.json").read_text())
    plain = read_measured(DATA / "report.json").rows
    for result in report["results"]:
        result["out_of_place"] = None
    rows = read_measured(put(tmp_path, json.dumps(report), "report.json")).rows
    assert [
        replace(row, time_s=row.time_in_place_s, time_in_place_s=None, in_place=True) for row in plain
    ] == rows


def test_every_reader_sniffs_only_its_own_files():
    own = {
        path.name: [name for name in LOGS if LOGS[name].sniff(path.read_text("utf-8-sig"))]
        for path in DATA.iterdir()
    }
    assert all(len(names) == 1 for names in own.values()), own
