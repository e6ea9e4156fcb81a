"""``commsim compare``: two scenario files side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import INPUT_FILE, form_options
from simulator.cli._output import emit
from simulator.cli._training_options import given, inputs, training_options
from simulator.errors import InfeasibleError, InputError, UsageError

if TYPE_CHECKING:
    from simulator.planning._estimate_options import Options

NUMBERS = (
    "step_s", "low_s", "high_s", "tokens_per_s_per_gpu", "mfu", "hfu", "memory_bytes_per_gpu", "cost_usd", "energy_J",
)  # fmt: skip


@click.command()
@click.argument("first", type=INPUT_FILE, metavar="A.toml")
@click.argument("second", type=INPUT_FILE, metavar="B.toml")
@training_options()
@form_options
def command(*, first: Path, second: Path, **values: Any) -> None:
    """Predict the steps of two scenario files and show what differs.

    A file holds options as keys: model = "llama3-70b", gpus = 512, tp = 8. Options on the command line hold for
    both files.
    """
    from simulator.planning.presets import scenario

    over = given(values)
    tables = [scenario(str(path)) | over for path in (first, second)]
    options = [_made(path, table) for path, table in zip((first, second), tables, strict=True)]
    answers = _answers((first, second), options)
    rows = [{"scenario": str(path)} | one.row for path, one in zip((first, second), answers, strict=True)]
    found = differences(rows)
    emit(
        {"rows": rows, "differences": found},
        lambda: _lines(rows, found, answers[0].step.values.line),
        inputs=[str(first), str(second), *dict.fromkeys(name for one in tables for name in inputs(one))],
        warnings=list(dict.fromkeys(text for one in answers for text in one.warnings)),
    )


def _made(path: Path, table: Mapping[str, Any]) -> "Options":
    """Return the options of a file; whatever is wrong with them is a fault of the file."""
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made

    with _of(path):
        options = made(table)
        checked(options)
    return options


class _of:  # noqa: N801  reads as words: with _of(path)
    """Let a fault name the file that it is one of."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UsageError):
            raise InputError(str(self.path), error.message, hint=error.hint) from None
        if isinstance(error, InfeasibleError):
            found = InfeasibleError(f"{self.path}: {error.message}", where=error.where, hint=error.hint)
            found.details = error.details
            raise found from None


def _answers(paths: Sequence[Path], options: "Sequence[Options]") -> list[Any]:
    from simulator.planning.estimate import Desk, estimate
    from simulator.planning.place import Fabric

    desks: dict[str, Desk] = {}
    answers = []
    for path, one in zip(paths, options, strict=True):
        with _of(path):
            if one.fabric not in desks:
                desks[one.fabric] = Desk(Fabric(one.fabric))
            answers.append(estimate(one, desks[one.fabric]))
    return answers


def differences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what differs between two rows: what was asked first, then every number with its ratio."""
    first, second = rows
    asked = [
        name for name in first if name not in (*NUMBERS, "scenario", "breakdown_s", "communication_bytes")
    ]
    found = [
        {"key": name, "a": first[name], "b": second[name], "ratio": None}
        for name in asked
        if first[name] != second[name]
    ]
    flat = [
        {name: row[name] for name in NUMBERS}
        | {f"breakdown_s.{name}": value for name, value in row["breakdown_s"].items()}
        | {f"communication_bytes.{name}": value for name, value in row["communication_bytes"].items()}
        for row in rows
    ]
    for name in flat[0]:
        one, other = flat[0][name], flat[1][name]
        if one != other:
            ratio = other / one if one and other is not None else None
            found.append({"key": name, "a": one, "b": other, "ratio": ratio})
    return found


def _lines(rows: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], line: str) -> list[str]:
    from simulator.cli._training_tables import mark, wrapped
    from simulator.reports.tables import Column, lay_out

    if not found:
        return ["nothing differs", *wrapped(line)]
    signs = [mark(row) for row in rows]
    shown = [
        {
            "key": one["key"]
            .removeprefix("breakdown_s.")
            .replace("communication_bytes.", "bytes ")
            .replace("_", " "),
            "a": _cell(one["key"], one["a"], signs[0]),
            "b": _cell(one["key"], one["b"], signs[1]),
            "change": "" if one["ratio"] is None else f"{100 * (one['ratio'] - 1):+.1f} %",
        }
        for one in found
    ]
    columns = [
        Column("key", "what differs"),
        Column("a", rows[0]["scenario"]),
        Column("b", rows[1]["scenario"]),
    ]
    return [*lay_out(shown, [*columns, Column("change")]), *wrapped(line)]


def _cell(key: str, value: Any, sign: str) -> str:
    from simulator.reports.tables import cell

    if isinstance(value, float) and key in ("mfu", "hfu"):
        return sign + cell(value, "%")
    unit = "s" if key.endswith("_s") or key.startswith("breakdown") else "B" if "bytes" in key else ""
    unit = {"cost_usd": "USD", "energy_J": "J"}.get(key, unit)
    if isinstance(value, float):
        return (sign if key in NUMBERS else "") + cell(value, unit)
    return cell(value)
