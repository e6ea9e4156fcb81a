"""How long one task takes on an idle network, along which operations, and what it leaves for the step to wait for.

A task is followed once. Of a block that repeats, a few rounds are followed until each adds the same, and the rest
is that many times it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulator.engine._ledger import Entry, Ledger, Sum, add
from simulator.engine.result import account
from workloads.step_graph import Block, Collective, Compute, Operation

_ROUNDS = 4  # after so many a round that repeats the one before is taken for all others
_SAME = 1e-12


@dataclass(slots=True)
class Moment:
    """A time in s from the start of the task, and the prices that lead to it."""

    at: float = 0.0
    path: Sum = field(default_factory=dict)

    def after(self, number: int, seconds: float) -> "Moment":
        """Return the moment after a price more."""
        return Moment(self.at + seconds, add(self.path, {number: 1.0}))


@dataclass(frozen=True, slots=True)
class Loose:
    """What runs beside until the end of the step: when it may start, its price and stream."""

    ready: Moment
    number: int
    stream: str
    account: str


@dataclass(frozen=True, slots=True)
class Walked:
    """A task: its end, where its time goes by account, and what it leaves running."""

    end: Moment
    accounts: dict[str, float]
    loose: tuple[Loose, ...]


class Walk:
    """Follow the operations of one task on one stage.

    Parameters
    ----------
    ledger : Ledger
        Prices.
    stage : int
        Where.
    """

    def __init__(self, ledger: Ledger, stage: int) -> None:
        self._ledger, self._stage = ledger, stage
        self._now = Moment()
        self._free: dict[str, Moment] = {}
        self._waits: dict[str, list[tuple[Moment, str]]] = {"block": [], "task": []}
        self._accounts: dict[str, float] = defaultdict(float)
        self._loose: list[Loose] = []

    def blocks(self, blocks: Iterable[tuple[Block, Sequence[Operation]]]) -> Walked:
        """Return what blocks come to; each with those of its operations that happen."""
        for block, operations in blocks:
            self._repeat(operations, block.repeat)
        self._join("task")
        return Walked(self._now, dict(self._accounts), tuple(self._loose))

    def _repeat(self, operations: Sequence[Operation], times: int) -> None:
        before: tuple[float, ...] | None = None
        for done in range(times):
            start, paid, loose = self._now, dict(self._accounts), len(self._loose)
            if before is not None and done >= _ROUNDS:
                state = self._state()
                if len(state) == len(before) and all(
                    abs(a - b) <= _SAME * (1 + abs(a)) for a, b in zip(state, before, strict=True)
                ):
                    self._skip(times - done, *self._last)
                    return
            before = self._state()
            for operation in operations:
                self._operation(operation)
            self._join("block")
            gained = {name: value - paid.get(name, 0.0) for name, value in self._accounts.items()}
            self._last = (start, gained, self._loose[loose:])

    def _state(self) -> tuple[float, ...]:
        """Return what the next round depends on: how far each stream is ahead."""
        waits = [end.at - self._now.at for end, _ in self._waits["task"]]
        return (*(max(0.0, free.at - self._now.at) for free in self._free.values()), max(waits, default=0.0))

    def _skip(self, times: int, start: Moment, gained: dict[str, float], loose: Sequence[Loose]) -> None:
        """Add rounds that are like the last one."""
        step = self._now.at - start.at
        grown = add(self._now.path, start.path, -1.0)
        for turn in range(1, times + 1):
            for one in loose:
                ready = Moment(one.ready.at + turn * step, add(one.ready.path, grown, float(turn)))
                self._loose.append(Loose(ready, one.number, one.stream, one.account))

        def later(moment: Moment) -> Moment:
            return Moment(moment.at + times * step, add(moment.path, grown, float(times)))

        self._now = later(self._now)
        self._free = {name: later(free) for name, free in self._free.items()}
        self._waits["task"] = [(later(end), name) for end, name in self._waits["task"]]
        for name, seconds in gained.items():
            self._accounts[name] += times * seconds

    def _operation(self, operation: Operation) -> None:
        if isinstance(operation, Collective) and (operation.overlap or operation.stream):
            self._hold(operation, "exposed")
            until = "block" if operation.overlap else operation.until
            self._beside(operation, operation.stream or operation.axis, until, "hidden")
        elif operation.stream:
            self._beside(operation, operation.stream, operation.until, "whole")
        else:
            self._hold(operation, "whole")

    def _hold(self, operation: Operation, part: str) -> None:
        number = self._ledger.number(Entry(self._stage, operation, part))
        seconds = self._ledger.seconds[number]
        if seconds:
            self._now = self._now.after(number, seconds)
            self._accounts[account(operation)] += seconds

    def _beside(self, operation: Operation, stream: str, until: str, part: str) -> None:
        number = self._ledger.number(Entry(self._stage, operation, part))
        seconds = self._ledger.seconds[number]
        if not seconds:
            return
        if until == "step":
            self._loose.append(Loose(self._now, number, stream, account(operation)))
            return
        free = self._free.get(stream)
        start = free if free is not None and free.at > self._now.at else self._now
        end = start.after(number, seconds)
        self._free[stream] = end
        self._waits[until].append((end, account(operation)))

    def _join(self, until: str) -> None:
        for end, name in self._waits[until]:
            if end.at > self._now.at:
                self._accounts[name] += end.at - self._now.at
                self._now = end
        self._waits[until].clear()


def together(ledger: Ledger, stage: int, operations: Iterable[Operation]) -> Walked:
    """Return tasks that run side by side: the longer of all that they compute and all that they send."""
    work, talk = Moment(), Moment()
    spent: dict[str, float] = defaultdict(float)
    said: dict[str, float] = defaultdict(float)
    later: list[tuple[int, str, str]] = []
    for operation in operations:
        number = ledger.number(Entry(stage, operation))
        seconds = ledger.seconds[number]
        if not seconds or operation.stream == "host":
            continue
        if isinstance(operation, Compute):
            work = work.after(number, seconds)
            spent[account(operation)] += seconds
        elif operation.stream and operation.until == "step":
            later.append((number, operation.stream, account(operation)))
        else:
            talk = talk.after(number, seconds)
            said[account(operation)] += seconds
    end = max(work, talk, key=lambda moment: moment.at)
    if talk.at > work.at:
        for name, seconds in said.items():
            spent[name] += seconds * (1 - work.at / talk.at)
    return Walked(end, dict(spent), tuple(Loose(end, *one) for one in later))
