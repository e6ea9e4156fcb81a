r"""A schedule of the user's own, from a short TOML file.

::

    # 1F1B on two stages: the last one goes back at once
    stages = ["F (F B)* B", "(F B)*"]

``F`` forward, ``B`` backward, ``W`` gradients of the weights. A bare letter takes the next microbatch, ``F3``
takes microbatch 3, ``F3.1`` its chunk 1, ``F3+B1`` both at the same time. ``(F B)*`` stands as often as
microbatches are left, once a stage; ``(F B)*4`` and ``F*4`` stand four times.

``routes`` says how a microbatch goes through the stages: ``["0 1 1.1 0.1"]`` is down and back up. Several of
them share the microbatches equally, the first ones take the first. Without it: down the stages, again for
each chunk.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workloads.schedules._check import deadlocks, stage_faults, way_faults
from workloads.schedules._faults import Fault, ScheduleError
from workloads.schedules._tasks import Orders, Routes, Tasks, loop, share
from workloads.schedules._words import chunks, expand

_KEYS = {"stages": '["F (F B)* B", "(F B)*"]', "routes": '["0 1"]'}
_PLACE = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule that was read and checked.

    Parameters
    ----------
    orders : tuple of tuple of Task
        Of each stage.
    routes : tuple of tuple of (int, int)
        Ways of the microbatches through (stage, chunk).
    chunks : int
        Of a stage.
    split : bool
        Whether it has W.
    """

    orders: Orders
    routes: Routes
    chunks: int
    split: bool


def read(text: str, stages: int, microbatches: int) -> Schedule:
    """Return the schedule of a file for that many stages and microbatches.

    Raises
    ------
    ScheduleError
        With all that is wrong, by line and stage: no TOML, unknown keys, other stages than asked for, tasks
        that cannot be read, are missing, run twice or wait for each other.
    """
    if min(stages, microbatches) < 1:
        raise ValueError(f"a schedule for {stages} stages, {microbatches} microbatches: must be 1 or more")
    table = _table(text)
    faults = [Fault(f"unknown key {key!r}: has {' and '.join(_KEYS)}") for key in sorted({*table} - {*_KEYS})]
    rows = _rows(table, "stages", faults)
    if rows and len(rows) != stages:
        faults.append(
            Fault(f"stages has {len(rows)} orders, the pipeline {stages} stages: write one for each")
        )
    count = max(map(chunks, rows), default=1)
    routes = _routes(text, table, stages, faults) if "routes" in table else loop(stages, count)
    orders, wrong = _orders(rows, routes, count, microbatches)
    faults += wrong or ([] if faults else deadlocks(orders, routes))
    if faults:
        lines = dict(enumerate(_lines(text, rows)))
        raise ScheduleError(
            [
                fault if fault.stage is None else replace(fault, line=lines.get(fault.stage))
                for fault in faults
            ]
        )
    split = any(task.kind == "W" for order in orders for task in order)
    return Schedule(orders=orders, routes=routes, chunks=count, split=split)


def _orders(rows: Sequence[str], routes: Routes, count: int, microbatches: int) -> tuple[Orders, list[Fault]]:
    """Return the tasks of all stages; what is wrong with each: what cannot be read, else what is missing."""
    split = any("W" in row for row in rows)
    tasks = Tasks()
    orders, faults = [], list[Fault]()
    for stage, row in enumerate(rows):
        spans = {chunk: range(microbatches) for chunk in range(count)}
        for number, route in enumerate(routes):
            mine = share(number, len(routes), microbatches)
            spans |= {chunk: mine for place, chunk in route if place == stage}
        order, wrong = expand(row, spans, tasks)
        orders.append(order)
        if not wrong and routes:
            wrong = tuple(stage_faults(order, stage, routes, microbatches, split))
        faults += [Fault(message, stage) for message in wrong]
    return tuple(orders), faults


def _table(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScheduleError([Fault(f"no TOML: {error}")]) from None


def _rows(table: Mapping[str, Any], key: str, faults: list[Fault]) -> list[str]:
    rows = table.get(key)
    if isinstance(rows, list) and rows and all(isinstance(row, str) for row in rows):
        return rows
    faults.append(Fault(f"{key} must be a list of texts, such as {key} = {_KEYS[key]}"))
    return []


def _lines(text: str, rows: Sequence[str]) -> list[int | None]:
    """Return in which line each text of a list stands; None where it is written with escapes."""
    found: list[int | None] = []
    start = 0
    for row in rows:
        place = min(
            (at for quote in "\"'" if (at := text.find(f"{quote}{row}{quote}", start)) >= 0), default=-1
        )
        found.append(text.count("\n", 0, place) + 1 if place >= 0 else None)
        start = max(start, place + len(row) + 2 if place >= 0 else 0)
    return found


def _routes(text: str, table: Mapping[str, Any], stages: int, faults: list[Fault]) -> Routes:
    """Return the ways of a file; none if anything is wrong with them."""
    routes: list[tuple[tuple[int, int], ...]] = []
    wrong: list[Fault] = []
    rows = _rows(table, "routes", wrong)
    for row, line in zip(rows, _lines(text, rows), strict=True):
        places = [(word, _PLACE.fullmatch(word)) for word in row.replace(",", " ").split()]
        routes.append(tuple((int(match[1]), int(match[2] or 0)) for _, match in places if match))
        for word, match in places:
            if match is None:
                wrong.append(Fault(f"{word!r} in a route is no stage: 2, or 2.1 for its chunk 1", line=line))
    wrong += () if wrong else way_faults(tuple(routes), stages)
    faults += wrong
    return () if wrong else tuple(routes)
