"""``commsim sweep``: grids, what is kept, going on after a stop, points that cannot be."""

import csv
import io
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import InfeasibleError, InputError, UsageError
from simulator.planning.store import Store, key, product_hash
from simulator.planning.sweep import Found, grid, sweep
from tests.conftest import ROOT, in_a_process

SMALL = ("sweep", "all_reduce", "--size", "1KiB,1MiB", "--gpus", "4,7,8", "--fabric", "torus-2d-100g")
POINTS = grid({"a": [1, 2], "b": ["x", "y", "z"]})


def answer(point):
    """Return a row that depends on the point in a way that JSON must not round."""
    return Found([{"time_s": point["a"] / 3 + len(point["b"]) / 7}], [f"about {point['a']}"])


class Counting:
    """Answers points and counts them; raises at one of them if told to."""

    def __init__(self, stop_at: int | None = None, fault: BaseException | None = None) -> None:
        self.asked: list[dict] = []
        self.stop_at, self.fault = stop_at, fault or KeyboardInterrupt()

    def __call__(self, point):
        if len(self.asked) == self.stop_at:
            raise self.fault
        self.asked.append(point)
        return answer(point)


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4, unique=True), min_size=1, max_size=3))
def test_the_last_axis_of_a_grid_varies_fastest(axes):
    points = grid({f"axis{place}": values for place, values in enumerate(axes)})
    ranks = [[axis.index(point[f"axis{place}"]) for place, axis in enumerate(axes)] for point in points]
    assert ranks == sorted(ranks)
    assert len({tuple(rank) for rank in ranks}) == len(points)
    product = 1
    for axis in axes:
        product *= len(axis)
    assert len(points) == product


def test_rows_stand_in_grid_order_with_their_parameters_and_warnings_stand_once():
    found = sweep(POINTS, answer)
    assert [{"a": row["a"], "b": row["b"]} for row in found.rows] == POINTS
    assert {row["status"] for row in found.rows} == {"predicted"}
    assert [row["time_s"] for row in found.rows] == [answer(point).rows[0]["time_s"] for point in POINTS]
    assert found.warnings == ["about 1", "about 2"]
    assert (found.reused, found.run) == (0, 6)


@pytest.mark.parametrize("stop_at", range(6))
def test_a_stopped_sweep_goes_on_with_the_points_that_are_left(tmp_path, stop_at):
    whole = sweep(POINTS, answer)
    with Store(tmp_path / "s.db") as store, pytest.raises(KeyboardInterrupt, match=f"after {stop_at} of 6"):
        sweep(POINTS, Counting(stop_at), store=store)
    rest = Counting()
    with Store(tmp_path / "s.db") as store:
        found = sweep(POINTS, rest, store=store)
    assert rest.asked == POINTS[stop_at:]
    assert (found.reused, found.run) == (stop_at, 6 - stop_at)
    assert (found.rows, found.warnings) == (whole.rows, whole.warnings)


def test_without_a_store_a_stop_says_that_nothing_is_kept():
    with pytest.raises(KeyboardInterrupt, match="stopped after 2 of 6; nothing is kept without -o"):
        sweep(POINTS, Counting(2))


def test_an_answer_is_of_its_point_and_of_what_it_rests_on(tmp_path):
    ground = {"product": "1"}
    assert key({"a": 1, "b": 2}, ground) == key({"b": 2, "a": 1}, ground)
    assert len({key(point, ground) for point in POINTS} | {key(POINTS[0], {"product": "2"})}) == 7
    with Store(tmp_path / "s.db") as store:
        sweep(POINTS, answer, store=store, ground=ground)
        again = Counting()
        assert sweep(POINTS, again, store=store, ground={"product": "2"}).reused == 0
        assert len(again.asked) == 6


def test_the_product_hash_follows_the_catalogue(monkeypatch, tmp_path):
    for package in ("simulator", "topologies", "workloads"):
        (tmp_path / package / "catalogue").mkdir(parents=True)
    monkeypatch.setattr("simulator.planning.store.files", lambda name: tmp_path / name)
    table = tmp_path / "topologies" / "catalogue" / "gpus.toml"
    hashes = []
    for text in ("a = 1", "a = 2", "a = 1"):
        table.write_text(text)
        hashes.append(product_hash.__wrapped__())
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize("fault", [UsageError("no such count"), InfeasibleError("no switch reduces")])
def test_a_point_that_cannot_be_is_a_row_that_says_why(fault):
    def some(point):
        if point["b"] == "y":
            raise fault
        return answer(point)

    rows = sweep(POINTS, some).rows
    assert [row["status"] == "refused" for row in rows] == [point["b"] == "y" for point in POINTS]
    assert {row["reason"] for row in rows} == {None, fault.message}
    assert {tuple(row) for row in rows} == {("a", "b", "status", "reason", "time_s")}
    assert [row["time_s"] is None for row in rows] == [point["b"] == "y" for point in POINTS]


def test_when_nothing_can_be_the_first_reason_is_the_fault():
    def none(point):
        raise UsageError(f"not {point['b']}")

    with pytest.raises(UsageError, match=r"^not x$"):
        sweep(POINTS, none)


def test_a_wrong_file_ends_the_sweep():
    with pytest.raises(InputError, match=r"f\.json: is empty"):
        sweep(POINTS, Counting(1, InputError("f.json", "is empty")))


def test_a_store_that_is_none_or_cannot_be(tmp_path):
    (tmp_path / "s.db").write_text("no database, only text that is long enough to look at" * 30)
    with pytest.raises(InputError, match=r"s\.db: is no store"):
        Store(tmp_path / "s.db")
    with pytest.raises(UsageError, match=r"s\.db: cannot be made"):
        Store(tmp_path / "s.db" / "t.db")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE answer (something INTEGER)")
    with pytest.raises(UsageError, match="no such column"):
        Store(other)


def test_a_store_that_somebody_else_writes_is_refused_soon(tmp_path):
    with Store(tmp_path / "s.db") as store:
        other = sqlite3.connect(tmp_path / "s.db")
        other.execute("BEGIN IMMEDIATE")
        start = time.perf_counter()
        with pytest.raises(UsageError, match="locked"):
            sweep(POINTS, answer, store=store)
        assert time.perf_counter() - start < 30  # refused, not waited for
        other.close()


def test_a_full_disk_is_one_sentence_and_what_was_kept_stays(tmp_path):
    with Store(tmp_path / "s.db") as store:
        pages = store._base.execute("PRAGMA page_count").fetchone()[0]
        store._base.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(UsageError, match=r"s\.db: cannot be used: database or disk is full"):
            sweep(POINTS, lambda point: Found([{"text": "x" * 3000}], []), store=store)
    with Store(tmp_path / "s.db") as store:
        assert len(store.find(key(point, {}) for point in POINTS)) in range(1, 6)


def test_json_holds_counts_and_one_row_a_point(commsim):
    result = commsim(*SMALL, "--json").result
    assert (result["points"], result["reused"], result["run"]) == (6, 0, 6)
    assert "results" not in result
    order = [(gpus, size) for gpus in (4, 7, 8) for size in (1024, 2**20)]
    assert [(row["gpus"], row["size_bytes"]) for row in result["rows"]] == order
    refused = [row for row in result["rows"] if row["status"] == "refused"]
    assert [row["gpus"] for row in refused] == [7, 7]
    assert all("7 GPUs" in row["reason"] for row in refused)


def test_a_folder_holds_the_results_and_the_same_command_reuses_them(commsim, tmp_path):
    first = commsim(*SMALL, "-o", tmp_path / "one", "--json").result
    again = commsim(*SMALL, "-o", tmp_path / "one", "--json").result
    other = commsim(*SMALL, "-o", tmp_path / "two", "--json").result
    assert (first["reused"], again["reused"], again["run"], other["reused"]) == (0, 6, 0, 0)
    assert first["rows"] == again["rows"]
    assert again["results"] == str(tmp_path / "one" / "results.csv")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "manifest.toml", "results.csv", "results.db", "time.png",
    ]  # fmt: skip
    for name in ("results.csv", "time.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table = list(csv.DictReader(io.StringIO((tmp_path / "one" / "results.csv").read_text())))
    assert [float(row["time_s"]) if row["time_s"] else None for row in table] == [
        row.get("time_s") for row in first["rows"]
    ]
    made = tomllib.loads((tmp_path / "one" / "manifest.toml").read_text())
    assert made["command"][:2] == ["commsim", "sweep"]
    assert made["packages"]


def test_a_larger_grid_reuses_what_is_there(commsim, tmp_path):
    commsim(*SMALL, "-o", tmp_path)
    larger = [word.replace("4,7,8", "4,6,8,9") for word in SMALL]
    result = commsim(*larger, "-o", tmp_path, "--json").result
    assert (result["points"], result["reused"], result["run"]) == (8, 4, 4)
    assert [row["gpus"] for row in result["rows"]] == [4, 4, 6, 6, 8, 8, 9, 9]


def test_a_fabric_file_that_changed_is_asked_again(commsim, tmp_path):
    file = tmp_path / "star.toml"
    times = []
    for bandwidth in (10, 20):
        file.write_text(
            f'[fabric]\nfamily = "star"\nlink_bandwidth_Bps = {bandwidth}e9\nlink_latency_s = 1e-6\n'
        )
        command = ("sweep", "all_reduce", "--size", "1GiB", "--gpus", "8", "--fabric", file)
        result = commsim(*command, "-o", tmp_path / "run", "--json").result
        assert result["reused"] == 0
        assert result["manifest"]["inputs"].keys() == {str(file)}
        times.append(result["rows"][0]["time_s"])
    assert times[0] == pytest.approx(2 * times[1], rel=1e-3)


def test_the_table_names_what_was_refused_and_folds_when_it_is_long(commsim):
    listed = commsim(*SMALL).stdout
    assert "refused 2: " in listed
    long = [word.replace("1KiB,1MiB", "1KiB..1GiB") for word in SMALL]
    folded = commsim(*long).stdout.splitlines()
    assert "4 GPUs" in folded[1]
    assert [line.split()[:2] for line in folded[2:23:20]] == [["1", "KiB"], ["1", "GiB"]]


def test_csv_holds_every_parameter_and_nothing_is_folded(commsim):
    rows = list(csv.DictReader(io.StringIO(commsim(*SMALL, "--algorithm", "ring,auto", "--csv").stdout)))
    assert [row["algorithm_asked"] for row in rows] == ["ring", "ring", "auto", "auto"] * 3
    assert {row["fabric"] for row in rows} == {"torus-2d-100g"}
    assert {"status", "reason", "time_s", "low_s", "high_s", "busbw_Bps", "basis"} <= set(rows[0])


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (["--gpus", "7,11"], "error: --gpus: 7 GPUs make no torus"),
        (["--fabric", "ring-100g,rnig-100g"], "error: unknown fabric 'rnig-100g'"),
        (["--algorithm", "ring,rign"], "error: unknown algorithm for all_reduce 'rign'"),
        (["--algorithm", "ring,"], "error: --algorithm: an empty name in 'ring,'"),
        (["--fidelity", "fluid,mesages"], "error: --fidelity: unknown fidelity 'mesages'"),
        (["--plot", "a.txt"], "error: a.txt: must end in"),
    ],
)
def test_what_was_typed_wrong_is_said_before_any_work(commsim, given, first):
    outcome = commsim(*SMALL, *given)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(first)


def test_a_folder_that_cannot_be_written(commsim, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = commsim(*SMALL, "-o", tmp_path / "file")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {tmp_path / 'file'}: cannot be made")
    (tmp_path / "run" / "results.csv").mkdir(parents=True)
    outcome = commsim(*SMALL, "-o", tmp_path / "run")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "results.csv: cannot be written" in outcome.stderr.splitlines()[0]


def test_a_picture_is_drawn_unless_there_is_nothing_on_it(commsim, tmp_path):
    assert commsim(*SMALL, "--plot", tmp_path / "a.svg").status == 0
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    nothing = [word.replace("1KiB,1MiB", "0") for word in SMALL]
    outcome = commsim(*nothing, "--plot", tmp_path / "b.png")
    assert outcome.status == 0
    assert "b.png: not drawn" in outcome.stderr
    assert not (tmp_path / "b.png").exists()


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    command = [
        "sweep", "all_reduce", "--size", "1KiB..32MiB", "--gpus", "24,64", "--fabric", "star-100g",
        "--algorithm", "ring", "--fidelity", "messages", "-o", str(tmp_path), "--json",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _wait_for_points(tmp_path / "results.db", 2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "of 32; finished points are kept. The same command goes on from there." in stderr
    safe = int(stderr.split("stopped after ")[1].split()[0])
    done = in_a_process(*command)
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert result["points"] == result["reused"] + result["run"] == 32
    assert result["reused"] - safe in (0, 1)  # one may have been written just as the key was pressed
    assert 2 <= safe < 32


def _wait_for_points(path: Path, count: int) -> None:
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        if path.exists():
            base = sqlite3.connect(path)
            try:
                if base.execute("SELECT count(*) FROM answer").fetchone()[0] >= count:
                    return
            except sqlite3.OperationalError:  # the table is not made yet
                pass
            finally:
                base.close()
        time.sleep(0.02)
    pytest.fail("the sweep finished no point in 30 s")


def test_a_bar_stands_on_a_terminal_and_nowhere_else(commsim):
    assert "sweep" not in commsim(*SMALL).stderr
    ours, theirs = pty.openpty()
    done = in_a_process(*SMALL, "--json", stdout=subprocess.PIPE, stderr=theirs, capture_output=False)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert json.loads(done.stdout)["points"] == 6
    assert b"sweep 6 points" in shown
    assert b"6/6" in shown
