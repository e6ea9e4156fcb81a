"""One question over a grid of parameters, point by point; finished points are kept and never asked again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from simulator.collectives import _nccl as nccl
from simulator.collectives._names import resolve
from simulator.engine.fabric import is_file
from simulator.errors import InfeasibleError, UsageError, unknown
from simulator.planning.collective import Fabric, ask
from simulator.planning.store import Store, key
from topologies import _fabrics

Point = Mapping[str, Any]
Rows = list[dict[str, Any]]
PREDICTED, REFUSED = "predicted", "refused"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one point: its rows and what the reader should know about them."""

    rows: Rows
    warnings: list[str]


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

    Examples
    --------
    >>> grid({"gpus": [8, 16], "size": [1, 2]})
    [{'gpus': 8, 'size': 1}, {'gpus': 8, 'size': 2}, {'gpus': 16, 'size': 1}, {'gpus': 16, 'size': 2}]
    """
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def sweep(
    points: Sequence[Point],
    answer: Callable[[Point], Found],
    *,
    store: Store | None = None,
    ground: Mapping[str, str] | None = None,
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
    done : callable
        Called once a finished point.

    Raises
    ------
    UsageError
        Every point was refused: the first reason.
    KeyboardInterrupt
        Interrupted; the message says how many points are safe.
    """
    names = [key(point, ground or {}) for point in points]
    known: dict[str, Any] = store.find(names) if store else {}
    reused = sum(name in known for name in names)
    for _ in range(reused):
        done()
    try:
        for name, point in zip(names, points, strict=True):
            if name in known:
                continue
            text = json.dumps(_answered(point, answer), allow_nan=False)
            if store:
                store.keep(name, point, text)
            known[name] = json.loads(text)  # the same value whether it was on disk meanwhile or not
            done()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_stopped(sum(name in known for name in names), len(names), store)) from None
    rows = [
        {**point, **row} for name, point in zip(names, points, strict=True) for row in known[name]["rows"]
    ]
    if rows and all(row["status"] == REFUSED for row in rows):
        raise UsageError(rows[0]["reason"])
    columns = dict.fromkeys(name for row in rows for name in row)
    warnings = dict.fromkeys(text for name in names for text in known[name]["warnings"])
    return Sweep(
        rows=[{name: row.get(name) for name in columns} for row in rows],
        warnings=list(warnings),
        reused=reused,
        run=len(names) - reused,
    )


def _answered(point: Point, answer: Callable[[Point], Found]) -> dict[str, Any]:
    try:
        found = answer(point)
    except (UsageError, InfeasibleError) as error:
        return {"rows": [{"status": REFUSED, "reason": error.message}], "warnings": []}
    rows = [{"status": PREDICTED, "reason": None} | row for row in found.rows]
    return {"rows": rows, "warnings": found.warnings}


def _stopped(safe: int, total: int, store: Store | None) -> str:
    if store is None:
        return f"stopped after {safe} of {total}; nothing is kept without -o DIR"
    return f"stopped after {safe} of {total}; finished points are kept. The same command goes on from there."


class Collectives:
    """Answers points ``fabric gpus algorithm_asked fidelity op protocol_asked nccl size_bytes``, graphs kept.

    Parameters
    ----------
    op : str
        The operation.
    fabrics, algorithms : sequence of str
        Everything that the points will name, so that a misspelt name is found before any work.

    Raises
    ------
    UsageError
        A fabric or an algorithm that there is not.
    """

    def __init__(self, op: str, fabrics: Sequence[str], algorithms: Sequence[str]) -> None:
        for name in fabrics:
            if not is_file(name) and name not in _fabrics.names():
                listing = "commsim list fabrics"
                raise unknown("fabric", name, list(_fabrics.names()), listing=listing, where="--fabric")
        for name in algorithms:
            if name != "auto" and name.lower().replace("-", "_") not in nccl.ALGORITHMS:
                resolve(op, name)
        self._fabrics = {name: Fabric(name) for name in fabrics}

    def __call__(self, point: Point) -> Found:
        """Return the answer to one point; errors as `ask`."""
        answer = ask(
            point["op"],
            size=point["size_bytes"],
            gpus=point["gpus"],
            fabric=self._fabrics[point["fabric"]],
            algorithm=point["algorithm_asked"],
            protocol=point["protocol_asked"],
            fidelity=point["fidelity"],
            release=point["nccl"],
        )
        return Found(answer.rows, answer.warnings)
