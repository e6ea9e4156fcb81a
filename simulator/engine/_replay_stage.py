"""One stage of a replay as a SimPy process; its own time may run ahead of the clock's."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import partial
from typing import cast

import simpy

from simulator.engine._replay_program import COMPUTE, Program
from simulator.engine._replay_wire import Key, Process, Wire
from simulator.engine._replay_words import Beside, Call, Join, Pair, Run, Use, Words, settle
from simulator.engine._task_places import Place
from simulator.engine.result import Span
from simulator.errors import CheckError
from workloads.step_graph import Task


class Stage:
    """A rank class at work.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    number : int
        Of the stage.
    program : Program
        What it does.
    wire : Wire
        What it shares with the others.
    blocking : bool
        Whether it does nothing else while it sends to another stage.
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

    def __init__(
        self,
        env: simpy.Environment,
        number: int,
        program: Program,
        wire: Wire,
        *,
        blocking: bool,
        spans: bool,
    ) -> None:
        self._env, self.number, self._program, self._wire = env, number, program, wire
        self._blocking, self._traced = blocking, spans
        self.now = 0.0
        self.accounts: dict[str, float] = defaultdict(float)
        self.spans: list[Span] = []
        self.waits = "its start"
        self._done: set[tuple[str, int, int]] = set()
        self._free: dict[str, float] = {}  # when a stream is free that meets nobody
        self._last: dict[str, tuple[simpy.Event, Hashable]] = {}  # on any other stream
        self._beside: dict[str, list[tuple[Use, float | simpy.Event]]] = defaultdict(list)
        self._task = Task(kind="F", microbatch=-1, chunk=-1)  # what spans belong to

    def run(self) -> Process:
        """Go through the step."""
        outside = self._task
        yield from self._follow(self._settled(self._program.before[self.number]))
        yield from self._wait("task")
        known: dict[object, Words] = {}
        for tasks, variant in self._program.steps(self.number):
            for task in tasks:
                yield from self._ready(task, tasks)
            begun, self._task = self.now, tasks[0]
            if variant not in known:
                known[variant] = self._settled(self._program.variants[self.number, variant])
            yield from self._follow(known[variant])
            yield from self._wait("task")
            for task in tasks:
                self._done.add(_key(task))
                self._trace(f"{task.kind}{task.microbatch}", task.kind, begun, task=task)
            yield from self._send(tasks)
        self._task = outside
        yield from self._wait("step")
        yield from self._follow(self._settled(self._program.after[self.number]))
        for until in ("task", "step"):
            yield from self._wait(until)
        self.waits = ""

    def _settled(self, words: Words) -> Words:
        return settle(words, self._wire.networked, merge=not self._traced)

    def _ready(self, task: Task, together: Sequence[Task]) -> Process:
        """Wait for what a task needs."""
        here: Place = (self.number, task.chunk)
        hop = self._program.hops[here]
        needs = {"F": hop.before, "B": hop.behind, "W": None}[task.kind]
        if needs is not None:
            self.waits = f"{task.kind} of microbatch {task.microbatch}, chunk {task.chunk}"
            sent, there = yield from self._wire.fetch((task.kind, task.microbatch, here))
            if there > self.now:
                under_way = min(there - self.now, there - sent)
                self.accounts["exposed_pipeline"] += under_way
                self.accounts["bubble"] += there - self.now - under_way
                self.now = there
            return
        own = {"F": "", "B": "F", "W": "B"}[task.kind]
        key = own, task.microbatch, task.chunk
        beside = task.kind == "W" and key in map(_key, together)  # a whole backward in one
        if own and key not in self._done and not beside:
            raise CheckError(
                f"stage {self.number} should run {task.kind} of microbatch {task.microbatch}, chunk "
                f"{task.chunk}, before its {own}: the schedule cannot be"
            )

    def _send(self, tasks: Sequence[Task]) -> Process:
        """Pass on what tasks brought forth."""
        waits: list[tuple[Use, float | simpy.Event]] = []
        begun = self.now
        for task in tasks:
            goal = self._program.goal(self.number, task)
            if goal is None:
                continue
            key = (task.kind, task.microbatch, goal)
            use = self._program.sends.get((self.number, goal[0]))
            if use is None:  # on the same stage, or at no time
                self._wire.deliver(key, begun, begun)
            elif use.number in self._wire.networked:
                yield from self._catch_up()
                event, _ = self._wire.ask(use)
                event.callbacks.append(partial(self._came, use, key, begun))
                waits.append((use, event))
            else:
                self._arrived(use, key, begun, begun + use.seconds)
                waits.append((use, begun + use.seconds))
        if self._blocking:
            yield from self._until(waits)

    def _came(self, use: Use, key: Key, sent: float, event: simpy.Event) -> None:
        self._arrived(use, key, sent, _when(event))

    def _arrived(self, use: Use, key: Key, sent: float, there: float) -> None:
        self._wire.count(use, there - sent)
        self._wire.deliver(key, sent, there)
        kind, microbatch, _ = key
        self._trace(f"{kind}{microbatch} {use.name}", "send", sent, stream="pp", end=there)

    def _follow(self, words: Words) -> Process:
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
        self._trace(word.name, word.kind, begun)

    def _call(self, use: Use) -> Process:
        begun = self.now
        yield from self._ask(use)
        self.accounts[use.account] += self.now - begun

    def _ask(self, use: Use) -> Process:
        """Send and wait for the end."""
        yield from self._catch_up()
        begun = self.now
        event, _ = self._wire.ask(use)
        self.now = max(self.now, (yield event))
        self._wire.count(use, self.now - begun)
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
        if (use.stage, use.lane) not in self._wire.streams:
            begun = max(self.now, self._free.get(stream, 0.0))
            self._free[stream] = end = begun + use.seconds
            self._beside[word.until].append((use, end))
            self._trace(use.name, use.kind, begun, stream=stream, end=end)
            return
        yield from self._catch_up()
        before = self._last.get(stream)
        event, flow = self._wire.ask(use, (before[1],) if before else ())
        self._last[stream] = event, flow
        self._beside[word.until].append((use, event))
        asked = self.now, self._task, before[0] if before else None
        event.callbacks.append(partial(self._ended, word, asked))

    def _ended(self, word: Beside, asked: tuple[float, Task, simpy.Event | None], event: simpy.Event) -> None:
        """Note the end of what was started beside; it began when its stream was free."""
        begun, task, before = asked
        if before is not None:
            begun = max(begun, _when(before))
        end = _when(event)
        self._wire.count(word.use, end - begun)
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


def _key(task: Task) -> tuple[str, int, int]:
    return task.kind, task.microbatch, task.chunk


def _when(event: simpy.Event) -> float:
    """Return when a transfer ended, s."""
    return float(cast(float, event.value))
