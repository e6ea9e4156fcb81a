"""One question over a grid of parameters, point by point; finished points are kept and never asked again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from simulator.errors import InfeasibleError, UsageError
from simulator.planning._sweep_questions import Collectives, Found, Point, Steps
from simulator.planning._sweep_workers import PREDICTED, REFUSED, Answers, Question, here
from simulator.planning.store import Store, key

__all__ = [
    "MOST",
    "PREDICTED",
    "REFUSED",
    "Collectives",
    "Found",
    "Point",
    "Steps",
    "Sweep",
    "grid",
    "shard",
    "sweep",
]

Rows = list[dict[str, Any]]
Executor = Callable[[Sequence[tuple[int, Point]], Question], Answers]
MOST = 1_000_000  # points of a sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All points of a grid.

    Parameters
    ----------
    rows : list of dict
        In grid order: the point's parameters, ``status``, ``reason`` where it was refused, and the answer;
        None in columns that a row has nothing for.
    warnings : list of str
        Each once.
    reused, run : int
        Points found finished and points computed.
    """

    rows: Rows
    warnings: list[str]
    reused: int
    run: int


def grid(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of some named values, the last name varying fastest.

    Raises
    ------
    UsageError
        An axis without values, more than `MOST` combinations.

    Examples
    --------
    >>> grid({"gpus": [8, 16], "size": [1, 2]})
    [{'gpus': 8, 'size': 1}, {'gpus': 8, 'size': 2}, {'gpus': 16, 'size': 1}, {'gpus': 16, 'size': 2}]
    """
    for name, values in axes.items():
        if not len(values):
            raise UsageError(f"the grid is empty: '{name}' has no values")
    count = prod(len(values) for values in axes.values())
    if count > MOST:
        raise UsageError(f"the grid has {count:,} points, at most {MOST:,}", hint="fewer values")
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def shard(points: Sequence[Point], number: int, of: int) -> list[Point]:
    """Return one part of several of a grid: every ``of``-th point from the ``number``-th on, counted from 1."""
    return list(points[number - 1 :: of])


def sweep(
    points: Sequence[Point],
    answer: Question,
    *,
    store: Store | None = None,
    ground: Mapping[str, str] | None = None,
    executor: Executor = here,
    done: Callable[[], None] = lambda: None,
) -> Sweep:
    """Return the answers to all points, those that cannot be as rows that say why.

    Parameters
    ----------
    points : sequence of mapping
        Parameters by name: text, numbers, truth values.
    answer : callable
        From a point to its rows. A UsageError or InfeasibleError refuses the point; others end the sweep.
    store : Store, optional
        Where finished points are looked up and kept.
    ground : mapping of str to str, optional
        Hashes of what the answers rest on beside the points; needed with a store.
    executor : callable
        Who answers them, of `simulator.planning._sweep_workers`.
    done : callable
        Called once a finished point.

    Raises
    ------
    UsageError, InfeasibleError
        Every point was refused: the first reason.
    KeyboardInterrupt
        Interrupted; the message says how many points are safe.
    """
    names = [key(point, ground or {}) for point in points]
    known: dict[str, Any] = store.find(names) if store else {}
    reused = sum(name in known for name in names)
    for _ in range(reused):
        done()
    left = {name: number for number, name in reversed(list(enumerate(names))) if name not in known}
    asked = [(number, points[number]) for number in sorted(left.values())]
    try:
        for number, text in executor(asked, answer):
            if store:
                store.keep(names[number], points[number], text)
            known[names[number]] = json.loads(text)  # the same whether it was on disk meanwhile or not
            done()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_stopped(sum(name in known for name in names), len(names), store)) from None
    return gathered(points, [known[name] for name in names], reused)


def gathered(points: Sequence[Point], answers: Sequence[Mapping[str, Any]], reused: int) -> Sweep:
    """Return points and their answers as rows in grid order.

    Raises
    ------
    UsageError, InfeasibleError
        Every point was refused: the first reason.
    """
    rows = [{**point, **row} for point, answer in zip(points, answers, strict=True) for row in answer["rows"]]
    if rows and all(row["status"] == REFUSED for row in rows):
        first = next((answer for answer in answers if answer.get("infeasible")), answers[0])
        kind = InfeasibleError if first.get("infeasible") else UsageError
        raise kind(str(first["rows"][0]["reason"]))
    columns = dict.fromkeys(name for row in rows for name in row)
    warnings = dict.fromkeys(text for answer in answers for text in answer["warnings"])
    return Sweep(
        rows=[{name: row.get(name) for name in columns} for row in rows],
        warnings=list(warnings),
        reused=reused,
        run=len(points) - reused,
    )


def _stopped(safe: int, total: int, store: Store | None) -> str:
    if store is None:
        return f"stopped after {safe} of {total}; nothing is kept without -o DIR"
    return f"stopped after {safe} of {total}; finished points are kept. The same command goes on from there."
