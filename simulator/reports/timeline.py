"""The timeline of a step as Chrome JSON, for ui.perfetto.dev: a process a rank, a thread a stream.

Slices of one thread lie inside each other or apart; what would overlap goes to a further thread of its stream. A task
is the parent of its operations, an arrow leads from what a stage sends to the task that waits for it. Times are in us,
as the format wants, with ns behind the point.

References
----------
.. [1] Trace Event Format, Google, 2016: events ``X`` (complete), ``s`` and ``f`` (arrows), ``M`` (names).
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, cast

from simulator.engine.result import Span
from simulator.errors import UsageError
from simulator.reports._timeline_tracks import Arrow, Slice, arrows, by_stage
from workloads.layout import Layout

ENDS = (".json", ".gz")
MANY = 5_000_000  # slices that a browser still opens
_LEVEL = 5  # of compression: the next ones take twice as long for 3 % less
_RANK, _PEER = "\0", "\1"  # stand in a text for the rank and the place of its peers: no JSON holds them


def write(
    path: Path, spans: Sequence[Span], layout: Layout, *, ranks: Iterable[int] | str | None = None
) -> str:
    """Write a timeline and say what it holds.

    Parameters
    ----------
    path : Path
        Ends in ``.json``, or in ``.gz`` to be compressed. The same spans make the same bytes.
    spans : sequence of Span
        What the engine kept.
    layout : Layout
        Which rank is where.
    ranks : iterable of int or 'all', optional
        Whose tracks; the first rank of every stage if left out: the ranks of a stage are alike.

    Raises
    ------
    UsageError
        A rank that there is not, no timeline, a path that cannot be written.
    """
    if path.suffix not in ENDS:
        raise UsageError(f"{path}: a timeline ends in .json or .json.gz", where="--trace")
    if not spans:
        raise UsageError("there is no timeline: it needs a replay in events", hint="--fidelity fluid")
    chosen = _chosen(ranks, layout)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
                    slices = _stream(cast(IO[bytes], packed), spans, layout, chosen)
            else:
                slices = _stream(raw, spans, layout, chosen)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {error.strerror}", where="--trace") from None
    return _said(path, slices, len(chosen), layout)


def first_ranks(layout: Layout) -> list[int]:
    """Return the first rank of every stage."""
    return [layout.rank(pp=stage) for stage in range(layout.pp)]


def events(spans: Sequence[Span], layout: Layout, ranks: Sequence[int]) -> Iterator[str]:
    """Yield the events of a trace as text, one rank after another: its names, then its slices in order of time.

    Each piece holds events with a comma and a new line between them.
    """
    found, between = by_stage(spans, layout.pp), arrows(spans)
    places = {rank: _place(rank, layout) for rank in ranks}

    @cache
    def template(stage: int, seen: frozenset[int]) -> str:
        shown = {number: one for number, one in enumerate(between) if {one.source, one.target} <= seen}
        return ",\n".join(_lines(stage, [track.slices for track in found[stage]], shown))

    stages_of: dict[int, set[int]] = {}  # ranks of other stages at the same place are its peers
    peers = {rank: _peer(places[rank], layout) for rank in ranks}
    for rank in ranks:
        stages_of.setdefault(peers[rank], set()).add(places[rank]["pp"])
    for rank in ranks:
        stage = places[rank]["pp"]
        yield ",\n".join(_names(rank, places[rank], layout, [track.title for track in found[stage]]))
        text = template(stage, frozenset(stages_of[peers[rank]]))
        if text:
            yield text.replace(_RANK, str(rank)).replace(_PEER, f"{peers[rank]:x}")


def _stream(file: IO[bytes], spans: Sequence[Span], layout: Layout, ranks: Sequence[int]) -> int:
    """Write all events; return how many slices there were."""
    slices, before = 0, '{"displayTimeUnit":"ms","traceEvents":[\n'
    for text in events(spans, layout, ranks):
        file.write(before.encode())
        file.write(text.encode())
        slices += text.count('{"ph":"X"')
        before = ",\n"
    file.write(b"\n]}\n")
    return slices


def _said(path: Path, slices: int, ranks: int, layout: Layout) -> str:
    rest = "" if ranks == layout.world else "; --ranks all for the rest, which are alike"
    much = " So many may be too much for a browser." if slices > MANY else ""
    return (
        f"wrote {path} ({slices:,} slices, {ranks} of {layout.world} ranks{rest}). "
        f"Open ui.perfetto.dev and drop it there.{much}"
    )


def _chosen(ranks: Iterable[int] | str | None, layout: Layout) -> list[int]:
    if isinstance(ranks, str):
        if ranks != "all":
            raise UsageError(f"--ranks {ranks}: wanted all, or numbers like 0,8,16", where="--ranks")
        return list(range(layout.world))
    chosen = sorted(set(first_ranks(layout) if ranks is None else ranks))
    wrong = [rank for rank in chosen if not 0 <= rank < layout.world]
    if wrong:
        raise UsageError(f"--ranks {wrong[0]}: ranks are 0 to {layout.world - 1}", where="--ranks")
    if not chosen:
        raise UsageError("--ranks: names no rank", where="--ranks", hint="--ranks all")
    return chosen


def _place(rank: int, layout: Layout) -> dict[str, int]:
    """Return where a rank is on every axis."""
    place = {}
    for axis in layout.order:
        rank, place[axis] = divmod(rank, getattr(layout, axis))
    return place


def _peer(place: Mapping[str, int], layout: Layout) -> int:
    """Return the number of a rank inside its stage, from 1: its peers of other stages have the same."""
    return 1 + place["tp"] + layout.tp * (place["cp"] + layout.cp * place["dp"])


def _names(rank: int, place: Mapping[str, int], layout: Layout, titles: Sequence[str]) -> Iterator[str]:
    """Yield what says which rank and which streams these are."""
    axes = [f"{axis} {place[axis]}" for axis in ("pp", "dp", "cp", "tp") if getattr(layout, axis) > 1]
    where = f" ({', '.join(axes)})" if axes else ""
    alike = layout.world // layout.pp
    like = f"one of {alike} alike" if alike > 1 else "alone on its stage"
    yield _name("process_name", rank, 0, name=f"rank {rank}{where}")
    yield _name("process_labels", rank, 0, labels=like)
    yield _name("process_sort_index", rank, 0, sort_index=place["pp"] * alike + _peer(place, layout))
    for thread, title in enumerate(titles, start=1):
        yield _name("thread_name", rank, thread, name=title)
        yield _name("thread_sort_index", rank, thread, sort_index=thread)


def _name(kind: str, rank: int, thread: int, **what: str | int) -> str:
    event = {"ph": "M", "name": kind, "pid": rank, "tid": thread, "args": what}
    return json.dumps(event, separators=(",", ":"))


def _lines(stage: int, threads: Sequence[Sequence[Slice]], shown: Mapping[int, Arrow]) -> Iterator[str]:
    """Yield slices and arrows of a stage as text in which the rank and its place are left open."""
    leaves = {id(one.sent): (number, one) for number, one in shown.items() if one.source == stage}
    comes = {id(one.taken): (number, one) for number, one in shown.items() if one.target == stage}
    quoted = cache(json.dumps)
    for thread, slices in enumerate(threads, start=1):
        place = f'"pid":{_RANK},"tid":{thread}'
        for start, end, span in slices:
            at = f'{place},"ts":{start // 1000}.{start % 1000:03d}'
            took = end - start
            task = span.microbatch >= 0 and span.kind != "send"  # a send ends while another task runs
            about = f',"args":{{"microbatch":{span.microbatch},"chunk":{span.chunk}}}' if task else ""
            yield (
                f'{{"ph":"X","name":{quoted(span.name)},"cat":"{span.kind}",{at},'
                f'"dur":{took // 1000}.{took % 1000:03d}{about}}}'
            )
            if id(span) in leaves:  # right behind the slice that it belongs to
                yield _arrow("s", *leaves[id(span)], at)
            if id(span) in comes:
                yield _arrow("f", *comes[id(span)], at + ',"bp":"e"')


def _arrow(end: str, number: int, arrow: Arrow, at: str) -> str:
    return f'{{"ph":"{end}","id":"{_PEER}{number:06x}","name":"{arrow.name}","cat":"pipeline",{at}}}'
