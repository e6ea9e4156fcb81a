"""Prices that the fabric's own links can hold: what the predictor knows of a machine, and what its network carries.

The predictor's runs come from networks whose core is as wide as the ports of their machines. Where the graph at hand
has a narrower core for the traffic of a group, its price grows in proportion. Where a graph tells of no machine at
all, nobody measured the like, and a price is at least what the busiest link needs for its bytes.
"""

from functools import cache

import numpy as np

from simulator.calibration.setting import Setting
from simulator.calibration.steps.prices import StepPrices
from simulator.engine._replay_wiring import NOWHERE, Wiring
from simulator.engine.bundles import Load, Traffic
from workloads.step_graph import Collective, Operation


class Carried:
    """Prices as `StepPrices` gives them, never less than the links take.

    Parameters
    ----------
    prices : StepPrices
        By what the machine is called.
    boundary : float
        Bytes that pass between two stages.
    traffic : Traffic or None
        Where bytes go; None: prices stay as they are.
    told : bool
        Whether the graph says what its machines are.

    Attributes
    ----------
    slower : callable
        From ``(stage, axis, op)`` or ``(source, target)`` to how much the links slow it, and s a byte at least.
    """

    def __init__(self, prices: StepPrices, boundary: float, traffic: Traffic | None, *, told: bool) -> None:
        self._prices, self._boundary, self._traffic, self._told = prices, boundary, traffic, told
        self._where = _places(traffic.ways.wiring) if traffic else None
        self.slower = cache(self._worked_out)

    def setting(self, operation: Collective, stage: int) -> Setting:
        """Return the machine as a collective's groups see it."""
        return self._prices.setting(operation, stage)

    def send(self, source: int, target: int) -> Setting:
        """Return the machine as two neighbours on the pipeline see it."""
        return self._prices.send(source, target)

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of an operation."""
        seconds = self._prices.seconds(operation, stage)
        if not isinstance(operation, Collective) or not seconds:
            return seconds
        return self._held(seconds, operation.size, (stage, operation.axis, operation.op))

    def transfer(self, source: int, target: int) -> float:
        """Return the seconds between two stages."""
        return self._held(self._prices.transfer(source, target), self._boundary, (source, target))

    def exposed(self, operation: Collective) -> float:
        """Return which share of a collective beside computation holds it up all the same."""
        return self._prices.exposed(operation)

    def bound(self, operation: Collective | None, stage: int, target: int) -> bool:
        """Tell whether links and not the predictor set a price: it then grows with the bytes alone."""
        if operation is None:
            return self.transfer(stage, target) > self._prices.transfer(stage, target)
        return self.seconds(operation, stage) > self._prices.seconds(operation, stage)

    def _held(self, seconds: float, size: float, use: tuple[object, ...]) -> float:
        if self._traffic is None or not seconds:
            return seconds
        slower, floor = self.slower(use)
        return max(seconds * slower, size * floor)

    def _worked_out(self, use: tuple[object, ...]) -> tuple[float, float]:
        """Return by how much the core is narrower than the ports, and s a byte at least."""
        if self._traffic is None or self._where is None:
            return 1.0, 0.0
        found: Load = (
            self._traffic.load(*use) if len(use) == 3 else self._traffic.boundary(*use)  # type: ignore[arg-type]
        )
        if not len(found.edges):
            return 1.0, 0.0
        if not self._told:
            return 1.0, float(found.busy.max())
        where = self._where[found.edges]
        ports, core = (float(found.busy[where == place].max(initial=0.0)) for place in (_PORT, _CORE))
        return (max(1.0, core / ports) if ports else 1.0), 0.0


_INSIDE, _PORT, _CORE = 0, 1, 2


def _places(wiring: Wiring) -> np.ndarray:
    """Return of each edge whether it lies inside a machine, leaves or enters one, or joins what is in none."""
    hosted = wiring.machine != NOWHERE
    inside = hosted[wiring.tail].astype(int) + hosted[wiring.head]
    places: np.ndarray = np.array([_CORE, _PORT, _INSIDE])[inside]
    return places
