r"""Which input's uncertainty makes most of a step's: variance-based shares over ranges of all inputs at once.

The first-order index of an input is the share of the variance that goes when it is known,
:math:`S_i = \mathrm{Var}(\mathrm{E}[t \mid x_i])/\mathrm{Var}(t)`; the total index is what stays when all others
are known, so that total less first order is what it does together with others.

References
----------
.. [1] Sobol', Mathematics and Computers in Simulation 55, 2001, doi:10.1016/S0378-4754(00)00270-6.
.. [2] Saltelli et al., Computer Physics Communications 181, 2010, doi:10.1016/j.cpc.2009.09.018: the estimators.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.accounting.cost import HOUR
from simulator.engine.closed_form import solve
from simulator.engine.result import Prices
from simulator.errors import InfeasibleError
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_step import Step, prepared
from simulator.planning._sobol_ranges import MEMORY, Range
from simulator.planning.sensitivity import linked
from workloads.step_graph import Compute

Floats = NDArray[np.float64]
CONFIDENCE = 0.9
RESAMPLES = 999
ACCURACY = 0.1  # half of an interval above which more samples are advised


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an input makes of the variance, with 90 % intervals from the bootstrap.

    Parameters
    ----------
    input : Range
        What was varied.
    first, first_low, first_high : float
        First-order index.
    total, total_low, total_high : float
        Total index.
    """

    input: Range
    first: float
    first_low: float
    first_high: float
    total: float
    total_low: float
    total_high: float

    @property
    def wide(self) -> float:
        """Return half of the wider of both intervals."""
        return max(self.first_high - self.first_low, self.total_high - self.total_low) / 2


def shares(
    function: Callable[[Floats], Floats], ranges: Sequence[Range], *, samples: int, seed: int
) -> list[Share]:
    """Return the indices of a function's inputs, the largest total first.

    Parameters
    ----------
    function : callable
        From inputs, shape (inputs, points), to values, shape (points,).
    ranges : sequence of Range
        Of each input, those of factors are sampled evenly in their logarithm.
    samples : int
        A power of two; the function is asked ``samples * (inputs + 2)`` times.
    seed : int
        Of the scrambled sequence.

    Raises
    ------
    InfeasibleError
        Nothing moves the function, so that there is no variance to share out.
    """
    from scipy.stats.qmc import Sobol

    logs = np.array([one.factor for one in ranges])[:, None]
    ends = np.array([(one.low, one.high) for one in ranges])
    low, high = (np.where(logs, np.log(np.where(logs, end, 1.0)), end) for end in (ends[:, :1], ends[:, 1:]))
    word = "rng" if "rng" in signature(Sobol).parameters else "seed"  # renamed in SciPy 1.15
    unit = Sobol(d=2 * len(ranges), **{word: np.random.default_rng(seed)}).random(samples).T
    one, other = (low + (high - low) * half for half in np.split(unit, 2))
    mixed = np.repeat(one[None], len(ranges), axis=0)
    for place in range(len(ranges)):
        mixed[place, place] = other[place]
    points = np.concatenate([one, other, *mixed], axis=1)
    values = function(np.where(logs, np.exp(np.where(logs, points, 0.0)), points)).reshape(-1, samples)
    if not np.ptp(values) > 0:
        raise InfeasibleError("nothing of what is varied moves the answer", where="--range")
    found = indices(values)
    spread = _bootstrap(values, np.random.default_rng(seed))
    return sorted(
        (_share(*each) for each in zip(ranges, found.T, spread, strict=True)), key=lambda x: -x.total
    )


def indices(values: Floats) -> Floats:
    """Return first-order and total indices by the estimators of [2]_, table 2, b and f.

    Parameters
    ----------
    values : array, shape (2 + inputs, points)
        Of the function at both samples, and at the first with one input each from the second.

    Returns
    -------
    array, shape (2, inputs)
    """
    centred = values - values[:2].mean()
    one, other, mixed = centred[0], centred[1], centred[2:]
    variance = centred[:2].var()
    first = (other * (mixed - one)).mean(axis=1)
    total = ((one - mixed) ** 2).mean(axis=1) / 2
    both: Floats = np.stack([first, total]) / variance
    return both


def _bootstrap(values: Floats, generator: np.random.Generator) -> Floats:
    """Return the ends of the intervals of all indices, shape (inputs, 2 indices, 2 ends)."""
    count = values.shape[1]
    drawn = [indices(values[:, generator.integers(0, count, count)]) for _ in range(RESAMPLES)]
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    ends: Floats = np.quantile(np.array(drawn), tails, axis=0).transpose(2, 1, 0)
    return ends


def _share(one: Range, found: Floats, ends: Floats) -> Share:
    (first, total), (first_ends, total_ends) = found.tolist(), ends.tolist()
    return Share(
        input=one,
        first=first,
        first_low=first_ends[0],
        first_high=first_ends[1],
        total=total,
        total_low=total_ends[0],
        total_high=total_ends[1],
    )


def step_shares(
    step: Step,
    desk: Desk,
    ranges: Sequence[Range],
    *,
    samples: int,
    seed: int,
    price: float | None = None,
    done: Callable[[], object] = lambda: None,
) -> tuple[list[Share], float]:
    """Return what each input makes of the variance of a step by formula, and the variation coefficient.

    Parameters
    ----------
    step : Step
        The step.
    desk : Desk
        Its fabric.
    ranges : sequence of Range
        Of ``inter.bandwidth inter.latency intra.bandwidth intra.latency``, a law of computing, ``gbs`` and ``price``.
    samples, seed
        As `shares` takes them.
    price : float, optional
        USD for a GPU and hour: the answer is then USD for a token, else seconds for a token.
    done : callable
        Called after each point.
    """
    model = _Model(step, desk, [one.name for one in ranges], price)
    values: list[float] = []

    def function(points: Floats) -> Floats:
        found = []
        for column in points.T:
            found.append(model.answer(column))
            done()
        values.extend(found)
        return np.array(found)

    answer = shares(function, ranges, samples=samples, seed=seed)
    return answer, float(np.std(values) / np.mean(values))


class _Model:
    """A step as a function of what is varied."""

    def __init__(self, step: Step, desk: Desk, names: Sequence[str], price: float | None) -> None:
        self._step, self._desk, self._names, self._price = step, desk, list(names), price
        self._steps: dict[int, Step] = {step.options.gbs: step}

    def answer(self, values: Floats) -> float:
        """Return seconds or USD for a token."""
        at: dict[str, float] = dict(zip(self._names, values.tolist(), strict=True))
        step = self._of_batch(at.get("gbs", 1.0))
        prices = _scaled(step, at)
        per_token: float = solve(step.graph, prices).result.step_s / step.graph.tokens
        if self._price is None:
            return per_token
        return per_token * step.options.gpus * self._price * at.get("price", 1.0) / HOUR

    def _of_batch(self, times: float) -> Step:
        base, each = self._step.options, self._step.options.mbs * self._step.layout.dp
        unit = each * (self._step.layout.pp if self._step.training.schedule == "interleaved" else 1)
        unit *= 2 if self._step.training.schedule == "dualpipe" else 1
        batch = max(unit, round(base.gbs * times / unit) * unit)
        if batch not in self._steps:
            self._steps[batch] = prepared(replace(base, gbs=batch), self._desk)
        return self._steps[batch]


def _scaled(step: Step, at: Mapping[str, float]) -> Prices:
    """Return prices with links and laws scaled."""
    rates = {role: at.get(f"{role}.bandwidth", 1.0) for role in ("intra", "inter")}
    latencies = {role: at.get(f"{role}.latency", 1.0) for role in ("intra", "inter")}

    def compute(one: Compute) -> float:
        return 1 / at.get("memory" if one.law in MEMORY else one.law, 1.0)

    return linked(step, rates, latencies, compute)


def as_rows(found: Sequence[Share]) -> list[dict[str, Any]]:
    """Return shares as rows."""
    names = ("first", "first_low", "first_high", "total", "total_low", "total_high")
    return [
        {"input": share.input.name, "low": share.input.low, "high": share.input.high}
        | {name: getattr(share, name) for name in names}
        for share in found
    ]
