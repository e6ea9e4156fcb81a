"""Start-up, colour, help, completion: what a shell and a terminal see."""

import io
import os
import resource
import sys

import pytest

from simulator.cli import COMMANDS, run
from tests.conftest import in_a_process

HEAVY = {"numpy", "pandas", "scipy", "matplotlib", "networkx", "simpy", "rich"}


def test_no_colour_and_no_rich_in_a_pipe_and_none_where_unwanted(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "stdout", screen := Terminal())
        assert run([*arguments]) == 0
        return screen.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed("list")
    assert "\x1b[" not in printed("--no-color", "list")
    assert "\x1b[" not in printed("list", "--no-color")
    assert "\x1b[" not in printed("list", "--json")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in printed("list")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in printed("list")


LIGHT = [
    "--help",
    "--version",
    "list",
    "list gpus",
    "list fabrics",
    "list topologies",
    "completion bash",
    "config --show",
]
LIGHT += [
    "list --help",
    "flwos",
    "flows --fold x y",
    "show gpu h100-smx5",
    "topology show dgx-h100-ib4000 --gpus 8",
]


@pytest.mark.parametrize("line", LIGHT)
def test_what_needs_no_numbers_imports_no_numbers(line: str):
    done = in_a_process(*line.split(), env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"})
    imported = {
        row.rsplit("|", 1)[-1].strip() for row in done.stderr.splitlines() if row.startswith("import time:")
    }
    assert "click" in imported
    assert not HEAVY & imported


def test_help_is_there_at_once():
    """Seconds of work, not of waiting: other tests run beside this one."""
    spans = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert in_a_process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spans.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spans) < 0.3


def test_help_names_every_command_in_one_line_each(commsim):
    text = commsim("--help").stdout
    for name in COMMANDS:
        shown = name.replace("_", "-")
        assert any(line.split()[:1] == [shown] and len(line.split()) > 2 for line in text.splitlines())
        assert commsim(shown, "--help").status == 0
    assert commsim().stdout == text
    assert commsim("-h").stdout == text


def test_version(commsim):
    assert commsim("--version").stdout.split()[0] == "commsim"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_us(commsim, shell: str):
    outcome = commsim("completion", shell)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert f"_COMMSIM_COMPLETE={shell}_complete" in outcome.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("commsim flo", "flows"),
        ("commsim list gp", "gpus"),
        ("commsim flows --fold of", "off"),
        ("commsim show gpu h100-s", "h100-sxm5"),
        ("commsim completion f", "fish"),
        ("commsim list --js", "--json"),
        ("commsim topology show dgx-h100-i", "dgx-h100-ib400"),
    ],
)
def test_completion_of_names(line: str, expected: str):
    words = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
        "_COMMSIM_COMPLETE": "bash_complete",
    }
    done = in_a_process(env=os.environ | words)
    assert f"plain,{expected}" in done.stdout.splitlines()
