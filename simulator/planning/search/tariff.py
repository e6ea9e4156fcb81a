"""Prices of one way to lay ranks on a fabric, and whether all stages of a pipeline pay the same."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.setting import Setting
from simulator.calibration.steps.prices import StepPrices, Times, rounded, slowdown
from simulator.calibration.steps.site import Site
from simulator.engine.compute import lookup
from simulator.planning._estimate_carried import Carried
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_step import MOST_LOOKED
from workloads.layout import AXES, Layout
from workloads.step_graph import Collective


class _Talk(StepPrices):
    """Prices of collectives alone, of no graph in particular."""

    def __init__(self, layout: Layout, site: Site, profile: Mapping[str, float], times: Times) -> None:
        self._layout, self._site, self._profile, self._times = layout, site, profile, times
        self._boundary, self._compute = 1.0, {}


@dataclass(slots=True)
class _Use:
    """An operation of an axis: on what machine, how much slower than there alone, s a byte at least."""

    setting: Setting
    factor: float
    floor: float
    known: dict[float, float] = field(default_factory=dict)  # s by bytes


class Tariff:
    """What collectives take among the ranks of a layout; those of a stage stand for those of all.

    Parameters
    ----------
    layout : Layout
        Which ranks talk.
    site : Site
        The machines.
    profile : mapping of str to float
        Values of the laws.
    desk : Desk
        The fabric, with what was asked before.

    Attributes
    ----------
    regular : bool
        Whether every stage has its groups on machines alike and its bytes on links alike, so that one price
        holds for all; else a price is that of the cheapest stage, which bounds the step from below.
    times : Times
        What collectives take alone, kept for all layouts of a fabric.
    """

    def __init__(self, layout: Layout, site: Site, profile: Mapping[str, float], desk: Desk) -> None:
        self.layout, self.times = layout, desk.times
        self._site, self._profile = site, profile
        self._told = desk.told(layout.world)
        looked = layout.world > 1 and (layout.world <= MOST_LOOKED or not self._told)
        traffic = desk.traffic(layout) if looked else None
        self._prices = Carried(_Talk(layout, site, profile, desk.times), 1.0, traffic, told=self._told)
        self._bare = traffic is None
        self._held: dict[tuple[str, str], tuple[float, float]] = {}
        self._uses: dict[tuple[str, str], _Use] = {}
        self._pairs: dict[tuple[int, int], tuple[Setting, float, float]] = {}
        inside = layout.tp * layout.cp * layout.dp
        aligned = inside % site.per_node == 0 or site.per_node % inside == 0
        self.regular = layout.pp == 1 or (aligned and layout.order == AXES)

    def setting(self, operation: Collective) -> Setting:
        """Return the machine as a collective's groups see it, on the first stage."""
        return self._prices.setting(operation, 0)

    def asked(self, operations: Iterable[Collective]) -> Iterator[tuple[Setting, int]]:
        """Yield what the predictor has to know for some collectives."""
        for one in operations:
            use = self._use(one)
            if use.setting.gpus > 1:
                yield use.setting, rounded(one.size)

    def sends(self) -> set[Setting]:
        """Return the machine as two neighbours on the pipeline see it, wherever they are."""
        pp = self.layout.pp
        return {self._prices.send(stage, (stage + 1) % pp) for stage in range(pp)} if pp > 1 else set()

    def carried(self, axis: str, op: str) -> tuple[float, float]:
        """Return by how much links slow an operation, and s a byte at least: the least of all stages."""
        if self._bare or self.layout.size(axis) == 1:
            return 1.0, 0.0
        if (axis, op) not in self._held:
            stages = range(self.layout.pp) if axis != "embedding" else sorted({0, self.layout.pp - 1})
            every = {self._prices.slower((stage, axis, op)) for stage in stages}
            self.regular &= len(every) == 1
            self._held[axis, op] = min(every)
        return self._held[axis, op]

    def seconds(self, operation: Collective) -> float:
        """Return the seconds of a collective."""
        use, size = self._use(operation), operation.size
        if use.setting.gpus == 1:
            return 0.0
        if size not in use.known:
            use.known[size] = max(self.times.seconds(use.setting, size) * use.factor, size * use.floor)
        return use.known[size]

    def _use(self, operation: Collective) -> "_Use":
        key = (operation.axis, operation.op)
        found = self._uses.get(key)
        if found is None:
            setting = self.setting(operation)
            slower, floor = self.carried(*key) if setting.gpus > 1 else (1.0, 0.0)
            factor = lookup(self._profile, slowdown(setting)) * slower if setting.gpus > 1 else 1.0
            found = self._uses[key] = _Use(setting, factor, floor)
        return found

    def exposed(self, operation: Collective) -> float:
        """Return the share of a collective that holds up computation beside it."""
        return self._prices.exposed(operation)

    def transfers(self, pairs: Sequence[tuple[int, int]], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds that bytes take between pairs of stages, shape (pairs, sizes)."""
        found: dict[tuple[Setting, float, float], NDArray[np.float64]] = {}
        for pair in pairs:
            setting, slower, floor = price = self._pair(pair)
            if price not in found:
                factor = lookup(self._profile, slowdown(setting)) * slower
                alone = np.array([self.times.seconds(setting, size) for size in sizes.tolist()])
                found[price] = np.maximum(alone * factor, sizes * floor)
        return np.array([found[self._pair(pair)] for pair in pairs]).reshape(len(pairs), len(sizes))

    def _pair(self, pair: tuple[int, int]) -> tuple[Setting, float, float]:
        if pair not in self._pairs:
            bare = self._bare
            self._pairs[pair] = (
                self._prices.send(*pair),
                *((1.0, 0.0) if bare else self._prices.slower(pair)),
            )
        return self._pairs[pair]
