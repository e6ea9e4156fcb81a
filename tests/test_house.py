"""The rules of the house, run as tests: linters, layers, sizes, the wheel, the README's command lines."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, in_a_process

PACKAGES = ("simulator", "topologies", "workloads")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LONGEST_FILE, LONGEST_FUNCTION = 300, 40

SECRETS = {
    "a path of somebody's machine": r"(?<![\w.:-])/(?:"
    + "|".join(["home", "Users", "work", "tmp", "root"])
    + r")/\w",
    "a private key": "BEGIN [A-Z ]*PRIVATE" + " KEY",
    "a token": r"\b(?:ghp_|github_pat_|hf_|glpat-|xox[bap]-|AKIA|sk-)[A-Za-z0-9_]{16,}",
    "a password": r"(?i)\b(?:password|passwd|api_?key|secret)\s*[=:]\s*['\"][^'\"]+['\"]",
}


def sources(*ends: str) -> list[Path]:
    """Return the files of the project, those of the working tree that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    found = [ROOT / name for name in listed if name] or [
        path for folder in (*PACKAGES, "tests", "notebooks") for path in (ROOT / folder).rglob("*")
    ]
    return sorted(path for path in found if path.is_file() and (not ends or path.suffix in ends))


OURS = [path for path in sources(".py") if path.relative_to(ROOT).parts[0] in PACKAGES]


def passes(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def script(name: str) -> str:
    """Return a program that was installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def test_ruff_finds_nothing():
    passes(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_would_format_nothing():
    passes(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_types_are_strict():
    passes(sys.executable, "-m", "mypy")


def test_imports_point_one_way():
    passes(script("lint-imports"))


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in OURS}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short():
    found = {}
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                documented = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                length = (node.end_lineno or 0) - (documented or 0)  # what it says of itself may be long
                if length > LONGEST_FUNCTION:
                    found[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert found == {}


def test_no_asserts_and_no_prints_outside_of_tests():
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"
            assert not (isinstance(node, ast.Name) and node.id == "print"), f"{path}:{node.lineno}"


def test_nothing_private_is_in_the_repository():
    found = []
    for path in sources():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [
            f"{path.relative_to(ROOT)}: {what}: {hit[0]!r}"
            for what, rule in SECRETS.items()
            if (hit := re.search(rule, text))
        ]
    assert found == []


def test_the_project_names_its_packages_and_its_script():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert tuple(wheel["packages"]) == PACKAGES
    assert tuple(PROJECT["tool"]["mypy"]["packages"]) == PACKAGES
    assert tuple(PROJECT["tool"]["importlinter"]["root_packages"]) == PACKAGES
    assert PROJECT["project"]["scripts"] == {"commsim": "simulator.__main__:main"}
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    folders = {path.relative_to(ROOT).parts[0] for path in sources() if len(path.relative_to(ROOT).parts) > 1}
    assert {name for name in folders if not name.startswith(".")} - {"notebooks"} == {*PACKAGES, "tests"}


def test_what_is_imported_is_declared():
    extras = PROJECT["project"]["optional-dependencies"]
    needs = [
        *PROJECT["project"]["dependencies"],
        *(need for name in ("dask", "parquet") for need in extras[name]),
    ]
    declared = {re.split(r"[<>=\[]", need)[0] for need in needs}
    imported = {
        name.split(".")[0]
        for path in OURS
        for node in ast.walk(ast.parse(path.read_text()))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [])
        + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }
    assert imported - set(sys.stdlib_module_names) - {*PACKAGES} <= declared | {"mpl_toolkits"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    passes(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_every_file_of_the_packages_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT)) for path in sources() if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    assert carried == wanted


def test_the_wheel_works_in_an_empty_environment_outside_of_the_checkout(
    wheel: Path, tmp_path: Path, commsim
):
    passes(sys.executable, "-m", "venv", str(tmp_path / "empty"))
    python = str(tmp_path / "empty" / "bin" / "python")
    passes(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (packages,) = (tmp_path / "empty").glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text(
        "\n".join(here)
    )  # ours, without its own .pth files: no checkout

    def there(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        program = str(Path(python).parent / "commsim")
        return subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    where = subprocess.run(
        [python, "-c", "import topologies; print(topologies.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(packages))
    for kind in (row["name"] for row in commsim("list", "--json").result["rows"]):
        done = there("list", kind, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"] == commsim("list", kind, "--json").result["rows"]
    done = there("topology", "show", "dgx-h100-ib400", "--gpus", "16", "--json")
    assert json.loads(done.stdout)["rows"][0]["gpu"] == 16


COMMAND = re.compile(r"^\$ ((?:commsim|python3 -m simulator|\.venv/bin/commsim)\b.*?)(?:\s{2,}#.*)?$")
STATUS = re.compile(r"\[exit (\d+)\]")


def readme_blocks() -> list[list[tuple[str, int]]]:
    """Return the command lines of each console block of the README, each with the exit status noted."""
    blocks = []
    for block in re.findall(
        r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    ):
        lines: list[tuple[str, int]] = []
        for line in block.splitlines():
            noted = STATUS.search(line)
            if command := COMMAND.match(STATUS.sub("", line).rstrip()):
                lines.append((command[1], int(noted[1]) if noted else 0))
            elif noted and lines:
                lines[-1] = (lines[-1][0], int(noted[1]))
        if lines:
            blocks.append(lines)
    return blocks


@pytest.fixture
def readers_folder(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, where what a command writes is thrown away."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv", "demo"):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / ".bin").mkdir()
    for name, command in (("commsim", "-m simulator "), ("python3", "")):
        (tmp_path / ".bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
        (tmp_path / ".bin" / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("block", readme_blocks(), ids=lambda block: block[0][0][:60])
def test_the_command_lines_of_the_readme_run(readers_folder: Path, block: list[tuple[str, int]]):
    env = os.environ | {
        "PATH": f"{readers_folder / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    for line, status in block:
        command = line.replace(".venv/bin/commsim", "commsim")
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=readers_folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, f"$ {line}\n{done.stdout}\n{done.stderr}"


def test_both_ways_to_start_are_one_program():
    one = in_a_process("--version")
    other = subprocess.run([script("commsim"), "--version"], capture_output=True, text=True, check=True)
    assert one.stdout == other.stdout
