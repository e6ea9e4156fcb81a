"""Run one row: warm up, take medians, compare ends with those of the first way."""

import os
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import process_time
from typing import Any

import numpy as np

from simulator.network.folding import fold
from tests.benchmarks import ours
from tests.benchmarks.outcome import Outcome
from tests.benchmarks.rows import ROWS, Case, Run
from tests.benchmarks.step import step
from tests.benchmarks.traffic import all_to_all

BRIEF, PATIENCE = 0.5, 10.0  # s: shorter runs are warmed up by one more; no more runs after so long


def measure(name: str, *, repeat: int, peers: bool, pythons: Sequence[str]) -> dict[str, Any]:
    """Return what a row took and found; see `Case` for its parts."""
    warm_up()
    begun = process_time()
    row = ROWS[name]
    case = row.make(list(pythons))
    made = process_time() - begun
    return {
        "row": name,
        "work": row.work,
        "made_s": made,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # who else was at work
        "facts": dict(case.facts),
        "runs": _runs(case, repeat, peers=peers),
    }


def warm_up() -> None:
    """Let everything be compiled, or loaded from where it is kept."""
    small, traffic = step(2, 2, microbatches=1), all_to_all(32)
    for lanes in (small.lanes, traffic.lanes):
        ours.general(partial(replace, lanes))
        ours.under_simpy(partial(replace, lanes), np.zeros(1, np.int64))
    ours.one_solve(traffic)
    ours.folded(lambda: fold(small.lanes, small.hint))


def _runs(case: Case, repeat: int, *, peers: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    reference: np.ndarray | None = None
    parties: list[tuple[str, Run, bool]] = [(who, run, True) for who, run in case.ways.items()]
    if peers:
        parties += [(who, run, False) for who, run in case.peers.items()]
    for who, run, own in parties:
        outcome, seconds = _median(run, repeat)
        if outcome is None:
            continue
        ends = np.asarray(outcome.finish)
        reference = ends if reference is None else reference
        found.append(
            {
                "who": outcome.version or who,
                "own": own,
                "seconds": statistics.median(seconds),
                "times": len(seconds),
                "differs": difference(ends, reference),
                "makespan_s": float(ends.max()),
                "instants": outcome.instants,
                "messages": outcome.messages,
                "peak_bytes": peak(),
            }
        )
    return found


def _median(run: Callable[[], Outcome | None], repeat: int) -> tuple[Outcome | None, list[float]]:
    """Return the outcome of the last run and the seconds of each; the first one warms up, if it is brief."""
    outcome = run()
    seconds = [] if outcome is None else [outcome.seconds]
    if seconds and seconds[0] < BRIEF:
        seconds = []
    while outcome is not None and len(seconds) < repeat and sum(seconds) < PATIENCE:
        outcome = run()
        seconds += [outcome.seconds] if outcome else []
    return outcome, seconds


def difference(ends: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest relative difference of two lists of ends."""
    return float(np.max(np.abs(ends - reference) / np.abs(reference)))


def peak() -> int:
    """Return the most bytes of memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
