r"""What a step were with something changed: a column for the base run, one for each change, one for all together.

Options are changed as if they had been typed; links, uplinks, broken cables and slow GPUs by `_what_if_prices`. With
events the links of the replay change, too.

Intervals. Base and changed run come from the same predictor, so most of what it gets wrong it gets wrong in both;
how much is not measured. The two ends of what that can mean are both given. Nothing in common: the ends of a
difference d are :math:`d \mp \sqrt{h_b^2 + h_c^2}` of the halves of the two intervals that work against each other,
which is the widest and the one by which a difference counts as told apart. All in common: d times the factors of the
interval of the base run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot
from typing import Any

from simulator.accounting.cost import HOUR
from simulator.errors import CommsimError, UsageError
from simulator.planning._estimate_options import Options, made
from simulator.planning._what_if_changes import Change, applied
from simulator.planning._what_if_machine import Machine, changed_desk, machine_of
from simulator.planning._what_if_prices import altered
from simulator.planning.estimate import Desk, Estimate, Step, answered, estimate, prepared, run
from simulator.planning.place import Fabric

TRILLION = 1e12
DAY = 24 * HOUR
BASE, ALL = "base", "all together"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One run of a comparison.

    Parameters
    ----------
    name : str
        ``base``, the changes as typed, or ``all together``.
    answer : Estimate or None
        None where it cannot be.
    fault : CommsimError or None
        Why not.
    """

    name: str
    answer: Estimate | None
    fault: CommsimError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The answer: rows as ``commsim what-if --json`` prints them, the runs, and on what they were tested."""

    rows: list[Row]
    columns: list[Column]
    line: str
    warnings: tuple[str, ...] = field(default=())


def what_if(
    found: Mapping[str, Any],
    changes: Sequence[tuple[Change, ...]],
    *,
    tokens: float = TRILLION,
    upgrade_cost: float | None = None,
    done: Callable[[], object] = lambda: None,
) -> WhatIf:
    """Return what a step takes as asked, with each change, and with all of them.

    Parameters
    ----------
    found : mapping
        Options of the base run by name.
    changes : sequence of tuple of Change
        A column each; see `_what_if_changes.parse_all`.
    tokens : float
        Tokens of the training that savings are summed up over.
    upgrade_cost : float, optional
        USD that the changes cost, to tell after how many days they are paid.
    done : callable
        Called after each run.

    Raises
    ------
    CommsimError
        The base run cannot be, or none of the changed ones.
    """
    desks: dict[str, Desk] = {}
    first = _answer(made(dict(found)), (), desks)
    base = Column(name=BASE, answer=first)
    done()
    columns, warnings = [base], []
    sets = [(" ".join(one.text for one in some), some) for some in changes]
    if len(sets) > 1:
        twice = _twice(changes)
        if twice:
            warnings.append(f"{twice} is changed twice: no column has all changes together")
        else:
            sets.append((ALL, tuple(one for some in changes for one in some)))
    for name, some in sets:
        columns.append(_column(name, found, some, desks))
        done()
    faults = [one.fault for one in columns if one.fault]
    if len(faults) == len(columns) - 1 and faults:
        raise faults[0]
    warnings += [f"{one.name}: {one.fault.message}" for one in columns if one.fault]
    warnings += dict.fromkeys(text for one in columns if one.answer for text in one.answer.warnings)

    rows = [compared(one, first, tokens=tokens, upgrade_cost=upgrade_cost) for one in columns]
    return WhatIf(rows=rows, columns=columns, line=first.step.values.line, warnings=tuple(warnings))


def _twice(changes: Sequence[tuple[Change, ...]]) -> str:
    """Return a key that several columns change, so that they cannot go together; empty if none."""
    seen: set[str] = set()
    for some in changes:
        keys = {one.key for one in some} - {"fabric.fail", "gpu.slow"}
        if keys & seen:
            return min(keys & seen)
        seen |= keys
    return ""


def _column(
    name: str, found: Mapping[str, Any], changes: tuple[Change, ...], desks: dict[str, Desk]
) -> Column:
    try:
        return Column(name=name, answer=_answer(made(applied(found, changes)), changes, desks))
    except CommsimError as fault:
        if isinstance(fault, UsageError) and fault.where == "--set":
            raise
        return Column(name=name, answer=None, fault=fault)


def _answer(options: Options, changes: Sequence[Change], desks: dict[str, Desk]) -> Estimate:
    if options.fabric not in desks:
        desks[options.fabric] = Desk(Fabric(options.fabric))
    return changed_estimate(options, changes, desks[options.fabric])


def changed_estimate(options: Options, changes: Sequence[Change], desk: Desk) -> Estimate:
    """Return what a step takes with changes of its machine.

    Parameters
    ----------
    options : Options
        What is asked, changed options in their place.
    changes : sequence of Change
        Those of options are left alone.
    desk : Desk
        The fabric as it is described.

    Raises
    ------
    CommsimError
        As `simulator.planning.estimate.estimate`; a link that there is not; a fabric cut in two.
    """
    machine = Machine()
    if any(not change.option for change in changes):
        machine = machine_of(changes, desk.graph(options.gpus))
    if machine.same:
        return estimate(options, desk)
    step = prepared(options, desk)
    found = _run(step, desk, machine)
    if not machine.failed:
        return found
    whole = _run(step, desk, replace(machine, failed=()))
    if found.row["step_s"] >= whole.row["step_s"]:
        return found
    # routes are chosen one by one: chosen anew, they may happen to meet less
    said = "the ways around a failed link happen to meet less than those before; no gain is shown for that"
    return replace(whole, warnings=(*whole.warnings, said))


def _run(step: Step, desk: Desk, machine: Machine) -> Estimate:
    if machine.same:
        return answered(step, run(step, desk), desk)
    changed, other = altered(step, desk, machine), changed_desk(desk, machine, whole=True)
    return answered(changed, run(changed, other), other)


def compared(
    column: Column, base: Estimate, *, tokens: float = TRILLION, upgrade_cost: float | None = None
) -> Row:
    """Return the row of a column: the keys of ``estimate``, the change, and the differences to the base run.

    Parameters
    ----------
    column : Column
        The run.
    base : Estimate
        What it is compared with.
    tokens, upgrade_cost
        As `what_if` takes them.
    """
    if column.answer is None or column.name == BASE:
        row = dict(base.row) if column.answer else dict.fromkeys(base.row) | {"fits": False}
        return row | {"change": column.name} | dict.fromkeys(_COMPARED)
    row, old = column.answer.row, base.row
    by = row["step_s"] - old["step_s"]
    low = by - hypot(row["step_s"] - row["low_s"], old["high_s"] - old["step_s"])
    high = by + hypot(row["high_s"] - row["step_s"], old["step_s"] - old["low_s"])
    common = sorted(by * old[end] / old["step_s"] for end in ("low_s", "high_s"))
    return (
        dict(row)
        | {
            "change": column.name,
            "difference_s": by,
            "difference_low_s": low,
            "difference_high_s": high,
            "difference_common_low_s": common[0],
            "difference_common_high_s": common[1],
            "difference": by / old["step_s"],
            "difference_per_token": old["gpus"]
            * old["tokens_per_s_per_gpu"]
            / row["gpus"]
            / row["tokens_per_s_per_gpu"]
            - 1,
            "told_apart": low > 0 or high < 0,
        }
        | worth(column.answer, base, tokens=tokens, upgrade_cost=upgrade_cost)
    )


_COMPARED = (
    "difference_s", "difference_low_s", "difference_high_s", "difference_common_low_s", "difference_common_high_s",
    "difference", "difference_per_token", "told_apart", "saved_gpu_hours", "worth_usd", "worth_low_usd",
    "worth_high_usd", "worth_usd_per_step", "pays_after_days",
)  # fmt: skip


def worth(
    answer: Estimate, base: Estimate, *, tokens: float = TRILLION, upgrade_cost: float | None = None
) -> Row:
    r"""Return what a change saves over a training: :math:`N\,(\$_b/n_b - \$_c/n_c)` with n the tokens of a step.

    Up to that price an upgrade is worth it. Its ends take the error of both runs as one, as it is for the same plan
    on a better network; a change that loses has a negative worth.

    Parameters
    ----------
    answer, base : Estimate
        With the change and without.
    tokens : float
        Of the training.
    upgrade_cost : float, optional
        USD. Paid after as many days of training, by the changed run, as it takes to save them.
    """
    row, old = answer.row, base.row
    size, before = answer.step.graph.tokens, base.step.graph.tokens
    hours = tokens / HOUR * (old["gpus"] * old["step_s"] / before - row["gpus"] * row["step_s"] / size)
    found: Row = dict.fromkeys(_COMPARED[8:]) | {"saved_gpu_hours": hours}
    if row["cost_usd"] is None or old["cost_usd"] is None:
        return found
    saved = old["cost_usd"] / before - row["cost_usd"] / size  # USD a token
    ends = sorted(saved * tokens * old[end] / old["step_s"] for end in ("low_s", "high_s"))
    days = None
    if upgrade_cost is not None and saved > 0:
        days = upgrade_cost / (saved * size / row["step_s"] * DAY)
    return found | {
        "worth_usd": saved * tokens,
        "worth_low_usd": ends[0],
        "worth_high_usd": ends[1],
        "worth_usd_per_step": saved * size,
        "pays_after_days": days,
    }
