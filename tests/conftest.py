"""What several test files share: the command line run in this process or in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from simulator.cli import _main, run
from simulator.cli._options import form_options

SCENARIO = {
    "links": [{"id": "a", "src": "x", "dst": "y", "bandwidth_Bps": 1e9, "latency_s": 0.001}],
    "flows": [{"id": f"f{i}", "route": ["a"], "bytes": 10**9, "after": [], "delay_s": 0} for i in range(2)],
}
ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.stdout, parse_constant=lambda text: pytest.fail(f"{text} in JSON"))

    @property
    def error(self) -> Any:
        """The one JSON object on stderr, and nothing on stdout."""
        assert self.stdout == ""
        return json.loads(self.stderr)["error"]


@pytest.fixture
def commsim(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command line in this process: ``commsim("list", "gpus")``."""
    for name in [name for name in os.environ if name.startswith("COMMSIM_")]:
        monkeypatch.delenv(name)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


def in_a_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    command = [sys.executable, "-m", "simulator", *arguments]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run(command, check=False, **options)


@pytest.fixture
def shared_data() -> Path:
    """The folder with the data that are not part of the checkout; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED}")
    return SHARED


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario file: two flows that share a link and end at 2.001 s."""
    path = tmp_path / "two.json"
    path.write_text(json.dumps(SCENARIO))
    return path


@pytest.fixture
def extra_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Add a command ``extra`` that does what it is told."""

    def add(callback: Callable[..., None]) -> None:
        command = click.Command("extra", callback=callback)
        form_options(command)
        _main._share_options(command)
        find = _main.Commands.get_command
        monkeypatch.setattr(
            _main.Commands,
            "get_command",
            lambda self, context, name: command if name == "extra" else find(self, context, name),
        )

    return add
