"""What follows the words of a replay, in order, as a SimPy process; its own time may run ahead of the clock's."""

from collections import defaultdict
from collections.abc import Generator, Hashable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import simpy

from simulator.engine._replay_program import COMPUTE
from simulator.engine._replay_words import Beside, Call, Join, Pair, Run, Use, Words
from simulator.engine.result import Span
from workloads.step_graph import Task

Process = Generator[simpy.Event, Any, Any]


class Line(Protocol):
    """What a worker sends over."""

    networked: set[int]
    streams: set[tuple[int, str]]
    slowed: dict[str, float]

    def ask(self, use: Use, after: tuple[Hashable, ...] = ()) -> tuple[simpy.Event, Hashable]:
        """Send now, but not before other flows have ended; return the event of the end and the flow's id."""

    def count(self, use: Use, seconds: float) -> None:
        """Count what a use took."""


class Worker:
    """Whoever follows words.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    number : int
        Of the stage.
    line : Line
        What it sends over.
    spans : bool
        Whether to keep the timeline.

    Attributes
    ----------
    now : float
        When it is done with all that it was told so far, s.
    accounts : dict
        Where its time went, s.
    spans : list of Span
        Its timeline.
    waits : str
        What it waits for; blank once it is done.
    """

    def __init__(self, env: simpy.Environment, number: int, line: Line, *, spans: bool) -> None:
        self._env, self.number, self._line = env, number, line
        self._traced = spans
        self.now = 0.0
        self.accounts: dict[str, float] = defaultdict(float)
        self.spans: list[Span] = []
        self.waits = "its start"
        self._free: dict[str, float] = {}  # when a stream is free that meets nobody
        self._last: dict[str, tuple[simpy.Event, Hashable]] = {}  # on any other stream
        self._beside: dict[str, list[tuple[Use, float | simpy.Event]]] = defaultdict(list)
        self._task = Task(kind="F", microbatch=-1, chunk=-1)  # what spans belong to

    def follow(self, words: Words) -> Process:
        """Do what the words say."""
        for word in words:
            if isinstance(word, Run):
                self._run(word)
            elif isinstance(word, Call):
                yield from self._call(word.use)
            elif isinstance(word, Beside):
                yield from self._start(word)
            elif isinstance(word, Join):
                yield from self._wait("block")
            else:
                yield from self._pair(word)

    def _run(self, word: Run) -> None:
        begun = self.now
        self.now += word.seconds
        for account, seconds in word.parts:
            self.accounts[account] += seconds
        for axis, seconds in word.slowed:
            self._line.slowed[axis] += seconds
        self._trace(word.name, word.kind, begun)

    def _call(self, use: Use) -> Process:
        begun = self.now
        yield from self._ask(use)
        self.accounts[use.account] += self.now - begun

    def _ask(self, use: Use) -> Process:
        """Send and wait for the end."""
        yield from self._catch_up()
        begun = self.now
        event, _ = self._line.ask(use)
        self.now = max(self.now, (yield event))
        self._line.count(use, self.now - begun)
        self._trace(use.name, "collective", begun)

    def _pair(self, pair: Pair) -> Process:
        """Compute and send at once; what sends longer than the computation lasts is exposed."""
        begun = self.now
        took: dict[str, float] = defaultdict(float)
        for call in pair.calls:
            start = self.now
            if isinstance(call, Run):
                self.now += call.seconds
                self._trace(call.name, call.kind, start, stream="beside")
            else:
                yield from self._ask(call.use)
            took[call.parts[0][0] if isinstance(call, Run) else call.use.account] += self.now - start
        talked, worked = self.now - begun, sum(run.seconds for run in pair.runs)
        for run in pair.runs:
            for account, seconds in run.parts:
                self.accounts[account] += seconds
        for account, seconds in took.items() if talked > worked else ():
            self.accounts[account] += seconds * (1 - worked / talked)
        self.now = begun + max(talked, worked)

    def _start(self, word: Beside) -> Process:
        """Send or work on a stream of its own, as soon as that is free."""
        use, stream = word.use, word.stream
        if (use.stage, use.lane) not in self._line.streams:
            begun = max(self.now, self._free.get(stream, 0.0))
            self._free[stream] = end = begun + use.seconds
            self._beside[word.until].append((use, end))
            self._trace(use.name, use.kind, begun, stream=stream, end=end)
            return
        yield from self._catch_up()
        before = self._last.get(stream)
        event, flow = self._line.ask(use, (before[1],) if before else ())
        self._last[stream] = event, flow
        self._beside[word.until].append((use, event))
        asked = self.now, self._task, before[0] if before else None
        event.callbacks.append(partial(self._ended, word, asked))

    def _ended(self, word: Beside, asked: tuple[float, Task, simpy.Event | None], event: simpy.Event) -> None:
        """Note the end of what was started beside; it began when its stream was free."""
        begun, task, before = asked
        if before is not None:
            begun = max(begun, when(before))
        end = when(event)
        self._line.count(word.use, end - begun)
        self._trace(word.use.name, word.use.kind, begun, stream=word.stream, end=end, task=task)

    def _wait(self, until: str) -> Process:
        """Wait for what was started beside and must be done by now."""
        ends = self._beside[until]
        if ends:
            self._beside[until] = []
            yield from self._until(ends)

    def _until(self, ends: Sequence[tuple[Use, float | simpy.Event]]) -> Process:
        for use, end in ends:
            if isinstance(end, simpy.Event):
                self.waits = use.name
            there = (yield end) if isinstance(end, simpy.Event) else end
            if there > self.now:
                self.accounts[use.account] += there - self.now
                begun, self.now = self.now, there
                self._trace(use.name, "wait", begun)

    def _catch_up(self) -> Process:
        """Let the clock come to where the stage is: only then it may ask for the network."""
        if self.now > self._env.now:
            yield self._env.timeout(self.now - self._env.now)

    def _trace(
        self,
        name: str,
        kind: str,
        begun: float,
        *,
        stream: str = COMPUTE,
        end: float | None = None,
        task: Task | None = None,
    ) -> None:
        if self._traced:
            about = task or self._task
            self.spans.append(
                Span(
                    stage=self.number,
                    stream=stream,
                    name=name,
                    kind=kind,
                    microbatch=about.microbatch,
                    chunk=about.chunk,
                    start_s=begun,
                    end_s=self.now if end is None else end,
                )
            )


def when(event: simpy.Event) -> float:
    """Return when a transfer ended, s."""
    return float(cast(float, event.value))
