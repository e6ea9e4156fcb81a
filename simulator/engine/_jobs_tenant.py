"""One of the jobs that share a network: its steps one after another, and the mean of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import simpy

from simulator.engine._replay_program import Program
from simulator.engine._replay_stage import Stage
from simulator.engine._replay_wire import Process, Wire
from simulator.engine.result import Result, Span, broken_down


@dataclass(frozen=True, slots=True)
class _Step:
    """What one step came to: seconds, where they went, by axis what contention added, the stages' ends."""

    seconds: float
    spent: Mapping[str, float]
    slowed: Mapping[str, float]
    ends: tuple[float, ...]


class Tenant:
    """A job at work.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s.
    program : Program
        What its stages do in a step.
    wire : Wire
        What it sends over.
    steps : int
        How many there are.
    blocking : bool
        Whether a stage does nothing else while it sends to another one.
    spans : bool
        Whether to keep the timeline of the first step.

    Attributes
    ----------
    starts : list of float
        When each step began, s.
    end : float
        When the last one ended, s.
    """

    def __init__(
        self,
        env: simpy.Environment,
        program: Program,
        wire: Wire,
        steps: int,
        *,
        blocking: bool,
        spans: bool,
    ) -> None:
        self._env, self._program, self._wire = env, program, wire
        self._ahead, self._blocking, self._traced = steps, blocking, spans
        self._stages: list[Stage] = []
        self._running = 0
        self._done: list[_Step] = []
        self._spans: tuple[Span, ...] = ()
        self.starts: list[float] = []
        self.end = 0.0

    def begin(self, at: float) -> None:
        """Begin a step at a time that the clock may not have reached yet, s."""
        self.starts.append(at)
        self._ahead -= 1
        traced = self._traced and not self._done
        self._stages = [
            Stage(self._env, number, self._program, self._wire, blocking=self._blocking, spans=traced)
            for number in range(len(self._program.before))
        ]
        self._running = len(self._stages)
        for stage in self._stages:
            stage.now = at
        for stage in self._stages:
            self._env.process(self._run(stage))

    def _run(self, stage: Stage) -> Process:
        yield from stage.run()
        self._running -= 1
        if not self._running:
            self._end()

    def _end(self) -> None:
        """Settle a step whose last stage is done, and begin the next one."""
        begun = self.starts[-1]
        ends = tuple(stage.now - begun for stage in self._stages)
        seconds, spent = broken_down([stage.accounts for stage in self._stages], ends)
        if self._traced and not self._done:
            spans = (span for stage in self._stages for span in stage.spans)
            self._spans = tuple(_moved(span, begun) if begun else span for span in spans)
        self._done.append(_Step(seconds, spent, self._wire.slowed, ends))
        self.end = max(stage.now for stage in self._stages)
        if self._ahead:
            self._wire.begin()
            self.begin(self.end)

    def blocked(self) -> list[str]:
        """Return which stages wait for what, if the job never came to its end."""
        return [f"stage {stage.number} waits for {stage.waits}" for stage in self._stages if stage.waits]

    def mean(self) -> Result:
        """Return the mean of all steps."""
        done, wire = self._done, self._wire
        seconds = sum(step.seconds for step in done) / len(done)
        return Result(
            step_s=seconds,
            breakdown_s=_mean([step.spent for step in done]),
            link_busy=wire.busy(seconds),
            link_axes=wire.users(seconds),
            messages=wire.messages,
            spans=self._spans,
            slowed_s=_mean([step.slowed for step in done]),
            ends_s=tuple(sum(ends) / len(done) for ends in zip(*(step.ends for step in done), strict=True)),
        )


def _mean(tables: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(table[name] for table in tables) / len(tables) for name in tables[0]}


def _moved(span: Span, begun: float) -> Span:
    """Return a slice counted from the start of its step."""
    return replace(span, start_s=span.start_s - begun, end_s=span.end_s - begun)
