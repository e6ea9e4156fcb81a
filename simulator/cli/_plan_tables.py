"""What a person reads of a plan."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulator.cli._training_tables import mark, per_trillion, seconds, wrapped
from simulator.reports.tables import Column, lay_out

if TYPE_CHECKING:
    from simulator.planning._estimate_options import Options
    from simulator.planning.plan import Planned

GIB = 2**30
TIE = "tie"


def plans(answer: "Planned", asked: "Options") -> list[str]:
    """Return the table of the best, what it says of the first, and how many were looked at."""
    from simulator.calibration.steps import fitted
    from simulator.planning.ties import line

    rows = answer.rows
    shown = [_short(row) for row in rows]
    columns = [Column("rank", "")]
    columns += [Column("gpus")] if len({row["gpus"] for row in rows}) > 1 else []
    columns += [Column("plan")]
    columns += [Column("fabric")] if len({row["fabric"] for row in rows}) > 1 else []
    columns += [Column("mbs"), Column("step", "step s")]
    if "days" in rows[0]:
        columns += [
            Column("days"),
            Column("span", "90 %"),
            Column("in_time", "in time", "%"),
            Column("total", "M$"),
        ]
    else:
        columns += [Column("interval", "90 % interval"), Column("cost", "M$/1T")]
    columns += [Column("mfu", "MFU", "%"), Column("memory", "GiB"), Column("how")]
    gpus = "" if len({row["gpus"] for row in rows}) > 1 else f" on {rows[0]['gpus']} {rows[0]['gpu']}"
    title = f"{rows[0]['model']}{gpus}, gbs {asked.gbs}, seq {asked.seq_len}: best layouts by {rows[0]['fidelity']}"
    lines = [title, *lay_out(shown, columns)]
    lines += [
        line for number, row in enumerate(rows[:3], start=1) for line in wrapped(f"{number}: {row['why']}")
    ]
    if not all(row["stack_has_it"] for row in rows):
        stack = rows[0]["stack"]
        lines += wrapped(
            f"* {stack} has no such schedule or strategy; what it runs: commsim plan ... --runnable"
        )
    if "days" in rows[0]:
        lines += wrapped(
            f"days with failures and checkpoints: {rows[0]['goodput']:.1%} of the time of the first is work"
        )
    return [*lines, *wrapped(_counts(answer)), *wrapped(line()), *wrapped(fitted.accuracy_line(False))]


def _counts(answer: "Planned") -> str:
    """Return how many candidates were looked at, how fast, and what became of them."""
    rate = answer.evaluated / answer.search_s if answer.search_s else 0.0
    return (
        f"{answer.evaluated:,} candidates looked at in {answer.search_s:.1f} s ({rate / 1e6:.2f} M/s): "
        f"{answer.evaluated - answer.feasible:,} do not fit in memory, {answer.walked:,} were timed to the last "
        f"task, the others are slower by a bound.  why: commsim plan ... --rejected"
    )


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    again = {"none": "", "full": "full", "selective": "sel"}[row["recompute"]]
    if row["recompute_layers"]:
        again += f" {row['recompute_layers']}"
    if row["recompute_modules"]:
        again += f" {row['recompute_modules']}"
    usual = "interleaved" if row["vpp"] > 1 else "1f1b"
    sliced = "" if row["sp"] or row["tp"] == 1 else "no-sp"
    how = " ".join(
        filter(None, ("" if row["schedule"] == usual else row["schedule"], row["strategy"], sliced))
    )
    million = per_trillion(row)
    how += "" if row["stack_has_it"] else " *"
    return {
        "rank": f"{row['rank']}{'=' if row['against_best'] == TIE else ''}",
        "gpus": row["gpus"],
        "plan": row["plan"],
        "fabric": row["fabric"],
        "how": f"{how}, {again}" if again else how,
        "mbs": row["mbs"],
        "step": mark(row) + seconds(row["step_s"]),
        "interval": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}",
        "mfu": row["mfu"],
        "memory": round(row["memory_bytes_per_gpu"] / GIB, 1),
        "cost": None if million is None else f"{million / 1e6:.3g}",
    } | _whole(row)


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of the whole run."""
    if "days" not in row:
        return {}
    total = row["total_usd"]
    return {
        "days": f"{row['days']:.1f}",
        "span": f"{row['days_low']:.1f} .. {row['days_high']:.1f}",
        "in_time": row["in_time"],
        "total": None if total is None else f"{total / 1e6:.3g}",
    }


def front(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the rows of which no other is better in both objectives."""
    shown = [
        {
            "gpus": row["gpus"], "fabric": row["fabric"], "plan": row["plan"], "step": seconds(row["step_s"]),
            "usd": row["cost_usd"], "energy": row["energy_J"],
        }
        for row in rows
    ]  # fmt: skip
    columns = [Column("gpus"), Column("fabric"), Column("plan"), Column("step", "step s")]
    columns += [Column("usd", "USD a step"), Column("energy", "energy a step", "J")]
    return ["none is better in both", *lay_out(shown, columns)]


def refused(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what became of the candidates, axis by axis."""
    shown = [
        {
            "axis": row["axis"], "value": str(row["value"]), "gpus": row["gpus"], "evaluated": f"{row['evaluated']:,}",
            "fit": row["fit"] / row["evaluated"] if row["evaluated"] else None,
            "least": "none fits" if row["at_least_s"] is None else seconds(row["at_least_s"]),
            "room": round(row["least_memory_bytes"] / GIB, 1),
        }
        for row in rows
    ]  # fmt: skip
    columns = [
        Column("gpus"), Column("axis"), Column("value"), Column("evaluated", "candidates"), Column("fit", "fit", "%"),
        Column("least", "fastest, at least s"), Column("room", "smallest, GiB in tensors"),
    ]  # fmt: skip
    return ["what became of all candidates", *lay_out(shown, columns)]
