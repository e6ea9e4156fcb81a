"""``commsim explain``: why a step takes as long as it does, and what would change that."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit
from simulator.cli._training_options import complete, given, inputs, training_options

if TYPE_CHECKING:
    from simulator.planning._estimate_explain import Why
    from simulator.planning.estimate import Estimate
    from simulator.planning.sensitivity import Sensitivity

_SHORT = {
    "exposed_tensor": "tp",
    "exposed_pipeline": "pp",
    "exposed_data": "dp",
    "exposed_context": "cp",
    "exposed_expert": "ep",
}
SHOWN = 8  # operations of the longest way


@click.command()
@training_options()
@form_options
def command(**values: Any) -> None:
    """Say where a step's time goes: its longest way, exposed exchanges, full links, what moves it most."""
    found = given(values)
    complete(found)
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made

    options = made(found)
    checked(options)
    from simulator.planning._estimate_explain import explained
    from simulator.planning.estimate import Desk, answered, prepared, run
    from simulator.planning.place import Fabric
    from simulator.planning.sensitivity import as_rows, sensitivities

    desk = Desk(Fabric(options.fabric))
    step = prepared(options, desk)
    answer = answered(step, run(step, desk), desk)
    why = explained(step, answer.result, desk)
    moves = sensitivities(step, desk)
    result = {
        "rows": [answer.row],
        "path": why.path,
        "communication": why.talk,
        "links": why.links,
        "contention_s": why.slowed,
        "sensitivities": as_rows(moves),
    }
    emit(result, lambda: _lines(answer, why, moves), inputs=inputs(found), warnings=answer.warnings)


def _lines(answer: "Estimate", why: "Why", moves: "Sequence[Sensitivity]") -> list[str]:
    from simulator.cli._training_tables import title, wrapped

    row = answer.row
    below = [*(_exchange(one) for one in why.talk), *_links(why, row), _moves(moves), answer.step.values.line]
    return [
        title(row),
        *wrapped(_sum(row)),
        "",
        *_path(why.path),
        "",
        *(line for text in below for line in wrapped(text)),
    ]


def _sum(row: Mapping[str, Any]) -> str:
    """Return ``step 6.11 s = compute 3.58 + exposed 1.96 (dp 1.31, tp 0.44, pp 0.21) + bubble 0.57``."""
    from simulator.cli._training_tables import mark, seconds

    spent = row["breakdown_s"]
    digits = 2 if row["step_s"] >= 1 else 4
    parts = {_SHORT[name]: value for name, value in spent.items() if name in _SHORT}
    shown = {name: f"{value:.{digits}f}" for name, value in sorted(parts.items(), key=lambda one: -one[1])}
    inside = ", ".join(f"{name} {text}" for name, text in shown.items() if float(text))
    terms = [
        ("compute", spent["compute"], ""),
        ("exposed", sum(parts.values()), f" ({inside})" if inside else ""),
    ]
    terms += [(name, spent[name], "") for name in ("bubble", "optimizer", "other")]
    texts = [(name, f"{value:.{digits}f}", more) for name, value, more in terms]
    total = " + ".join(f"{name} {text}{more}" for name, text, more in texts if float(text))
    return f"step {mark(row)}{seconds(row['step_s'])} s = {total}"


def _path(path: Sequence[Mapping[str, Any]]) -> list[str]:
    from simulator.reports.tables import Column, lay_out

    columns = [
        Column("operation", "longest way (by formula)"),
        Column("kind"),
        Column("seconds_s", "seconds"),
    ]
    return lay_out(path[:SHOWN], [*columns, Column("share", "share", "%")])


def _exchange(row: Mapping[str, Any]) -> str:
    from simulator.cli._training_tables import seconds
    from simulator.reports.tables import cell

    text = f"{row['axis']} {row['op'].replace('_', '-')}: {row['ranks']} ranks"
    text += f" on {row['nodes']} nodes" if row["nodes"] > 1 else ""
    text += (
        f", {row['calls']:,.0f} x {cell(float(row['size_bytes']), 'B')}, {seconds(row['seconds_s'])} s in all"
    )
    if row["algorithm"] and row["algorithm"] != "p2p":
        text += f"; {row['algorithm']}/{row['protocol']}"
        if row["next"]:
            text += f" chosen over {row['next']} ({row['next_slower']:.1f}x slower at this size)"
    return text


def _links(why: "Why", row: Mapping[str, Any]) -> list[str]:
    from simulator.cli._training_tables import seconds

    if row["fidelity"] == "formula":
        return ["links: a formula knows of none that is shared; --fidelity fluid does"]
    lines = []
    if why.links:
        link = why.links[0]
        users = ", ".join(
            f"{axis} {share:.0%}" for axis, share in sorted(link["axes"].items(), key=lambda i: -i[1])
        )
        lines.append(f"slowest link {link['link']}, {link['busy']:.0%} busy ({users})")
    if not why.slowed:
        return [*lines, "no exchange meets another one on a link"]
    by = ", ".join(
        f"{axis} {seconds(value)} s" for axis, value in sorted(why.slowed.items(), key=lambda i: -i[1])
    )
    return [*lines, f"contention on shared links, over all stages: {by}"]


def _moves(moves: "Sequence[Sensitivity]") -> str:
    shown = [f"{one.input} {_change(one)}" for one in moves[:6]]
    return "what moves the answer most (+10 %): " + ", ".join(shown)


def _change(one: "Sensitivity") -> str:
    value = one.up if one.up is not None else -(one.down or 0.0)
    return f"{100 * value:+.1f} %"
