"""Which layout to run: every legal one looked at, the best by formula replayed, and why the winner wins."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from simulator.accounting import fits
from simulator.errors import CommsimError, InfeasibleError, UsageError
from simulator.planning._estimate_options import Options
from simulator.planning.estimate import Desk, Estimate, answered, prepared, run
from simulator.planning.search.basis import Basis, Recipe
from simulator.planning.search.best import Found, Hunt
from simulator.planning.search.space import Space
from simulator.planning.search.survey import Survey
from workloads.layout import Layout, label

OBJECTIVES = ("time", "cost", "energy")
GIB = 2**30
Tell = Callable[[int, int | None], object]


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
    warnings : list of str
        What a reader should know.
    """

    rows: list[dict[str, Any]]
    evaluated: int
    feasible: int
    walked: int
    search_s: float
    rejected: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Searched:
    """A search on so many GPUs: the candidates kept, and how to ask more of them."""

    basis: Basis
    survey: Survey
    hunt: Hunt
    found: list[Found]
    visible: float | None


def plan(
    options: Options, space: Space, *, gpus: Sequence[int], objective: str = "time", top: int = 10,
    looked: int = 0, desk: Desk, rejected: bool = False, tell: Tell = lambda *_: None,
) -> Planned:  # fmt: skip
    """Return the best layouts.

    Parameters
    ----------
    options : Options
        Model, fabric, batch and what is settled; its fidelity is that of the rows.
    space : Space
        What may be chosen.
    gpus : sequence of int
        GPUs, each searched by itself.
    objective : str
        Of `OBJECTIVES`: what the best layout has least of, for a token.
    top : int
        Rows wanted.
    looked : int
        Layouts that are replayed before the best are taken; 0: twice ``top``.
    desk : Desk
        The fabric.
    rejected : bool
        Whether to say what became of the others, axis by axis.
    tell : callable
        Called with how many GPU counts are done, of how many.

    Raises
    ------
    UsageError
        An objective that there is not, no legal layout at all.
    InfeasibleError
        No layout fits in memory.
    """
    if objective not in OBJECTIVES:
        raise UsageError(
            f"--objective {objective}: wanted one of {', '.join(OBJECTIVES)}", where="--objective"
        )
    start = perf_counter()
    searched: list[_Searched] = []
    faults: list[CommsimError] = []
    for number, count in enumerate(gpus):
        tell(number, len(gpus))
        try:
            searched.append(_search(replace(options, gpus=count), space, desk, looked or 2 * top))
        except (InfeasibleError, UsageError) as error:
            faults.append(error)
    if not searched:
        raise faults[0]
    took = perf_counter() - start
    answers = [(one, found) for one in searched for found in one.found]
    rows, warnings = _replayed(answers, options, desk, tell)
    rows.sort(key=lambda row: _score(row, objective))
    rows = rows[:top]
    _explain(rows)
    groups = [group for one in searched for group in one.survey.groups]
    return Planned(
        rows=rows,
        evaluated=sum(group.size for group in groups),
        feasible=sum(int(group.fits.sum()) for group in groups),
        walked=sum(one.hunt.walked + one.hunt.solved for one in searched),
        search_s=took,
        rejected=[row for one in searched for row in _axes(one)] if rejected else [],
        warnings=[*dict.fromkeys([*warnings, *(error.message for error in faults)])],
    )


def _search(options: Options, space: Space, desk: Desk, keep: int) -> _Searched:
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
            f"--gpus {options.gpus}, --gbs {options.gbs}: no degrees of parallelism are legal",
            where="--gbs",
            hint="a --gbs that more data parallel degrees divide, or fewer options fixed",
        )
    if not any(group.fits.any() for group in survey.groups):
        raise _too_large(survey, basis, visible)

    def alone(at: Layout, recipe: Recipe) -> float:
        try:
            return run(prepared(basis.asked(at, recipe), desk), desk).step_s
        except CommsimError:
            return np.inf

    hunt = Hunt(survey, keep, alone)
    return _Searched(basis, survey, hunt, hunt.run(), visible)


def _too_large(survey: Survey, basis: Basis, visible: float | None) -> InfeasibleError:
    """Return what to say where nothing fits: the nearest miss."""
    least, group = min(((float(one.room.min()), one) for one in survey.groups), key=lambda pair: pair[0])
    place = np.unravel_index(int(group.room.argmin()), group.room.shape)
    member = group.members[int(place[2])]
    name, at = basis.site.device.name, survey.at(group, member)
    has = f"{visible / GIB:.1f}" if visible else "?"
    return InfeasibleError(
        f"{basis.model.name} fits in no layout on {basis.options.gpus} {name}: the smallest needs "
        f"{least / GIB:.1f} GiB in tensors, {name} has {has} GiB",
        hint=f"--gpus {2 * basis.options.gpus}, or GPUs with more memory (nearest: {label(at)} mbs {member.mbs} "
        f"{survey.space.strategies[int(place[0])]} recompute {group.again[int(place[1])][0]})",
    )


def _replayed(
    answers: Sequence[tuple[_Searched, Found]], options: Options, desk: Desk, tell: Tell
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of candidates at the fidelity that was asked for."""
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    for number, (searched, found) in enumerate(answers):
        tell(number, len(answers))
        asked = searched.basis.asked(found.layout, found.recipe, fidelity=options.fidelity)
        try:
            step = prepared(asked, desk)
            answer = answered(step, run(step, desk), desk)
        except CommsimError as error:
            warnings.append(f"{label(found.layout)}: {error.message}")
            continue
        rows.append(_row(answer, found, asked))
        warnings += answer.warnings
    return rows, warnings


def _row(answer: Estimate, found: Found, asked: Options) -> dict[str, Any]:
    recipe = found.recipe
    more = {
        "zero": {"ddp": 0, "zero1": 1, "zero2": 2, "zero3": 3}.get(recipe.strategy),
        "recompute_modules": ",".join(recipe.again[1]) or None,
        "recompute_layers": recipe.again[2] or None,
        "context": recipe.context if found.layout.cp > 1 else None,
        "stage_layers": ",".join(map(str, asked.stage_layers)) or None,
        "formula_s": found.step_s,
        "why": "",
    }
    return answer.row | more


def _score(row: Mapping[str, Any], objective: str) -> float:
    """Return what a row is sorted by: per token, so that GPU counts can be compared."""
    value = {"time": row["step_s"], "cost": row["cost_usd"], "energy": row["energy_J"]}[objective]
    if value is None and objective == "cost":
        value = row["gpus"] * row["step_s"]  # whatever a GPU costs, it is in proportion
    return float("inf") if value is None else float(value)


_SAID = {
    "compute": "compute", "exposed_tensor": "exposed tensor", "exposed_pipeline": "exposed pipeline",
    "exposed_data": "exposed data", "exposed_context": "exposed context", "exposed_expert": "exposed expert",
    "bubble": "bubble", "optimizer": "optimizer", "other": "other",
}  # fmt: skip


def _explain(rows: Sequence[dict[str, Any]]) -> None:
    """Say of each row what sets it apart: the winner from the next, the others from the winner."""
    for number, row in enumerate(rows):
        if len(rows) < 2:
            row["why"] = "the only one"
            continue
        other = rows[1] if number == 0 else rows[0]
        row["why"] = ("best: " if number == 0 else "") + _difference(row, other)


def _difference(row: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the largest parts of the difference between two steps, for a GPU and token."""
    scale = row["gpus"] / other["gpus"]
    parts = {
        name: row["breakdown_s"][name] * scale - other["breakdown_s"][name] for name in row["breakdown_s"]
    }
    whole = row["step_s"] * scale - other["step_s"]
    largest = sorted(parts, key=lambda name: -abs(parts[name]))
    told = [name for name in largest if abs(parts[name]) > 0.002 * other["step_s"]][:3]
    words = ", ".join(f"{_SAID.get(name, name)} {parts[name]:+.3g} s" for name in told) or "no part by 0.2 %"
    return f"{words} against {other['plan']} ({whole:+.3g} s)"


def _axes(searched: _Searched) -> Iterable[dict[str, Any]]:
    """Yield, for each value of each axis, how many candidates there are, how many fit, and the fastest."""
    survey = searched.survey
    table: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, 0, np.inf, np.inf])

    def note(axis: str, value: object, size: int, fit: int, least: float, room: float) -> None:
        row = table[axis, str(value)]
        row[0] += size
        row[1] += fit
        row[2], row[3] = min(row[2], least), min(row[3], room)

    for group in survey.groups:
        least = group.least if group.clock is not None else np.full(group.fits.shape, np.inf)
        slices = [
            ("strategy", survey.space.strategies, 0),
            ("recompute", [one[0] for one in group.again], 1),
        ]
        for axis, names, where in slices:
            for name in dict.fromkeys(names):
                chosen = [place for place, one in enumerate(names) if one == name]
                part = tuple(chosen if at == where else slice(None) for at in range(3))
                note(axis, name, group.fits[part].size, int(group.fits[part].sum()),
                     float(least[part].min(initial=np.inf)), float(group.room[part].min()))  # fmt: skip
        for axis, values in _member_axes(group).items():
            for value in dict.fromkeys(values):
                chosen = [place for place, one in enumerate(values) if one == value]
                fit = group.fits[:, :, chosen]
                note(axis, value, fit.size, int(fit.sum()), float(least[:, :, chosen].min(initial=np.inf)),
                     float(group.room[:, :, chosen].min()))  # fmt: skip
        whole = (
            group.fits.size,
            int(group.fits.sum()),
            float(least.min(initial=np.inf)),
            float(group.room.min()),
        )
        note("pp", group.structure.pp, *whole)
        note("schedule", group.structure.name, *whole)
    for (axis, value), (size, fit, least, room) in table.items():
        yield {
            "gpus": searched.basis.options.gpus, "axis": axis, "value": value, "evaluated": size, "fit": fit,
            "at_least_s": least if np.isfinite(least) else None, "least_memory_bytes": room,
        }  # fmt: skip


def _member_axes(group: Any) -> dict[str, list[Any]]:
    members = group.members
    return {
        "tp": [one.layout.tp for one in members], "cp": [one.layout.cp for one in members],
        "dp": [one.layout.dp for one in members], "ep": [one.layout.ep for one in members],
        "mbs": [one.mbs for one in members], "sp": [one.inner[0] for one in members],
        "precision": [one.inner[1] for one in members],
    }  # fmt: skip
