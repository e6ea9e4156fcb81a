"""Bad logs and tables are refused in one line that names file and fault, fast and in little memory."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration.logs._log import LIMIT_BYTES
from simulator.calibration.logs._read import read_measured
from simulator.errors import InputError
from tests._nccl_log import HEADER, RUN, edited, listed, put, rendered

DATA = Path(__file__).parent / "data" / "logs"


def table(*rows, head="op,gpus,size_bytes,time_us"):
    return "\n".join([head, *rows]) + "\n"


def report(edit):
    value = json.loads((DATA / "report.json").read_text())
    edit(value)
    return json.dumps(value)


GOOD = "all_reduce,8,1024,20"
NODES = "op,gpus,size_bytes,time_us,nodes,gpus_per_node"
UNKNOWN = "not a log or table that commsim reads (nccl-tests stdout, nccl-tests JSON, CSV)"
LAST = RUN[-5].split()
BAD = {
    "empty": (b"", "is empty"),
    "blank": ("\n\n  \n", UNKNOWN),
    "zeros": (bytes(4096), "binary data"),
    "random": (bytes(range(256)) * 40, "not UTF-8"),
    "latin-1": ("op,gpus,größe\n".encode("latin-1"), "not UTF-8"),
    "broken gzip": (b"\x1f\x8b" + b"garbage" * 9, "broken gzip"),
    "cut gzip": (gzip.compress("\n".join(RUN).encode())[:200], "cut short"),
    "gzip bomb": (gzip.compress(bytes(LIMIT_BYTES + 4096), 1), "larger than 64 MiB"),
    "gzip of garbage": (gzip.compress(b"\xff\x80" * 99), "not UTF-8"),
    "odd utf-16": (b"\xff\xfea", "not UTF-8 text"),
    "prose": ("Dear all,\nthe cluster is down.\n", UNKNOWN),
    "html": ("<html><body>404</body></html>", UNKNOWN),
    "other json": ('{"traceEvents": []}', UNKNOWN),
    "debug only": ("n:1:2 [0] NCCL INFO Bootstrap\n" * 9, "has no table"),
    "died before the table": ("\n".join(RUN[: HEADER - 1]), "has no table"),
    "header only": ("\n".join(RUN[: HEADER + 2]), "has a header but no rows"),
    "two headers only": ("\n".join(RUN[: HEADER + 2] * 2), "has a header but no rows"),
    "cut in the first row": (
        "\n".join(RUN[: HEADER + 2]) + "\n" + RUN[HEADER + 2][:60],
        "has a header but no rows",
    ),
    "time nan": (edited(LAST[5], "nan"), "time 'nan' is not a finite number"),
    "time -nan": (edited(LAST[5], "-nan"), "time '-nan' is not a finite number"),
    "time inf": (edited(LAST[5], "inf"), "time 'inf' is not a finite number"),
    "time negative": (edited(LAST[5], "-12.5"), "time -12.5; must be more than 0"),
    "time zero": (edited(LAST[5], "0.00"), "time 0.00; must be more than 0"),
    "time of years": (edited(LAST[5], "1e15"), "more than 1e+06 s"),
    "bandwidth negative": (edited(f" {LAST[6]} ", " -3.00 "), "must be 0 or more"),
    "size negative": (edited(f" {LAST[0]} ", f" -{LAST[0]} "), "must be 0 to"),
    "size huge": (edited(f" {LAST[0]} ", " " + "9" * 90 + " "), "must be 0 to"),
    "all rows contradict": (edited("(us)", "(ms)"), "no usable row: 10 contradictory"),
    "unit unknown": (edited("(us)", "(fortnight)"), "names no unit of time"),
    "sizes in KB": (edited("(B)", "(KB)"), "sizes in 'KB', wanted B"),
    "header without busbw": (edited().replace("     busbw", "", 1), "lacks algbw or busbw"),
    "header of three": (edited("#wrong", "#wrong time algbw busbw"), "the header has 4 columns of time"),
    "cpu time": (edited("      time", "   cputime"), "run without -C"),
    "ranks contradict": (
        "\n".join(RUN[:3] + listed(2, 8) + RUN[11:]),
        "mismatched GPU counts: 16 by the ranks, busbw fits 8",
    ),
    "fewer ranks": (
        "\n".join(RUN[:3] + listed(1, 2) + RUN[11:]),
        "mismatched GPU counts: 2 by the ranks, busbw fits 8",
    ),
    "wrong operation": (edited("all_reduce_perf", "all_gather_perf"), "column redop is not of that"),
    "wrong reduction": (edited("all_reduce_perf", "reduce_scatter_perf"), "mismatched GPU counts"),
    "gpus unknown": (
        "\n".join(rendered("broadcast", 1, 4, [(2**20, 90.0, 90.0)], ranks=False)),
        "how many GPUs took part",
    ),
    "gpus unclear": (
        "\n".join(rendered("all_reduce", 8, 125, [(2**10, 90.0, 90.0)], ranks=False)),
        "allow any GPU count",
    ),
    "operation unclear": (
        "\n".join(rendered("all_gather", 1, 4, [(2**20, 90.0, 90.0)], command=False)),
        "all_gather or all_to_all",
    ),
    "unsupported": (edited("all_reduce_perf", "hypercube_perf"), "no usable row: operations not supported"),
    "too many rows": ("\n".join(RUN[: HEADER + 3] + [RUN[HEADER + 3]] * 100_001), "more than 100,000 rows"),
    "too many lines": ("# nThread 1\n" + "\n" * 1_000_001, "more than 1,000,000 lines"),
    "json cut": ((DATA / "report.json").read_text()[:-200], "not valid JSON"),
    "json nan": (
        report(lambda r: r["results"][0]["out_of_place"].update(time=float("nan"))),
        "NaN is not a number",
    ),
    "json time text": (
        report(lambda r: r["results"][0]["in_place"].update(time="nan")),
        "result 1: key 'time': wanted a number",
    ),
    "json time zero": (
        report(lambda r: r["results"][1]["in_place"].update(time=0)),
        "result 2: key 'time': 0",
    ),
    "json negative": (report(lambda r: r["results"][0].update(size=-4)), "key 'size': -4"),
    "json no results": (report(lambda r: r.pop("results")), "key 'results' is missing"),
    "json empty results": (report(lambda r: r["results"].clear()), "has a header but no rows"),
    "json results of text": (report(lambda r: r.update(results="none")), "key 'results': wanted list"),
    "json no halves": (report(lambda r: r["results"][0].update(out_of_place=None, in_place=None)), "neither"),
    "json ranks": (report(lambda r: r["config"]["devices"].pop(0)), "mismatched GPU counts"),
    "json gpus": (report(lambda r: r["config"].update(ngpus=3)), "mismatched GPU counts"),
    "json deep": ('{"results": ' + "[" * 100_000, "nested too deeply"),
    "json twice": ('{"results": [], "results": []}', "key 'results' appears twice"),
    "json of braces": ('{"results": [' + "{}," * 1_100_000 + "{}]}", "groups of them"),
    "csv header only": (table(), "has a header but no rows"),
    "csv no time": (table("all_reduce,8,4", head="op,gpus,size_bytes"), "time_us is blank"),
    "csv no op": (table("8,4,1", head="gpus,size_bytes,time_us"), "no column 'op'"),
    "csv column twice": (
        table(GOOD + ",3", head="op,gpus,size_bytes,time_us,gpus"),
        "column 'gpus' appears twice",
    ),
    "csv unknown op": (table("allreduce,8,1024,20"), "unknown op 'allreduce', did you mean 'all_reduce'?"),
    "csv strange op": (table("zzz,8,1024,20"), "unknown op 'zzz'; wanted one of all_reduce, all_gather"),
    "csv blank op": (table(",8,1024,20"), "unknown op ''"),
    "csv gpus half": (table("all_reduce,8.5,1024,20"), "gpus '8.5' is not a whole number"),
    "csv gpus zero": (table("all_reduce,0,1024,20"), "gpus 0; must be 1 to"),
    "csv gpus blank": (table("all_reduce,,1024,20"), "gpus is blank"),
    "csv gpus text": (table("all_reduce,eight,1024,20"), "gpus 'eight' is not a whole number"),
    "csv size negative": (table("all_reduce,8,-1024,20"), "size_bytes -1024; must be 0 to"),
    "csv size unit": (table("all_reduce,8,1MiB,20"), "size_bytes '1MiB' is not a whole number"),
    "csv size huge": (table("all_reduce,8," + "9" * 5000 + ",20"), "is not a whole number"),
    "csv time nan": (table("all_reduce,8,1024,nan"), "time_us 'nan' is not a number"),
    "csv time inf": (table("all_reduce,8,1024,inf"), "time_us 'inf' is not a number"),
    "csv time overflow": (table("all_reduce,8,1024,1e999"), "time_us 1e999; must be 0 to"),
    "csv time negative": (table("all_reduce,8,1024,-20"), "time_us -20; must be 0 to"),
    "csv time zero": (table("all_reduce,8,1024,0.0"), "time_us 0.0; must be more than 0"),
    "csv time blank": (table("all_reduce,8,1024,"), "time_us is blank"),
    "csv time comma": (table('all_reduce,8,1024,"20,5"'), "time_us '20,5' is not a number"),
    "csv mismatch": (
        table(GOOD + ",2,3", head=NODES),
        "mismatched GPU counts: 2 nodes x 3 GPUs are not 8 GPUs",
    ),
    "csv more nodes": (table(GOOD + ",16,", head=NODES), "mismatched GPU counts: 8 GPUs on 16 nodes"),
    "csv in place": (
        table(GOOD + ",yes", head="op,gpus,size_bytes,time_us,in_place"),
        "in_place 'yes'; must be 0 or 1",
    ),
    "csv open quote": (table('all_reduce,8,1024,"20'), "not a valid CSV"),
    "csv cells": (table(GOOD + ",3"), "5 cells, wanted 4 (line 2)"),
    "csv semicolons": (table(GOOD).replace(",", ";"), "columns are separated by ';', wanted ','"),
    "csv endless cell": (table("x" * 200_000), "field larger than field limit"),
    "csv too long": (table(*[GOOD] * 100_001), "more than 100,000 lines"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    content, words = BAD[name]
    path = put(tmp_path, content, "input.txt")
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        read_measured(path)
    assert time.process_time() - start < 60  # a hang, not a benchmark
    message = caught.value.message
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200
    assert caught.value.status == 5


def test_all_faults_are_counted_and_ten_shown(tmp_path):
    rows = [GOOD, *["all_reduce,0,1024,20"] * 12]
    with pytest.raises(InputError) as caught:
        read_measured(put(tmp_path, table(*rows), "t.csv"))
    assert "t.csv:3: gpus 0; must be 1 to 10000000 (and 11 more faults)" in caught.value.message
    assert len(caught.value.details) == 9
    assert "t.csv:4" in caught.value.details[0]


def test_places_are_file_and_line(tmp_path):
    with pytest.raises(InputError) as caught:
        read_measured(put(tmp_path, BAD["header only"][0]))
    assert caught.value.where.endswith(f"run.log:{HEADER + 1}")


@pytest.mark.parametrize("path", ["no-such-file.log", "."])
def test_missing_files_and_folders(path):
    with pytest.raises(InputError, match=r"no such file|is a folder"):
        read_measured(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_garbage_is_an_input_error(tmp_path_factory, content):
    with pytest.raises(InputError):
        read_measured(put(tmp_path_factory.mktemp("log"), content))


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(), name=st.sampled_from(["two_nodes.log", "launcher_prefix.log", "report.json", "table.csv"])
)
def test_damaged_files_are_read_or_refused_never_crash(tmp_path_factory, data, name):
    content = bytearray((DATA / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    try:
        log = read_measured(put(tmp_path_factory.mktemp("log"), bytes(content)))
    except InputError:
        return
    assert log.rows
    assert all(row.time_s > 0 and row.gpus >= 1 and row.size_bytes > 0 for row in log.rows)


def test_large_inputs_fit_in_a_gibibyte(tmp_path):
    start = "# nThread 1\n#  size count type redop root time algbw busbw #wrong\n"
    line = "[1,5]<stdout>:node1:1234:5678 [5] NCCL INFO Channel 00/0 : 5[a0] -> 6[b0] [send] via NET/IB/0\n"
    debug = put(tmp_path, start + line * (LIMIT_BYTES // len(line) - 1), "debug.log")
    bomb = put(tmp_path, gzip.compress(bytes(4 * LIMIT_BYTES), 1), "bomb.log.gz")
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from simulator.calibration.logs._read import read_measured\n"
        "from simulator.errors import InputError\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_measured(path)\n"
        "    except InputError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, debug, bomb], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = done.stdout.splitlines()
    assert "has a header but no rows" in first
    assert "larger than 64 MiB" in second
