r"""Prices on a machine that is other than it was: each grows or shrinks as the fitted closed form of its kind does.

The predictor is kept at the level that measurements give a fabric: a faster link is no other fabric, about which the
neighbours of other measurements would have their say. What changes is the ratio of the closed form under the
predictor, which knows the slowest of the ports inside and outside of a machine, ring and tree, and steps:
:math:`t' = t\,f(\lambda', w')/f(\lambda, w)`. It is homogeneous, so latencies k times as large are
:math:`f(k\lambda, w) = k f(\lambda, w/k)`. A latency means all that a message takes without its bytes, software
included: what is measured does not tell them apart.

Where links fail, or are narrower than their neighbours, a price grows as its busiest link does.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from simulator.calibration.corpus import family_of
from simulator.calibration.fitted import fitted
from simulator.calibration.mechanism import Design, log_microseconds
from simulator.calibration.setting import Setting
from simulator.calibration.steps.prices import StepPrices, rounded
from simulator.engine.bundles import Load, Traffic
from simulator.errors import UsageError
from simulator.planning._estimate_carried import Carried
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_step import MOST_LOOKED, Step
from simulator.planning._what_if_machine import INTER, INTRA, Machine, changed_desk
from workloads.layout import Layout
from workloads.step_graph import Collective, Compute, Operation

_NOT_THE_GPU = ("host", "step")  # laws that a slow GPU leaves as they are
Use = tuple[int, str, str] | tuple[int, int]


class Altered:
    """Prices of a step on a changed machine, as `simulator.planning._estimate_carried.Carried` takes them.

    Parameters
    ----------
    prices : StepPrices
        On the machine as it was.
    boundary : float
        Bytes that pass between two stages.
    machine : Machine
        How it differs.
    slowed : mapping of int to float
        Times that a stage computes longer, where one of its GPUs is slow.
    traffic : tuple of Traffic, optional
        Where bytes went, and where they go now.
    """

    def __init__(
        self,
        prices: StepPrices,
        boundary: float,
        machine: Machine,
        slowed: Mapping[int, float],
        traffic: tuple[Traffic, Traffic] | None = None,
    ) -> None:
        self._prices, self._boundary, self._machine, self._slowed = prices, boundary, machine, slowed
        self._traffic = traffic
        self._ratio = cache(self._busier)
        self._factor = cache(lambda setting, size: factor(setting, size, machine.rates, machine.latencies))

    def setting(self, operation: Collective, stage: int) -> Setting:
        """Return the machine as a collective's groups see it."""
        return self._prices.setting(operation, stage)

    def send(self, source: int, target: int) -> Setting:
        """Return the machine as two neighbours on the pipeline see it."""
        return self._prices.send(source, target)

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of an operation."""
        seconds = self._prices.seconds(operation, stage)
        if isinstance(operation, Compute):
            waits = operation.law not in _NOT_THE_GPU
            return seconds * self._slowed.get(stage, 1.0) if waits else seconds
        if not seconds:
            return seconds
        use = (stage, operation.axis, operation.op)
        return (
            seconds * self._factor(self.setting(operation, stage), rounded(operation.size)) * self._ratio(use)
        )

    def transfer(self, source: int, target: int) -> float:
        """Return the seconds between two stages."""
        seconds = self._prices.transfer(source, target)
        if not seconds:
            return seconds
        use = (source, target)
        return seconds * self._factor(self.send(source, target), rounded(self._boundary)) * self._ratio(use)

    def exposed(self, operation: Collective) -> float:
        """Return the exposed share."""
        return self._prices.exposed(operation)

    def _busier(self, use: Use) -> float:
        """Return how much longer the busiest link is busy than before."""
        if self._traffic is None:
            return 1.0
        before, after = (_load(traffic, use).busy for traffic in self._traffic)
        return max(1.0, float(after.max(initial=0.0) / before.max())) if len(before) else 1.0


def _load(traffic: Traffic, use: Use) -> Load:
    return traffic.load(*use) if len(use) == 3 else traffic.boundary(*use)


def factor(
    setting: Setting, size: float, rates: Mapping[str, float], latencies: Mapping[str, float]
) -> float:
    """Return how much longer a collective takes with other links.

    Parameters
    ----------
    setting : Setting
        The operation on its machine.
    size : float
        Bytes in the nccl-tests convention.
    rates, latencies : mapping of str to float
        Times what they were, by role ``intra`` and ``inter``; 1 where left out.
    """
    slower = latencies.get(INTER if setting.transport else INTRA, 1.0)
    inside, outside = rates.get(INTRA, 1.0) * slower, rates.get(INTER, 1.0) * slower
    if inside == outside == 1 or setting.gpus == 1:
        return slower
    # where the inside is not known, the closed form assumes a rate: then it cannot be multiplied
    other = replace(
        setting,
        inside_rate=(setting.inside_rate or 50e9) * inside,
        outside_rate=setting.outside_rate * outside,
    )
    design = Design([setting, other], np.array([0, 1]), np.array([size, size], dtype=float))
    before, after = log_microseconds(_parameters(family_of(setting.library)), design)
    return float(slower * np.exp(after - before))


@cache
def _parameters(family: str) -> np.ndarray:
    return fitted(family, "catalogue").unseen(None)[0]


def altered(step: Step, desk: Desk, machine: Machine) -> Step:
    """Return a step whose prices are those of a changed machine.

    Parameters
    ----------
    step : Step
        On the machine as it was.
    desk : Desk
        Of that machine.
    machine : Machine
        How it differs.
    """
    at, told = step.layout, desk.told(step.options.gpus)
    looked = step.options.fidelity != "formula" or step.options.gpus <= MOST_LOOKED or not told
    traffic = None
    if machine.rerouted and at.world > 1:
        traffic = desk.traffic(at), changed_desk(desk, machine, whole=False).traffic(at)
    prices = StepPrices(step.graph, at, step.site, step.values.profile, desk.times)
    boundary = step.graph.boundary.size
    inner = Altered(prices, boundary, machine, _slowed(machine, at), traffic)
    carried: Traffic | None = None
    if looked and at.world > 1:
        carried = (desk if told else changed_desk(desk, machine, whole=True)).traffic(at)
    return replace(step, prices=Carried(inner, boundary, carried, told=told))  # type: ignore[arg-type]


def _slowed(machine: Machine, at: Layout) -> dict[int, float]:
    """Return how much longer a stage computes: all wait for the slowest rank of it."""
    found: dict[int, float] = {}
    for one in machine.slow:
        if one.rank >= at.world:
            raise UsageError(
                f"--set gpu.slow={one.speed:g}@rank{one.rank}: the ranks are 0 to {at.world - 1}",
                where="--set",
                hint=f"gpu.slow={one.speed:g}@rank0",
            )
        stage = next(stage for stage in range(at.pp) if one.rank in at.stage_ranks(stage))
        found[stage] = max(found.get(stage, 1.0), 1 / one.speed)
    return found
