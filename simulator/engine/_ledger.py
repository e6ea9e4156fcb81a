"""What seconds are made of: every price of a step once, and sums of them that keep their parts."""

from dataclasses import dataclass
from typing import Literal

from simulator.engine._task_prices import seconds_of, share_of
from simulator.engine.result import Prices
from workloads.step_graph import Collective, Operation

Part = Literal["whole", "exposed", "hidden"]
Sum = dict[int, float]  # how often each numbered part of an operation

PARTS: tuple[Part, ...] = ("whole", "exposed", "hidden")
WHOLE, EXPOSED, HIDDEN = range(3)


@dataclass(frozen=True, slots=True)
class Entry:
    """One price: of an operation on a stage, or of a send between two stages.

    Parameters
    ----------
    stage : int
        Where; the sender.
    what : Operation or int
        The operation, or the stage that receives.
    part : str
        ``whole``; of a collective that runs beside the ``exposed`` and the ``hidden`` share.
    """

    stage: int
    what: Operation | int
    part: Part = "whole"


class Ledger:
    """The prices of all operations of a step; equal operations have one number on all stages.

    Parameters
    ----------
    prices : Prices
        Seconds on an idle network.

    Attributes
    ----------
    operations : list of Operation
        By number.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._numbers: dict[Operation, int] = {}
        self._shares: dict[int, float] = {}
        self._seconds: dict[int, _Seconds] = {}
        self.operations: list[Operation] = []

    def number(self, operation: Operation) -> int:
        """Return the number of an operation; its parts are 3 x number + place in ``PARTS``."""
        found = self._numbers.setdefault(operation, len(self.operations))
        if found == len(self.operations):
            self.operations.append(operation)
        return found

    def on(self, stage: int) -> "_Seconds":
        """Return the seconds of whole operations on a stage, by number, each asked for when first wanted."""
        if stage not in self._seconds:
            self._seconds[stage] = _Seconds(self._prices, self.operations, stage)
        return self._seconds[stage]

    def share(self, number: int) -> float:
        """Return the exposed share of a collective that runs beside."""
        if number not in self._shares:
            operation = self.operations[number]
            self._shares[number] = (
                share_of(self._prices, operation) if isinstance(operation, Collective) else 0.0
            )
        return self._shares[number]

    def entry(self, stage: int, part: int) -> tuple[Entry, float]:
        """Return what a part on a stage is, and its seconds."""
        number, which = divmod(part, 3)
        factor = 1.0
        if which:
            factor = self.share(number) if which == EXPOSED else 1 - self.share(number)
        entry = Entry(stage, self.operations[number], PARTS[which])
        return entry, self.on(stage)[number] * factor


class _Seconds(dict[int, float]):
    def __init__(self, prices: Prices, operations: list[Operation], stage: int) -> None:
        super().__init__()
        self._prices, self._operations, self._stage = prices, operations, stage

    def __missing__(self, number: int) -> float:
        found = self[number] = seconds_of(self._prices, self._operations[number], self._stage)
        return found


def add(total: Sum, more: Sum, times: float = 1.0) -> None:
    """Add a sum to another one, so many times."""
    for part, weight in more.items():
        total[part] = total.get(part, 0.0) + times * weight
