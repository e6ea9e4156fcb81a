"""What moves a number most, as bars to both sides; and a step with changes beside the step as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LESS, _MORE, _BAR, _BASE = "#0072b2", "#d55e00", "#56b4e9", "#6b7280"


def tornado(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the change of a step for each input taken down and up, the largest on top; return the axes.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``input``, ``down`` and ``up`` as shares of the step; nothing is drawn for what is missing.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    size = frame[["down", "up"]].astype(float).abs().max(axis=1)
    ordered = frame.assign(size=size).sort_values("size", kind="stable")
    for column, colour, label in (("down", _LESS, "input 10 % less"), ("up", _MORE, "input 10 % more")):
        width = 100 * ordered[column].astype(float).fillna(0.0)
        axes.barh(range(len(ordered)), width, color=colour, label=label, height=0.7, alpha=0.85)
    axes.axvline(0.0, color="0.2", linewidth=0.8)
    axes.set_yticks(range(len(ordered)), list(ordered["input"]))
    axes.set_xlabel("% of the time per token")
    axes.legend(frameon=False, fontsize=9)
    return axes


def indices(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw Sobol indices with their 90 % intervals, the largest total on top; return the axes.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``input``, ``first``, ``first_low``, ``first_high``, ``total``, ``total_low``, ``total_high``.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    ordered = frame.sort_values("total", kind="stable")
    for name, colour, by in (("total", _BAR, -0.2), ("first", _LESS, 0.2)):
        ends = ordered[[f"{name}_low", f"{name}_high"]]
        lower = (ordered[name] - ends.iloc[:, 0]).clip(lower=0.0)
        upper = (ends.iloc[:, 1] - ordered[name]).clip(lower=0.0)
        places = [place + by for place in range(len(ordered))]
        axes.barh(places, ordered[name], height=0.38, color=colour, label=f"{name} index")
        axes.errorbar(
            ordered[name], places, xerr=[lower, upper], fmt="none", ecolor="0.2", elinewidth=0.9, capsize=2
        )
    axes.set_yticks(range(len(ordered)), list(ordered["input"]))
    axes.set_xlabel("share of the variance of the step")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return axes


def picture(local: pd.DataFrame, shares: pd.DataFrame | None = None) -> Figure:
    """Return the tornado, and beside it the Sobol indices where there are any."""
    count = max(len(local), 0 if shares is None else len(shares))
    wide = shares is not None
    figure = Figure(figsize=(11 if wide else 7.5, max(3.0, 1.2 + 0.4 * count)), layout="constrained", dpi=110)
    if shares is None:
        tornado(local, figure.add_subplot())
        return figure
    left, right = figure.subplots(1, 2)
    tornado(local, left)
    indices(shares, right)
    return figure


def columns(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the step of a base run and of each change, with intervals; what cannot be has no bar."""
    figure = Figure(figsize=(8, max(3.0, 1.2 + 0.5 * len(rows))), layout="constrained", dpi=110)
    steps(pd.DataFrame(list(rows)), figure.add_subplot())
    return figure


def steps(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw the seconds of the step of each row of ``commsim what-if``; return the axes.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``change``, ``step_s``, ``low_s``, ``high_s`` and ``difference``.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    for place, (_, row) in enumerate(frame.iterrows()):
        if pd.isna(row["step_s"]):
            axes.text(0.0, place, " cannot be", va="center", fontsize=9)
            continue
        ends = [[row["step_s"] - row["low_s"]], [row["high_s"] - row["step_s"]]]
        axes.barh(place, row["step_s"], color=_BASE if place == 0 else _BAR, height=0.6)
        axes.errorbar(row["step_s"], place, xerr=ends, fmt="none", ecolor="0.2", elinewidth=0.9, capsize=3)
        if not pd.isna(row["difference"]):
            axes.text(0.0, place, f" {100 * row['difference']:+.1f} %", va="center", fontsize=9)
    axes.set_yticks(range(len(frame)), list(frame["change"]))
    axes.invert_yaxis()
    axes.set_xlabel("s a step, with its 90 % interval")
    return axes
