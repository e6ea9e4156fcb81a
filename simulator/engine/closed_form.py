r"""One training step without events: task times by formula, the longest way through the schedule, the account.

It is the same step graph and the same prices that `simulator.engine.replay` plays in events. Where nothing shares a
link both agree to rounding; for equal stages the longest way through a schedule is its published closed form,
(p - 1)(F + B) and the like. What comes out beside the time is which prices it is the sum of:

.. math:: T = \sum_i w_i t_i

so that the sensitivity to any input follows without asking again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simulator.engine._ledger import Entry, Ledger, Sum, add
from simulator.engine._task_time import Loose, Moment, Walk, Walked, together
from simulator.engine.result import ACCOUNTS, Prices, Result
from simulator.errors import CheckError
from workloads.schedules._tasks import groups
from workloads.step_graph import Operation, StepGraph, Task

_Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Solved:
    """A step and what its time is the sum of.

    Parameters
    ----------
    result : Result
        As the event engine gives it.
    entries : tuple of Entry
        The prices that its longest way holds.
    weights : tuple of float
        How often each.
    seconds : tuple of float
        Each price, s.
    """

    result: Result
    entries: tuple[Entry, ...]
    weights: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(slots=True)
class _Node:
    """Tasks that a stage runs at a time: when they start and end, and what held them up before."""

    walked: Walked
    start: float
    end: float
    before: "_Node | None"  # on the longest way
    sent: tuple[int, ...]  # numbers of the prices between the two
    stage: int


class _Stage:
    """A stage on its way through its tasks."""

    def __init__(self, now: Moment) -> None:
        self.begun = now
        self.free = now.at  # when its compute stream is free
        self.last: _Node | None = None
        self.held: tuple[int, ...] = ()  # prices of a blocking send after the last tasks
        self.accounts: dict[str, float] = defaultdict(float)
        self.loose: list[tuple[float, _Node, Loose]] = []


def solve(graph: StepGraph, prices: Prices) -> Solved:
    """Return what a step takes on an idle network.

    Parameters
    ----------
    graph : StepGraph
        The step.
    prices : Prices
        Seconds of everything.

    Raises
    ------
    CheckError
        A schedule that blocks itself.

    References
    ----------
    .. [1] Narayanan et al., SC21, arXiv:2104.04473: 1F1B and its interleaved form.
    .. [2] Baccelli et al., Synchronization and Linearity, Wiley, 1992: schedules as (max, +) recursions.
    """
    return _Solver(graph, prices).solve()


class _Solver:
    def __init__(self, graph: StepGraph, prices: Prices) -> None:
        self.graph = graph
        self.ledger = Ledger(prices)
        self.ends = graph.ends
        self.known: dict[object, Walked] = {}
        self.hops = _hops(graph)
        self.done: dict[tuple[str, int, _Place], tuple[_Node, float, float, tuple[int, ...]]] = {}

    def solve(self) -> Solved:
        graph = self.graph
        stages = [_Stage(self._once(number, stage.before)) for number, stage in enumerate(graph.stages)]
        for number, stage in enumerate(graph.stages):
            for name, seconds in self._paid(number, stage.before).items():
                stages[number].accounts[name] += seconds
        self._run(stages)
        finishes = [self._finish(number, stage) for number, stage in enumerate(stages)]
        last = max(finishes, key=lambda moment: moment.at)
        step = last.at
        bubbles = [
            stage.accounts["bubble"] + step - end.at for stage, end in zip(stages, finishes, strict=True)
        ]
        busiest = min(range(len(stages)), key=lambda number: bubbles[number])
        spent = {**stages[busiest].accounts, "bubble": bubbles[busiest]}
        result = Result(
            step_s=step,
            breakdown_s={name: spent.get(name, 0.0) for name in ACCOUNTS},
            ends_s=tuple(end.at for end in finishes),
        )
        numbers = sorted(number for number, weight in last.path.items() if weight)
        return Solved(
            result=result,
            entries=tuple(self.ledger.entries[number] for number in numbers),
            weights=tuple(last.path[number] for number in numbers),
            seconds=tuple(self.ledger.seconds[number] for number in numbers),
        )

    def _once(self, stage: int, operations: Sequence[Operation]) -> Moment:
        return self._whole(stage, operations).end

    def _paid(self, stage: int, operations: Sequence[Operation]) -> Mapping[str, float]:
        return self._whole(stage, operations).accounts

    def _whole(self, stage: int, operations: Sequence[Operation]) -> Walked:
        from workloads.step_graph import Block

        block = Block(name="once", operations=tuple(operations))
        return Walk(self.ledger, stage).blocks([(block, block.operations)])

    def _run(self, stages: list[_Stage]) -> None:
        """Let every stage go as far as it can, again and again."""
        ahead = [groups(stage.tasks) for stage in self.graph.stages]
        waiting = [next(order, None) for order in ahead]
        moved = True
        while moved:
            moved = False
            for number, stage in enumerate(stages):
                while (tasks := waiting[number]) is not None and self._start(number, stage, tasks):
                    waiting[number] = next(ahead[number], None)
                    moved = True
        blocked = [f"stage {n} waits for {t[0].kind}{t[0].microbatch}" for n, t in enumerate(waiting) if t]
        if blocked:
            raise CheckError(f"the schedule blocks itself: {'; '.join(blocked[:4])}")

    def _start(self, number: int, stage: _Stage, tasks: tuple[Task, ...]) -> bool:
        """Run tasks if what they need is there; tell whether it was."""
        start, before, sent = stage.free, stage.last, stage.held
        for task in tasks:
            need = self._need(number, task, tasks)
            if need is None:
                continue
            found = self.done.get(need)
            if found is None:
                return False
            node, left, there, prices = found
            if there > start:
                way = min(there - start, there - left)
                stage.accounts["exposed_pipeline"] += way
                stage.accounts["bubble"] += there - start - way
                start, before, sent = there, node, prices
        walked = self._walk(number, tasks)
        node = _Node(walked, start, start + walked.end.at, before, sent, number)
        for name, seconds in walked.accounts.items():
            stage.accounts[name] += seconds
        stage.loose += [(start + one.ready.at, node, one) for one in walked.loose]
        self._pass_on(number, stage, node, tasks)
        return True

    def _need(self, number: int, task: Task, together: tuple[Task, ...]) -> tuple[str, int, _Place] | None:
        """Return what a task waits for."""
        here = (number, task.chunk)
        if task.kind == "W":
            own = any(
                t.kind == "B" and (t.microbatch, t.chunk) == (task.microbatch, task.chunk) for t in together
            )
            return None if own else ("own B", task.microbatch, here)
        before, behind = self.hops[here]
        if task.kind == "F":
            return None if before is None else ("F", task.microbatch, here)
        return ("own F", task.microbatch, here) if behind is None else ("B", task.microbatch, here)

    def _pass_on(self, number: int, stage: _Stage, node: _Node, tasks: tuple[Task, ...]) -> None:
        """Tell those that wait, and hold the stage while it sends if its boundary is blocking."""
        stage.last, stage.free, stage.held = node, node.end, ()
        for task in tasks:
            here = (number, task.chunk)
            self.done[f"own {task.kind}", task.microbatch, here] = (node, node.end, node.end, ())
            before, behind = self.hops[here]
            goal = {"F": behind, "B": before, "W": None}[task.kind]
            if goal is None:
                continue
            prices: tuple[int, ...] = ()
            seconds = 0.0
            if goal[0] != number:
                price = self.ledger.number(Entry(number, goal[0]))
                prices, seconds = (price,), self.ledger.seconds[price]
            there = node.end + seconds
            self.done[task.kind, task.microbatch, goal] = (node, node.end, there, prices)
            if self.graph.boundary.blocking and there > stage.free:
                stage.free, stage.held = there, prices
        if stage.free > node.end:
            stage.accounts["exposed_pipeline"] += stage.free - node.end

    def _walk(self, number: int, tasks: tuple[Task, ...]) -> Walked:
        variant = tuple(
            (task.kind, task.chunk, *(task.microbatch == end for end in self.ends[task.chunk]))
            for task in tasks
        )
        key = (number, variant)
        if key not in self.known:
            if len(tasks) == 1:
                self.known[key] = Walk(self.ledger, number).blocks(self._blocks(number, tasks[0]))
            else:
                every = (one for task in tasks for one in self._expanded(number, task))
                self.known[key] = together(self.ledger, number, every)
        return self.known[key]

    def _blocks(self, number: int, task: Task) -> Iterator[tuple["object", list[Operation]]]:
        first, last = (task.microbatch == end for end in self.ends[task.chunk])
        there = {"every": True, "first": first, "last": last}
        for block in self.graph.stages[number].chunks[task.chunk].work.get(task.kind, ()):
            yield block, [operation for operation in block.operations if there[operation.when]]

    def _expanded(self, number: int, task: Task) -> Iterator[Operation]:
        for block, operations in self._blocks(number, task):
            for _ in range(block.repeat):  # type: ignore[attr-defined]
                yield from operations

    def _finish(self, number: int, stage: _Stage) -> Moment:
        """Wait for what runs beside until the end of the step, then do what comes last."""
        now = self._path(stage.last, stage.held) if stage.last else stage.begun
        now = Moment(stage.free, now.path)
        for end, name in self._streams(stage):
            if end.at > now.at:
                stage.accounts[name] += end.at - now.at
                now = end
        after = self._whole(number, self.graph.stages[number].after)
        for name, seconds in after.accounts.items():
            stage.accounts[name] += seconds
        return Moment(now.at + after.end.at, add(now.path, after.end.path))

    def _streams(self, stage: _Stage) -> Iterator[tuple[Moment, str]]:
        """Yield the end of what runs beside, one after another on each stream, in order of issue."""
        free: dict[str, Moment] = {}
        for at, node, one in sorted(stage.loose, key=lambda found: found[0]):
            begun = free.get(one.stream)
            if begun is None or at >= begun.at:
                begun = Moment(at, add(self._before(node).path, one.ready.path))
            free[one.stream] = begun.after(one.number, self.ledger.seconds[one.number])
            yield free[one.stream], one.account

    def _before(self, node: _Node) -> Moment:
        """Return the moment at which tasks start."""
        if node.before is None:
            return self._first(node)
        return self._path(node.before, node.sent)

    def _path(self, node: _Node, sent: tuple[int, ...]) -> Moment:
        """Return the moment after tasks and what was sent after them, with all prices on the way there."""
        path: Sum = dict.fromkeys(sent, 1.0)
        often: dict[int, tuple[Walked, int]] = {}
        at: _Node | None = node
        first = node
        while at is not None:
            walked, times = often.get(id(at.walked), (at.walked, 0))
            often[id(at.walked)] = (walked, times + 1)
            for price in at.sent:
                path[price] = path.get(price, 0.0) + 1.0
            first, at = at, at.before
        for walked, times in often.values():
            path = add(path, walked.end.path, float(times))
        seconds = sum(self.ledger.seconds[price] for price in sent)
        return Moment(node.end + seconds, add(path, self._first(first).path))

    def _first(self, node: _Node) -> Moment:
        """Return the moment before the first tasks of a way."""
        return self._once(node.stage, self.graph.stages[node.stage].before)


def _hops(graph: StepGraph) -> dict[_Place, tuple[_Place | None, _Place | None]]:
    found: dict[_Place, tuple[_Place | None, _Place | None]] = {}
    for route in graph.routes:
        for place, before, behind in zip(route, (None, *route), (*route[1:], None), strict=False):
            found[place] = (before, behind)
    return found
