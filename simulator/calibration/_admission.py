"""Which measured rows a fit can be made from: brought together by setting, or refused with a sentence."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from simulator.calibration.logs._log import SPIKE, Log, LogRow
from simulator.errors import InputError
from simulator.profile import Setting

FEWEST_SIZES = 4
LEAST_SPAN = 8  # largest size over smallest: below, latency and bandwidth cannot be told apart
CONTRADICTION = 3.0  # ratio of two times of one point that cannot both be right
GROWTH = 1.05  # the largest sizes take at least so much longer than the smallest
_ONE_FABRIC = ("gpu", "intra_link", "inter_link")
_ONE_RUN = ("gpus_per_node", "library", "library_version")

Place = tuple[str, int]  # file and line


@dataclass(frozen=True, slots=True)
class Measured:
    """One row and where it stands."""

    row: LogRow
    place: Place


Groups = dict[Setting, list[Measured]]


def group(logs: Sequence[Log], warnings: list[str]) -> Groups:
    """Return the rows of each setting in the order of size, spikes and lonely GPUs left out.

    Parameters
    ----------
    logs : sequence of Log
        What was read.
    warnings : list of str
        Takes what is left out.

    Raises
    ------
    InputError
        Nothing is left.
    """
    groups: Groups = {}
    for log in logs:
        spikes = [row.line for row in log.rows if _is_spike(row) and row.gpus > 1]
        if spikes:
            s, many = "s" * (len(spikes) > 1), " ..." * (len(spikes) > 10)
            warnings.append(
                f"{log.source}: {len(spikes)} outlier{s} left out (line{s} {', '.join(map(str, spikes[:10]))}"
                f"{many}): a cold first row, or the in-place repeat is more than {SPIKE}x off"
            )
        for row in log.rows:
            if row.gpus > 1 and row.size_bytes > 0 and not _is_spike(row):
                groups.setdefault(_setting(row), []).append(Measured(row, (log.source, row.line)))
    if not groups:
        source = logs[0].source if logs else "no file"
        raise InputError(source, "has nothing to fit: every row is an outlier, of 1 GPU or of 0 bytes")
    for rows in groups.values():
        rows.sort(key=lambda one: one.row.size_bytes)
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], str(item[0]))))


def _setting(row: LogRow) -> Setting:
    return (row.op, row.gpus, row.nodes, row.dtype, row.algorithm_forced, row.protocol_forced)


def _is_spike(row: LogRow) -> bool:
    if row.spike or not row.time_s or not row.time_in_place_s:
        return row.spike
    return max(row.time_s / row.time_in_place_s, row.time_in_place_s / row.time_s) > SPIKE


def title(row: LogRow) -> str:
    """Return what a series is called in messages."""
    nodes = f" on {row.nodes} node{'s' * (row.nodes != 1)}" if row.nodes else ""
    return " ".join(filter(None, (row.op, row.algorithm_forced, row.protocol_forced))) + (
        f", {row.gpus} GPUs{nodes}" + f", {row.dtype}" * bool(row.dtype)
    )


def _times(groups: Groups) -> Iterator[tuple[Place, str]]:
    for one in (one for rows in groups.values() for one in rows):
        time = one.row.time_s
        if time is None or not (math.isfinite(time) and time > 0):
            yield one.place, f"{title(one.row)}: a time of {time} s; must be more than 0"


def _mixtures(groups: Groups) -> Iterator[tuple[Place, str]]:
    """Yield what one profile, or one series in it, cannot hold together."""
    whole = [one for rows in groups.values() for one in rows]
    for attribute in _ONE_FABRIC:
        yield from _mixed(whole, attribute, "one profile is of one fabric")
    for rows in groups.values():
        for attribute in _ONE_RUN:
            yield from _mixed(rows, attribute, f"in one series ({title(rows[0].row)})")


def _mixed(rows: Sequence[Measured], attribute: str, reason: str) -> Iterator[tuple[Place, str]]:
    seen: dict[str, Measured] = {}
    for one in rows:
        value = getattr(one.row, attribute)
        if value:
            seen.setdefault(str(value), one)
    if len(seen) > 1:
        (first, _), (other, second) = list(seen.items())[:2]
        words = f"mixes {attribute.replace('_', ' ')} '{first[:60]}' and '{other[:60]}'"
        yield second.place, f"{words}: {reason}; calibrate them apart"


def hard_faults(groups: Groups) -> list[tuple[Place, str]]:
    """Return where the rows contradict themselves or each other."""
    return [*_times(groups), *_mixtures(groups), *_contradictions(groups)]


def by_size(rows: Sequence[Measured]) -> dict[int, list[Measured]]:
    """Return the repeats at each size, in the order of the rows."""
    sizes: dict[int, list[Measured]] = {}
    for one in rows:
        sizes.setdefault(one.row.size_bytes, []).append(one)
    return sizes


def seconds(one: Measured) -> float:
    """Return the time of one row; 0 stands for none, which `hard_faults` refuses."""
    return one.row.time_s or 0.0


def _contradictions(groups: Groups) -> Iterator[tuple[Place, str]]:
    for rows in groups.values():
        for size, repeats in by_size(rows).items():
            low, high = min(repeats, key=seconds), max(repeats, key=seconds)
            if seconds(high) > CONTRADICTION * seconds(low):
                times = f"{seconds(low) * 1e6:.4g} us (line {low.place[1]}) and {seconds(high) * 1e6:.4g} us"
                reason = "repeats contradict each other, or settings are mixed that no column tells apart"
                yield high.place, f"{title(high.row)}, {size} bytes: {times}: {reason}"


def refusal(rows: Sequence[Measured]) -> str:
    """Return why a series cannot be fitted; empty if it can."""
    sizes = by_size(rows)
    times = [median(seconds(one) for one in repeats) for repeats in sizes.values()]
    about, least, most = title(rows[0].row), min(sizes), max(sizes)
    if len(sizes) == 1:
        return f"{about}: one size only ({least} bytes): latency and bandwidth cannot be told apart"
    if len(sizes) < FEWEST_SIZES:
        return f"{about}: {len(sizes)} sizes; a fit needs {FEWEST_SIZES} or more"
    if most < LEAST_SPAN * least:
        return f"{about}: sizes span a factor of {most / least:.3g}; a fit needs {LEAST_SPAN} or more"
    third = max(1, len(times) // 3)
    small, large = median(times[:third]), median(times[-third:])
    if large < GROWTH * small:
        return (
            f"{about}: times do not grow with size ({small * 1e6:.4g} us at the smallest, "
            f"{large * 1e6:.4g} us at the largest): no bandwidth is above 0 and finite"
        )
    return ""
