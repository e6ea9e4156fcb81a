"""The header of a table of nccl-tests, and rows cut along it."""

import re
from dataclasses import dataclass

from simulator.calibration.logs._log import LIMIT_SIZE
from simulator.calibration.logs._points import GarbledError, Half, Point, half

_HEADER = re.compile(r"#?\s*\bsize\s+count(?:\s+\S+){0,3}\s+(?:cpu)?time\s.*\balgbw\s.*\bbusbw\b.*")
_ROW = re.compile(r"(?:(?<=[\s:>\]|])|^)(-?\d+)\s+(-?\d+)\s+([a-z][a-z0-9_]{2,15})\s+(?=[a-z0-9-])")
_FIRST = 400  # characters in which a row has begun, with whatever a launcher puts before it
_UNITS = {"(us)": 1e-6, "(ms)": 1e-3, "(s)": 1.0, "(ns)": 1e-9}
_SIZE_UNITS = re.compile(r"#?\s*\((\w+)\)\s+\((?:elements|count)\)")
_WORD = re.compile(r"\S+")
_CLOCK = re.compile(r"\d{2}:\d{2}:\d{2}(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns of a table are: names, and where each name ends on its line.

    ``starts`` are the numbers of the columns at which the halves begin (one or two); ``in_place`` says
    of each half which it is.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    starts: tuple[int, ...]
    in_place: tuple[bool, ...]


def find_header(line: str, above: str) -> tuple[int, Header] | None:
    """Return where the header starts on a line, and the header; None if the line is none.

    Parameters
    ----------
    line : str
        A line of the log.
    above : str
        The line before it, which names the halves.

    Raises
    ------
    ValueError
        The table holds no times of operations.
    """
    match = _HEADER.search(line)
    if match is None:
        return None
    words = [word for word in _WORD.finditer(line, match.start()) if word.group() != "#"]
    names = tuple(word.group().lstrip("#") if word.group() == "#size" else word.group() for word in words)
    if "cputime" in names:
        raise ValueError("column 'cputime' is time on the CPU, not of the operation; run without -C")
    starts = tuple(place for place, name in enumerate(names) if name == "time")
    for start, stop in zip(starts, (*starts[1:], len(names)), strict=True):
        if not {"algbw", "busbw"} <= set(names[start:stop]):
            raise ValueError("the header lacks algbw or busbw after a time")
    if len(starts) > 2:
        raise ValueError(f"the header has {len(starts)} columns of time")
    if len(starts) == 1:
        halves: tuple[bool, ...] = ("in-place" in above and "out-of-place" not in above,)
    else:
        halves = (False, True)
    return match.start(), Header(names, tuple(word.end() for word in words), starts, halves)


def find_unit(line: str) -> float | None:
    """Return the seconds in the time unit of a line of units; None if the line is none.

    Raises
    ------
    ValueError
        Sizes that are not in bytes, or times in different units.
    """
    sizes = _SIZE_UNITS.search(line)
    if sizes is None:
        return None
    if sizes[1] != "B":
        raise ValueError(f"sizes in '{sizes[1]}', wanted B")
    found = {_UNITS[word] for word in line.split() if word in _UNITS}
    if len(found) != 1:
        raise ValueError("the line of units names no unit of time, or several")
    return found.pop()


def find_row(line: str) -> re.Match[str] | None:
    """Return where size, count and type of a row stand on a line, None if it looks like no row."""
    return _ROW.search(line, 0, _FIRST)


def cut_row(match: re.Match[str], header: Header, unit: float, line: int) -> Point:
    """Return the point that a line holds.

    Raises
    ------
    ValueError
        A number that cannot be.
    GarbledError
        The line does not fit the header.
    """
    words = list(_WORD.finditer(match.string, match.start(1)))
    header = _without_blank(header, words)
    names = list(header.names)
    if names[-1] == "timestamp":
        names.pop()
        if _CLOCK.fullmatch(words[-1].group()):
            del words[-2:]
    chosen = _halves(words, len(names), header)
    cells = [word.group() for word in words]
    fixed = dict(zip(names, cells[: header.starts[0]], strict=False))
    size, count = int(fixed["size"][:30]), int(fixed["count"][:30])
    if not 0 <= size <= LIMIT_SIZE:
        raise ValueError(f"size {fixed['size'][:30]}; must be 0 to {LIMIT_SIZE}")
    found: dict[bool, Half] = {}
    for number, start in chosen:
        stop = (*header.starts, len(names))[number + 1]
        part = dict(zip(names[header.starts[number] : stop], cells[start:], strict=False))
        wrong = part.get("#wrong", part.get("error", ""))
        found[header.in_place[number]] = half(part["time"], unit, part["algbw"], part["busbw"], wrong)
    return Point(
        line=line,
        size=size,
        count=count,
        dtype=fixed.get("type", ""),
        redop=fixed.get("redop", ""),
        root=_root(fixed.get("root")),
        out_of_place=found.get(False),
        in_place=found.get(True),
    )


def _without_blank(header: Header, words: list[re.Match[str]]) -> Header:
    """Return the header without its column redop where a row has none: old versions print it blank."""
    place = header.names.index("redop") if "redop" in header.names else len(words)
    if place >= len(words) or words[place].group()[0].isalpha():
        return header
    return Header(
        header.names[:place] + header.names[place + 1 :],
        header.ends[:place] + header.ends[place + 1 :],
        tuple(start - (start > place) for start in header.starts),
        header.in_place,
    )


def _root(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise GarbledError(f"'{text[:40]}' is no root") from None


def _halves(words: list[re.Match[str]], columns: int, header: Header) -> list[tuple[int, int]]:
    """Return (number of the half, its first word) for the halves that a row holds."""
    starts = header.starts
    if len(words) == columns:
        return list(enumerate(starts))
    if len(starts) == 2 and len(words) in (starts[1], starts[0] + columns - starts[1]):
        # one half is blank: columns are right-aligned, so the end of the time says which
        place = words[starts[0]].end() - words[0].end()
        offsets = [abs(place - header.ends[start] + header.ends[0]) for start in starts]
        return [(offsets.index(min(offsets)), starts[0])]
    raise GarbledError(f"{len(words)} values under {columns} columns")
