"""Which input moves a step most: each a tenth up and down, the step solved anew by formula.

Links are scaled as `simulator.planning._what_if_prices` scales them, so that an answer here is that of a what-if.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.calibration.setting import Setting
from simulator.calibration.steps.prices import rounded
from simulator.engine.closed_form import solve
from simulator.engine.result import Prices
from simulator.errors import CommsimError
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_step import Step, prepared
from simulator.planning._what_if_prices import factor
from workloads.step_graph import Collective, Compute, Operation

TENTH = 0.1
_LAWS = {
    "gemm": "MFU of gemm",
    "grouped_gemm": "MFU of grouped gemm",
    "attention": "MFU of attention",
    "optimizer": "optimizer rate",
    "host": "host speed",
    "step": "fixed time of a step",
}
_IN_MEMORY = ("elementwise", "activation", "scores", "cast", "logits", "permute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What a tenth more and a tenth less of an input does to the time of a step, per token.

    Parameters
    ----------
    input : str
        What it is to a person.
    up, down : float or None
        Relative change of the time for +10 % and -10 %; None where that cannot be asked.
    """

    input: str
    up: float | None
    down: float | None

    @property
    def size(self) -> float:
        """Return the larger of both."""
        return max(abs(self.up or 0.0), abs(self.down or 0.0))


class Scaled:
    """Prices with some of them scaled.

    Parameters
    ----------
    prices : Prices
        As they are.
    compute : callable
        Factor of the seconds of a computation.
    talk : callable
        The same of a collective of a stage, or of a send between two.
    """

    def __init__(
        self,
        prices: Prices,
        compute: Callable[[Compute], float] = lambda _: 1.0,
        talk: Callable[[Collective | None, int, int], float] = lambda *_: 1.0,
    ) -> None:
        self._prices, self._compute, self._talk = prices, compute, talk

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of an operation."""
        seconds = self._prices.seconds(operation, stage)
        if isinstance(operation, Compute):
            return seconds * self._compute(operation)
        return seconds * self._talk(operation, stage, stage) if seconds else 0.0

    def transfer(self, source: int, target: int) -> float:
        """Return the seconds between two stages."""
        seconds = self._prices.transfer(source, target)
        return seconds * self._talk(None, source, target) if seconds else 0.0

    def exposed(self, operation: Collective) -> float:
        """Return the exposed share."""
        return self._prices.exposed(operation)


def sensitivities(step: Step, desk: Desk) -> list[Sensitivity]:
    """Return what each input does to a step, the one that moves it most first.

    Parameters
    ----------
    step : Step
        The step.
    desk : Desk
        Its fabric.
    """
    base = solve(step.graph, step.prices).result.step_s

    def change(scaled: Callable[[float], Scaled], name: str) -> Sensitivity:
        up, down = (solve(step.graph, scaled(1 + by)).result.step_s / base - 1 for by in (TENTH, -TENTH))
        return Sensitivity(input=name, up=up, down=down)

    found = [change(scaled, name) for name, scaled in (*_computing(step), *_talking(step))]
    found += _batch(step, desk, base)
    return sorted((one for one in found if one.size > 1e-6), key=lambda one: -one.size)


def _computing(step: Step) -> Iterator[tuple[str, Callable[[float], Scaled]]]:
    laws = {one.law for _, _, _, one in step.graph.operations() if isinstance(one, Compute)}
    for law, name in _LAWS.items():
        if law in laws:
            yield name, _by_law(step.prices, (law,))
    if laws.intersection(_IN_MEMORY):
        yield "memory bandwidth", _by_law(step.prices, _IN_MEMORY)


def _by_law(prices: Prices, laws: tuple[str, ...]) -> Callable[[float], Scaled]:
    def scaled(rate: float) -> Scaled:
        return Scaled(prices, compute=lambda one: 1 / rate if one.law in laws else 1.0)

    return scaled


def _talking(step: Step) -> Iterator[tuple[str, Callable[[float], Scaled]]]:
    inside = {"nvswitch": "nvlink", "nvlink_mesh": "nvlink", "xgmi": "xgmi", "pcie": "pcie"}.get(
        step.site.inside, "node"
    )
    outside = {"infiniband": "ib", "unstated": "network"}.get(step.site.transport, step.site.transport)
    there = _away(step)
    for away, role, name in ((True, "inter", outside), (False, "intra", inside)):
        if away in there:
            yield f"{name} bandwidth", lambda rate, role=role: linked(step, {role: rate}, {})  # type: ignore[misc]
            yield f"{name} latency", lambda rate, role=role: linked(step, {}, {role: rate})  # type: ignore[misc]


def linked(
    step: Step,
    rates: Mapping[str, float],
    latencies: Mapping[str, float],
    compute: Callable[[Compute], float] = lambda _: 1.0,
) -> Scaled:
    """Return prices for links of other rates and latencies, all of a role alike.

    Parameters
    ----------
    step : Step
        The step.
    rates, latencies : mapping of str to float
        Times what they are, by role ``intra`` and ``inter``; 1 where left out.
    compute : callable
        Factor of the seconds of a computation.
    """
    prices, boundary = step.prices, step.graph.boundary.size
    known: dict[tuple[Setting, int], float] = {}

    def talk(one: Collective | None, stage: int, target: int) -> float:
        setting = prices.send(stage, target) if one is None else prices.setting(one, stage)
        if prices.bound(one, stage, target):  # by the links themselves: nothing but bytes over their rate
            return 1 / rates.get("inter" if setting.transport else "intra", 1.0)
        size = rounded(boundary if one is None else one.size)
        if (setting, size) not in known:
            known[setting, size] = factor(setting, size, rates, latencies)
        return known[setting, size]

    return Scaled(prices, compute=compute, talk=talk)


def _batch(step: Step, desk: Desk, base: float) -> list[Sensitivity]:
    """Return what a larger and a smaller global batch do to the time per token, brought to a tenth."""
    options, every = step.options, step.training.microbatches
    if options.schedule.endswith(".toml"):
        return []
    each = options.mbs * step.layout.dp
    unit = step.layout.pp if step.training.schedule in ("interleaved",) else 1
    unit = 2 if step.training.schedule == "dualpipe" else unit
    by = max(unit, round(TENTH * every / unit) * unit)
    found: dict[int, float | None] = {}
    for sign in (1, -1):
        try:
            other = _replaced(options, gbs=(every + sign * by) * each)
            graph = prepared(other, desk)
        except (CommsimError, ValueError):
            found[sign] = None
            continue
        per_token = solve(graph.graph, graph.prices).result.step_s / graph.graph.tokens
        found[sign] = (per_token / (base / step.graph.tokens) - 1) * TENTH * every / by
    return [Sensitivity(input="gbs", up=found[1], down=found[-1])]


def _replaced(options: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(options, **changes)


def as_rows(found: list[Sensitivity]) -> list[Mapping[str, Any]]:
    """Return sensitivities as rows."""
    return [{"input": one.input, "up": one.up, "down": one.down} for one in found]


def present(step: Step) -> list[str]:
    """Return the inputs that a step has, as `simulator.planning.sobol` names them."""
    laws = {one.law for _, _, _, one in step.graph.operations() if isinstance(one, Compute)}
    found = [law for law in _LAWS if law in laws and law != "step"]
    if laws.intersection(_IN_MEMORY):
        found.append("memory")
    away = _away(step)
    for role, there in (("inter", True in away), ("intra", False in away)):
        if there:
            found += [f"{role}.bandwidth", f"{role}.latency"]
    return found if step.options.schedule.endswith(".toml") else [*found, "gbs"]


def _away(step: Step) -> set[bool]:
    """Return whether anything crosses machines (True), or stays in one (False)."""
    settings = [
        step.prices.setting(one, stage)
        for stage, _, _, one in step.graph.operations()
        if isinstance(one, Collective)
    ]
    settings += [step.prices.send(stage, stage + 1) for stage in range(len(step.graph.stages) - 1)]
    return {bool(setting.transport) for setting in settings if setting.gpus > 1}
