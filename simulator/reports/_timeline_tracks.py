"""The tracks of a timeline: whole ns, slices that nest or follow, and which task takes what a stage sent."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from simulator.engine.result import Span

STREAMS = ("compute", "beside", "host", "tp", "cp", "ep", "dp", "shard", "pp")  # from top to bottom
TASKS = ("F", "B", "W")
TITLES = {"pp": "pp send", "beside": "compute beside"}
_SENT = re.compile(r"([FB])(\d+) to stage (\d+)")
_SLACK = 1  # ns: sums of the same times in another order may round to either side


class Slice(NamedTuple):
    """A span in whole ns from the start of the step: what touched as floats still touches."""

    start: int
    end: int
    span: Span


class Track(NamedTuple):
    """A thread: its title and its slices in order of time, each parent before what is inside."""

    title: str
    slices: Sequence[Slice]


class Arrow(NamedTuple):
    """What one stage sent to another: ``F3``, the two stages, the sending slice and the task that takes it."""

    name: str
    source: int
    target: int
    sent: Span
    taken: Span


def tracks(spans: Iterable[Span]) -> list[Track]:
    """Return the tracks of one stage: one a stream, more where slices would overlap.

    Only a task encloses others: a transfer inside another one would read as a part of it. What takes less than
    a ns is left out.

    Parameters
    ----------
    spans : iterable of Span
        Of one stage.
    """
    streams: dict[str, list[Span]] = {}
    for span in spans:
        streams.setdefault(span.stream, []).append(span)
    found = []
    for stream in sorted(streams, key=_place):
        title = TITLES.get(stream, stream)
        for number, slices in enumerate(_lanes(streams[stream]), start=1):
            found.append(Track(title if number == 1 else f"{title} {number}", slices))
    return found


def _place(stream: str) -> tuple[int, str]:
    return (STREAMS.index(stream) if stream in STREAMS else len(STREAMS), stream)


def _lanes(spans: Iterable[Span]) -> list[list[Slice]]:
    """Return the slices of one stream, dealt to as few lanes as it takes in this order."""
    slices = [Slice(round(span.start_s * 1e9), round(span.end_s * 1e9), span) for span in spans]
    slices.sort(key=lambda one: (one.start, -one.end, one.span.kind not in TASKS))
    lanes: list[list[Slice]] = []
    open_: list[list[Slice]] = []  # by lane: what has not ended, the innermost last
    for one in slices:
        if one.end <= one.start:
            continue
        for lane, stack in zip(lanes, open_, strict=True):
            if (placed := _placed(one, stack)) is not None:
                lane.append(placed)
                stack.append(placed)
                break
        else:
            lanes.append([one])
            open_.append([one])
    return lanes


def _placed(one: Slice, stack: list[Slice]) -> Slice | None:
    """Return a slice as it fits after or into what is open, None if it does not; forget what ended."""
    start, end, span = one
    while stack and stack[-1].end <= start + _SLACK:
        start = max(start, stack.pop().end)
    if stack:
        outer = stack[-1]
        if outer.span.kind not in TASKS or end > outer.end + _SLACK:
            return None
        end = min(end, outer.end)
    if end <= start:
        return None
    return one if (start, end) == (one.start, one.end) else Slice(start, end, span)


def arrows(spans: Iterable[Span]) -> list[Arrow]:
    """Return what passes between stages: from each send to the task that it is for.

    A microbatch goes one way only, so the next task of this kind and microbatch on the stage that is sent to
    is the one that waits.

    Parameters
    ----------
    spans : iterable of Span
        Of all stages.
    """
    tasks: dict[tuple[int, str, int], list[Span]] = {}
    sends = []
    for span in spans:
        if span.kind in TASKS:
            tasks.setdefault((span.stage, span.kind, span.microbatch), []).append(span)
        elif span.kind == "send" and (match := _SENT.fullmatch(span.name)):
            sends.append((span, match.group(1), int(match.group(2)), int(match.group(3))))
    starts = {key: _in_order(found) for key, found in tasks.items()}
    found = []
    for sent, kind, microbatch, target in sorted(sends, key=lambda one: (one[0].start_s, one[0].stage)):
        key = target, kind, microbatch
        place = bisect_left(starts.get(key, ()), sent.end_s - _SLACK * 1e-9)
        if sent.end_s > sent.start_s and place < len(starts.get(key, ())):
            name = f"{kind}{microbatch}"
            found.append(Arrow(name, sent.stage, target, sent, tasks[key][place]))
    return found


def _in_order(tasks: list[Span]) -> list[float]:
    tasks.sort(key=lambda one: one.start_s)
    return [task.start_s for task in tasks]


def by_stage(spans: Iterable[Span], stages: int) -> Mapping[int, list[Track]]:
    """Return the tracks of every stage."""
    apart: dict[int, list[Span]] = {stage: [] for stage in range(stages)}
    for span in spans:
        apart[span.stage].append(span)
    return {stage: tracks(some) for stage, some in apart.items()}
