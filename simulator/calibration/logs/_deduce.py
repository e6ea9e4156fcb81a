"""What a table does not say is deduced from its columns and bandwidths; what contradicts itself is left out.

Decisions, in the order in which they are taken:

* A row whose algbw is not size / time within its rounding is left out, with a warning.
* An operation that nobody names is the only one that could print such columns, or one of those whose name
  stands in the file name; else the table is refused.
* A complete list of ranks gives the GPU count. A table whose busbw fits another count for more than half
  of its telling rows is refused: one of the two is wrong, and nobody can say which. Single rows are left out.
* Without a complete list the count is the one that every busbw / algbw allows; where rounding leaves
  several, the one that size / (count x element size) names, or the only power of two; else refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from simulator.calibration.logs._log import LIMIT_GPUS, Log
from simulator.calibration.logs._operations import element, gpus_of_factor
from simulator.calibration.logs._points import Point, Table
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.operations import OPERATIONS

_GATHERED = ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter")
_REDUCING = ("all_reduce", "reduce_scatter", "reduce")
_ROOTED = ("broadcast", "reduce", "gather", "scatter")
_TELLING = 20  # printed units of algbw from which a row can tell GPU counts apart


def consistent(log: Log, points: Sequence[Point]) -> list[Point]:
    """Return the points whose algbw is size / time."""
    return _leave_out(log, points, [p for p in points if not _agrees(p)], "algbw is not size / time")


def _agrees(point: Point) -> bool:
    """Whether algbw is size / time, each within one unit of its last digit."""
    for half in point.halves:
        low, high = half.rates(point.size)
        if not low - half.algbw.step <= half.algbw.value <= high + half.algbw.step:
            return False
    return True


def _leave_out(log: Log, points: Sequence[Point], bad: Iterable[Point], why: str) -> list[Point]:
    """Return the points without the bad ones, and say so."""
    lines = {point.line for point in bad}
    if lines:
        log.skip("contradictory", len(lines))
        shown = ", ".join(str(line) for line in sorted(lines)[:5]) + ", ..." * (len(lines) > 5)
        log.warnings.append(f"line {shown}: {why}; {len(lines)} rows left out as corrupted")
    return [point for point in points if point.line not in lines]


def operation(log: Log, table: Table, points: Sequence[Point]) -> str | None:
    """Return the operation of a table, None if unsupported; ValueError if unclear or contradictory."""
    if table.op is not None:
        if table.op not in OPERATIONS:
            log.warnings.append(f"{table.place}{table.op} is not supported; its table is left out")
            return None
        if any((table.op in _REDUCING) != _reduces(point) for point in points):
            raise ValueError(f"named {table.op}, but column redop is not of that")
        if table.op not in _GATHERED and any(_of_parts(point) for point in points):
            raise ValueError(f"named {table.op}, but size is not count x bytes of an element")
        return table.op
    possible = _possible(points)
    if len(possible) == 1:
        log.warnings.append(f"{table.place}the operation is not named; its columns say {possible[0]}")
        return possible[0]
    stem = PurePath(log.source).name.lower().replace("_", "").replace("-", "")
    named = [name for name in possible if name.replace("_", "") in stem]
    if named:
        log.warnings.append(f"{table.place}the operation is not named; the file name says {named[0]}")
        return named[0]
    raise ValueError(f"the operation is not named and may be {' or '.join(possible) or 'none we know'}")


def _reduces(point: Point) -> bool:
    return point.redop not in ("none", "")


def _of_parts(point: Point) -> bool:
    """Whether ``count`` is that of one rank's part of the size."""
    bytes_each = element(point.dtype)[1]
    return bytes_each is not None and point.count > 0 and point.size != point.count * bytes_each


def _possible(points: Sequence[Point]) -> list[str]:
    """Return the operations whose columns could look like these points."""
    names = list(OPERATIONS)
    for point in points:
        names = [name for name in names if (name in _REDUCING) == _reduces(point)]
        if point.root is not None:
            names = [name for name in names if (name in _ROOTED) == (point.root >= 0)]
        if element(point.dtype)[1] is not None and point.count > 0:
            names = [name for name in names if (name in _GATHERED) == _of_parts(point)]
    return names


def infer_gpus(log: Log, table: Table, op: str, points: Sequence[Point]) -> int:
    """Return the GPU count that the bandwidths of a table say; ValueError if they allow several or none."""
    ranges = sorted((_candidates(op, point) for point in points), key=len)
    ranges = [found for found in ranges if len(found)]
    if not ranges:
        raise ValueError(f"no list of ranks, and the bandwidths of {op} do not say how many GPUs took part")
    common = ranges[0]
    for other in ranges[1:]:
        both = range(max(common.start, other.start), min(common.stop, other.stop))
        common = both or common
    if len(common) == 1:
        return common[0]
    sizes = {p.size // (p.count * (element(p.dtype)[1] or p.size)) for p in points if p.count > 0}
    gathered = [n for n in sizes if op in _GATHERED and n in common]
    powers = [2**k for k in range(common.start.bit_length() - 1, 24) if 2**k in common]
    for choice in (gathered, powers):
        if len(choice) == 1:
            log.warnings.append(
                f"{table.place}no list of ranks; the bandwidths allow {common.start} to "
                f"{common.stop - 1} GPUs, {choice[0]} taken"
            )
            return choice[0]
    raise ValueError(
        f"no list of ranks, and the bandwidths allow any GPU count from {common.start} to {common.stop - 1}"
    )


def _candidates(op: str, point: Point) -> range:
    """Return the GPU counts that all halves of a point allow."""
    low, high = 0.0, float("inf")
    for half in point.halves:
        least, most = half.rates(point.size)
        low = max(low, (half.busbw.value - half.busbw.step / 2) / most)
        high = min(high, (half.busbw.value + half.busbw.step / 2) / least)
    return gpus_of_factor(op, low, high, LIMIT_GPUS)


def fitting(log: Log, op: str, gpus: int, points: Sequence[Point]) -> list[Point]:
    """Return the points whose busbw fits a GPU count; ValueError if most say another."""
    factor = bus_factor(op, gpus)
    bad = []
    for point in points:
        for half in point.halves:
            low, high = half.rates(point.size)
            if not low * factor - half.busbw.step <= half.busbw.value <= high * factor + half.busbw.step:
                bad.append(point)
                break
    if bad and 2 * len(bad) > len(_telling(points)):
        others = Counter(
            n for point in bad if len(_candidates(op, point)) < 9 for n in _candidates(op, point)
        )
        fits = f"busbw fits {others.most_common(1)[0][0]}" if others else f"busbw does not fit {op}"
        raise ValueError(f"mismatched GPU counts: {gpus} by the ranks, {fits}")
    return _leave_out(log, points, bad, f"busbw is not of {op} on {gpus} GPUs")


def _telling(points: Sequence[Point]) -> list[Point]:
    """Return the points with enough digits of bandwidth to tell GPU counts apart."""
    return [point for point in points if point.first.algbw.value >= _TELLING * point.first.algbw.step]
