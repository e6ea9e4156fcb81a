"""A sweep over training steps: its grid, its table and its picture."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator.errors import Fault, InputError, UsageError
from simulator.planning._estimate_options import MUST, READERS, SWEPT, flag

SHOWN = 60  # rows of the table


def axes(given: Mapping[str, Any], file: Path | None) -> dict[str, Sequence[Any]]:
    """Return the axes of the grid: what is typed over what the file says, the last one varying fastest.

    Raises
    ------
    UsageError
        An option that must be given and is not.
    InputError
        All that is wrong with the file.
    """
    from simulator.cli._training_options import given as with_preset

    for name in ("size", "algorithm", "protocol", "nccl"):
        if name in given:
            raise UsageError(
                f"--{name} is for collectives", where=f"--{name}", hint="commsim sweep all_reduce ..."
            )
    machine = _machine(given.get("changes", ()))
    typed = with_preset({name: value for name, value in given.items() if name != "changes"})
    found = (_read(file) if file else {}) | {
        name: list(value) if isinstance(value, list) else [value] for name, value in typed.items()
    }
    if found.get("model") and not found.get("seq_len"):
        found["seq_len"] = _contexts(found["model"])
    missing = [flag(name) for name in MUST if not found.get(name)]
    if missing:
        more = f" (and {', '.join(missing[1:])})" if missing[1:] else ""
        raise UsageError(f"{missing[0]} is missing{more}", where=missing[0], hint="--preset demo")
    from simulator.planning._estimate_checks import known_names, model_of

    known_names(found["fabric"], found.get("gpu", ()))
    for name in found["model"]:
        model_of(name)
    return {**{name: found[name] for name in READERS if name in found}, **machine}


def _contexts(models: Sequence[str]) -> list[int]:
    """Return the tokens that all models were made for; none where they differ or nobody knows."""
    from simulator.cli._output import remark
    from simulator.planning._estimate_checks import model_of

    lengths = {model_of(name).context for name in models}
    if len(lengths) != 1 or not min(lengths):
        return []
    remark(f"--seq-len {min(lengths)}: the context of the model")
    return list(lengths)


def _machine(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return changes of the machine as axes: ``fabric.inter.bandwidth=200Gbps,400Gbps``.

    Raises
    ------
    UsageError
        One that cannot be read, or is of an option, which has a flag of its own.
    """
    from simulator.planning._what_if_changes import parse

    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        for value in values.split(","):
            change = parse(f"{key}{equals}{value.strip()}")
            if change.option:
                said = f"--set {text}: is an option of its own"
                raise UsageError(said, where="--set", hint=f"{flag(key.strip())} {values}")
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def _read(path: Path) -> dict[str, list[Any]]:
    """Return the values of each option of a file."""
    from simulator.reading import read_text

    text = read_text(str(path))
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(path), f"is no TOML: {error}") from None
    faults: list[Fault] = []
    found: dict[str, list[Any]] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in READERS:
            from simulator.errors import nearest

            near = nearest(name, list(READERS), 1)
            faults.append(
                Fault(f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else ""), key)
            )
            continue
        try:
            found[name] = _values(name, value)
        except ValueError as error:
            faults.append(Fault(f"{key}: {error}", key))
    if faults:
        raise InputError(str(path), faults)
    return found


def _values(name: str, value: Any) -> list[Any]:
    """Return the values of one option: a list, a range, or a single one."""
    from simulator import quantities

    if name in SWEPT and isinstance(value, str) and (".." in value or "," in value):
        return [int(one) for one in quantities.values(value, quantities.COUNT)]
    whole = name in ("stage_layers", "recompute_modules", "order")  # one value is a list itself
    if not isinstance(value, list) or (whole and not any(isinstance(one, list) for one in value)):
        return [READERS[name](value)]
    if not value:
        raise ValueError("has no values")
    return list(dict.fromkeys(READERS[name](one) for one in value))


def table(rows: Sequence[Mapping[str, Any]], wrote: Iterable[Path]) -> list[str]:
    """Return what a person reads: a line a point, those that cannot be by their reasons."""
    from simulator.calibration.steps import fitted
    from simulator.cli._training_tables import many, wrapped

    good = [row for row in rows if row["status"] == "predicted"]
    lines = many(good[:SHOWN], fitted.accuracy_line(False))
    if len(good) > SHOWN:
        lines.insert(-1, f"... and {len(good) - SHOWN:,} more")
    lines[-1:-1] = _ties(good)
    refused = Counter(row["reason"] for row in rows if row["status"] != "predicted")
    for reason, count in list(refused.items())[:10]:
        lines += wrapped(f"refused {count}: {reason}")
    if len(refused) > 10:
        lines.append(f"... and {len(refused) - 10} more reasons")
    files = [str(path) for path in wrote]
    return [*lines, f"wrote {' '.join(files)}"] if files else lines


def _ties(good: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return of each job which point is the fastest a token, and how many cannot be told from it."""
    from simulator.planning.ties import ranks

    lines = []
    for model in dict.fromkeys(row["model"] for row in good):
        some = [row for row in good if row["model"] == model]
        each = [row["gbs"] * row["seq_len"] for row in some]
        found = ranks(
            [row["low_s"] / tokens for row, tokens in zip(some, each, strict=True)],
            [row["high_s"] / tokens for row, tokens in zip(some, each, strict=True)],
        )
        best = min(range(len(some)), key=lambda place: some[place]["step_s"] / each[place])
        others = found.count(1) - 1
        if len(some) > 1:
            what = f"{some[best]['plan']} on {some[best]['gpus']} GPUs of {some[best]['fabric']}"
            ties = (
                f"; {others} of the other {len(some) - 1} have intervals that overlap it: ties"
                if others
                else ""
            )
            lines.append(f"{model}: fastest a token is {what}{ties}")
    return lines


def picture(rows: Sequence[Mapping[str, Any]], kind: str) -> bytes | None:
    """Return step times over GPUs with their intervals, a line for each model and fabric; None without any."""
    import io

    import matplotlib as mpl
    import pandas as pd
    from matplotlib.figure import Figure

    from simulator.reports.training_plot import step_against_gpus

    frame = pd.DataFrame([row for row in rows if row["status"] == "predicted"])
    if frame.empty:
        return None
    figure = Figure(figsize=(8.2, 4.6), layout="constrained", dpi=130)
    step_against_gpus(frame, figure.subplots())
    content = io.BytesIO()
    date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "commsim"}):
        figure.canvas.print_figure(content, format=kind, metadata=date)
    return content.getvalue()
