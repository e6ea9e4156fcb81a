"""``commsim grow``: a model grown on the same machines until the first wall."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import PERCENT, form_options
from simulator.cli._output import emit
from simulator.cli._progress import gauge
from simulator.cli._training_options import complete, given, inputs, training_options
from simulator.errors import UsageError

if TYPE_CHECKING:
    from simulator.planning.growth import Growth


@click.command()
@training_options()
@click.option(
    "--step", type=float, default=1.25, show_default=True, help="Times as many parameters each time."
)
@click.option(
    "--steps", type=click.IntRange(1, 100), default=40, show_default=True, help="Sizes tried at most."
)
@click.option(
    "--fixed-layout", is_flag=True, help="Keep the layout of the start; else the fastest of each size."
)
@click.option("--most-exposed", type=PERCENT, default="50%", show_default=True, help="Exposed communication.")
@click.option("--power-limit", metavar="POWER", help="At the meter: 5MW.")
@click.option("--days", type=float, help="Of training.")
@click.option("--tokens", metavar="N", help="Of training: 15T; 20 for each active parameter if left out.")
@form_options
def command(
    *,
    step: float,
    steps: int,
    fixed_layout: bool,
    most_exposed: float,
    power_limit: str | None,
    days: float | None,
    tokens: str | None,
    **values: Any,
) -> None:
    """Grow a model on the same machines until the first wall, and name it: memory, network, power or time.

    Width and depth grow together, as published families do (Llama 3; Kaplan et al. 2020). Each size takes its fastest
    layout: tensor and pipeline degrees, ZeRO and recomputation anew, all else as given. By formula unless --fidelity
    says otherwise.
    """
    found = {"fidelity": "formula"} | given(values)
    complete(found)
    from simulator.planning._amounts import number_of, watts_of

    if not 1.0 < step <= 100:
        raise UsageError(f"--step {step:g}: must be more than 1", where="--step", hint="--step 1.25")
    if days is not None and not 0 < days < 1e6:
        raise UsageError(f"--days {days:g}: must be a number of days", where="--days", hint="--days 60")
    power = None if power_limit is None else watts_of(power_limit, "--power-limit")
    amount = None if tokens is None else number_of(tokens, "--tokens")
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made

    options = made(found)
    checked(options)
    from simulator.planning.growth import Limits, grow

    limits = Limits(most_exposed=most_exposed, power=power, days=days, tokens=amount)
    with gauge("sizes") as tell:
        sizes = iter(range(1, steps + 2))
        answer = grow(
            options,
            limits,
            step=step,
            most_steps=steps,
            fixed=fixed_layout,
            done=lambda: tell(next(sizes), None),
        )
    result: dict[str, Any] = {
        "rows": answer.rows,
        "wall": answer.walls[0] if answer.walls else None,
        "walls": list(answer.walls),
        "reason": answer.reason,
        "tried": dict(answer.tried),
    }
    emit(result, lambda: _lines(answer), inputs=inputs(found), warnings=answer.warnings)


def _lines(answer: "Growth") -> list[str]:
    from simulator.cli._training_tables import wrapped
    from simulator.reports.tables import Column, lay_out

    columns = [
        Column("size", "parameters"), Column("shape", "layers x hidden"), Column("plan"), Column("step", "step s"),
        Column("mfu", "MFU", "%"), Column("exposed", "exposed comm", "%"), Column("memory", "GiB/GPU"),
        Column("power", "MW"), Column("days"),
    ]  # fmt: skip
    first = answer.rows[0]
    title = f"{first['model']} grown on {first['gpus']} {first['gpu']} ({first['fabric']})"
    lines = [title, *lay_out([_short(row) for row in answer.rows], columns)]
    if not answer.walls:
        return [*lines, answer.reason]
    last, before = answer.rows[-1], answer.rows[-2] if len(answer.rows) > 1 else None
    text = f"first wall: {' and '.join(answer.walls)}, at {_billions(last)} parameters: {answer.reason}"
    lines += wrapped(text)
    if before is not None:
        lines += wrapped(f"the largest before it: {_billions(before)} parameters, {before['plan']}")
    if answer.tried:
        degrees = "; ".join(f"{name} {', '.join(map(str, some))}" for name, some in answer.tried.items())
        lines += wrapped(
            f"layouts tried at the wall: {degrees}; states sharded as the software can; recompute none, selective, full"
        )
    return lines


def _billions(row: Mapping[str, Any]) -> str:
    return f"{row['parameters'] / 1e9:,.4g}B"


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    from simulator.cli._training_tables import mark, seconds

    shown: dict[str, Any] = {"size": _billions(row), "shape": f"{row['layers']} x {row['hidden']}"}
    if row["step_s"] is None:
        return shown | {"plan": "none fits"}
    return shown | {
        "plan": row["plan"],
        "step": mark(row) + seconds(row["step_s"]),
        "mfu": row["mfu"],
        "exposed": row["exposed"],
        "memory": round(row["memory_bytes_per_gpu"] / 2**30, 1),
        "power": None if row["power_W"] is None else f"{row['power_W'] / 1e6:.3g}",
        "days": f"{row['days']:,.1f}",
    }
