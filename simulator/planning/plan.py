"""Which layout to run: every legal one looked at, the best by formula replayed, and why the winner wins."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import numpy as np

from simulator.accounting import energy, fits
from simulator.errors import CommsimError, InfeasibleError, UsageError
from simulator.planning._estimate_options import Options
from simulator.planning._estimate_power import network_power
from simulator.planning._plan_axes import axes
from simulator.planning._plan_rows import OBJECTIVES, Row, explain, front, replayed, score
from simulator.planning.budget import Budget, in_time
from simulator.planning.estimate import Desk, prepared, run
from simulator.planning.search.basis import Basis, Recipe
from simulator.planning.search.best import Found, Hunt
from simulator.planning.search.bounds import Bounds
from simulator.planning.search.space import Space
from simulator.planning.search.survey import Survey
from simulator.planning.ties import mark
from workloads.layout import Layout, label

__all__ = ["OBJECTIVES", "Planned", "plan"]
GIB = 2**30
_FEWEST = 4  # layouts of a search that are replayed
Tell = Callable[[str, int, int | None], object]
_VALUES = {"time": "step_s", "cost": "cost_usd", "energy": "energy_J"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The answer of a search.

    Parameters
    ----------
    rows : list of dict
        Best first, as ``commsim plan --json`` prints them.
    evaluated, feasible, walked : int
        Candidates looked at; that fit in memory; whose schedule was followed task by task, the others being
        slower by a bound.
    search_s : float
        Wall seconds of the search, without the replays.
    rejected : list of dict
        By the value of each axis: candidates, how many fit, the fastest of them.
    pareto : list of dict
        The rows of which no other is better in two objectives.
    warnings : list of str
        What a reader should know.
    """

    rows: list[Row]
    evaluated: int
    feasible: int
    walked: int
    search_s: float
    rejected: list[Row] = field(default_factory=list)
    pareto: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Searched:
    """A search on so many GPUs of a fabric: the candidates kept, and what became of the others."""

    basis: Basis
    survey: Survey
    hunt: Hunt
    found: list[Found]


def plan(
    asked: Sequence[tuple[Options, Desk]], space: Space, *, objective: str = "time", top: int = 10,
    looked: int = 0, pareto: Sequence[str] = (), rejected: bool = False, budget: Budget | None = None,
    tell: Tell = lambda *_: None,
) -> Planned:  # fmt: skip
    """Return the best layouts.

    Parameters
    ----------
    asked : sequence of (Options, Desk)
        For each number of GPUs and each fabric: model, batch and what is settled, at the fidelity of the rows.
    space : Space
        What may be chosen.
    objective : str
        Of `OBJECTIVES`: what the best layout has least of, for a token.
    top : int
        Rows wanted.
    looked : int
        Layouts of each search that are replayed before the best are taken; 0: twice ``top`` in all.
    pareto : sequence of str
        Two objectives of which the front is wanted.
    rejected : bool
        Whether to say what became of the others, axis by axis.
    budget : Budget, optional
        Of the whole run: rows then tell days and money, and those that end too late are left out.
    tell : callable
        Called with what is done, how many are done, of how many.

    Raises
    ------
    UsageError
        An objective that there is not, no legal layout at all.
    InfeasibleError
        No layout fits in memory, or none ends in time.
    """
    _known(objective, *pareto)
    start = perf_counter()
    searched: list[_Searched] = []
    faults: list[CommsimError] = []
    keep = looked or max(_FEWEST, -(-2 * top // len(asked)))
    for number, (options, desk) in enumerate(asked):
        tell("search", number, len(asked))
        try:
            searched.append(_search(options, space, desk, keep, {objective, *pareto}))
        except (InfeasibleError, UsageError) as error:
            faults.append(error)
    if not searched:
        raise faults[0]
    took = perf_counter() - start
    answers = [(one.basis, found) for one in searched for found in one.found]
    alone = len(searched) == 1 and objective == "time" and not pareto
    replay = partial(tell, "replay")
    every, warnings = replayed(answers, asked[0][0].fidelity, replay, enough=top if alone else 0)
    if budget is not None:
        every, late = _whole(every, budget)
        warnings += late
    every.sort(key=lambda row: score(row, objective))
    explain(every)
    mark(every, _VALUES[objective])
    groups = [group for one in searched for group in one.survey.groups]
    return Planned(
        rows=every[:top],
        evaluated=sum(group.size for group in groups),
        feasible=sum(int(group.fits.sum()) for group in groups),
        walked=sum(one.hunt.walked + one.hunt.solved for one in searched),
        search_s=took,
        rejected=[row for one in searched for row in axes(one.survey)] if rejected else [],
        pareto=front(every, pareto) if pareto else [],
        warnings=[*dict.fromkeys([*warnings, *(error.message for error in faults)])],
    )


def _known(*objectives: str) -> None:
    for name in objectives:
        if name not in OBJECTIVES:
            said = f"--objective {name}: wanted one of {', '.join(OBJECTIVES)}"
            raise UsageError(said, where="--objective", hint="--objective time")


def _whole(rows: list[Row], budget: Budget) -> tuple[list[Row], list[str]]:
    """Return the rows with what they make of a whole run, those that end too late left out, and how many these are."""
    every = [row | budget.of(row) for row in rows]
    found = in_time(every, budget)
    late = len(every) - len(found)
    said = f"{late} of the replayed layouts end after {budget.days or 0:g} days and are left out"
    return found, [said] if late else []


def _search(options: Options, space: Space, desk: Desk, keep: int, objectives: Set[str]) -> _Searched:
    """Return the best candidates on so many GPUs by formula."""
    basis = Basis(replace(options, fidelity="formula"), desk)
    survey = Survey(basis, space)
    try:
        visible: float | None = fits.capacity(basis.site.device.name).visible
    except ValueError:
        visible = None
    survey.run(visible)
    if not survey.groups:
        raise UsageError(
            f"--gpus {options.gpus}, --gbs {options.gbs}: no degrees of parallelism are legal with what is fixed",
            where="--gpus",
            hint="a --gbs that more data parallel degrees divide, or fewer options fixed",
        )
    if not any(group.fits.any() for group in survey.groups):
        raise _too_large(survey, visible)

    def alone(at: Layout, recipe: Recipe) -> float:
        try:
            return run(prepared(basis.asked(at, recipe), desk), desk).step_s
        except CommsimError:
            return np.inf

    hunt = Hunt(survey, keep, alone)
    bounds = Bounds(survey)
    found = hunt.narrowed(bounds) if objectives - {"energy"} else []
    if "energy" in objectives:
        hunt.burdened = _burdened(basis)
        known = {(one.layout, one.recipe) for one in found}
        found += [one for one in hunt.again(bounds) if (one.layout, one.recipe) not in known]
    return _Searched(basis, survey, hunt, found)


def _burdened(basis: Basis) -> float:
    """Return what a second of computing takes in energy beside a second of the step.

    Raises
    ------
    UsageError
        The power of the accelerator is in no catalogue.
    """
    name, gpus = basis.site.device.name, basis.options.gpus
    try:
        at = energy.watts(name)
    except ValueError as error:
        raise UsageError(
            f"--objective energy: {error}", where="--objective", hint="--objective time"
        ) from None
    network = network_power(basis.desk.graph(gpus)) / gpus
    return (at.full - at.idle) / (at.idle + at.host + network)


def _too_large(survey: Survey, visible: float | None) -> InfeasibleError:
    """Return what to say where nothing fits: the nearest miss."""
    group = min(survey.groups, key=lambda one: float(one.room.min()))
    least = float(group.room.min())
    strategy, again, cell = np.unravel_index(int(group.room.argmin()), group.room.shape)
    member, basis = group.members[int(cell)], survey.basis
    name, gpus = basis.site.device.name, basis.options.gpus
    has = f"{visible / GIB:.1f}" if visible else "?"
    how = f"{survey.space.strategies[int(strategy)]}, recompute {group.again[int(again)][0]}"
    return InfeasibleError(
        f"{basis.model.name} fits in no layout on {gpus} {name}: the smallest, {label(survey.at(group, member))} "
        f"mbs {member.mbs} {how}, needs {least / GIB:.1f} GiB in tensors, {name} has {has} GiB",
        hint=f"--gpus {2 * gpus}, GPUs with more memory, or fewer options fixed",
    )
