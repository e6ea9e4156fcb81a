"""The work of all tasks of a step, those alike followed once: equal operations at equal prices."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from simulator.engine._ledger import EXPOSED, HIDDEN, WHOLE, Ledger, Sum, add
from simulator.engine._task_order import Variant
from simulator.engine._task_time import Aside, Hold, Left, Moment, Steps, Walk, Walked
from simulator.engine.result import account
from workloads.step_graph import Block, Collective, Compute, Operation, StepGraph


@dataclass(slots=True, eq=False)
class _Piece:
    """Operations in order at their prices: numbers, whole seconds, and the steps once they are known."""

    numbers: tuple[int, ...]
    seconds: tuple[float, ...]
    steps: Steps | None = field(default=None)


Pieces = tuple[tuple[_Piece, int], ...]  # each with how often it is repeated


class TaskWork:
    """What the tasks of a step come to.

    Parameters
    ----------
    graph : StepGraph
        The step.
    ledger : Ledger
        Prices.
    """

    def __init__(self, graph: StepGraph, ledger: Ledger) -> None:
        self._graph, self._ledger = graph, ledger
        self._numbers: dict[int, tuple[int, ...]] = {}  # of the operations of a block, by its identity
        self._pieces: dict[tuple[tuple[int, ...], tuple[float, ...]], _Piece] = {}
        self._known: dict[tuple[object, ...], Walked] = {}
        self.ordered = [self._ordered(number) for number in range(len(graph.stages))]

    def once(self, stage: int, operations: Sequence[Operation]) -> Walked:
        """Return what comes before or after the tasks of a stage, each stream followed to its end."""
        numbers = tuple(self._ledger.number(one) for one in operations)
        streams = frozenset(_stream(one) for one in operations)
        return Walk(streams).blocks([(self._steps(self._piece(stage, numbers)), 1)])

    def of(self, stage: int, variant: Variant) -> Walked:
        """Return tasks that run at a time, told from their start on, while their streams are free."""
        pieces = tuple(tuple(self._of_task(stage, *task)) for task in variant)
        ordered = self.ordered[stage]
        key = (*pieces, ordered)
        if key not in self._known:
            if len(pieces) > 1:
                self._known[key] = self._together([part for task in pieces for part in task])
            else:
                self._known[key] = self._walk(pieces[0], Walk(ordered))
        return self._known[key]

    def behind(self, stage: int, variant: Variant, begin: Moment, free: dict[str, Moment]) -> Walked:
        """Return a task that begins while some of its streams are busy."""
        ordered = self.ordered[stage]
        busy = {name: free[name] for name in ordered if name in free}
        return self._walk(tuple(self._of_task(stage, *variant[0])), Walk(ordered, begin, busy))

    def _walk(self, pieces: Pieces, walk: Walk) -> Walked:
        return walk.blocks((self._steps(piece), times) for piece, times in pieces)

    def _of_task(
        self, stage: int, kind: str, chunk: int, first: bool, last: bool
    ) -> Iterator[tuple[_Piece, int]]:
        there = {"every": True, "first": first, "last": last}
        for block in _blocks(self._graph, stage, chunk, kind):
            numbers = self._block(block)
            if not all(there[one.when] for one in block.operations):
                numbers = tuple(
                    number for number, one in zip(numbers, block.operations, strict=True) if there[one.when]
                )
            yield self._piece(stage, numbers), block.repeat

    def _block(self, block: Block) -> tuple[int, ...]:
        found = self._numbers.get(id(block))
        if found is None:
            found = self._numbers[id(block)] = tuple(map(self._ledger.number, block.operations))
        return found

    def _piece(self, stage: int, numbers: tuple[int, ...]) -> _Piece:
        seconds = tuple(map(self._ledger.on(stage).__getitem__, numbers))
        key = (numbers, seconds)
        if key not in self._pieces:
            self._pieces[key] = _Piece(numbers, seconds)
        return self._pieces[key]

    def _ordered(self, stage: int) -> frozenset[str]:
        """Return the streams of a stage on which something waits for the step, something else does not."""
        seen: set[int] = set()
        for chunk in self._graph.stages[stage].chunks:
            for blocks in chunk.work.values():
                seen.update(*map(self._block, blocks))
        operations = [self._ledger.operations[number] for number in seen]
        beside = [one for one in operations if one.stream or _overlaps(one)]
        late = {_stream(one) for one in beside if one.until == "step" and not _overlaps(one)}
        late |= {_stream(one) for one in self._graph.stages[stage].before if one.until == "step"}
        return frozenset(late & {_stream(one) for one in beside if one.until != "step" or _overlaps(one)})

    def _steps(self, piece: _Piece) -> Steps:
        if piece.steps is None:
            piece.steps = tuple(_merged(self._each(piece)))
        return piece.steps

    def _each(self, piece: _Piece) -> Iterator[Hold | Aside]:
        """Yield the steps of operations; what takes no time is none."""
        for number, seconds in zip(piece.numbers, piece.seconds, strict=True):
            operation, part = self._ledger.operations[number], 3 * number
            name = account(operation)
            beside = _stream(operation)
            if not beside:
                yield _hold(seconds, part + WHOLE, name)
            elif isinstance(operation, Compute):
                yield Aside(seconds, {part + WHOLE: 1.0}, name, beside, operation.until)
            else:
                share = self._ledger.share(number)
                yield _hold(seconds * share, part + EXPOSED, name)
                until = "block" if operation.overlap else operation.until
                yield Aside(seconds * (1 - share), {part + HIDDEN: 1.0}, name, beside, until)

    def _together(self, pieces: Iterable[tuple[_Piece, int]]) -> Walked:
        """Return tasks side by side: the longer of all that they compute and all that they send."""
        work, talk, later = _Total(), _Total(), []
        for piece, times in pieces:
            for number, seconds in zip(piece.numbers, piece.seconds, strict=True):
                operation, prices = self._ledger.operations[number], {3 * number + WHOLE: 1.0}
                name = account(operation)
                if isinstance(operation, Collective):
                    if operation.stream and operation.until == "step" and not _overlaps(operation):
                        later += [Aside(seconds, prices, name, operation.stream, "step")] * times
                    else:
                        talk.count(seconds, prices, name, times)
                elif not operation.stream:
                    work.count(seconds, prices, name, times)
        longer = talk if talk.seconds > work.seconds else work
        accounts = dict(work.accounts)
        for name, seconds in talk.accounts.items() if longer is talk else ():
            exposed = seconds * (1 - work.seconds / talk.seconds)
            accounts[name] = accounts.get(name, 0.0) + exposed
        end = Moment(longer.seconds, Moment(0.0), longer.prices)
        return Walked(end, accounts, tuple(Left(end, one) for one in later if one.seconds))


class _Total:
    """A sum of seconds with its prices and accounts."""

    def __init__(self) -> None:
        self.seconds, self.prices = 0.0, Sum()
        self.accounts: dict[str, float] = {}

    def count(self, seconds: float, prices: Sum, name: str, times: float = 1.0) -> None:
        self.seconds += seconds * times
        add(self.prices, prices, times)
        self.accounts[name] = self.accounts.get(name, 0.0) + seconds * times


def _merged(steps: Iterable[Hold | Aside]) -> Iterator[Hold | Aside]:
    """Yield steps without those that take no time, what holds the stage one after another as one."""
    total = _Total()
    for step in steps:
        if isinstance(step, Hold):
            for name, seconds in step.accounts.items():
                total.count(seconds, step.prices, name)
        elif step.seconds:
            if total.seconds:
                yield Hold(total.seconds, total.prices, total.accounts)
                total = _Total()
            yield step
    if total.seconds:
        yield Hold(total.seconds, total.prices, total.accounts)


def _hold(seconds: float, part: int, name: str) -> Hold:
    return Hold(seconds, {part: 1.0}, {name: seconds})


def _overlaps(operation: Operation) -> bool:
    return isinstance(operation, Collective) and bool(operation.overlap)


def _stream(operation: Operation) -> str:
    """Return the stream beside, empty for what only holds the compute stream."""
    if isinstance(operation, Collective) and operation.overlap:
        return operation.stream or operation.axis
    return operation.stream


def _blocks(graph: StepGraph, stage: int, chunk: int, kind: str) -> Sequence[Block]:
    work = graph.stages[stage].chunks[chunk].work
    return next((blocks for task, blocks in work.items() if task == kind), ())
