"""Pictures of training steps: where the time of each goes, and how it grows or falls with the GPUs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from simulator.engine.result import ACCOUNTS
from simulator.reports.tables import cell

Rows = pd.DataFrame | Sequence[Mapping[str, Any]]

_HUES = MappingProxyType(  # an account looks the same in every picture: work in blue, messages warm, waiting grey
    {
        "compute": "#0072b2", "optimizer": "#56b4e9", "exposed_tensor": "#d55e00", "exposed_context": "#e69f00",
        "exposed_expert": "#cc79a7", "exposed_pipeline": "#8e5ba6", "exposed_data": "#b8483f",
        "bubble": "#b6bcc6", "other": "#6b7280",
    }
)  # fmt: skip
_WIDE = 0.055  # share of the longest bar that a percentage needs
_GRID: dict[str, Any] = {"color": "#d9dce1", "linewidth": 0.6}
_BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.01, 0.5),
    "frameon": False,
    "fontsize": 9,
}


def breakdown(rows: Rows, axes: Axes | None = None, *, label: str = "plan", share: bool = False) -> Axes:
    """Draw where the time of each step goes: a stacked bar a row, the first on top.

    Parameters
    ----------
    rows : pandas.DataFrame or sequence of mapping
        One row a step, as `estimate` returns them: ``step_s``, ``breakdown_s``, what ``label`` says, and
        ``low_s`` and ``high_s`` where the interval is to be drawn.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure as high as there are rows.
    label : str
        The column that names the bars.
    share : bool
        Draw shares of the step, all bars of one length, instead of seconds.

    Raises
    ------
    ValueError
        No row, or one without a breakdown because it does not fit.
    """
    steps: list[Any] = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    if not steps:
        raise ValueError("a breakdown needs at least one step, got none")
    names = [str(row.get(label, number)) for number, row in enumerate(steps)]
    for name, row in zip(names, steps, strict=True):
        if not row["breakdown_s"]:
            raise ValueError(f"{name} has no breakdown: it does not fit; leave it out")
    axes = axes or Figure(figsize=(10, 1.1 + 0.45 * len(steps)), layout="constrained", dpi=110).add_subplot()
    units = [float(row["step_s"]) if share else 1.0 for row in steps]
    longest = max(float(row["step_s"]) / unit for row, unit in zip(steps, units, strict=True))
    ends = [0.0] * len(steps)
    for account in ACCOUNTS:
        parts = [float(row["breakdown_s"][account]) / unit for row, unit in zip(steps, units, strict=True)]
        if not any(parts):
            continue
        axes.barh(
            range(len(steps)), parts, left=ends, height=0.7, color=_HUES[account],
            label=account.replace("exposed_", "exposed "), edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        _percentages(axes, steps, parts, ends, account, longest)
        ends = [end + part for end, part in zip(ends, parts, strict=True)]
    if not share:
        _intervals(axes, steps, ends)
    axes.set_yticks(range(len(steps)), names)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_xlabel("share of the step" if share else "time of a step")
    unit = "%" if share else "s"
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.0%}" if unit == "%" else cell(float(value), "s"))
    )
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(**_BESIDE)
    return axes


def _percentages(
    axes: Axes,
    steps: Sequence[Any],
    parts: Sequence[float],
    ends: Sequence[float],
    account: str,
    longest: float,
) -> None:
    """Write the share of the step into each part that has room for it."""
    ink = "#222222" if account in ("bubble", "optimizer", "exposed_context") else "white"
    for place, (row, part, end) in enumerate(zip(steps, parts, ends, strict=True)):
        if part >= _WIDE * longest:
            text = f"{row['breakdown_s'][account] / row['step_s']:.0%}"
            axes.text(end + part / 2, place, text, ha="center", va="center", fontsize=8, color=ink)


def _intervals(axes: Axes, steps: Sequence[Any], ends: Sequence[float]) -> None:
    """Draw the 90 % interval at the end of each bar that has one."""
    for place, (row, end) in enumerate(zip(steps, ends, strict=True)):
        low, high = row.get("low_s"), row.get("high_s")
        if low is not None and high is not None:
            axes.errorbar(
                end, place, xerr=[[max(0.0, end - low)], [max(0.0, high - end)]],
                color="#222222", capsize=3, linewidth=1,
            )  # fmt: skip


def scaling(
    frame: pd.DataFrame,
    axes: Axes | None = None,
    *,
    series: str = "model",
    ideal: Literal["", "weak", "strong"] = "",
) -> Axes:
    """Draw the time of a step over the GPUs: a line a series, its interval as a band, measured runs as dots.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``gpus`` and ``step_s``, and where there are any ``low_s``, ``high_s``, ``measured_s`` and
        ``series``. Several runs of one series and size share one prediction.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure.
    series : str
        The column that tells lines apart, if the frame has it.
    ideal : str
        A broken line of what would be if nothing were lost after the first point: ``weak`` stays, ``strong`` falls
        as 1 / GPUs. The axis of time is logarithmic with ``strong``, else it starts at 0.

    Raises
    ------
    ValueError
        No row, or two predictions for one series and size.
    """
    if frame.empty:
        raise ValueError("a picture of scaling needs at least one step, got none")
    axes = axes or Figure(figsize=(7.5, 4.2), layout="constrained", dpi=110).add_subplot()
    groups = list(frame.groupby(series, sort=False)) if series in frame else [("predicted", frame)]
    measured = "measured_s" in frame and frame["measured_s"].notna().any()
    for place, (name, rows) in enumerate(groups):
        colour = to_hex(colormaps["viridis"](0.8 * place / max(1, len(groups) - 1)))
        line = _line(rows, str(name))
        axes.plot(line["gpus"], line["step_s"], color=colour, linewidth=1.8, label=str(name), zorder=3)
        if {"low_s", "high_s"} <= set(line):
            axes.fill_between(
                line["gpus"], line["low_s"], line["high_s"], color=colour, alpha=0.16, linewidth=0
            )
        if measured:
            axes.plot(
                rows["gpus"], rows["measured_s"], "o", color=colour, markersize=5,
                markeredgecolor="white", markeredgewidth=0.6, zorder=4,
            )  # fmt: skip
        if ideal:
            first = line["step_s"].iloc[0]
            kept = first * (line["gpus"].iloc[0] / line["gpus"] if ideal == "strong" else line["gpus"] ** 0)
            axes.plot(line["gpus"], kept, "--", color=colour, linewidth=1, alpha=0.7, zorder=2)
    _finish(axes, sorted(frame["gpus"].unique()), falls=ideal == "strong")
    if measured:
        axes.plot([], [], "o", color="#70757d", markersize=5, label="measured")
    if ideal:
        axes.plot([], [], "--", color="#70757d", linewidth=1, label="if nothing were lost")
    axes.legend(**_BESIDE)
    return axes


def _line(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the predictions of a series, one a size."""
    columns = [column for column in ("gpus", "step_s", "low_s", "high_s") if column in rows]
    line = rows[columns].drop_duplicates().sort_values("gpus")
    for one, other in pairwise(line["gpus"]):
        if one == other:
            raise ValueError(f"{name} has several predictions for {one} GPUs: they need series of their own")
    return line


def _finish(axes: Axes, sizes: Sequence[int], *, falls: bool) -> None:
    axes.set(xscale="log", xlabel="GPUs", ylabel="time of a step")
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if falls:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: cell(float(value), "s") if value else "0"))
    axes.grid(visible=True, **_GRID)
    axes.spines[["top", "right"]].set_visible(False)
