"""A step as a picture: the pipeline over time, and where the time of its busiest stage goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulator.engine.result import ACCOUNTS, Span
from simulator.reports.gantt_plot import gantt

_TASKS = ("F", "B", "W")


def picture(row: Mapping[str, Any], spans: Sequence[Span]) -> Figure:
    """Return the Gantt chart of the pipeline above the breakdown of a row of `estimate`."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1])
    frame = tasks(spans)
    if len(frame):
        gantt(frame, above)
    else:
        above.text(0.5, 0.5, "no timeline: it needs --fidelity fluid", ha="center")
        above.set_axis_off()
    breakdown([row], below)
    return figure


def tasks(spans: Sequence[Span]) -> pd.DataFrame:
    """Return the tasks of a timeline, one row each: what a Gantt chart is drawn from."""
    columns = ("stage", "kind", "microbatch", "chunk", "start_s", "end_s")
    rows = [{name: getattr(span, name) for name in columns} for span in spans if span.kind in _TASKS]
    return pd.DataFrame(rows, columns=list(columns))


def breakdown(rows: Sequence[Mapping[str, Any]], axes: Axes) -> Axes:
    """Draw where the time goes, one stacked bar a row of `estimate`; return the axes."""
    labels = [str(row.get("plan", number)) for number, row in enumerate(rows)]
    left = [0.0] * len(rows)
    for name in ACCOUNTS:
        values = [float(row["breakdown_s"][name]) for row in rows]
        if any(values):
            axes.barh(labels, values, left=left, label=name.replace("exposed_", "exposed "))
            left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_xlabel("s of one step")
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return axes
