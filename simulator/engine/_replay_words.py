"""The words that a replay follows: run, talk, start beside, wait; and how those that meet nobody merge."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from itertools import groupby
from math import inf

from workloads.step_graph import Until

NOWHERE = -1  # the number of all work beside that sends nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Use:
    """Bytes that a stage sends now and then, always the same; or work of a host, which sends none.

    Parameters
    ----------
    number : int
        Its place among all of a step that are sent, `NOWHERE` for work.
    stage, target : int
        Who sends; to which stage, -1 for a collective.
    lane : str
        Uses of one stage and lane never run at the same time.
    name, op, axis, account : str
        What it is, its operation and axis (empty for work), where its time goes.
    size, seconds : float
        Bytes as the collective counts them; s on an idle network.
    gap : float
        Seconds that pass between the starts of two of them at least; inf where they cannot overlap.
    """

    number: int
    stage: int
    target: int = -1
    lane: str
    name: str
    op: str
    axis: str
    account: str
    size: float
    seconds: float
    gap: float = inf

    @property
    def kind(self) -> str:
        """Return what the timeline calls it."""
        return "collective" if self.op else "compute"


@dataclass(frozen=True, slots=True)
class Run:
    """Hold the compute stream: seconds, where they go by account, by axis those that contention added."""

    seconds: float
    parts: tuple[tuple[str, float], ...]
    name: str
    kind: str = "compute"
    slowed: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Hold the compute stream until bytes are sent."""

    use: Use


@dataclass(frozen=True, slots=True)
class Beside:
    """Send or work on a stream of its own, as soon as it is free; what waits for it."""

    use: Use
    stream: str
    until: Until


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for what was started beside and must end with the block."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Compute and talk at once, until both are done; what is sent goes one after another."""

    runs: tuple[Run, ...]
    calls: tuple[Call | Run, ...]


Word = Run | Call | Beside | Join | Pair
Words = tuple[Word, ...]


def settle(words: Iterable[Word], networked: Container[int], *, merge: bool) -> Words:
    """Return words in which a `Call` that meets nobody else on its links is a `Run`.

    Parameters
    ----------
    words : iterable of Word
        As the step graph says.
    networked : container of int
        The numbers of the uses that share links.
    merge : bool
        Whether runs that follow each other become one, so that they cost one event.
    """
    found = [_settled(word, networked) for word in words]
    return merged(found) if merge else tuple(found)


def merged(words: Iterable[Word]) -> Words:
    """Return words in which runs that follow each other are one."""
    found: list[Word] = []
    for runs, members in groupby(words, key=lambda word: isinstance(word, Run)):
        several = list(members)
        if runs and len(several) > 1:
            found.append(_sum(word for word in several if isinstance(word, Run)))
        else:
            found += several
    return tuple(found)


def _settled(word: Word, networked: Container[int]) -> Word:
    if isinstance(word, Call) and word.use.number not in networked:
        use = word.use
        return Run(use.seconds, ((use.account, use.seconds),), use.name, "collective")
    if isinstance(word, Pair):
        calls = [_settled(call, networked) for call in word.calls]
        if all(isinstance(call, Run) for call in calls):
            return _together(word.runs, [call for call in calls if isinstance(call, Run)])
        return Pair(word.runs, tuple(call for call in calls if isinstance(call, Call | Run)))
    return word


def _sum(runs: Iterable[Run]) -> Run:
    parts: dict[str, float] = {}
    slowed: dict[str, float] = {}
    names = []
    for run in runs:
        names.append(run.name)
        for account, seconds in run.parts:
            parts[account] = parts.get(account, 0.0) + seconds
        for axis, seconds in run.slowed:
            slowed[axis] = slowed.get(axis, 0.0) + seconds
    seconds = sum(parts.values())
    return Run(seconds, tuple(parts.items()), names[0] if names else "", slowed=tuple(slowed.items()))


def _together(runs: Iterable[Run], calls: Iterable[Run]) -> Run:
    """Return what a pair takes that meets nobody: the longer of both sums."""
    work, talk = _sum(runs), _sum(calls)
    hidden = min(1.0, work.seconds / talk.seconds) if talk.seconds else 1.0
    exposed = tuple((account, seconds * (1 - hidden)) for account, seconds in talk.parts)
    return Run(max(work.seconds, talk.seconds), work.parts + exposed, "pair")
