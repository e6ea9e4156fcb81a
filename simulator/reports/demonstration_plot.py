"""The picture of `commsim demo`: a fabric, a measured series with its models, a sweep over cluster sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.planning.demonstration import Calibrated, piecewise
from simulator.reports.plots import against_gpus, time_against_size
from simulator.reports.tables import cell
from simulator.reports.topology_plot import draw

_INK, _GREY, _RED, _BLUE = "#1f2937", "#70757d", "#c2410c", "#0072b2"
_BAND = 0.16  # opacity of intervals


def picture(
    graph: nx.DiGraph,
    series: Calibrated,
    clusters: Sequence[Mapping[str, Any]],
    titles: Sequence[tuple[str, str]],
    footer: str,
) -> Figure:
    """Return one figure with three panels.

    Parameters
    ----------
    graph : networkx.DiGraph
        The fabric.
    series : Calibrated
        What was measured and what was fitted to it.
    clusters : sequence of mapping
        By number of GPUs, rows as ``commsim collective`` prints them.
    titles : sequence of (str, str)
        Title and subtitle of each panel; an empty subtitle leaves the panel's own.
    footer : str
        Where the measurements come from.
    """
    figure = Figure(figsize=(13.6, 9.6), dpi=120, facecolor="white")
    places = ((0.05, 0.565, 0.79, 0.365), (0.07, 0.105, 0.4, 0.37), (0.56, 0.105, 0.4, 0.37))
    axes = [figure.add_axes(place) for place in places]
    draw(graph, axes[0])
    _series(axes[1], series)
    _clusters(axes[2], clusters)
    for one, (title, more) in zip(axes, titles, strict=True):
        one.set_title(title, loc="left", fontsize=13, fontweight="bold", color=_INK, pad=19)
        if more:
            one.text(0, 1.025, more, transform=one.transAxes, fontsize=9.5, color=_GREY)
    figure.text(0.07, 0.02, footer, fontsize=8.5, color=_GREY)
    return figure


def _series(axes: Axes, series: Calibrated) -> None:
    frame = pd.DataFrame(series.points)
    _band(time_against_size(frame[["size_bytes", "time_s", "low_s", "high_s"]].assign(op=""), axes))
    axes.lines[0].remove()  # the predictor's middle: the lines here are what was fitted
    sizes = np.unique(np.geomspace(frame["size_bytes"].min(), frame["size_bytes"].max(), 400).astype(int))
    line = [series.alpha_beta.time(size) for size in sizes]
    axes.plot(sizes, line, "--", color=_GREY, linewidth=1.7, label="alpha-beta, one line")
    pieces = [piecewise(series.pieces, size) for size in sizes]
    axes.plot(sizes, pieces, color=_BLUE, linewidth=2, label=f"alpha-beta, {len(series.pieces)} pieces")
    for held, face, edge, label in ((False, _INK, "white", "fitted to"), (True, "white", _RED, "held out")):
        some = frame[frame["held_out"] == held]
        axes.plot(
            some["size_bytes"], some["measured_s"], "o", markersize=6.5, markerfacecolor=face,
            markeredgecolor=edge, markeredgewidth=1.6, label=f"measured, {label}", zorder=5,
        )  # fmt: skip
    _legend(axes, axes.get_legend_handles_labels()[0], "commsim, 90 % interval")


def _clusters(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    frame = pd.DataFrame(rows)
    _band(against_gpus(frame[["op", "gpus", "size_bytes", "time_s", "low_s", "high_s"]], axes))
    axes.lines[0].set(color=_BLUE, linewidth=2)
    known = frame["basis"] == "calibrated"
    handles = []
    for some, face, label in (
        (frame[known], _INK, "this very setting was measured"),
        (frame[~known], "white", "scaled from other GPU counts"),
    ):
        look: dict[str, Any] = {
            "marker": "o",
            "markersize": 7,
            "markerfacecolor": face,
            "markeredgecolor": _INK,
        }
        axes.plot(some["gpus"], some["time_s"], linestyle="", zorder=5, **look)
        handles.append(Line2D([], [], color=_BLUE, label=label, **look))
    for gpus, seconds in zip(frame["gpus"], frame["time_s"], strict=True):
        axes.annotate(
            cell(float(f"{seconds:.3g}"), "s"), (gpus, seconds), xytext=(0, -16), textcoords="offset points",
            ha="center", fontsize=8.5, color=_INK, zorder=6,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.2, high * 2.0)
    axes.set_xlim(frame["gpus"].min() / 1.35, frame["gpus"].max() * 1.35)
    _legend(axes, handles, "90 % interval")


def _band(axes: Axes) -> None:
    axes.collections[0].set(facecolor=_BLUE, alpha=_BAND)


def _legend(axes: Axes, handles: Sequence[Any], band: str) -> None:
    patch = Patch(facecolor=_BLUE, alpha=_BAND, label=band)
    axes.legend(handles=[*handles, patch], loc="upper left", frameon=False, fontsize=9.5)
