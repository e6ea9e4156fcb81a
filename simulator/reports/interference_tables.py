"""What a person reads of jobs that share a fabric."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.reports.tables import Column, cell, lay_out

SHOWN = 10  # rows of who slows whom, and of links


def jobs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the jobs: the step of each alone and together."""
    shown = [dict(row) | {"slower": f"x {row['slowdown']:.3f}"} for row in rows]
    return lay_out(
        shown,
        [
            Column("name", "job"),
            Column("gpus", "GPUs"),
            Column("start_s", "start"),
            Column("steps"),
            Column("alone_s", "step alone"),
            Column("together_s", "together"),
            Column("slower", "slowdown"),
        ],
    )


def contention(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of who slows whom, by how much of a step and where."""
    felt = [row for row in rows if row["lost_s"]]
    if not felt:
        return ["no job slows another one"]
    shown = [dict(row) | {"link": row["link"] or "none: through other jobs"} for row in felt[:SHOWN]]
    columns = [
        Column("victim"),
        Column("culprit", "slowed by"),
        Column("lost_s", "lost a step"),
        Column("link", "on"),
    ]
    more = [f"{len(felt) - SHOWN} more: --json"] if len(felt) > SHOWN else []
    return [*lay_out(shown, columns), *more]


def links(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the busiest links that several jobs use."""
    if not rows:
        return ["no link is used by two jobs"]
    shown = [
        {
            "link": row["link"] + (f" and {row['alike'] - 1} alike" if row["alike"] > 1 else ""),
            "busy": row["busy"],
            "by": ", ".join(
                f"{name} {cell(part, '%')}" for name, part in sorted(row["by_job"].items(), key=_by_part)
            ),
        }
        for row in rows[:SHOWN]
    ]
    return lay_out(
        shown, [Column("link", "shared link"), Column("busy", "busy", "%"), Column("by", "by job")]
    )


def _by_part(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]
