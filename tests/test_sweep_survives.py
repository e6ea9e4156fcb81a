"""A sweep that is killed, interrupted, starved of disk, damaged, shared, split up: no point lost, none run twice."""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from simulator.planning.store import Store
from tests._sweep_supervisor import command, kept, storm, wait_for
from tests.conftest import ROOT, in_a_process

COLLECTIVES = (
    "sweep", "all_reduce", "--size", "1KiB..1MiB", "--gpus", "8,16", "--fabric", "star-100g",
    "--algorithm", "ring", "--fidelity", "messages",
)  # fmt: skip
STEPS = (
    "sweep", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", "8..32", "--tp", "1,2", "--pp", "1,2",
    "--gbs", "64", "--seq-len", "2048", "--recompute", "full", "--fidelity", "formula",
)  # fmt: skip


def whole(tmp_path, arguments):
    """Return the table of an undisturbed run."""
    done = in_a_process(*arguments, "-o", str(tmp_path / "whole"), "--json")
    assert done.returncode == 0, done.stderr
    return (tmp_path / "whole" / "results.csv").read_bytes(), json.loads(done.stdout)["points"]


def finished(arguments, folder):
    done = in_a_process(*arguments, "-o", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def weather(tmp_path, arguments, *, kills, interrupts, row, seed):
    table, points = whole(tmp_path, arguments)
    folder = tmp_path / "storm"
    found = storm(
        (*arguments, "-o", str(folder)),
        folder,
        points,
        kills=kills,
        interrupts=interrupts,
        row=row,
        seed=seed,
    )
    result = finished(arguments, folder)
    assert found.changed == 0  # nothing that was kept was computed again
    assert result["points"] == points == result["reused"] + result["run"]
    assert result["reused"] == found.safe[-1]
    assert (folder / "results.csv").read_bytes() == table
    assert len(kept(folder)) == points
    return found, points


def test_kills_and_interrupts_lose_nothing(tmp_path):
    found, points = weather(tmp_path, COLLECTIVES, kills=3, interrupts=2, row=1, seed=1)
    for said in found.said:
        assert f"of {points}; finished points are kept" in said


def test_workers_die_with_their_parent_and_points_go_on(tmp_path):
    found, _ = weather(tmp_path, (*COLLECTIVES, "--jobs", "2"), kills=2, interrupts=1, row=0, seed=2)
    deadline = time.perf_counter() + 30
    while orphans(str(tmp_path)) and time.perf_counter() < deadline:
        time.sleep(0.1)
    assert not orphans(str(tmp_path))
    assert found.kills + found.interrupts >= 1


def orphans(word):
    """Return the processes whose command line has a word."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                text = Path("/proc", entry.name, "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if word in text and "multiprocessing" in text:
                found.append(text)
    return found


@pytest.mark.slow
def test_two_hundred_points_twenty_kills_ten_interrupts_five_in_a_row(tmp_path):
    arguments = (
        *COLLECTIVES[:2], "--size", "1KiB..512MiB", "--gpus", "24,28,32,36,40,44,48,52,56,60", *COLLECTIVES[6:],
    )  # fmt: skip
    found, points = weather(tmp_path, arguments, kills=20, interrupts=10, row=5, seed=3)
    warnings.warn(f"counts: {found}", stacklevel=1)
    assert points == 200
    assert found.kills + found.interrupts >= 30
    assert found.longest_stop_s <= 2


def test_parts_of_a_grid_join_to_the_bytes_of_the_whole(tmp_path, commsim):
    table, points = whole(tmp_path, STEPS)
    parts = tmp_path / "parts"
    for part in ("1/3", "3/3"):
        assert commsim(*STEPS, "-o", parts, "--shard", part).status == 0
    short = commsim("merge", parts, "-o", tmp_path / "joined")
    assert (short.status, short.stdout) == (4, "")
    assert f"of {points} points are missing: (gpus" in short.stderr
    assert commsim(*STEPS, "-o", parts, "--shard", "2/3").status == 0
    done = commsim("merge", parts, "-o", tmp_path / "joined", "--json").result
    assert (done["points"], done["parts"]) == (points, 3)
    assert (tmp_path / "joined" / "results.csv").read_bytes() == table


def test_parts_of_another_grid_are_not_joined(tmp_path, commsim):
    assert commsim(*STEPS, "-o", tmp_path / "a").status == 0
    assert commsim(*STEPS, "--mbs", "2", "-o", tmp_path / "b").status == 0
    found = commsim("merge", tmp_path / "a", tmp_path / "b")
    assert found.status == 5
    assert "another grid" in found.stderr
    assert commsim("merge", tmp_path / "none").status == 2


def test_a_damaged_database_is_seen_and_only_the_damaged_points_are_redone(tmp_path, commsim):
    folder = tmp_path / "r"
    first = commsim(*COLLECTIVES, "-o", folder, "--json").result
    table = (folder / "results.csv").read_bytes()
    base = sqlite3.connect(folder / "results.db")
    (name,) = base.execute("SELECT key FROM answer LIMIT 1").fetchone()
    with base:
        base.execute("UPDATE answer SET answer = replace(answer, '1', '2') WHERE key = ?", (name,))
    base.close()
    again = commsim(*COLLECTIVES, "-o", folder, "--json").result
    assert (again["reused"], again["run"]) == (first["points"] - 1, 1)
    assert "damaged" in " ".join(again["warnings"])
    assert (folder / "results.csv").read_bytes() == table


@pytest.mark.parametrize("seed", range(4))
def test_a_database_with_torn_pages_is_made_anew(tmp_path, commsim, seed):
    import random

    folder = tmp_path / "r"
    assert commsim(*COLLECTIVES, "-o", folder).status == 0
    table, path = (folder / "results.csv").read_bytes(), folder / "results.db"
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    place = 4096 * chance.randrange(1, len(content) // 4096)
    content[place : place + 4096] = chance.randbytes(4096)
    path.write_bytes(content)
    again = commsim(*COLLECTIVES, "-o", folder, "--json")
    assert again.status == 0, again.stderr
    assert again.result["reused"] + again.result["run"] == again.result["points"]
    assert "damaged" in " ".join(again.result["warnings"])
    assert (folder / "results.csv").read_bytes() == table
    assert commsim(*COLLECTIVES, "-o", folder, "--json").result["run"] == 0


def test_a_second_process_is_refused_by_name_and_needs_no_unlocking(tmp_path, commsim):
    folder = tmp_path / "r"
    process = subprocess.Popen(
        command(*COLLECTIVES[:3], "1KiB..64MiB", *COLLECTIVES[4:], "-o", str(folder)),
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(process, folder, 1)
    try:
        second = commsim(*COLLECTIVES, "-o", folder)
        assert second.status == 2
        assert f"locked by process {process.pid}" in second.stderr
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert commsim(*COLLECTIVES, "-o", folder).status == 0


def test_a_file_size_limit_is_one_line_and_cuts_nothing(tmp_path):
    folder = tmp_path / "r"

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = subprocess.run(
        command(*STEPS, "-o", str(folder)),
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=small,
        timeout=120,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) <= 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (folder / "results.csv").exists()
    assert finished(STEPS, folder)["points"] > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="LOUD: only root can mount a small disk")
def test_a_full_disk_is_one_line_and_cuts_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("LOUD: no small disk can be mounted here")
    try:
        done = in_a_process(*STEPS, "-o", str(disk / "r"))
        assert done.returncode in (2, 3)
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        assert not (disk / "r" / "results.csv").exists()
        large = in_a_process(*STEPS[:-6], "--gbs", "64", "--seq-len", "2048..1048576", "-o", str(disk / "s"))
        assert (large.returncode, large.stdout) == (3, "")
        assert "points need about" in large.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_is_read_only_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = in_a_process(*STEPS, "-o", str(tmp_path / "file" / "r"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "cannot be made" in done.stderr


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (("--gpus", "8..inf"), 2, "--gpus"),
        (("--gpus", ""), 2, "--gpus"),
        (("--seq-len", "1..1048576+1", "--mbs", "1..1048576+7"), 2, "--seq-len"),
        (("--seq-len", "1..90000+1", "--mbs", "1..90000+1"), 2, "points, at most"),
        (("--within", "1us"), 3, "take about"),
        (("--within", "soon"), 2, "--within"),
        (("--shard", "9/3", "-o", "x"), 2, "--shard 9/3"),
        (("--shard", "1/3"), 2, "--shard needs a folder"),
        (("--executor", "cloud"), 2, "--executor cloud"),
        (("--size", "1KiB"), 2, "--size is for collectives"),
        (("--tp", "16", "--gpus", "8"), 2, "8 GPUs cannot be"),
        (("--model", "llama3.1-405b", "--gpus", "8"), 3, "does not fit"),
        (("--model", "lama3-8b"), 2, "unknown model"),
        (("--grid", "no.toml"), 5, "no.toml"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_said_before_any_work(commsim, more, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = commsim(*STEPS, *more)
    assert (found.status, found.stdout) == (status, ""), found.stderr
    assert found.stderr.startswith("error: ")
    assert said in found.stderr.splitlines()[0]


def test_a_grid_file_says_all_its_faults_and_is_swept(commsim, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        'model = ["llama3-8b"]\nfabric = "dgx-h100-ib400"\ngpus = "8..32"\ntp = [1, 2]\ngbs = 64\n'
        'seq_len = 2048\nrecompute = ["full", "none"]\nfidelity = "formula"\n'
    )
    assert commsim("sweep", "--grid", path, "--json").result["points"] == 12
    assert commsim("sweep", "--grid", path, "--gpus", "8", "--json").result["points"] == 4
    path.write_text('modl = "x"\ngpus = []\ntp = "two"\n')
    found = commsim("sweep", "--grid", path)
    assert found.status == 5
    assert "did you mean 'model'" in found.stderr
    assert "(and 2 more faults)" in found.stderr


def test_rows_equal_the_estimate_of_each_point(commsim):
    rows = commsim(*STEPS, "--json").result["rows"]
    some = next(row for row in rows if row["status"] == "predicted" and row["gpus"] == 16)
    one = commsim("estimate", *(word for pair in zip(STEPS[1::2], STEPS[2::2], strict=False) for word in pair
                  if pair[0] not in ("--gpus", "--tp", "--pp")), "--gpus", "16", "--tp", some["tp"], "--pp",
                  some["pp"], "--json").result["rows"][0]  # fmt: skip
    assert {key: some[key] for key in one} == one


def test_parquet_holds_the_rows(commsim, tmp_path):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow", reason="LOUD: no pyarrow")
    assert pyarrow
    assert commsim(*STEPS, "-o", tmp_path / "r", "--parquet").status == 0
    frame = pandas.read_parquet(tmp_path / "r" / "results.parquet")
    table = pandas.read_csv(tmp_path / "r" / "results.csv")
    assert list(frame.columns) == list(table.columns)
    assert frame["step_s"].sum() == pytest.approx(table["step_s"].sum())


def test_a_worker_of_a_cluster_may_die(tmp_path):
    pytest.importorskip("distributed", reason="LOUD: no dask here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    table, points = whole(tmp_path, COLLECTIVES)
    started = [subprocess.Popen(
        [*dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        **about,
    )]  # fmt: skip
    try:
        started += [
            subprocess.Popen(
                [*dask, "distributed.cli.dask_worker", f"127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard",
                 "--no-nanny", "--local-directory", str(tmp_path / f"w{number}")], **about
            )
            for number in range(2)
        ]  # fmt: skip
        wait_for_port(port)
        time.sleep(3)
        folder = tmp_path / "r"
        run = subprocess.Popen(
            command(*COLLECTIVES, "-o", str(folder), "--executor", f"dask:127.0.0.1:{port}", "--json"),
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(run, folder, 2)
        started[1].send_signal(signal.SIGKILL)
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        assert json.loads(out)["points"] == points
        assert (folder / "results.csv").read_bytes() == table
    finally:
        for process in started:
            process.kill()
            process.wait(timeout=30)


def wait_for_port(port):
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the scheduler does not listen")


def test_a_cluster_that_is_not_there_is_one_line(commsim):
    pytest.importorskip("distributed", reason="LOUD: no dask here")
    found = commsim(*STEPS, "--executor", "dask:127.0.0.1:1")
    assert (found.status, found.stdout) == (2, "")
    assert "no scheduler answers" in found.stderr.splitlines()[0]


def test_a_store_survives_a_copy_in_the_middle_of_work(tmp_path):
    with Store(tmp_path / "s.db") as store:
        store.keep("a", {"x": 1}, json.dumps({"rows": []}))
        for path in tmp_path.glob("s.db*"):
            shutil.copy(path, tmp_path / path.name.replace("s.db", "t.db"))
    with Store(tmp_path / "t.db") as store:
        assert store.find(["a", "b"]) == {"a": {"rows": []}}


def test_a_file_that_changed_is_asked_again_and_a_grid_that_grew_is_not(commsim, tmp_path):
    from simulator.api import sweep

    grid = tmp_path / "grid.toml"
    text = 'model = "llama3-8b"\nfabric = "dgx-h100-ib400"\ngpus = 16\ngbs = 64\nseq_len = 2048\nfidelity = "formula"\n'
    grid.write_text(text + 'recompute = ["full"]\n')
    assert commsim("sweep", "--grid", grid, "-o", tmp_path / "r", "--json").result["run"] == 1
    grid.write_text(text + 'recompute = ["full", "none"]\n')
    again = commsim("sweep", "--grid", grid, "-o", tmp_path / "r", "--json").result
    assert (again["reused"], again["run"]) == (1, 1)
    fabric = tmp_path / "f.json"
    asked = {"model": "llama3-8b", "fabric": str(fabric), "gpu": "h100-sxm5", "gpus": 2, "gbs": 4, "seq_len": 2048,
             "tp": 2, "zero": 3, "recompute": "full", "fidelity": "formula"}  # fmt: skip
    times = []
    for rate in (1e9, 1e10):
        nodes = [{"id": number, "kind": "gpu"} for number in range(2)]
        links = [{"source": a, "target": 1 - a, "bandwidth_Bps": rate, "latency_s": 1e-6} for a in range(2)]
        fabric.write_text(json.dumps({"directed": True, "nodes": nodes, "links": links}))
        times.append(sweep(folder=tmp_path / "api", **asked)["step_s"].iloc[0])
    assert times[1] < times[0]
