"""What seconds are made of: every price of a step once, and sums of them that keep their parts."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.result import Prices
from workloads.step_graph import Collective, Operation

Weights = NDArray[np.float64]


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
        ``whole``; of a collective with an overlap the ``exposed`` and the ``hidden`` share.
    """

    stage: int
    what: Operation | int
    part: str = "whole"


class Ledger:
    """All prices of a step, each under a number.

    Parameters
    ----------
    prices : Prices
        Seconds on an idle network.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._numbers: dict[Hashable, int] = {}
        self.entries: list[Entry] = []
        self.seconds: list[float] = []

    def number(self, entry: Entry) -> int:
        """Return the number of a price, asked for when first met."""
        key = (entry.stage, entry.what, entry.part)
        if key not in self._numbers:
            self._numbers[key] = len(self.entries)
            self.entries.append(entry)
            self.seconds.append(self._price(entry))
        return self._numbers[key]

    def _price(self, entry: Entry) -> float:
        if isinstance(entry.what, int):
            return self._prices.transfer(entry.stage, entry.what)
        seconds = self._prices.seconds(entry.what, entry.stage)
        if entry.part == "whole" or not isinstance(entry.what, Collective):
            return seconds
        share = self._prices.exposed(entry.what)
        return seconds * (share if entry.part == "exposed" else 1 - share)


Sum = dict[int, float]  # how often each numbered price


def add(first: Sum, second: Sum, times: float = 1.0) -> Sum:
    """Return the sum of two sums, the second so many times."""
    if not second:
        return first
    total = dict(first)
    for number, weight in second.items():
        total[number] = total.get(number, 0.0) + times * weight
    return total
