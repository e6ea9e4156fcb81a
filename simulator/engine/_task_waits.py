"""What the tasks of a step wait for beside the end of the one before: bytes on the way, or being sent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.engine._task_order import Plan
from simulator.engine._task_prices import transfer_of
from simulator.engine.result import Prices

Floats = NDArray[np.float64]


class Waits:
    """Seconds between the nodes of a plan.

    Parameters
    ----------
    plan : Plan
        The nodes.
    prices : Prices
        Seconds on an idle network.
    blocking : bool
        Whether a stage does nothing else while it sends.

    Attributes
    ----------
    hop : array of float
        From the node that each needs, s, shape (nodes,).
    held : array of float
        From the node before it, s, while that one's bytes are sent, shape (nodes,).
    """

    def __init__(self, plan: Plan, prices: Prices, *, blocking: bool) -> None:
        self._plan = plan
        self._price = np.array([0.0, *(transfer_of(prices, *pair) for pair in plan.pairs[1:])])
        self.hop: Floats = self._price[plan.hop]
        self._sends = np.zeros(len(plan.stage))
        if blocking:
            np.maximum.at(self._sends, plan.group, self._price[plan.sent])
        self.held: Floats = self._sends[plan.before]

    def price(self, pair: int) -> float:
        """Return the seconds between two stages, by the number of the pair."""
        return float(self._price[pair])

    def totals(self, ends: Sequence[float]) -> tuple[Floats, Floats]:
        """Return what each stage waits for bytes of others, its own among them, and for all else.

        Parameters
        ----------
        ends : sequence of float
            When each node ends, s.

        Returns
        -------
        two arrays of float
            s, shape (stages,).
        """
        plan, after = self._plan, slice(self._plan.stages + 1, None)
        end, stage = np.array(ends), plan.stage[after]
        hop, held = self.hop[after], self.held[after]
        free = end[plan.before[after]] + held
        wait = np.maximum(end[plan.need[after]] + hop - free, 0.0)
        way = np.minimum(wait, hop)
        sent = np.bincount(stage, way + held, minlength=plan.stages).astype(np.float64)
        return sent, np.bincount(stage, wait - way, minlength=plan.stages).astype(np.float64)

    def came(self, node: int, ends: Sequence[float]) -> tuple[int, int]:
        """Return the node whose end let another one start, and the pair of stages between them, 0 for none."""
        plan = self._plan
        before, need = int(plan.before[node]), int(plan.need[node])
        if ends[need] + self.hop[node] > ends[before] + self.held[node]:
            return need, int(plan.hop[node])
        return before, self._sending(before) if self.held[node] else 0

    def _sending(self, last: int) -> int:
        """Return the pair of stages between which a group sends longest."""
        plan, node = self._plan, last
        while self._price[plan.sent[node]] < self._sends[last]:
            node = int(plan.before[node])
        return int(plan.sent[node])
