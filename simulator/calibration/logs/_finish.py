"""Tables as printed become rows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from simulator.calibration.logs._deduce import consistent, fitting, infer_gpus, operation
from simulator.calibration.logs._log import SPIKE, Log, LogRow, refuse
from simulator.calibration.logs._operations import element
from simulator.calibration.logs._points import Point, Ranks, Table

_REASONS = ("empty", "garbled", "contradictory")
_Rows = set[tuple[object, ...]]


def finish(log: Log, tables: Sequence[Table]) -> Log:
    """Fill a log from its tables and return it.

    Raises
    ------
    InputError
        No rows at all, an operation or GPU count that cannot be known, or contradictory ones.
    """
    faults: list[tuple[int, str]] = []
    tables = _without_copies(log, tables)
    for number, table in enumerate(tables, start=1):
        if not table.points:
            log.warnings.append(f"{table.place}a header but no rows")
            continue
        if not table.complete:
            log.warnings.append(f"{table.place}the table has no last lines: the run was cut or hung")
        try:
            _rows(log, table, number)
        except ValueError as error:
            faults.append((table.line, str(error)))
    if faults:
        refuse(log.source, faults)
    if not log.rows:
        line = tables[-1].line if tables else 0
        if any(table.points for table in tables):
            reasons = ", ".join(f"{count} {kind}" for kind, count in log.skipped.items() if kind in _REASONS)
            refuse(log.source, [(line, f"has no usable row: {reasons or 'operations not supported'}")])
        refuse(log.source, [(line, "has a header but no rows: the run probably hung or was cut")])
    return log


def _rows(log: Log, table: Table, number: int) -> None:
    """Append the rows of one table; ValueError where it cannot be trusted."""
    full = [point for point in table.points if point.size > 0]
    if len(full) < len(table.points):
        log.skip("empty", len(table.points) - len(full))
    points = consistent(log, full)
    op = operation(log, table, points) if points else None
    if op is None:
        return
    ranks, inferred = table.ranks, table.ranks is None
    if ranks is None:
        ranks = Ranks(gpus=infer_gpus(log, table, op, points))
    points = fitting(log, op, ranks.gpus, points)
    _note_wrong(log, table, points)
    _note_ranks(log, table, ranks, inferred)
    series = f"{PurePath(log.source).stem}-{op}-{ranks.gpus}-{number}"
    cold = len(points) > 1 and points[0].first.time.value > SPIKE * points[1].first.time.value
    for point in points:
        spike = _far_apart(point) or (cold and point is points[0])
        log.rows.append(_row(point, table, op, ranks, inferred=inferred, series=series, spike=spike))


def _row(
    point: Point, table: Table, op: str, ranks: Ranks, *, inferred: bool, series: str, spike: bool
) -> LogRow:
    both = len(point.halves) == 2
    return LogRow(
        op=op,
        gpus=ranks.gpus,
        nodes=ranks.nodes,
        gpus_per_node=ranks.gpus_per_node,
        size_bytes=point.size,
        time_s=point.first.time.value,
        in_place=point.out_of_place is None,
        time_in_place_s=point.halves[1].time.value if both else None,
        dtype=element(point.dtype)[0],
        algorithm_forced=table.algorithm,
        protocol_forced=table.protocol,
        library=table.library,
        library_version=table.version,
        gpu=ranks.gpu,
        series_id=series,
        case_id=f"{series}|{point.size}|{point.line}",
        notes="GPU count inferred from busbw/algbw" if inferred else "",
        line=point.line,
        spike=spike,
        inferred_ranks=inferred,
    )


def _note_wrong(log: Log, table: Table, points: Sequence[Point]) -> None:
    marks = [half.wrong for point in points for half in point.halves]
    unchecked = sum(mark == "n/a" for mark in marks)
    wrong = sum(_is_wrong(mark) for mark in marks)
    if wrong:
        log.warnings.append(f"{table.place}{wrong} results were wrong (#wrong); their times may be too")
    if marks and unchecked == len(marks):
        log.warnings.append(f"{table.place}results were not checked (#wrong N/A)")


def _is_wrong(mark: str) -> bool:
    """Whether ``#wrong`` counts errors, or an old ``error`` (a small relative difference) is not finite."""
    if "nan" in mark or "inf" in mark:
        return True
    return mark.isdecimal() and int(mark) > 0


def _note_ranks(log: Log, table: Table, ranks: Ranks, inferred: bool) -> None:
    if inferred:
        log.warnings.append(f"{table.place}no list of ranks; {ranks.gpus} GPUs inferred from busbw/algbw")
    elif ranks.gpus_per_node is None and ranks.nodes is not None:
        log.warnings.append(f"{table.place}hosts with different numbers of GPUs")
    if ranks.gpus == 1:
        log.warnings.append(f"{table.place}1 GPU: nothing is communicated")


def _far_apart(point: Point) -> bool:
    times = [half.time.value for half in point.halves]
    return max(times) > SPIKE * min(times)


def _without_copies(log: Log, tables: Sequence[Table]) -> list[Table]:
    """Drop tables that another process printed too; say where processes measured apart.

    The k-th table of a process is compared with the k-th of the others; of a table and a part of it
    (one copy was cut) the whole one stays.
    """
    ordinals: Counter[str] = Counter()
    kept: dict[int, list[tuple[Table, _Rows]]] = {}
    for table in tables:
        rows: _Rows = {(p.size, p.count, p.dtype, p.redop, p.out_of_place, p.in_place) for p in table.points}
        rivals = kept.setdefault(ordinals[table.process], [])
        ordinals[table.process] += 1
        whole = next((k for k, (_, other) in enumerate(rivals) if rows <= other or other <= rows), None)
        if whole is None or rivals[whole][0].process == table.process:
            rivals.append((table, rows))
            continue
        log.skip("duplicate", min(len(rows), len(rivals[whole][1])))
        if len(rows) > len(rivals[whole][1]):
            rivals[whole] = (table, rows)
    apart = max((sum(bool(rows) for _, rows in rivals) for rivals in kept.values()), default=0)
    if apart > 1:
        log.warnings.append(
            f"{apart} processes print tables of their own: the test was probably built without MPI, "
            "and each measured alone"
        )
    return sorted((table for rivals in kept.values() for table, _ in rivals), key=lambda table: table.line)
