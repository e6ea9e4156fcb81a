"""An order in words, as a person writes it in a schedule file, into tasks."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from workloads.schedules._tasks import Tasks
from workloads.step_graph import Kind, Task

_TASK = re.compile(r"([FBW])(\d{0,9})(?:\.(\d{1,3}))?")
_PIECE = re.compile(
    r"\((?P<group>[^()]*)\)(?P<many>\*\d{0,9})?|(?P<one>[^\s(),*]+)(?P<times>\*\d{0,9})?|[^\s,]"
)

Key = tuple[Kind, int]  # kind and chunk


@dataclass(frozen=True, slots=True)
class _Word:
    kind: Kind
    chunk: int
    microbatch: int | None  # None: the next one
    beside: bool

    @property
    def key(self) -> Key:
        return self.kind, self.chunk


@dataclass(frozen=True, slots=True)
class _Part:
    """Words that stand so many times; None: as often as microbatches are left."""

    text: str
    words: tuple[_Word, ...]
    times: int | None


def chunks(text: str) -> int:
    """Return how many chunks an order speaks of."""
    return 1 + max((int(found[3] or 0) for found in _TASK.finditer(text)), default=0)


def expand(text: str, spans: Mapping[int, range], tasks: Tasks) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """Return the tasks of an order, and what is wrong with it.

    Parameters
    ----------
    text : str
        Such as ``F (F B)* B3 B``.
    spans : mapping of int to range
        The microbatches that take each chunk.
    tasks : Tasks
        Where tasks are made.
    """
    faults: list[str] = []
    parts = list(_parts(text, max(map(len, spans.values())), faults))
    if sum(part.times is None for part in parts) > 1:
        faults.append("more than one * without a number: only one can take what is left")
    if faults:
        return (), tuple(faults)
    found: list[Task] = []
    upcoming = {key: spans[key[1]].start for part in parts for key in (word.key for word in part.words)}
    for index, part in enumerate(parts):
        times = part.times
        if times is None:
            times = _left(part, parts[index + 1 :], upcoming, spans, faults)
        for word in part.words * times:
            number = upcoming[word.key] if word.microbatch is None else word.microbatch
            upcoming[word.key] = number + 1
            found.append(tasks[word.kind, number, word.chunk, word.beside])
    return tuple(found), tuple(faults)


def _parts(text: str, most: int, faults: list[str]) -> Iterator[_Part]:
    """Yield the parts of an order; a part that stands more than ``most`` times is a fault."""
    for piece in _PIECE.finditer(text):
        inside = piece["group"] if piece["group"] is not None else piece["one"]
        if inside is None or not inside.strip(" ,\t\n"):
            faults.append(f"{piece[0]!r} is no task: F, B or W, a microbatch, a chunk, as in F3 or F3.1")
            continue
        words: list[_Word] = []
        for token in inside.replace(",", " ").split():
            words += _words(token, faults)
        star = piece["many"] or piece["times"]
        times = 1 if star is None else int(star[1:]) if star[1:] else None
        if times is not None and times > most:
            faults.append(f"{piece[0]!r} stands more often than there are microbatches: {most}")
        elif times != 1 and any(word.microbatch is not None for word in words):
            faults.append(f"{piece[0]!r} would run the same microbatch again: leave its number out")
        else:
            yield _Part(piece[0], tuple(words), times)


def _words(token: str, faults: list[str]) -> Iterator[_Word]:
    for index, name in enumerate(token.split("+")):
        if (match := _TASK.fullmatch(name)) is None:
            faults.append(f"{token!r} is no task: F, B or W, a microbatch, a chunk, as in F3 or F3.1")
            return
        kind, number, chunk = match.groups()
        yield _Word(cast("Kind", kind), int(chunk or 0), int(number) if number else None, index > 0)


def _left(
    part: _Part,
    later: Sequence[_Part],
    upcoming: Mapping[Key, int],
    spans: Mapping[int, range],
    faults: list[str],
) -> int:
    """Return how often a part stands so that no microbatch is left over."""
    inside = Counter(word.key for word in part.words)
    after = Counter(word.key for other in later for word in other.words * (other.times or 0))
    found = {}
    for key, count in inside.items():
        left = spans[key[1]].stop - upcoming[key] - after[key]
        found[key] = left / count
    if (
        min(found.values()) < 0
        or len(set(found.values())) > 1
        or not all(n.is_integer() for n in found.values())
    ):
        words = ", ".join(f"{kind}{f'.{chunk}' if chunk else ''} {n:g}" for (kind, chunk), n in found.items())
        faults.append(f"{part.text!r} cannot take what is left: it would have to stand {words} times")
        return 0
    return int(min(found.values()))
