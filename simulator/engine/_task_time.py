"""How long one task takes on an idle network, along which operations, and what it leaves for the step to wait for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.engine._ledger import Sum, add
from workloads.step_graph import Until


@dataclass(slots=True, eq=False)
class Moment:
    """A time, and the prices that lead to it from the moment before on the longest way.

    Parameters
    ----------
    at : float
        s.
    before : Moment or None
        The moment before; None where the way begins.
    more : Sum or Moment or None
        The prices between the two; a moment stands for all on the way to it.
    times : float
        How often they are paid.
    node : int
        Where the way begins: which node of the plan starts then, -1 for what is told from its own start.
    """

    at: float
    before: "Moment | None" = None
    more: "Sum | Moment | None" = None
    times: float = 1.0
    node: int = -1


def gather(moment: Moment, total: Sum, times: float = 1.0, until: Moment | None = None) -> Moment:
    """Add all prices on the way to a moment to a sum, and return where the way begins."""
    while moment.before is not None and moment is not until:
        if isinstance(moment.more, Moment):
            gather(moment.more, total, times * moment.times)
        elif moment.more is not None:
            add(total, moment.more, times * moment.times)
        moment = moment.before
    return moment


@dataclass(frozen=True, slots=True)
class Hold:
    """What holds the compute stream, one after another: seconds, their prices, where they go by account."""

    seconds: float
    prices: Sum
    accounts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Aside:
    """What runs beside on a stream: seconds, their price, what waits for it."""

    seconds: float
    prices: Sum
    account: str
    stream: str
    until: Until


Steps = Sequence[Hold | Aside]


@dataclass(frozen=True, slots=True)
class Left:
    """What only the end of the step waits for: from ``ready`` on it takes ``aside`` on its stream.

    With ``ended`` it is known when it ends, at ``ready``.
    """

    ready: Moment
    aside: Aside
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Walked:
    """A task: its end, where its time goes by account, and what it leaves running."""

    end: Moment
    accounts: dict[str, float]
    left: tuple[Left, ...] = ()


class Walk:
    """Follow the steps of one task on one stage.

    Parameters
    ----------
    ordered : container of str
        Streams on which something waits for the step and something else for a block or a task.
    begin : Moment, optional
        When it starts; left out, times are told from there.
    free : dict, optional
        When each ordered stream is free.
    """

    def __init__(
        self, ordered: frozenset[str], begin: Moment | None = None, free: dict[str, Moment] | None = None
    ) -> None:
        self._ordered = ordered
        self._now = begin or Moment(0.0)
        self._free = dict(free or {})
        self._waits: dict[Until, list[tuple[Moment, str]]] = {"block": [], "task": []}
        self._accounts: dict[str, float] = {}
        self._left: list[Left] = []

    def blocks(self, blocks: Iterable[tuple[Steps, int]]) -> Walked:
        """Return what blocks come to; each with how often it is repeated."""
        for steps, times in blocks:
            self._repeat(steps, times)
        self._join("task")
        return Walked(self._now, self._accounts, tuple(self._left))

    def _repeat(self, steps: Steps, times: int) -> None:
        """Follow every round, until one begins and ends with nothing under way: then so do all others."""
        for done in range(1, times + 1):
            idle, begun, paid, left = self._idle(), self._now, dict(self._accounts), len(self._left)
            self._round(steps)
            if idle and done < times and self._idle():
                self._again(times - done, begun, paid, self._left[left:])
                return

    def _round(self, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, Hold):
                self._now = Moment(self._now.at + step.seconds, self._now, step.prices)
                self._pay(step.accounts)
            else:
                self._beside(step)
        self._join("block")

    def _idle(self) -> bool:
        now = self._now.at
        busy = any(free.at > now for free in self._free.values())
        return not busy and not any(end.at > now for end, _ in self._waits["task"])

    def _again(self, times: int, begun: Moment, paid: dict[str, float], left: Sequence[Left]) -> None:
        """Add rounds that are like the last one."""
        step = self._now.at - begun.at
        prices: Sum = {}
        gather(self._now, prices, until=begun)
        self._pay({name: spent - paid.get(name, 0.0) for name, spent in self._accounts.items()}, times)
        for turn in range(1, times + 1):
            for one in left:
                if not one.ended:
                    ready = Moment(one.ready.at + turn * step, one.ready, prices, turn)
                    self._left.append(Left(ready, one.aside))
        self._now = Moment(self._now.at + times * step, self._now, prices, times)

    def _pay(self, accounts: dict[str, float], times: float = 1.0) -> None:
        for name, seconds in accounts.items():
            self._accounts[name] = self._accounts.get(name, 0.0) + times * seconds

    def _beside(self, step: Aside) -> None:
        stream = step.stream
        if step.until == "step" and stream not in self._ordered:
            self._left.append(Left(self._now, step))
            return
        start = self._free.get(stream, self._now)
        if start.at < self._now.at:
            start = self._now
        end = self._free[stream] = Moment(start.at + step.seconds, start, step.prices)
        if step.until == "step":
            self._left.append(Left(end, step, ended=True))
        else:
            self._waits[step.until].append((end, step.account))

    def _join(self, until: Until) -> None:
        for end, name in self._waits[until]:
            if end.at > self._now.at:
                self._pay({name: end.at - self._now.at})
                self._now = end
        self._waits[until].clear()


class Streams:
    """What a stage has running beside until the end of the step.

    Attributes
    ----------
    free : dict
        When each stream is free.
    """

    def __init__(self) -> None:
        self.free: dict[str, Moment] = {}
        self._ends: list[tuple[Moment, str]] = []

    def take(self, left: Iterable[Left], begin: Moment | None = None) -> None:
        """Run what a task leaves, which tells times from ``begin`` on, in order."""
        for one in left:
            ready, aside = one.ready, one.aside
            if begin is not None:
                ready = Moment(begin.at + ready.at, begin, ready)
            if not one.ended:
                start = self.free.get(aside.stream, ready)
                if start.at < ready.at:
                    start = ready
                ready = Moment(start.at + aside.seconds, start, aside.prices)
            self.free[aside.stream] = ready
            self._ends.append((ready, aside.account))

    def wait(self, now: Moment, accounts: dict[str, float]) -> Moment:
        """Wait for all that runs; return when it is done."""
        for end, name in self._ends:
            if end.at > now.at:
                accounts[name] += end.at - now.at
                now = end
        self._ends.clear()
        return now
