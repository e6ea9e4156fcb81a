"""The operations of nccl-tests: names, what their bandwidths mean, and GPU counts read back from them."""

import math
import re

from simulator.operations import OPERATIONS

_PROGRAMS = {name.replace("_", ""): name for name in OPERATIONS}
_UNSUPPORTED = ("alltoallv", "hypercube")
_PROGRAM = re.compile(
    r"(?<![A-Za-z0-9])(all_?reduce|all_?gather|reduce_?scatter|all_?to_?allv?|broadcast|reduce|"
    r"gather|scatter|send_?recv|hypercube)_perf(?![A-Za-z0-9])"
)
_ELEMENT = {
    "float": ("float32", 4),
    "half": ("float16", 2),
    "double": ("float64", 8),
    "bfloat16": ("bfloat16", 2),
    "bf16": ("bfloat16", 2),
    "char": ("int8", 1),
    "int8": ("int8", 1),
    "uint8": ("uint8", 1),
    "int": ("int32", 4),
    "int32": ("int32", 4),
    "uint32": ("uint32", 4),
    "int64": ("int64", 8),
    "uint64": ("uint64", 8),
    "f8e4m3": ("float8_e4m3", 1),
    "fp8_e4m3": ("float8_e4m3", 1),
    "f8e5m2": ("float8_e5m2", 1),
    "fp8_e5m2": ("float8_e5m2", 1),
}


def program(line: str) -> str | None:
    """Return the operation of the one ``*_perf`` program that a line names, or None.

    A program that is not supported comes back under its own name, outside ``OPERATIONS``.
    """
    found = {match.replace("_", "") for match in _PROGRAM.findall(line)}
    if len(found) != 1:
        return None
    name = found.pop()
    return name if name in _UNSUPPORTED else _PROGRAMS[name]


def element(dtype: str) -> tuple[str, int | None]:
    """Return our name of an nccl-tests element type, and its bytes where known."""
    return _ELEMENT.get(dtype, (dtype, None))


def gpus_of_factor(op: str, low: float, high: float, most: int) -> range:
    """Return the GPU counts whose bus factor lies in [low, high], at most ``most``.

    The inverse of `bus_factor` of the collectives: with f the factor per one pass, ``n = 1 / (1 - f)``.
    Operations whose factor is 1 for every count tell nothing: the range is empty.
    """
    if op in ("broadcast", "reduce", "send_recv") or high < 0 or high < low:
        return range(0)
    passes = 2 if op == "all_reduce" else 1
    first = 1 / (1 - max(low, 0) / passes) if low < passes else math.inf
    last = 1 / (1 - high / passes) if high < passes else math.inf
    if first > most:
        return range(0)
    slack = 1e-9
    return range(max(1, math.ceil(first * (1 - slack))), math.floor(min(last * (1 + slack), most)) + 1)
