"""What a person reads of a training step."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulator.reports.tables import WIDTH, Column, cell, lay_out

if TYPE_CHECKING:
    from simulator.planning.estimate import Estimate

_TASKS = {
    "F": "forward",
    "B": "backward",
    "W": "weight gradients",
    "before": "before all",
    "after": "after all",
}
TRILLION = 1e12
_WORDS = {
    "compute": "compute",
    "exposed_tensor": "exposed tensor parallel",
    "exposed_pipeline": "exposed pipeline sends",
    "exposed_data": "exposed data parallel",
    "exposed_context": "exposed context parallel",
    "exposed_expert": "exposed expert parallel",
    "bubble": "pipeline bubble",
    "optimizer": "optimizer",
    "other": "host and fixed",
}


def title(row: Mapping[str, Any]) -> str:
    """Return what was asked, in a line."""
    return (
        f"{row['model']} on {row['gpus']} {row['gpu']} ({row['fabric']}), {row['plan']}, mbs {row['mbs']}, "
        f"gbs {row['gbs']}, seq {row['seq_len']}, {row['precision']}"
    )


def seconds(value: float) -> str:
    """Return seconds of a step with three digits, or four: ``6.11``, ``136.6``."""
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def mark(row: Mapping[str, Any]) -> str:
    """Return the sign of numbers outside of what was measured."""
    return "" if row["basis"] == "calibrated" else "~"


def exposed(row: Mapping[str, Any]) -> float:
    """Return the share of a step in which no computation hides the communication."""
    spent = row["breakdown_s"]
    return float(sum(value for name, value in spent.items() if name.startswith("exposed")) / row["step_s"])


def per_trillion(row: Mapping[str, Any]) -> float | None:
    """Return USD for a trillion tokens."""
    if row["cost_usd"] is None:
        return None
    return float(row["cost_usd"] / (row["tokens_per_s_per_gpu"] * row["gpus"] * row["step_s"]) * TRILLION)


def one(answer: "Estimate") -> list[str]:
    """Return the lines for a single step."""
    row, sign = answer.row, mark(answer.row)
    ends = f"{seconds(row['low_s'])} .. {seconds(row['high_s'])} s"
    step = (
        f"step {sign}{seconds(row['step_s'])} s, 90 % interval {ends}   ({row['fidelity']}{_messages(row)})"
    )
    used = f"MFU {sign}{row['mfu']:.1%}, HFU {sign}{row['hfu']:.1%}"
    rate = f"{sign}{row['tokens_per_s_per_gpu']:,.0f} tokens/s/GPU, {used}"
    how = f"{row['schedule']}, {row['strategy']}, recompute {row['recompute']}, software {row['stack']}"
    lines = [title(row), step, rate, how, *wrapped(_memory(answer)), "", *_breakdown(row), ""]
    return [*lines, *_money(answer), *wrapped(answer.step.values.line)]


def _messages(row: Mapping[str, Any]) -> str:
    what = {"fluid": "bundles", "messages": "messages"}.get(row["fidelity"])
    return f", {row['messages']:,} {what}" if what else ""


def _memory(answer: "Estimate") -> str:
    worst, capacity = answer.step.fullest, answer.step.capacity
    gib = 2.0**30
    parts = ", ".join(
        f"{name} {size / gib:.1f}" for name, size in worst.parts().items() if size >= 0.05 * gib
    )
    room = f" of {capacity.visible / gib:.1f}" if capacity else ""
    where = f", stage {worst.stage}" if answer.step.layout.pp > 1 else ""
    return f"memory {answer.row['memory_bytes_per_gpu'] / gib:.1f}{room} GiB{where}: {parts}"


def _breakdown(row: Mapping[str, Any]) -> list[str]:
    moved = row["communication_bytes"]
    shown = [
        {
            "part": _WORDS.get(name, name),
            "share": value / row["step_s"],
            "value_s": value,
            "bytes": moved.get(name.removeprefix("exposed_"), None) if name.startswith("exposed") else None,
        }
        for name, value in row["breakdown_s"].items()
        if value or moved.get(name.removeprefix("exposed_"))
    ]
    columns = [
        Column("part", "where the time goes"),
        Column("value_s", "seconds"),
        Column("share", "share", "%"),
    ]
    return lay_out(shown, [*columns, Column("bytes", "bytes a GPU sends", "B")])


def _money(answer: "Estimate") -> list[str]:
    row, notes = answer.row, answer.notes
    lines: list[str] = []
    if row["cost_usd"] is not None:
        million = (per_trillion(row) or 0.0) / 1e6
        price = f"{million:.3g} M$ per 1T tokens; {notes['price']}"
        lines += wrapped(f"cost {row['cost_usd']:,.2f} USD a step, {price}")
    if row["energy_J"] is not None:
        part = row["network_energy_share"]
        share = "the network unknown" if part is None else f"{part:.1%} of it switches without optics"
        each = f"{cell(float(row['joules_per_token']), 'J')} a token, {cell(float(row['power_W']), 'W')} in the mean"
        lines += wrapped(
            f"energy {cell(float(row['energy_J']), 'J')} a step, {each}, {share}: {notes['energy']}"
        )
    if row["carbon_kg"] is not None:
        each = f"{row['grams_per_token'] * 1e6:.3g} g per 1M tokens"
        lines += wrapped(f"carbon {row['carbon_kg']:.3g} kg CO2e a step, {each}; {notes['carbon']}")
    return lines


def wrapped(text: str) -> list[str]:
    """Return a sentence in lines of a table's width, what goes on below it indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def many(rows: Sequence[Mapping[str, Any]], line: str) -> list[str]:
    """Return the table of several steps, and the accuracy line below it."""
    first = rows[0]
    shown = [_short(row) for row in rows]
    columns = [
        Column("gpus"), Column("plan"), Column("step", "step s"), Column("interval", "90 % interval"),
        Column("mfu", "MFU", "%"), Column("exposed", "exposed comm", "%"), Column("cost", "M$/1T tokens"),
        Column("memory", "GiB/GPU"),
    ]  # fmt: skip
    what = f"{first['model']} on {first['fabric']}, gbs {first['gbs']}, seq {first['seq_len']}"
    return [what, *lay_out(shown, columns), *wrapped(line)]


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["step_s"] is None:
        at = {name: row.get(name, 1) for name in ("tp", "pp", "vpp", "cp", "ep", "dp")}
        plan = " ".join(f"{name}{degree}" for name, degree in at.items() if degree > 1)
        return {"gpus": row["gpus"], "plan": plan or "dp", "step": "does not fit"}
    million = per_trillion(row)
    return {
        "gpus": row["gpus"],
        "plan": row["plan"],
        "step": mark(row) + seconds(row["step_s"]),
        "interval": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}",
        "mfu": row["mfu"],
        "exposed": exposed(row),
        "cost": None if million is None else f"{million / 1e6:.3g}",
        "memory": round(row["memory_bytes_per_gpu"] / 2**30, 1),
    }


def layers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the operations of each layer and where they run; stages that do the same are shown once."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["stage"], row["task"], row["block"], row["repeat"]), []).append(row)
    known: set[tuple[Any, ...]] = set()
    columns = [
        Column("operation"), Column("kind"), Column("axis"), Column("flops", "FLOPs"), Column("bytes", "bytes", "B"),
        Column("seconds_s", "seconds"), Column("stream"),
    ]  # fmt: skip
    lines = ["operations of one microbatch on one rank; stages that do the same are shown once"]
    for (stage, task, block, repeat), some in groups.items():
        alike = (task, block, repeat, *(tuple(one[column.key] for column in columns) for one in some))
        if alike not in known:
            known.add(alike)
            often = f"{repeat} x {block}" if repeat > 1 else block
            lines += ["", ", ".join(filter(None, (f"stage {stage}", _TASKS.get(task, task), often)))]
            lines += [f"  {line}" for line in lay_out(some, columns)]
    return lines
