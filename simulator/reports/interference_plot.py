"""Jobs that share a fabric as a picture: how much slower each is, and who is to blame."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulator.reports.tables import cell

_WRITTEN = 12  # jobs up to which losses stand in their fields
_DARK = 0.6  # of the largest loss: above, a field is dark


def picture(jobs: Sequence[Mapping[str, Any]], interference: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the slowdown of each job beside the table of who slows whom."""
    figure = Figure(figsize=(11, max(3.5, 1.5 + 0.45 * len(jobs))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    slowdown(jobs, left)
    blame(jobs, interference, right)
    return figure


def slowdown(jobs: Sequence[Mapping[str, Any]], axes: Axes) -> Axes:
    """Draw how many times longer the step of each job takes than alone; return the axes."""
    names = [str(job["name"]) for job in jobs]
    axes.barh(range(len(names)), [job["slowdown"] for job in jobs], color="#56b4e9")
    axes.axvline(1.0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("step together / step alone")
    return axes


def blame(jobs: Sequence[Mapping[str, Any]], interference: Sequence[Mapping[str, Any]], axes: Axes) -> Axes:
    """Draw which part of its step alone each job loses to each other one; return the axes.

    Parameters
    ----------
    jobs, interference : sequence of mapping
        Rows of ``commsim interference``.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    names = [str(job["name"]) for job in jobs]
    alone = {job["name"]: job["alone_s"] for job in jobs}
    place = {name: at for at, name in enumerate(names)}
    parts = np.zeros((len(names), len(names)))
    for row in interference:
        before = alone[row["victim"]]
        parts[place[row["victim"]], place[row["culprit"]]] = 100 * row["lost_s"] / before if before else 0.0
    most = float(np.abs(parts).max(initial=0.0)) or 1.0
    for row in interference if len(names) <= _WRITTEN else ():
        at = place[row["victim"]], place[row["culprit"]]
        ink = "white" if abs(parts[at]) > _DARK * most else "black"
        if row["lost_s"]:
            text = cell(row["lost_s"], "s")
            axes.text(at[1], at[0], text, ha="center", va="center", fontsize="small", color=ink)
    shown = axes.imshow(parts, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    axes.figure.colorbar(shown, ax=axes, label="% of the victim's step alone")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("culprit")
    axes.set_ylabel("victim")
    return axes
