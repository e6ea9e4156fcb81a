"""The rows of a plan: candidates replayed, sorted by an objective, each with what sets it apart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from simulator.errors import CommsimError
from simulator.planning._estimate_options import Options
from simulator.planning.estimate import Estimate, answered, prepared, run
from simulator.planning.search.basis import Basis
from simulator.planning.search.best import Found
from simulator.planning.search.space import runs
from workloads.layout import label

Row = dict[str, Any]
OBJECTIVES = ("time", "cost", "energy")
_NO_FASTER = 0.995  # of the formula's time: that much a replay may differ by rounding and by ways that divide
_ZERO = {"ddp": 0, "zero1": 1, "zero2": 2, "zero3": 3}


def replayed(
    answers: Sequence[tuple[Basis, Found]],
    fidelity: str,
    tell: Callable[[int, int | None], object],
    *,
    enough: int = 0,
) -> tuple[list[Row], list[str]]:
    """Return the rows of candidates at a fidelity, and what a reader should know.

    Parameters
    ----------
    answers : sequence of (Basis, Found)
        Candidates, each with what its search had in common.
    fidelity : str
        ``formula``, ``fluid`` or ``messages``.
    tell : callable
        Called with how many are done, of how many.
    enough : int
        So many of the fastest are wanted: a replay finds what waits for links, and is no faster than the formula, so
        that it ends with the first candidate whose formula is slower than as many replays. 0: all are replayed.
    """
    rows: list[Row] = []
    warnings: list[str] = []
    for number, (basis, found) in enumerate(answers):
        tell(number, len(answers))
        times = sorted(row["step_s"] for row in rows)
        if enough and len(times) >= enough and found.step_s * _NO_FASTER > times[enough - 1]:
            break
        asked = basis.asked(found.layout, found.recipe, fidelity=fidelity)
        try:
            step = prepared(asked, basis.desk)
            answer = answered(step, run(step, basis.desk), basis.desk)
        except CommsimError as error:
            warnings.append(f"{label(found.layout)}: {error.message}")
            continue
        rows.append(_row(answer, found, asked))
        warnings += answer.warnings
    return rows, warnings


def _row(answer: Estimate, found: Found, asked: Options) -> Row:
    recipe = found.recipe
    more = {
        "zero": _ZERO.get(recipe.strategy),
        "recompute_modules": ",".join(recipe.again[1]) or None,
        "recompute_layers": recipe.again[2] or None,
        "context": recipe.context if found.layout.cp > 1 else None,
        "stage_layers": ",".join(map(str, asked.stage_layers)) or None,
        "formula_s": found.step_s,
        "stack_has_it": runs(asked.stack, recipe.schedule, recipe.strategy),
        "why": "",
    }
    return answer.row | more


def score(row: Mapping[str, Any], objective: str) -> float:
    """Return what a row is sorted by: per token, so that GPU counts can be compared."""
    if "days" in row:
        value = {"time": row["days"], "cost": row["total_usd"], "energy": row["total_energy_J"]}[objective]
        return row["days"] * row["gpus"] if value is None else float(value)
    value = {"time": row["step_s"], "cost": row["cost_usd"], "energy": row["energy_J"]}[objective]
    if value is None and objective == "cost":
        value = row["gpus"] * row["step_s"]  # whatever a GPU costs, it is in proportion
    return float("inf") if value is None else float(value)


_SAID = {
    "compute": "compute", "exposed_tensor": "exposed tensor", "exposed_pipeline": "exposed pipeline",
    "exposed_data": "exposed data", "exposed_context": "exposed context", "exposed_expert": "exposed expert",
    "bubble": "bubble", "optimizer": "optimizer", "other": "other",
}  # fmt: skip


def explain(rows: Sequence[Row]) -> None:
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


def front(rows: Iterable[Mapping[str, Any]], objectives: Sequence[str]) -> list[Row]:
    """Return the rows of which no other is as good in all objectives and better in one, in order of the first."""
    known = [(tuple(score(row, name) for name in objectives), dict(row)) for row in rows]
    best = [
        (point, row)
        for point, row in known
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in known
        )
    ]
    return [row for _, row in sorted(best, key=lambda pair: pair[0])]
