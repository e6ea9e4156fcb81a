"""One stage of a replay as a SimPy process; its own time may run ahead of the clock's."""

from collections.abc import Sequence
from functools import partial

import simpy

from simulator.engine._replay_home import home_of
from simulator.engine._replay_program import Program
from simulator.engine._replay_wire import Key, Process, Wire
from simulator.engine._replay_words import Use, Words, settle
from simulator.engine._replay_worker import Worker, when
from simulator.engine._task_places import Place
from simulator.errors import CheckError
from workloads.step_graph import Task


class Stage(Worker):
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
        super().__init__(env, number, wire, spans=spans)
        self._program, self._wire = program, wire
        self._blocking = blocking
        self._home = None if spans else home_of(program, wire)  # a timeline shows each use where it was
        self._done: set[tuple[str, int, int]] = set()

    def run(self) -> Process:
        """Go through the step."""
        outside = self._task
        yield from self.follow(self._settled(self._program.before[self.number]))
        yield from self._wait("task")
        known: dict[object, Words] = {}
        for tasks, variant in self._program.steps(self.number):
            for task in tasks:
                yield from self._ready(task, tasks)
            begun, self._task = self.now, tasks[0]
            if variant not in known:
                known[variant] = self._settled(self._program.variants[self.number, variant])
            yield from self.follow(known[variant])
            yield from self._wait("task")
            for task in tasks:
                self._done.add(_key(task))
                self._trace(f"{task.kind}{task.microbatch}", task.kind, begun, task=task)
            yield from self._send(tasks)
        self._task = outside
        yield from self._wait("step")
        yield from self.follow(self._settled(self._program.after[self.number]))
        for until in ("task", "step"):
            yield from self._wait(until)
        self.waits = ""

    def _settled(self, words: Words) -> Words:
        words = settle(words, self._wire.networked, merge=not self._traced)
        return self._home.settled(self.number, words) if self._home else words

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
        self._arrived(use, key, sent, when(event))

    def _arrived(self, use: Use, key: Key, sent: float, there: float) -> None:
        self._wire.count(use, there - sent)
        self._wire.deliver(key, sent, there)
        kind, microbatch, _ = key
        self._trace(f"{kind}{microbatch} {use.name}", "send", sent, stream="pp", end=there)


def _key(task: Task) -> tuple[str, int, int]:
    return task.kind, task.microbatch, task.chunk
