"""SimGrid, in whatever Python or C++ it is installed for, as a process of its own."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.benchmarks.outcome import Outcome
from tests.benchmarks.peers.simgrid_flows import MAX_MIN, PRECISION
from tests.benchmarks.traffic import MESSAGE, Traffic

HERE = Path(__file__).parent


def pythons(given: Iterable[str] = ()) -> list[str]:
    """Return Pythons that have SimGrid: those given, else this one or else one of the system.

    Raises
    ------
    FileNotFoundError
        If one that was given has no SimGrid.
    """
    listed = list(given)
    for python in listed:
        if not has_simgrid(python):
            raise FileNotFoundError(f"{python} cannot import simgrid")
    usual = [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    return listed or [python for python in usual if python and has_simgrid(python)][:1]


def has_simgrid(python: str) -> bool:
    """Tell whether a Python finds SimGrid."""
    asked = "import importlib.util, sys; sys.exit(importlib.util.find_spec('simgrid') is None)"
    try:
        return not subprocess.run([python, "-c", asked], capture_output=True, check=False).returncode
    except OSError:
        return False


def flows(traffic: Traffic, python: str) -> Outcome:
    """Run messages that are released together."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "flows.npz", Path(folder) / "ends.json"
        routes = traffic.routes
        np.savez(
            given,
            start=routes.start,
            links=routes.links,
            source=routes.source,
            target=routes.target,
            bandwidth=routes.bandwidth,
            size=traffic.size,
        )
        _checked([python, str(HERE / "simgrid_flows.py"), str(given), str(found)])
        return _outcome(found.read_text(), "Python")


def build(folder: Path) -> Path | None:
    """Return the program of the ring, compiled; None without compiler, headers or library."""
    program = folder / "simgrid_ring"
    if shutil.which("g++") is None:
        return None
    source = str(HERE / "simgrid_ring.cpp")
    command = ["g++", "-O2", "-std=c++17", source, "-o", str(program), "-lsimgrid"]
    return None if subprocess.run(command, capture_output=True, check=False).returncode else program


def ring(ranks: int, bandwidth: float) -> Outcome | None:
    """Run workload i on a star against the C++ interface; None where it cannot be compiled."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        if program is None:
            return None
        options = [f"--cfg={one}" for one in (*MAX_MIN, *PRECISION[_major(program)])]
        return _outcome(_checked([*_order(program, ranks, bandwidth), *options]), "C++")


def _order(program: Path, ranks: int, bandwidth: float) -> list[str]:
    return [str(program), str(ranks), str(MESSAGE), repr(bandwidth), "--log=root.thres:critical"]


def _major(program: Path) -> int:
    """Return the major version, of which the names of options depend."""
    return int(json.loads(_checked(_order(program, 2, 1e9)))["version"].split(".")[0])


def _checked(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _outcome(text: str, language: str) -> Outcome:
    found = json.loads(text)
    version = f"SimGrid {found['version']}, {language}"
    return Outcome(seconds=found["seconds"], finish=found["finish"], version=version)
