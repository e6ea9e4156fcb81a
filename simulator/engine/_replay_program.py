"""A step graph put into the words of a replay, each kind of task once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from simulator.engine._replay_words import NOWHERE, Beside, Call, Join, Pair, Run, Use, Word, Words
from simulator.engine._task_places import Place, hops
from simulator.engine._task_prices import seconds_of, share_of, transfer_of
from simulator.engine.result import Prices, account
from workloads.schedules._tasks import groups
from workloads.step_graph import Block, Collective, Operation, StepGraph, Task, Until

if TYPE_CHECKING:
    from simulator.engine._replay_home import Home

COMPUTE = "compute"  # the stream of a stage that its tasks run on
BOUNDARY = "boundary"  # stands for an axis where bytes pass between stages

Variant = tuple[tuple[str, int, bool, bool], ...]  # of the tasks that run together: kind, chunk, first, last


class Program:
    """What every stage does.

    Parameters
    ----------
    graph : StepGraph
        The step.
    prices : Prices
        Seconds on an idle network.

    Attributes
    ----------
    hops : dict
        By stage and chunk.
    uses : list of Use
        All that is sent.
    sends : dict
        By sending and receiving stage, what passes between them.
    times : Counter
        How often in a step, by number of the use.
    home : Home or None
        What it sends that meets nothing of others; None until somebody knows the network.

    Raises
    ------
    ValueError
        A virtual stage on no way or on two, a first task that runs beside, seconds that are no number from 0
        on, an exposed share outside 0 to 1.
    """

    def __init__(self, graph: StepGraph, prices: Prices) -> None:
        self._graph, self._prices = graph, prices
        self._ends = graph.ends
        self._known: dict[tuple[int, str, Operation, float], Use] = {}
        self.uses: list[Use] = []
        self.times: Counter[int] = Counter()
        self.hops = hops(graph.routes, [stage.tasks for stage in graph.stages])
        self.before = [self._once(number, stage.before) for number, stage in enumerate(graph.stages)]
        self.after = [self._once(number, stage.after) for number, stage in enumerate(graph.stages)]
        self.variants: dict[tuple[int, Variant], Words] = {}
        self._enact()
        self.sends = dict(self._find_sends())
        self.home: Home | None = None

    def steps(self, stage: int) -> Iterator[tuple[tuple[Task, ...], Variant]]:
        """Yield the tasks of a stage that run together, in order, and which words they follow."""
        for together in groups(self._graph.stages[stage].tasks):
            yield together, tuple(self._variant(task) for task in together)

    def _variant(self, task: Task) -> tuple[str, int, bool, bool]:
        first, last = self._ends[task.chunk]
        return task.kind, task.chunk, task.microbatch == first, task.microbatch == last

    def _enact(self) -> None:
        """Put every variant into words and count what all of them send."""
        often: Counter[tuple[int, Variant]] = Counter()
        for stage in range(len(self._graph.stages)):
            for together, variant in self.steps(stage):
                often[stage, variant] += 1
                if (stage, variant) not in self.variants:
                    self.variants[stage, variant] = self._wording(stage, together)
        for key, number in often.items():
            self._count(self.variants[key], number)

    def _wording(self, stage: int, together: Sequence[Task]) -> Words:
        if len(together) == 1:
            return tuple(self._task(stage, together[0]))
        runs, calls, later = [], [], []
        for task in together:
            for operation in self._expand(stage, task):
                if not isinstance(operation, Collective):
                    runs += self._run(stage, operation) if not operation.stream else []
                elif operation.stream and operation.until == "step" and not operation.overlap:
                    later += self._beside(stage, operation, operation.stream, "step")
                else:
                    calls += self._call(stage, operation, 1.0)
        return (Pair(tuple(runs), tuple(calls)), *later)

    def _expand(self, stage: int, task: Task) -> Iterator[Operation]:
        for block in self._blocks(stage, task):
            for _ in range(block.repeat):
                yield from self._happening(block, task)

    def _task(self, stage: int, task: Task) -> Iterator[Word]:
        for block in self._blocks(stage, task):
            yield from self._block(stage, self._happening(block, task)) * block.repeat

    def _blocks(self, stage: int, task: Task) -> tuple[Block, ...]:
        return self._graph.stages[stage].chunks[task.chunk].work.get(task.kind, ())

    def _happening(self, block: Block, task: Task) -> list[Operation]:
        _, _, first, last = self._variant(task)
        there = {"every": True, "first": first, "last": last}
        return [operation for operation in block.operations if there[operation.when]]

    def _once(self, stage: int, operations: Iterable[Operation]) -> Words:
        words = self._block(stage, operations)
        self._count(words, 1)
        return words

    def _block(self, stage: int, operations: Iterable[Operation]) -> Words:
        words = tuple(chain.from_iterable(self._operation(stage, operation) for operation in operations))
        waits = any(isinstance(word, Beside) and word.until == "block" for word in words)
        return (*words, Join()) if waits else words

    def _operation(self, stage: int, operation: Operation) -> list[Word]:
        stream, until = operation.stream, operation.until
        if not isinstance(operation, Collective):
            if not stream:
                return [*self._run(stage, operation)]
            return [*self._beside(stage, operation, stream, until)]
        if not (stream or operation.overlap):
            return [*self._call(stage, operation, 1.0)]
        share = share_of(self._prices, operation)
        if operation.overlap:
            stream, until = stream or operation.axis, "block"
        rest = self._beside(stage, operation, stream, until, 1 - share)
        return [*self._call(stage, operation, share), *rest]

    def _run(self, stage: int, operation: Operation) -> list[Run]:
        seconds = seconds_of(self._prices, operation, stage)
        return [Run(seconds, ((account(operation), seconds),), operation.name)] if seconds else []

    def _call(self, stage: int, operation: Collective, part: float) -> list[Call]:
        use = self._use(stage, COMPUTE, operation, part)
        return [Call(use)] if use else []

    def _beside(
        self, stage: int, operation: Operation, stream: str, until: Until, part: float = 1.0
    ) -> list[Beside]:
        use = self._use(stage, f"stream {stream}", operation, part)
        return [Beside(use, stream, until)] if use else []

    def _use(self, stage: int, lane: str, operation: Operation, part: float) -> Use | None:
        key = (stage, lane, operation, part)
        if key not in self._known:
            seconds = seconds_of(self._prices, operation, stage) * part
            if not seconds:
                return None
            sent = isinstance(operation, Collective)
            use = Use(
                number=len(self.uses) if sent else NOWHERE,
                stage=stage,
                lane=lane,
                name=operation.name,
                op=operation.op if isinstance(operation, Collective) else "",
                axis=operation.axis if isinstance(operation, Collective) else "",
                account=account(operation),
                size=operation.size * part if isinstance(operation, Collective) else 0.0,
                seconds=seconds,
            )
            self._known[key] = self._new(use) if sent else use
        return self._known[key]

    def _new(self, use: Use) -> Use:
        self.uses.append(use)
        return use

    def _count(self, words: Words, number: int) -> None:
        for word in words:
            for inner in word.calls if isinstance(word, Pair) else (word,):
                if isinstance(inner, Call | Beside) and inner.use.number != NOWHERE:
                    self.times[inner.use.number] += number

    def _find_sends(self) -> Iterator[tuple[tuple[int, int], Use]]:
        """Yield what passes between the stages, and count it."""
        often: Counter[tuple[int, int]] = Counter()
        for stage, about in enumerate(self._graph.stages):
            for task in about.tasks:
                goal = self.goal(stage, task)
                if goal is not None and goal[0] != stage:
                    often[stage, goal[0]] += 1
        for (source, target), number in often.items():
            seconds = transfer_of(self._prices, source, target)
            if seconds:
                use = Use(
                    number=len(self.uses),
                    stage=source,
                    target=target,
                    lane=f"to {target}",
                    name=f"to stage {target}",
                    op="send_recv",
                    axis=BOUNDARY,
                    account="exposed_pipeline",
                    size=self._graph.boundary.size,
                    seconds=seconds,
                    gap=self._gap(source),
                )
                self.times[use.number] += number
                yield (source, target), self._new(use)

    def goal(self, stage: int, task: Task) -> Place | None:
        """Return the virtual stage that waits for what a task brings forth, None if there is none."""
        hop = self.hops[stage, task.chunk]
        return {"F": hop.behind, "B": hop.before, "W": None}[task.kind]

    def _gap(self, stage: int) -> float:
        """Return the seconds between two sends of a stage at least; none overlap where they hold it up."""
        lengths = []
        for (where, variant), words in self.variants.items():
            if where == stage and len(variant) > 1:
                return 0.0  # two at once
            if where == stage and variant[0][0] != "W":
                lengths.append(sum(word.seconds for word in words if isinstance(word, Run)))
        return inf if self._graph.boundary.blocking else min(lengths)
