"""The pictures of a page: each says of which tables it can be drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from simulator.reports.plots import time_against_size
from simulator.reports.training_plot import step_against_gpus

BARS = 12  # steps side by side
_APART = 4  # times as long from which on steps are not drawn on one scale
_WHISKERS: dict[str, Any] = {"ecolor": "#1f2937", "capsize": 3, "linewidth": 0.9}
_PARTS = {
    "compute": "#4c78a8", "exposed_tensor": "#f58518", "exposed_pipeline": "#e45756", "exposed_data": "#72b7b2",
    "exposed_context": "#54a24b", "exposed_expert": "#eeca3b", "bubble": "#b279a2", "optimizer": "#9d755d",
    "other": "#bab0ac",
}  # fmt: skip
_GRID: dict[str, Any] = {"color": "#d9dce1", "linewidth": 0.6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture.

    Parameters
    ----------
    title, about : str
        What it is; what it shows, for those who do not see it.
    there : callable
        Whether a table has what it needs.
    draw : callable
        From the table and axes.
    """

    title: str
    about: str
    there: Callable[[pd.DataFrame], bool]
    draw: Callable[[pd.DataFrame, Axes], Axes]


def _steps(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["step_s"].notna()] if "step_s" in frame else frame.iloc[:0]


def breakdown(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw where the time of the first steps goes; shares where some are many times as long as others."""
    some = _steps(frame).head(BARS)
    apart = bool(some["step_s"].max() > _APART * some["step_s"].min())
    scale = 100 / some["step_s"] if apart else 1.0
    bottom, place = np.zeros(len(some)), np.arange(len(some))
    for part, colour in _PARTS.items():
        key = f"breakdown_s.{part}"
        if key in some and some[key].fillna(0).max() > 0:
            height = some[key] * scale
            axes.bar(place, height, bottom=bottom, color=colour, label=part.replace("_", " "), width=0.7)
            bottom = bottom + height.to_numpy()
    if not apart:
        errors = np.array([some["step_s"] - some["low_s"], some["high_s"] - some["step_s"]])
        axes.errorbar(place, some["step_s"], yerr=errors, fmt="none", **_WHISKERS)
    several = "gpus" in some and some["gpus"].nunique() > 1
    names = [
        f"{row['plan']}" + (f"\n{row['gpus']:.0f} GPUs" if several else "") for _, row in some.iterrows()
    ]
    axes.set_xticks(place, names, rotation=40, ha="right", fontsize=7)
    axes.set_ylabel("% of the step" if apart else "s of a step, 90 % interval")
    axes.grid(axis="y", **_GRID)
    axes.set_axisbelow(True)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def cost_against_time(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw what a run costs over how long it takes, a dot a layout."""
    x, y = ("days", "total_usd") if "days" in frame else ("step_s", "cost_usd")
    some = _steps(frame).dropna(subset=[x, y])
    scale = 1e6 if y == "total_usd" else 1.0
    for name, group in some.groupby("fabric", sort=False):
        axes.scatter(group[x], group[y] / scale, s=26, label=str(name), zorder=3)
    for _, row in some.head(1).iterrows():
        axes.annotate(
            f"{row['gpus']:.0f} GPUs {row['plan']}", (row[x], row[y] / scale), fontsize=7, xytext=(4, 4),
            textcoords="offset points",
        )  # fmt: skip
    if some[x].max() > _APART * some[x].min():
        axes.set_xscale("log")
    axes.set_xlabel("days with failures" if x == "days" else "s of a step")
    axes.set_ylabel("million USD" if scale > 1 else "USD a step")
    axes.grid(**_GRID)
    axes.legend(fontsize=8, frameon=False)
    return axes


def memory(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw step time over memory of a GPU, a dot a layout."""
    some = _steps(frame).dropna(subset=["memory_bytes_per_gpu"])
    axes.scatter(some["memory_bytes_per_gpu"] / 2**30, some["step_s"], s=22, color="#4c78a8")
    axes.set_xlabel("GiB a GPU")
    axes.set_ylabel("s of a step")
    axes.grid(**_GRID)
    return axes


def collectives(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Draw times over sizes."""
    some = frame[(frame["status"] == "predicted") & (frame["size_bytes"] > 0) & (frame["time_s"] > 0)]
    first = some[(some["fabric"] == some["fabric"].iloc[0]) & (some["fidelity"] == some["fidelity"].iloc[0])]
    table = first.assign(algorithm=first["algorithm_asked"])
    return time_against_size(
        table[["op", "gpus", "size_bytes", "algorithm", "time_s", "low_s", "high_s"]], axes
    )


def _several(frame: pd.DataFrame, *keys: str) -> bool:
    some = _steps(frame)
    return len(some) > 1 and all(key in some and some[key].notna().sum() > 1 for key in keys)


PICTURES = (
    Drawn(
        title="Where the time goes",
        about="Bars of the first steps of the table, cut into computation, each exposed communication, pipeline bubble "
        "and the rest; with the 90 % interval of the whole where they are in seconds.",
        there=lambda frame: len(_steps(frame)) > 0 and "breakdown_s.compute" in frame,
        draw=breakdown,
    ),
    Drawn(
        title="Step time over GPUs",
        about="Seconds of a step over the number of GPUs, both on logarithmic axes, with 90 % intervals.",
        there=lambda frame: len(_steps(frame)) > 1 and frame["gpus"].nunique() > 1,
        draw=lambda frame, axes: step_against_gpus(_steps(frame), axes),
    ),
    Drawn(
        title="Cost over time",
        about="What each layout costs over how long it takes; lower and further left is better.",
        there=lambda frame: _several(frame, "days", "total_usd") or _several(frame, "step_s", "cost_usd"),
        draw=cost_against_time,
    ),
    Drawn(
        title="Time over memory",
        about="Seconds of a step over the memory that it takes of a GPU; lower and further left is better.",
        there=lambda frame: _several(frame, "memory_bytes_per_gpu") and frame["gpus"].nunique() == 1,
        draw=memory,
    ),
    Drawn(
        title="Time over size",
        about="Seconds of the collective over bytes, a line for each number of GPUs and each algorithm.",
        there=lambda frame: {"time_s", "algorithm_asked"} <= set(frame) and frame["time_s"].notna().sum() > 1
        and frame["size_bytes"].nunique() > 1,
        draw=collectives,
    ),
)  # fmt: skip
