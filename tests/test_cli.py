"""The command line: faults in the agreed form and with the agreed exit status, results in three forms."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli._output import emit, finite, save
from simulator.errors import CheckError, UsageError
from tests.conftest import ROOT, in_a_process

USAGE = [  # command line, first line, what it proposes
    ("flwos x", "error: unknown command 'flwos'", "flows"),
    ("list gpu --jsn", "error: unknown option '--jsn'", "--json"),
    ("--verson", "error: unknown option '--verson'", "--version"),
    ("list gpsu", "error: unknown kind 'gpsu'", "gpus"),
    ("show gpu h100-smx5", "error: unknown gpu 'h100-smx5'", "h100-sxm5"),
    ("show gpus", "error: NAME is missing", "commsim show --help"),
    ("flows", "error: FILE is missing", "commsim flows --help"),
    ("flows a.json b.json", "error: got unexpected extra argument (b.json)", "commsim flows --help"),
    ("flows a.json --fold", "error: option '--fold' requires an argument", "--help"),
    ("flows a.json --fold of", "error: unknown fold 'of'", "off"),
    ("flows a.json --fold zebra", "error: unknown fold 'zebra'", "on, off, auto"),
    ("list gpus --json=1", "error: option '--json' does not take a value", "--help"),
    ("completion tcsh", "error: unknown shell 'tcsh'", "zsh"),
    ("config", "error: --show is missing", "commsim config --help"),
]


@pytest.mark.parametrize(("line", "first", "proposal"), USAGE, ids=[line for line, _, _ in USAGE])
def test_usage_errors(commsim, line: str, first: str, proposal: str):
    outcome = commsim(*line.split())
    lines = outcome.stderr.splitlines()
    assert (outcome.status, outcome.stdout) == (2, "")
    assert lines[0] == first
    assert all(text.startswith("  ") for text in lines[1:])
    assert lines[-1].startswith("  try: ")
    assert proposal in lines[-1]


@pytest.mark.parametrize(("line", "first", "proposal"), USAGE, ids=[line for line, _, _ in USAGE])
def test_usage_errors_as_json(commsim, line: str, first: str, proposal: str):
    error = commsim(*line.split(), "--json").error
    assert set(error) == {"code", "message", "where", "try"}
    assert error["code"] == "usage"
    if not line.startswith("completion") and not line.endswith("--fold"):  # which takes --json for its value
        assert "error: " + error["message"] == first


def test_csv_and_json_exclude_each_other(commsim):
    assert commsim("list", "gpus", "--csv", "--json").error["where"] == "--json"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\x00\x01\xff\xfe" * 9, "not UTF-8 text"),
        (b"{", "not valid JSON"),
        (b'{"links": NaN}', "NaN"),
    ],
)
def test_input_errors_are_one_line_that_names_the_file(commsim, tmp_path, content: bytes | None, fault: str):
    path = tmp_path / "in.json"
    if content is not None:
        path.write_bytes(content)
    outcome = commsim("flows", path)
    assert (outcome.status, outcome.stdout) == (5, "")
    assert outcome.stderr.startswith(f"error: {path}: ")
    assert fault in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    error = commsim("flows", path, "--json").error
    assert error["code"] == "input"
    assert error["where"] == str(path)


def test_a_fault_of_ours_is_one_line_and_its_traceback_waits_for_debug(commsim, extra_command):
    extra_command(lambda **_: {}["nothing"])
    outcome = commsim("extra")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        "error: internal error: KeyError: 'nothing'; rerun with --debug and attach what it prints\n"
    )
    outcome = commsim("extra", "--debug")
    assert outcome.stderr.startswith("error: ")
    assert "Traceback (most recent call last)" in outcome.stderr
    assert "KeyError: 'nothing'" in outcome.stderr.splitlines()[-1]
    error = commsim("extra", "--debug", "--json").error
    assert error["code"] == "internal"
    assert "KeyError" in error["traceback"]


def test_what_was_typed_cannot_break_the_first_line(commsim, extra_command):
    outcome = commsim("a\nerror: b\x1b[31m")
    assert outcome.stderr.splitlines()[0] == r"error: unknown command 'a\nerror: b\x1b[31m'"
    assert len(commsim("x" * 10**5).stderr) < 1000
    assert commsim("list", "\udcff").status == 2


def test_an_interrupt_ends_with_130_and_says_how_to_go_on(commsim, extra_command):
    def stop(**_):
        raise KeyboardInterrupt("stopped after 7 of 12")

    extra_command(stop)
    outcome = commsim("extra")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (130, "", "stopped after 7 of 12\n")


def test_a_failed_check_prints_the_result_and_then_the_fault(commsim, extra_command):
    def fail(**_):
        emit({"rows": [{"mean_error": 0.2}]}, lambda: ["mean error 20 %"])
        raise CheckError("mean error 20 % is above the limit of 12 %", where="--limit")

    extra_command(fail)
    outcome = commsim("extra")
    assert (outcome.status, outcome.stdout) == (4, "mean error 20 %\n")
    assert outcome.stderr == "error: mean error 20 % is above the limit of 12 %\n  where: --limit\n"


@pytest.mark.parametrize(("arguments", "status"), [("list", 0), ("bogus", 2)])
def test_closed_streams_are_no_fault(arguments, status):
    line = f"exec {sys.executable} -m simulator {arguments} >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], cwd=ROOT, check=False, timeout=60).returncode == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line():
    with Path("/dev/full").open("w") as full:
        done = in_a_process("list", "gpus", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("line", ["list gpus", "--help", "list --help"])
def test_a_reader_that_has_seen_enough_is_no_fault(line: str):
    command = [sys.executable, "-m", "simulator", *line.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_flows_holds_the_keys_of_the_contract(commsim, scenario: Path):
    outcome = commsim("flows", scenario, "--json")
    result = outcome.result
    assert (outcome.status, outcome.stderr) == (0, "")
    assert set(result) == {"schema", "manifest", "warnings", "finish_s", "makespan_s", "engine_s"}
    assert result["finish_s"] == pytest.approx({"f0": 2.001, "f1": 2.001}, rel=1e-9)
    assert result["makespan_s"] == max(result["finish_s"].values())
    assert result["engine_s"] > 0
    assert result["warnings"] == []
    manifest = result["manifest"]
    assert manifest["command"] == ["commsim", "flows", str(scenario), "--json"]
    assert manifest["inputs"].keys() == {str(scenario)}
    assert all(len(digest) == 64 for digest in [*manifest["inputs"].values(), manifest["catalogue"]])
    assert {"numpy", "scipy", "simpy", "networkx"} <= manifest["packages"].keys()


@pytest.mark.parametrize("fold", ["on", "off", "auto"])
def test_folding_changes_no_flow(commsim, scenario: Path, fold: str):
    finish = commsim("flows", scenario, "--json", "--fold", fold).result["finish_s"]
    assert finish == pytest.approx({"f0": 2.001, "f1": 2.001}, rel=1e-9)


def test_flows_as_table_and_csv(commsim, scenario: Path):
    table = commsim("flows", scenario).stdout.splitlines()
    assert table[0].split() == ["flow", "finish"]
    assert table[1] == "f0    2.001 s"
    rows = commsim("flows", scenario, "--csv").stdout.splitlines()
    assert rows[0] == "flow,finish_s"
    assert float(rows[1].split(",")[1]) == pytest.approx(2.001, rel=1e-12)
    loud = commsim("flows", scenario, "-v")
    assert "changes of rates" in loud.stderr
    assert commsim("-v", "flows", scenario).stderr.split()[:3] == loud.stderr.split()[:3]


def test_numbers_that_cannot_be_given_are_null_with_a_warning(commsim, extra_command):
    numpy = pytest.importorskip("numpy")
    row = {"a": math.nan, "b": [1.0, math.inf], "c": numpy.float64(2.0), "d": numpy.int64(3), "e": "nan"}
    warnings: list[str] = []
    assert finite({"rows": [row]}, "", warnings) == {
        "rows": [{"a": None, "b": [1.0, None], "c": 2.0, "d": 3, "e": "nan"}]
    }
    assert warnings == ["rows[0].a cannot be given", "rows[0].b[1] cannot be given"]


def test_quiet_silences_remarks_and_warnings_but_not_json(commsim, extra_command):
    extra_command(lambda **_: emit({"rows": [{"a": math.inf}]}, lambda: ["a"], warnings=["careful"]))
    assert commsim("extra").stderr == "warning: careful\n"
    assert commsim("-q", "extra").stderr == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "out.txt"
    save(target, b"first")
    with pytest.raises(UsageError, match="cannot be written"):
        save(tmp_path / "missing" / "out.txt", b"x")

    def full(_):  # the disk takes the bytes at last, or does not
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        save(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_ctrl_c_ends_a_process_with_130(tmp_path):
    pipe = tmp_path / "scenario.json"
    os.mkfifo(pipe)  # the command waits for what nobody writes
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "flows", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, b"interrupted\n")
