"""The referee of training steps: rows of a table predicted without a look at their results, then compared."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from simulator.calibration.steps import fitted
from simulator.calibration.steps.case import Case, Refusal
from simulator.calibration.steps.corpus import fold_of_key, folds_of_likeness, likeness
from simulator.calibration.steps.features import solved
from simulator.calibration.steps.measured import MEASURED, measured
from simulator.calibration.steps.prices import Times
from simulator.calibration.steps.rows import read_case
from simulator.calibration.steps.runs import splits
from simulator.calibration.steps.site import of_system
from simulator.calibration.steps.words import Row, UnusableError, cell, number
from simulator.calibration.validate import Verdict, summary
from simulator.errors import CommsimError, InputError

Done = Callable[[], None]
MOST_TASKS = 200_000  # forward passes over all stages of a pipeline that are followed
VTRAIN = "vTrain"  # the group of the second shipped table
UNNAMED = "software not named"  # how the reader of rows begins to say so


@dataclass(frozen=True, slots=True, kw_only=True)
class StepVerdict(Verdict):
    """One row of a table: what was predicted for it, or why nothing was.

    Attributes
    ----------
    assumed : tuple of str
        What the row does not say, and what was taken instead.
    """

    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts in the order of the table, and their summaries."""

    verdicts: tuple[StepVerdict, ...]
    summary: dict[str, float | int | None]
    by_basis: dict[str, dict[str, float | int | None]]
    warnings: tuple[str, ...]


def validate(rows: Sequence[Row], source: str = "", done: Done = lambda: None) -> Report:
    """Return predictions of measured rows beside what was measured.

    Parameters
    ----------
    rows : sequence of mapping of str to str
        In the columns of ``training.csv``; rows without a result are predicted all the same.
    source : str
        The file as typed, for messages.
    done : callable
        Called after each row.

    Raises
    ------
    InputError
        A result that is no positive number; names line and column.
    """
    blind = [{column: text for column, text in row.items() if column not in MEASURED} for row in rows]
    cases = [read_case(row) for row in blind]
    results = [_result(row, case, source) for row, case in zip(rows, cases, strict=True)]
    verdicts = [
        _named(verdict, row, place, seconds)
        for place, (row, verdict, seconds) in enumerate(
            zip(rows, predict(cases, done=done), results, strict=True), start=1
        )
    ]
    bases = sorted({one.basis for one in verdicts if one.basis})
    by_basis = {basis: [one for one in verdicts if one.basis == basis] for basis in bases}
    return Report(
        tuple(verdicts),
        summary(verdicts, verdicts),
        {basis: summary(some, some) for basis, some in by_basis.items()},
        _warnings(verdicts),
    )


def predict(
    cases: Sequence[Case | Refusal], shipped: bool = True, done: Done = lambda: None
) -> list[StepVerdict]:
    """Return the prediction of each case.

    Parameters
    ----------
    cases : sequence of Case or Refusal
        What to predict; refusals come back as they are.
    shipped : bool
        Predict a configuration that the shipped runs hold by the fit that did not see it. False: all by the
        fit that saw everything, which is no test.
    done : callable
        Called after each case.
    """
    times = Times()
    found = []
    for case in cases:
        found.append(_verdict(case, times, shipped))
        done()
    return found


def unseen_by(case: Case) -> int | None:
    """Return the fold whose fit saw nothing like a case; None if no shipped run is like it.

    A shipped row is found by what ran, whatever its ``case_id``, source and model are called.
    """
    for table in ("vtrain", "runs") if case.group == VTRAIN else ("runs", "vtrain"):
        if (fold := fold_of_key(table).get(case.configuration_key)) is not None:
            return fold
    return folds_of_likeness().get(likeness(case))


def _verdict(case: Case | Refusal, times: Times, shipped: bool) -> StepVerdict:
    if isinstance(case, Refusal):
        return StepVerdict(case_id=case.case_id, status="refused", reason=case.reason)
    fold = unseen_by(case) if shipped else None
    try:
        seconds = _seconds(case, fold, times)
    except (ValueError, CommsimError) as fault:
        reason = str(fault).removeprefix("--")  # a column has the flag's name
        return StepVerdict(case_id=case.case_id, status="refused", reason=reason)
    known, stack = _known(case), case.stack.family
    at_home = known and case.group in splits()["groups"]  # a new source of a known stack is off as a whole
    low, high = fitted.band(case.kind, at_home, generation=case.generation, stack=stack, fold=fold)
    return StepVerdict(
        case_id=case.case_id,
        status="predicted",
        predicted_s=seconds,
        low_s=seconds * low,
        high_s=seconds * high,
        basis="calibrated" if known else "catalogue",
        assumed=case.assumed,
    )


def _seconds(case: Case, fold: int | None, times: Times) -> float:
    tasks = case.microbatches * case.layout.pp * case.layout.vpp
    if tasks > MOST_TASKS:
        raise ValueError(
            f"global_batch {case.global_batch} makes {tasks:,} forward passes over all stages: "
            f"more than {MOST_TASKS:,} are not followed"
        )
    site = of_system(case.system, case.stack.released)
    site.device.rate(case.precision)  # a precision that the device has not is better said before any work
    try:
        return solved(case, fitted.values(fold), times)[0].result.step_s
    except KeyError as missing:
        raise ValueError(f"{case.system.gpu} in {case.precision}: no value {missing} is known") from None


def _known(case: Case) -> bool:
    """Tell whether runs of the software on such GPUs are fitted; of software that no row names none are."""
    guessed = any(one.startswith(UNNAMED) for one in case.assumed)
    return not guessed and fitted.known(case.generation, case.stack.family, case.precision)


def _result(row: Row, case: Case | Refusal, source: str) -> float | None:
    """Return what a row measured, s; of a refused row only what it prints as such."""
    try:
        if isinstance(case, Refusal):
            return number(row, "step_time_s")
        result = measured(row, case)
    except UnusableError as fault:
        place = f" (line {row['']})" if row.get("") else ""
        raise InputError(source or cell(row, "case_id"), f"{fault}{place}") from None
    return result.seconds if result else None


def _named(verdict: StepVerdict, row: Row, place: int, seconds: float | None) -> StepVerdict:
    name = verdict.case_id or f"line {row.get('') or place}"
    return replace(verdict, case_id=name, measured_s=seconds)


def _warnings(verdicts: Sequence[StepVerdict]) -> tuple[str, ...]:
    """Return for how many rows something was assumed, and what most often."""
    filled = [one for one in verdicts if one.assumed]
    if not filled:
        return ()
    often = Counter(what for one in filled for what in one.assumed).most_common(3)
    listed = "; ".join(f"{what} ({count})" for what, count in often)
    return (
        f"{len(filled)} rows do not say everything, what was assumed stands in --json; most often: {listed}",
    )


def entries(report: Report) -> list[dict[str, object]]:
    """Return the verdicts as ``commsim validate --json`` prints them."""
    return [asdict(verdict) for verdict in report.verdicts]
