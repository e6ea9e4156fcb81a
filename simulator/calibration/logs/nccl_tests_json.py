"""The JSON report of nccl-tests, ``-J FILE``.

References
----------
.. [1] NVIDIA, nccl-tests 2.17, https://github.com/NVIDIA/nccl-tests, README.
"""

import math
from collections import Counter
from typing import Any

from simulator.calibration.logs._environment import Environment, version_of
from simulator.calibration.logs._finish import finish
from simulator.calibration.logs._log import (
    LIMIT_GPUS,
    LIMIT_LINES,
    LIMIT_ROWS,
    LIMIT_SECONDS,
    LIMIT_SIZE,
    Log,
    refuse,
)
from simulator.calibration.logs._points import Half, Point, Printed, Ranks, Table
from simulator.reading import parse_json

_STEP = 1e-6  # reports print six decimals
_MOST_VALUES = 4_000_000  # what still parses in a few hundred MB


def sniff(text: str) -> bool:
    """Return whether a text looks like a report of nccl-tests."""
    return text.lstrip().startswith("{") and ('"results"' in text or '"nccl_version"' in text)


def read(text: str, source: str) -> Log:
    """Return the rows of a report.

    Raises
    ------
    InputError
        Broken JSON (a run that was cut), no results, times that cannot be, contradictory GPU counts.
    """
    report = _parse(text, source)
    log = Log(source=source, format="nccl_tests_json")
    environment = Environment()
    try:
        for setting in _typed(report, "env", list, []):
            if str(setting).startswith("NCCL_"):
                environment.command(str(setting))
        results = _typed(report, "results", list)
        arguments = _typed(report, "args", list, [])
        ranks = _ranks(_typed(report, "config", dict, {}))
        code = _typed(report, "nccl_version", int, 0)
    except ValueError as error:
        refuse(source, [(0, str(error))])
    if len(results) > LIMIT_ROWS:
        refuse(source, [(0, f"has more than {LIMIT_ROWS:,} results")])
    environment.command(" ".join(str(word) for word in arguments[:1]))
    library, version = environment.library(ranks)
    table = Table(
        line=0,
        op=environment.op,
        ranks=ranks,
        algorithm=environment.forced("NCCL_ALGO"),
        protocol=environment.forced("NCCL_PROTO"),
        library=library,
        version=version_of(code) if code > 0 else version,
        complete="out_of_bounds" in report or "end_time" in report,
        points=_points(results, source),
    )
    _note_bounds(log, report)
    return finish(log, [table])


def _parse(text: str, source: str) -> Any:
    if text.count(",") > _MOST_VALUES or text.count("{") + text.count("[") > LIMIT_LINES:
        refuse(source, [(0, f"has more than {_MOST_VALUES:,} values or {LIMIT_LINES:,} groups of them")])
    return parse_json(text, source)


def _typed(record: Any, key: str, kind: type, default: Any = None) -> Any:
    """Return a value of the wanted type; ValueError otherwise."""
    if not isinstance(record, dict):
        raise ValueError("not an object")
    value = record.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(
            f"key '{key}' is missing" if value is None else f"key '{key}': wanted {kind.__name__}"
        )
    return value


def _number(record: Any, key: str, least: float, most: float) -> float:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"key '{key}': wanted a number, got {value!r:.40}")
    if not least <= value <= most:
        raise ValueError(f"key '{key}': {value}; must be {least:g} to {most:g}")
    return value


def _half(result: Any, key: str) -> Half | None:
    half = result.get(key)
    if half is None:
        return None
    if not isinstance(half, dict):
        raise ValueError(f"key '{key}': wanted an object")
    if "cpu_time" in half:
        raise ValueError("'cpu_time' is time on the CPU, not of the operation; run without -C")
    time = _number(half, "time", 0, LIMIT_SECONDS * 1e6)
    if time == 0:
        raise ValueError("key 'time': 0; must be more than 0")
    wrong = half.get("nwrong")
    return Half(
        time=Printed(time * 1e-6, _STEP * 1e-6),
        algbw=Printed(_number(half, "alg_bw", 0, math.inf), _STEP),
        busbw=Printed(_number(half, "bus_bw", 0, math.inf), _STEP),
        wrong="n/a" if wrong is None else str(wrong).removesuffix(".0"),
    )


def _point(result: Any, number: int) -> Point:
    size = _typed(result, "size", int)
    if not 0 <= size <= LIMIT_SIZE:
        raise ValueError(f"key 'size': {size}; must be 0 to {LIMIT_SIZE}")
    root = str(result.get("root", "")).strip()
    halves = (_half(result, "out_of_place"), _half(result, "in_place"))
    if halves == (None, None):
        raise ValueError("neither 'out_of_place' nor 'in_place'")
    return Point(
        line=number,
        size=size,
        count=_typed(result, "count", int, 0),
        dtype=_typed(result, "type", str, ""),
        redop=_typed(result, "redop", str, ""),
        root=int(root) if root.removeprefix("-").isdecimal() else None,
        out_of_place=halves[0],
        in_place=halves[1],
    )


def _points(results: list[Any], source: str) -> list[Point]:
    faults: list[tuple[int, str]] = []
    points: list[Point] = []
    for number, result in enumerate(results, start=1):
        try:
            points.append(_point(result, number))
        except ValueError as error:
            faults.append((0, f"result {number}: {error}"))
    if faults:
        refuse(source, faults)
    return points


def _ranks(config: Any) -> Ranks | None:
    """Return who took part: reports list one device a process, which drives threads x GPUs ranks."""
    each = _typed(config, "nthreads", int, 1) * _typed(config, "ngpus", int, 1)
    devices = _typed(config, "devices", list, [])
    if not devices:
        return None
    numbers = sorted(_typed(device, "rank", int) for device in devices)
    every = numbers == list(range(len(numbers))) and len(numbers) > 1
    gpus = len(numbers) if every else len(numbers) * each
    if not 1 <= each <= LIMIT_GPUS or numbers != list(range(0, gpus, 1 if every else each)):
        raise ValueError(f"mismatched GPU counts: ranks {str(numbers)[:40]} with {each} a process")
    hosts = Counter(_typed(device, "hostname", str, "") for device in devices)
    names = sorted({_typed(device, "device_info", str, "") for device in devices} - {""})
    return Ranks(
        gpus=gpus,
        nodes=len(hosts),
        gpus_per_node=gpus // len(hosts) if len(set(hosts.values())) == 1 else None,
        gpu=" / ".join(names),
    )


def _note_bounds(log: Log, report: Any) -> None:
    bounds = report.get("out_of_bounds")
    count = bounds.get("count") if isinstance(bounds, dict) else 0
    if count:
        log.warnings.append(f"the test ends with 'Out of bounds values : {count} FAILED'")
