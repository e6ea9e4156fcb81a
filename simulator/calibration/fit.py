"""Measured points become lines: series by series, piece by piece, each with its errors and its name."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from simulator.calibration import _pieces
from simulator.calibration._admission import (
    Measured,
    Place,
    by_size,
    group,
    hard_faults,
    refusal,
    seconds,
    title,
)
from simulator.calibration._labels import labels
from simulator.calibration.logs._log import Log
from simulator.collectives._nccl import Machine
from simulator.errors import Fault, InputError
from simulator.profile import Piece, Series

REPEAT = 1.5  # ratio of two times of one point that is worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a fit gives.

    Parameters
    ----------
    pieces : tuple of Piece
        The lines, by series and size.
    series : tuple of Series
        The points they were fitted to, repeats brought together by their median.
    warnings : tuple of str
        What was left out or counts less, with file and line.
    """

    pieces: tuple[Piece, ...]
    series: tuple[Series, ...]
    warnings: tuple[str, ...]


def fit(logs: Sequence[Log], machine: Callable[[Series], Machine | None] = lambda _: None) -> Calibration:
    """Fit every series of some logs.

    Parameters
    ----------
    logs : sequence of Log
        As `read_measured` returns them; all measured on one fabric.
    machine : callable
        What NCCL saw when a series ran, None where unknown: labels the pieces and proposes where they meet.

    Raises
    ------
    InputError
        Times of 0, repeats that contradict each other, settings mixed that no column tells apart, or nothing
        that a fit can be made from: one sentence each.
    """
    warnings: list[str] = []
    groups = group(logs, warnings)
    faults = hard_faults(groups)
    if not faults:
        refusals = {key: refusal(rows) for key, rows in groups.items()}
        left = [(rows[0].place, refusals[key]) for key, rows in groups.items() if refusals[key]]
        if len(left) < len(groups):
            warnings += [f"{file}:{line}: {reason}; left out" for (file, line), reason in left]
        else:
            faults = left
    if faults:
        raise _error(faults)
    fitted = [_one(rows, machine, warnings) for key, rows in groups.items() if not refusals[key]]
    return Calibration(
        pieces=tuple(piece for _, pieces in fitted for piece in pieces),
        series=tuple(series for series, _ in fitted),
        warnings=tuple(warnings),
    )


def _error(faults: Sequence[tuple[Place, str]]) -> InputError:
    (file, line), first = faults[0]
    others = [Fault(message, f"{source}:{at}") for (source, at), message in faults[1:]]
    return InputError(f"{file}:{line}", [Fault(first), *others])


def _one(
    rows: Sequence[Measured], machine: Callable[[Series], Machine | None], warnings: list[str]
) -> tuple[Series, list[Piece]]:
    """Return a series and its pieces."""
    points = by_size(rows)
    _note_repeats(points, warnings)
    series = _series(points)
    sizes, times = np.array(series.sizes, dtype=float), np.array(series.times_s)
    weights = _pieces.doubts(sizes, times)
    for repeats, weight in zip(points.values(), weights, strict=True):
        if weight < 1:
            file, line = repeats[0].place
            warnings.append(f"{file}:{line}: far from what its neighbours say; counts {weight:g} in the fit")
    named = labels(series, machine(series))
    switches = [k for k, (before, after) in enumerate(pairwise(named), 1) if before != after]
    lines = _pieces.lines(sizes, times, weights, _pieces.breaks(sizes, times, weights, switches))
    edges = [series.sizes[0], *(_meet(series, *pair) for pair in pairwise(lines)), series.sizes[-1]]
    return series, [
        _piece(series, line, band, named) for line, band in zip(lines, pairwise(edges), strict=True)
    ]


def _note_repeats(points: dict[int, list[Measured]], warnings: list[str]) -> None:
    ratios = {
        size: max(map(seconds, repeats)) / min(map(seconds, repeats)) for size, repeats in points.items()
    }
    worst = max(ratios, key=ratios.__getitem__)
    if ratios[worst] > REPEAT:
        file, line = points[worst][0].place
        about = title(points[worst][0].row)
        warnings.append(f"{file}:{line}: {about}, {worst} bytes: repeats differ by {ratios[worst]:.2g}x")


def _series(points: dict[int, list[Measured]]) -> Series:
    rows = [one.row for repeats in points.values() for one in repeats]

    def said(attribute: str) -> str:
        return next((value for row in rows if (value := getattr(row, attribute))), "")

    again = [[one.row.time_in_place_s for one in repeats] for repeats in points.values()]
    known = [[time for time in times if time] for times in again]
    return Series(
        op=rows[0].op,
        gpus=rows[0].gpus,
        nodes=rows[0].nodes,
        gpus_per_node=next((row.gpus_per_node for row in rows if row.gpus_per_node), None),
        dtype=rows[0].dtype,
        algorithm_forced=rows[0].algorithm_forced,
        protocol_forced=rows[0].protocol_forced,
        library=said("library"),
        library_version=said("library_version"),
        gpu=said("gpu"),
        intra_link=said("intra_link"),
        inter_link=said("inter_link"),
        sizes=tuple(points),
        times_s=tuple(float(median(map(seconds, repeats))) for repeats in points.values()),
        in_place=tuple(float(median(times)) for times in known) if all(known) else None,
    )


def _meet(series: Series, lower: _pieces.Line, upper: _pieces.Line) -> int:
    """Return the size where a piece gives way to the next: where they cross, else midway between the points.

    A jump is left where the lines do not cross between the last point of one and the first of the other: it
    was measured.
    """
    last, first = series.sizes[lower.stop - 1], series.sizes[upper.start]
    steeper = 1 / upper.bandwidth_Bps - 1 / lower.bandwidth_Bps
    crossing = (lower.alpha_s - upper.alpha_s) / steeper if steeper else math.inf
    middle = crossing if last < crossing <= first else math.sqrt(last * first)
    return min(max(math.ceil(middle), last + 1), first)


def _piece(
    series: Series, line: _pieces.Line, band: tuple[int, int], named: Sequence[tuple[str, str]]
) -> Piece:
    inside = range(line.start, line.stop)
    errors = [abs(line.time(series.sizes[k]) / series.times_s[k] - 1) for k in inside]
    ran = Counter(named[k] for k in inside)
    (algorithm, protocol), _ = ran.most_common(1)[0]  # NCCL may switch inside of a band
    return Piece(
        op=series.op,
        gpus=series.gpus,
        nodes=series.nodes,
        dtype=series.dtype,
        algorithm_forced=series.algorithm_forced,
        protocol_forced=series.protocol_forced,
        algorithm=algorithm,
        protocol=protocol,
        from_bytes=band[0],
        to_bytes=band[1],
        alpha_s=line.alpha_s,
        alpha_error_s=line.alpha_error_s,
        bandwidth_Bps=line.bandwidth_Bps,
        bandwidth_error_Bps=line.bandwidth_error_Bps,
        mean_error=float(np.mean(errors)),
        max_error=max(errors),
        points=len(errors),
    )
