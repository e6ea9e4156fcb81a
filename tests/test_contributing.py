"""The examples of CONTRIBUTING.md, put where it says into a copy of the project and held to its tests."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLE = re.compile(r"`([\w./]+\.\w+)`:\n\n```(?:python|toml|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall(TEXT))
COLLECTIVE = "simulator/collectives/central_all_reduce.py"
TOPOLOGY = "topologies/hypercube.py"
READER = "simulator/calibration/logs/json_lines.py"
SAMPLE = "tests/data/logs/json_lines.jsonl"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project with the examples in it: a new file for each, a row at the end of a catalogue."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("simulator", "topologies", "workloads", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in EXAMPLES.items():
        path = folder / name
        path.write_text(f"{path.read_text()}\n{text}" if path.suffix == ".toml" else text)
    return folder


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def passes(copy: Path, *arguments: str, least: int) -> None:
    """Run tests of the copy, and see that so many of them were about the example."""
    done = run(copy, "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= least, done.stdout[-1000:]


def test_every_example_is_found():
    assert EXAMPLES.keys() == {
        COLLECTIVE, TOPOLOGY, READER, SAMPLE, "topologies/catalogue/fabrics.toml", "tests/test_hypercube.py"
    }  # fmt: skip
    assert len(re.findall(r"^```(?:python|toml|json)$", TEXT, re.MULTILINE)) == len(EXAMPLES)
    for name in (COLLECTIVE, TOPOLOGY, READER, SAMPLE):
        assert not (ROOT / name).exists(), "an example must show something new"


def test_examples_are_in_the_style_of_the_house(copy: Path):
    files = [name for name in EXAMPLES if name.endswith(".py")]
    for check in (["check"], ["format", "--check"]):
        done = run(copy, "ruff", *check, *files)
        assert done.returncode == 0, done.stdout
    done = run(copy, "mypy", "--config-file", "pyproject.toml", COLLECTIVE, TOPOLOGY, READER)
    assert done.returncode == 0, done.stdout


def test_the_collective_keeps_the_contract(copy: Path):
    passes(
        copy,
        *("tests/test_collectives.py", "tests/test_collective_replay.py", "-k", "central_all_reduce"),
        least=8,
    )


def test_the_topology_keeps_the_contract(copy: Path):
    passes(copy, "tests/test_topologies.py", "-k", "hypercube or every_family", least=2)
    passes(copy, "tests/test_hypercube.py", least=3)


@pytest.mark.parametrize("line", re.findall(r"Try it with `commsim (.*?)`", TEXT))
def test_what_it_says_to_try_works(copy: Path, line: str):
    done = run(copy, "simulator", *line.split())
    assert done.returncode == 0, done.stderr


def test_the_log_format_keeps_the_contract(copy: Path):
    passes(copy, "tests/test_logs.py", "-k", "sniffs_only_its_own", least=1)
    script = "\n".join(
        [
            "import json, sys",
            "from simulator.calibration.logs._read import read_measured",
            "from simulator.errors import InputError",
            "for name in sys.argv[1:]:",
            "    try:",
            "        log = read_measured(name)",
            "        print(json.dumps([[row.op, row.gpus, row.size_bytes, row.time_s] for row in log.rows]))",
            "    except InputError as error:",
            "        print(json.dumps(str(error)))",
        ]
    )
    whole = EXAMPLES[SAMPLE]
    broken = {
        "cut.jsonl": whole[:-20],
        "nan.jsonl": whole.replace("48.25", "NaN"),
        "word.jsonl": whole.replace("1048576", '"1 MiB"'),
        "many.jsonl": whole.replace('8, "bytes": 1048576', '99999999, "bytes": 1048576'),
        "deep.jsonl": whole + "[" * 100_000,
    }
    for name, text in broken.items():
        (copy / name).write_text(text)
    (copy / "reads.py").write_text(script)
    done = run(copy, "reads", SAMPLE, *broken)
    good, *faults = map(json.loads, done.stdout.splitlines())
    assert good == [["all_reduce", 8, 1024, 21.5e-6], ["all_reduce", 8, 2**20, 48.25e-6]]
    assert len(faults) == len(broken), done.stderr
    for name, fault in zip(broken, faults, strict=True):
        assert fault.startswith((f"{name}:2: ", f"{name}:3: ")), fault
