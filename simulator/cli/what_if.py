"""``commsim what-if``: a training step with anything changed, beside the step as it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import OutputFile, form_options
from simulator.cli._output import emit, save
from simulator.cli._progress import progress
from simulator.cli._training_options import complete, given, inputs, training_options
from simulator.errors import UsageError

if TYPE_CHECKING:
    from simulator.planning.what_if import WhatIf

SAME = 1e-9  # of two relative changes


@click.command("what-if")
@training_options()
@click.option("--set", "changed", multiple=True, metavar="KEY=VALUE", help="A change; each makes a column.")
@click.option(
    "--tokens", metavar="N", default="1T", show_default=True, help="Of the training that savings are for."
)
@click.option(
    "--upgrade-cost", type=float, metavar="USD", help="What the changes cost: after how many days they pay."
)
@click.option("--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Picture of the columns.")
@form_options
def command(
    *, changed: tuple[str, ...], tokens: str, upgrade_cost: float | None, plot: Path | None, **values: Any
) -> None:
    r"""Change anything of a step and see what it does: a column for the base run, each change, and all together.

    \b
    --set pp=4                           any option of estimate; gpus=x2, gbs=*0.5
    --set fabric.inter.bandwidth=800Gbps a link by role (intra inter core) or by what it is (ib roce nvlink)
    --set fabric.ib.latency=+10%         all that a message takes without its bytes
    --set fabric.oversubscription=2      what enters a leaf over what leaves it upwards
    --set 'fabric.fail=leaf0-0->spine1'  a link that is gone; .../1 is one cable of it
    --set gpu.slow=0.8@rank5             one GPU at 80 % of its speed
    --set 'pp=4 vpp=2'                   several in one column

    Worth: what the change saves of the price of GPU hours over --tokens; an upgrade below that pays.
    """
    found = given(values)
    complete(found)
    if not changed:
        raise UsageError("--set is missing: nothing is changed", where="--set", hint="--set pp=4")
    if upgrade_cost is not None and not 0 <= upgrade_cost < 1e15:
        raise UsageError(f"--upgrade-cost {upgrade_cost:g}: must be a number of USD", where="--upgrade-cost")
    from simulator.planning._amounts import number_of
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made
    from simulator.planning._what_if_changes import parse_all

    amount = number_of(tokens, "--tokens")
    changes = parse_all(changed)
    checked(made(found))
    from simulator.planning.what_if import what_if

    with progress("what if", len(changes) + 1 + (len(changes) > 1)) as done:
        answer = what_if(found, changes, tokens=amount, upgrade_cost=upgrade_cost, done=done)
    wrote = [_plot(answer, plot)] if plot else []
    emit(
        {"rows": answer.rows, "tokens": amount, "upgrade_cost_usd": upgrade_cost},
        lambda: [*_lines(answer, amount), *wrote],
        inputs=inputs(found),
        warnings=answer.warnings,
    )


def _plot(answer: "WhatIf", path: Path) -> str:
    import io

    from simulator.reports.tornado_plot import columns

    content = io.BytesIO()
    columns(answer.rows).savefig(content, format=path.suffix.removeprefix("."))
    save(path, content.getvalue())
    return f"wrote {path}"


def _lines(answer: "WhatIf", tokens: float) -> list[str]:
    from simulator.cli._training_tables import title, wrapped
    from simulator.reports.tables import Column, lay_out

    rows = answer.rows
    shown = [_short(row) for row in rows]
    columns = [
        Column("change"), Column("step", "step s"), Column("interval", "90 % interval"), Column("difference", "change"),
        Column("between", "change in s"), Column("mfu", "MFU", "%"), Column("exposed", "exposed comm", "%"),
    ]  # fmt: skip
    if any("token" in row for row in shown):
        columns.insert(4, Column("token", "per token"))
    lines = [title(rows[0]), *lay_out(shown, columns)]
    if any(row.get("told_apart") is False for row in rows):
        lines += wrapped(
            "* within both intervals, were the errors of the two runs not alike; the change in s takes them as one"
        )
    for row in rows[1:]:
        lines += wrapped(_worth(row, tokens)) if row["step_s"] is not None else []
    return [*lines, *wrapped(answer.line)]


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    from simulator.cli._training_tables import exposed, mark, seconds

    if row["step_s"] is None:
        return {"change": row["change"], "step": "cannot be"}
    shown: dict[str, Any] = {
        "change": row["change"],
        "step": mark(row) + seconds(row["step_s"]),
        "interval": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}",
        "mfu": row["mfu"],
        "exposed": exposed(row),
    }
    if row["difference_s"] is not None:
        shown["difference"] = f"{100 * row['difference']:+.1f} %" + ("" if row["told_apart"] else " *")
        ends = row["difference_common_low_s"], row["difference_common_high_s"]
        shown["between"] = " .. ".join(f"{end:+.3g}" for end in ends)
        per_token = row["difference_per_token"]
        if abs(per_token - row["difference"]) > SAME:  # another batch, or longer samples
            shown["token"] = f"{100 * per_token:+.1f} %"
    return shown


def _worth(row: Mapping[str, Any], tokens: float) -> str:
    """Return up to which price a change is worth it."""
    name, per = row["change"], f"{tokens / 1e12:.3g}T tokens"
    if row["worth_usd"] is None:
        return f"{name}: what it is worth cannot be given without a price; --price gives one"
    million = row["worth_usd"] / 1e6
    if not row["worth_usd"]:
        return f"{name}: worth nothing"
    if million < 0:
        return f"{name}: loses {-million:.3g} M$ per {per}"
    ends = f"{row['worth_low_usd'] / 1e6:.3g} .. {row['worth_high_usd'] / 1e6:.3g}"
    text = f"{name}: worth it if it costs less than {million:.3g} M$ per {per} ({ends})"
    days = row["pays_after_days"]
    return text if days is None else f"{text}; paid after {days:,.1f} days of training"
