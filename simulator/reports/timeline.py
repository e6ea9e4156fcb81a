"""The timeline of a step as Chrome JSON, for ui.perfetto.dev: a process a rank, a thread a stream.

Slices of one thread lie inside each other or apart; what would overlap goes to a further thread of its stream. A task
is the parent of its operations. Times are in us, as the format wants.

References
----------
.. [1] Trace Event Format, Google, 2016: events ``X`` (complete), ``M`` (names).
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simulator.engine.result import Span
from simulator.errors import UsageError
from workloads.layout import Layout

_STREAMS = ("compute", "tp", "cp", "ep", "dp", "shard", "pp", "host")
_TASKS = ("F", "B", "W")


def write(path: Path, spans: Sequence[Span], layout: Layout, *, ranks: Iterable[int] | None = None) -> str:
    """Write a timeline and say what it holds.

    Parameters
    ----------
    path : Path
        Ends in ``.json``, or in ``.gz`` to be compressed.
    spans : sequence of Span
        What the engine kept.
    layout : Layout
        Which rank is where.
    ranks : iterable of int, optional
        Whose tracks; the first rank of every stage if left out: the ranks of a stage are alike.

    Raises
    ------
    UsageError
        A rank that there is not, no timeline, a path that cannot be written.
    """
    if not spans:
        raise UsageError("there is no timeline: it needs a replay in events", hint="--fidelity fluid")
    chosen = sorted(set(first_ranks(layout) if ranks is None else ranks))
    wrong = [rank for rank in chosen if not 0 <= rank < layout.world]
    if wrong:
        raise UsageError(f"--ranks {wrong[0]}: ranks are 0 to {layout.world - 1}", where="--ranks")
    lines = [json.dumps(event, separators=(",", ":")) for event in events(spans, layout, chosen)]
    text = '{"displayTimeUnit":"ms","traceEvents":[\n' + ",\n".join(lines) + "\n]}\n"
    content = text.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}", where="--trace") from None
    slices = sum('"ph":"X"' in line for line in lines)
    rest = "" if len(chosen) == layout.world else "; --ranks all for the rest, which are alike"
    return (
        f"wrote {path} ({slices:,} slices, {len(chosen)} of {layout.world} ranks{rest}). "
        "Open ui.perfetto.dev and drop it there."
    )


def first_ranks(layout: Layout) -> list[int]:
    """Return the first rank of every stage."""
    return [layout.rank(pp=stage) for stage in range(layout.pp)]


def events(spans: Sequence[Span], layout: Layout, ranks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the events of a trace: names first, then slices in order of time."""
    tracks = {stage: _tracks([span for span in spans if span.stage == stage]) for stage in range(layout.pp)}
    stage_of = {rank: stage for stage in range(layout.pp) for rank in layout.stage_ranks(stage)}
    for rank in ranks:
        stage = stage_of[rank]
        yield _name("process_name", rank, 0, f"rank {rank}, stage {stage}")
        for thread, (stream, _) in enumerate(tracks[stage], start=1):
            yield _name("thread_name", rank, thread, stream)
            yield {
                "ph": "M",
                "name": "thread_sort_index",
                "pid": rank,
                "tid": thread,
                "args": {"sort_index": thread},
            }
    for rank in ranks:
        for thread, (_, slices) in enumerate(tracks[stage_of[rank]], start=1):
            yield from (_slice(span, rank, thread) for span in slices)


def _name(kind: str, rank: int, thread: int, text: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": rank, "tid": thread, "args": {"name": text}}


def _slice(span: Span, rank: int, thread: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.kind,
        "pid": rank,
        "tid": thread,
        "ts": span.start_s * 1e6,
        "dur": (span.end_s - span.start_s) * 1e6,
        "args": {"microbatch": span.microbatch, "chunk": span.chunk},
    }


def _tracks(spans: Sequence[Span]) -> list[tuple[str, list[Span]]]:
    """Return the tracks of a rank: one a stream, more where slices would overlap in part."""
    streams = sorted({span.stream for span in spans}, key=lambda name: (_place(name), name))
    found: list[tuple[str, list[Span]]] = []
    for stream in streams:
        mine = [span for span in spans if span.stream == stream and span.end_s > span.start_s]
        mine.sort(key=lambda span: (span.start_s, -span.end_s, span.kind not in _TASKS))
        lanes: list[tuple[list[Span], list[float]]] = []
        for span in mine:
            lane = next((one for one in lanes if _fits(one[1], span)), None)
            if lane is None:
                lane = ([], [])
                lanes.append(lane)
            lane[0].append(span)
            lane[1].append(span.end_s)
        found += [(stream if not n else f"{stream} {n + 1}", lane[0]) for n, lane in enumerate(lanes)]
    return found


def _fits(open_ends: list[float], span: Span) -> bool:
    """Tell whether a slice lies inside the innermost open one or after it; forget those that ended."""
    slack = 1e-9 * max(1.0, abs(span.end_s))
    while open_ends and open_ends[-1] <= span.start_s + slack:
        open_ends.pop()
    return not open_ends or span.end_s <= open_ends[-1] + slack


def _place(stream: str) -> int:
    return _STREAMS.index(stream) if stream in _STREAMS else len(_STREAMS)
