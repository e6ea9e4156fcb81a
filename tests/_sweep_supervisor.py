"""A supervisor that kills a sweep again and again and counts what becomes of its points."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT


@dataclass
class Storm:
    """What happened to one sweep."""

    kills: int = 0
    interrupts: int = 0
    longest_stop_s: float = 0.0  # from Ctrl-C to the end of the process
    safe: list[int] = field(default_factory=list)  # points on disk after each end
    changed: int = 0  # kept points whose answer was written again
    said: list[str] = field(default_factory=list)  # last lines of interrupted runs


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "simulator", *arguments]


def kept(folder: Path) -> dict[str, str]:
    """Return the answers that are on disk, by key."""
    path = folder / "results.db"
    if not path.exists():
        return {}
    base = sqlite3.connect(path)
    try:
        return dict(base.execute("SELECT key, answer FROM answer"))
    except sqlite3.OperationalError:  # killed before the table was made
        return {}
    finally:
        base.close()


def storm(arguments, folder: Path, points: int, *, kills: int, interrupts: int, row: int, seed: int) -> Storm:
    """Run a sweep and end it: by SIGKILL at random moments, by Ctrl-C, and some times in a row as it begins.

    A run that finishes before its end comes has its results taken away but not its points.
    """
    chance, found = random.Random(seed), Storm()
    ends = [signal.SIGKILL] * kills + [signal.SIGINT] * interrupts
    chance.shuffle(ends)
    for end in [*ends, *[signal.SIGKILL] * row]:
        before = kept(folder)
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        target = min(points - 1, len(before) + 1)
        wait_for(process, folder, target if len(before) < points - 1 else 0)
        time.sleep(chance.random() * 0.02)
        start = time.perf_counter()
        process.send_signal(end)
        _, said = process.communicate(timeout=60)
        if end == signal.SIGINT and process.returncode == 130:
            found.interrupts += 1
            found.longest_stop_s = max(found.longest_stop_s, time.perf_counter() - start)
            found.said.append(said.strip().splitlines()[0])
        elif end == signal.SIGKILL and process.returncode == -signal.SIGKILL:
            found.kills += 1
        after = kept(folder)
        found.changed += sum(after.get(key) != answer for key, answer in before.items())
        found.safe.append(len(after))
    return found


def wait_for(process, folder: Path, count: int, limit_s: float = 60.0) -> None:
    """Wait until so many points are on disk, or the process has ended."""
    deadline = time.perf_counter() + limit_s
    while time.perf_counter() < deadline and process.poll() is None:
        if len(kept(folder)) >= count:
            return
        time.sleep(0.01)
