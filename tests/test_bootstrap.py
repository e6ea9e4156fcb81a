"""The set-up of a fresh checkout, without a network: what is decided, and what is said."""

import ast
import sys
from pathlib import Path

import pytest

from simulator import _bootstrap
from tests.conftest import ROOT

OLD_SYNTAX = [
    "simulator/_bootstrap.py",
    "simulator/__main__.py",
    "simulator/__init__.py",
    "tests/__main__.py",
]


class Replaced(Exception):
    """Stands for `os.execv`, which does not come back."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    """An empty checkout whose installations and restarts are only noted, in ``checkout.done``."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["click>=8.5,<9"]\n[project.optional-dependencies]\n'
        'test = ["no-such-package>=1"]\n'
    )
    monkeypatch.setattr(_bootstrap, "ROOT", str(tmp_path))
    monkeypatch.setattr(_bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(_bootstrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["simulator", "demo", "--json"])
    return tmp_path


@pytest.fixture
def done(monkeypatch) -> list[list[str]]:
    """The commands that would have been run, the restart last."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            make_python(Path(command[3]))

    def execv(path: str, arguments: list[str]) -> None:
        commands.append(arguments)
        raise Replaced

    monkeypatch.setattr(_bootstrap, "run", run)
    monkeypatch.setattr(_bootstrap.os, "execv", execv)
    return commands


def make_python(venv: Path, script: str = "") -> None:
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(script)
    (venv / "bin" / "python").chmod(0o755)


@pytest.mark.parametrize("file", OLD_SYNTAX)
def test_an_old_python_can_read_it(file: str):
    tree = ast.parse((ROOT / file).read_text(), feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in tree.body
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }
    assert imported <= {"hashlib", "os", "re", "shutil", "subprocess", "sys", "typing", "simulator"}
    assert "tomllib" not in imported


def test_an_old_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as stop:
        _bootstrap.ensure("simulator")
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: needs Python 3.11 or newer, this is 3.9\n"
        "  try: uv run commsim demo   (uv fetches a Python by itself)\n"
    )


def test_an_environment_that_has_everything_is_used_as_it_is(checkout: Path, done):
    _bootstrap.ensure("simulator")
    assert done == []
    assert not (checkout / ".venv").exists()


def test_an_installed_package_sets_nothing_up(checkout: Path, done):
    (checkout / "pyproject.toml").unlink()
    _bootstrap.ensure("tests", "test")
    assert done == []


def test_the_first_time_makes_an_environment_and_goes_on_inside(checkout: Path, done, capsys):
    with pytest.raises(Replaced):
        _bootstrap.ensure("tests", "test")
    python = str(checkout / ".venv" / "bin" / "python")
    make, install, restart = done
    assert make == [sys.executable, "-m", "venv", str(checkout / ".venv")]
    assert install[:4] == [python, "-m", "pip", "install"]
    assert install[-2:] == ["-e", f"{checkout}[test]"]
    assert restart == [python, "-m", "tests", "demo", "--json"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "setting up" in captured.err
    assert _bootstrap.stamped("test")
    assert _bootstrap.stamped("")  # the tests need all that the program needs
    done.clear()
    with pytest.raises(Replaced):
        _bootstrap.ensure("tests", "test")
    assert done == [restart]  # the second time nothing is installed


def test_the_program_alone_does_not_stand_for_the_tests_and_a_new_pyproject_for_nothing(checkout: Path, done):
    make_python(checkout / ".venv")
    Path(_bootstrap.stamp("made")).touch()
    Path(_bootstrap.stamp("")).write_text(_bootstrap.wanted())
    assert _bootstrap.stamped("")
    assert not _bootstrap.stamped("test")
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("# newer\n")
    assert not _bootstrap.stamped("")
    with pytest.raises(Replaced):
        _bootstrap.ensure("tests", "test")
    assert [command[1:4] for command in done] == [["-m", "pip", "install"], ["-m", "tests", "demo"]]


def test_an_installation_that_failed_leaves_no_stamp(checkout: Path, monkeypatch, capsys):
    make_python(checkout / ".venv")
    Path(_bootstrap.stamp("made")).touch()
    monkeypatch.setattr(_bootstrap.subprocess, "call", lambda *_, **__: 1)
    with pytest.raises(SystemExit) as stop:
        _bootstrap.ensure("tests", "test")
    assert stop.value.code == 2
    assert "error: set-up failed at: " in capsys.readouterr().err
    assert not _bootstrap.stamped("test")


@pytest.mark.parametrize("holds_all", [True, False])
def test_nothing_is_installed_into_an_environment_of_somebody_else(
    checkout: Path, done, capsys, holds_all: bool
):
    make_python(checkout / ".venv", f"#!/bin/sh\nexit {int(not holds_all)}\n")
    with pytest.raises(Replaced if holds_all else SystemExit):
        _bootstrap.ensure("tests", "test")
    assert len(done) == holds_all  # at most the restart
    error = capsys.readouterr().err
    assert error == "" if holds_all else error.startswith("error: .venv was made by somebody else and lacks")


def test_uv_is_used_where_there_is_one(checkout: Path, done, monkeypatch):
    monkeypatch.setattr(_bootstrap.shutil, "which", lambda name: f"/opt/{name}")

    def run(command: list[str]) -> None:
        done.append(command)
        if command[1] == "venv":
            make_python(checkout / ".venv")

    monkeypatch.setattr(_bootstrap, "run", run)
    with pytest.raises(Replaced):
        _bootstrap.ensure("tests", "test")
    assert [command[:3] for command in done[:2]] == [
        ["/opt/uv", "venv", "--quiet"],
        ["/opt/uv", "pip", "install"],
    ]


def test_a_system_without_venv_is_told_which_package_to_install(checkout: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit) as stop:
        _bootstrap.ensure("tests", "test")
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(
        "error: this Python has no venv module with pip\n  try: sudo apt install python3-venv\n"
    )


def test_versions_compare_by_number():
    assert _bootstrap.numbers("8.10.1rc1") > _bootstrap.numbers("8.9") > _bootstrap.numbers("8")
