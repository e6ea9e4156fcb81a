"""Pictures of times: over sizes, over cluster sizes, and which algorithm wins where.

Each takes a tidy frame, one row a point, with columns ``op``, ``gpus``, ``size_bytes``, ``time_s`` and, where
there is more to show, ``algorithm``, ``protocol``, ``low_s``, ``high_s`` and ``measured_s``.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulator.reports.tables import cell

_HUES = {  # the same algorithm looks the same in every picture
    "ring": "#0072b2", "tree": "#d55e00", "double_binary_tree": "#d55e00", "nvls": "#009e73",
    "nvls_tree": "#8e5ba6", "recursive_doubling": "#cc79a7", "rabenseifner": "#c79a1e",
}  # fmt: skip
_OTHER_HUES = ("#56b4e9", "#6b7280", "#7a5230", "#2f4b7c", "#9ab53b", "#e377c2")
_WHITENED = {"LL": 0.62, "LL128": 0.32}  # share of white in the hue; Simple and unnamed protocols have none
_TITLES = {"size_bytes": "message size", "gpus": "GPUs", "time_s": "time"}
_BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.01, 0.5),
    "frameon": False,
    "fontsize": 9,
}
_SERIES = ("op", "gpus", "algorithm", "protocol")


def winner_map(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw which algorithm, with which protocol, is the fastest for each size and number of GPUs.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of one operation; one row a way to run it, or the winners only. Of equals the first row wins.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure.

    Raises
    ------
    ValueError
        Several operations, or none.
    """
    names = frame["op"].unique()
    if len(names) != 1:
        raise ValueError(f"a map shows one operation, got {', '.join(names) or 'none'}")
    axes = axes or _new_axes()
    # the index need not be unique: a frame may be several put together
    best = _shortened(frame).sort_values("time_s", kind="stable").drop_duplicates(["gpus", "size_bytes"])
    protocols = best["protocol"] if "protocol" in best else [""] * len(best)
    won = list(zip(best["algorithm"], protocols, strict=True))
    ways = sorted(set(won))
    colours = _colours(ways)
    best = best.assign(way=[ways.index(way) for way in won])
    grid = best.pivot_table(index="gpus", columns="size_bytes", values="way")
    axes.pcolormesh(
        _edges(grid.columns), _edges(grid.index), np.ma.masked_invalid(grid.to_numpy()),
        cmap=ListedColormap(colours), vmin=-0.5, vmax=len(ways) - 0.5, edgecolors="white", linewidth=0.3,
    )  # fmt: skip
    _scale(axes, "x", "size_bytes")
    _scale(axes, "y", "gpus", list(grid.index))
    patches = [
        Patch(color=colour, label=" ".join(way).replace("_", " ").strip())
        for way, colour in zip(ways, colours, strict=True)
    ]
    axes.legend(handles=patches, title="fastest", **_BESIDE)
    axes.set_title(str(names[0]).replace("_", " "), loc="left", fontweight="bold")
    return axes


def time_against_size(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw time over message size: a line a series, its interval as a band, measured points as dots.

    Parameters
    ----------
    frame : pandas.DataFrame
        What of ``op``, ``gpus``, ``algorithm`` and ``protocol`` differs tells the series apart.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure.
    """
    return _lines(frame, axes, "size_bytes", _SERIES)


def against_gpus(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw time over the number of GPUs: a line a series, its interval as a band, measured points as dots.

    Parameters
    ----------
    frame : pandas.DataFrame
        What of ``op``, ``size_bytes``, ``algorithm`` and ``protocol`` differs tells the series apart.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure.
    """
    return _lines(frame, axes, "gpus", ("op", "size_bytes", "algorithm", "protocol"))


def _lines(frame: pd.DataFrame, axes: Axes | None, along: str, keys: Sequence[str]) -> Axes:
    axes = axes or _new_axes()
    frame = _shortened(frame)
    apart = [key for key in keys if key in frame and frame[key].nunique() > 1]
    groups = list(frame.groupby(apart, sort=False, dropna=False)) if apart else [((), frame)]
    colours = _line_colours(apart, [values for values, _ in groups])
    for (values, group), colour in zip(groups, colours, strict=True):
        label = ", ".join(_word(key, value) for key, value in zip(apart, values, strict=True))
        rows = group.sort_values(along)
        axes.plot(rows[along], rows["time_s"], color=colour, linewidth=1.8, label=label, zorder=3)
        if {"low_s", "high_s"} <= set(rows):
            axes.fill_between(
                rows[along], rows["low_s"], rows["high_s"], color=colour, alpha=0.18, linewidth=0
            )
        if "measured_s" in rows:
            axes.plot(
                rows[along], rows["measured_s"], "o", color=colour, markersize=4.5, markeredgecolor="white",
                markeredgewidth=0.6, zorder=4,
            )  # fmt: skip
    _scale(axes, "x", along, sorted(frame[along].unique()))
    _scale(axes, "y", "time_s")
    axes.grid(visible=True, color="#d9dce1", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if "measured_s" in frame:
        axes.plot([], [], "o", color="#70757d", markersize=4.5, label="measured")
    if apart or "measured_s" in frame:
        axes.legend(**_BESIDE)
    return axes


def _shortened(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with algorithms by their short names, ``ring`` for ``ring_all_reduce``."""
    if "algorithm" not in frame:
        return frame
    pairs = zip(frame["op"], frame["algorithm"], strict=True)
    return frame.assign(algorithm=[name.removesuffix(f"_{op}") for op, name in pairs])


def _new_axes() -> Axes:
    return Figure(figsize=(7.5, 4.2), layout="constrained", dpi=110).add_subplot()


def _scale(axes: Axes, letter: str, key: str, values: Sequence[float] = ()) -> None:
    """Give an axis its scale, its title and ticks in units that people read."""
    base = 10 if key == "time_s" else 2
    unit = {"size_bytes": "B", "time_s": "s"}.get(key, "")
    axes.set(**{f"{letter}scale": "log", f"{letter}label": _TITLES[key]})
    axis: Axis = getattr(axes, f"{letter}axis")
    if key == "gpus":
        powers = [value for value in values if math.log2(value).is_integer()]
        axis.set_ticks(powers or values)
    else:
        axis.set_major_locator(LogLocator(base=base if base == 10 else 16, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: cell(int(value) if base == 2 else value, unit)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


def _edges(centres: Sequence[float]) -> list[float]:
    """Return the borders of cells around points, half way on a logarithmic scale."""
    logs = [math.log2(centre) for centre in centres]
    if len(logs) == 1:
        return [2 ** (logs[0] - 0.5), 2 ** (logs[0] + 0.5)]
    inner = [(one + other) / 2 for one, other in pairwise(logs)]
    return [2**log for log in (2 * logs[0] - inner[0], *inner, 2 * logs[-1] - inner[-1])]


def _colours(ways: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a colour for each (algorithm,) or (algorithm, protocol): hue of one, lightness of both."""
    others = sorted({algorithm for algorithm, *_ in ways} - set(_HUES))
    hues = _HUES | {algorithm: _OTHER_HUES[i % len(_OTHER_HUES)] for i, algorithm in enumerate(others)}
    colours = []
    for algorithm, *protocol in ways:
        white = _WHITENED.get("".join(protocol), 0.0)
        red, green, blue = (part + (1 - part) * white for part in to_rgb(hues[algorithm]))
        colours.append(to_hex((red, green, blue)))
    return colours


def _line_colours(apart: Sequence[str], series: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return the colours of a map where algorithms are compared, else a scale from dark to light."""
    if list(apart) in (["algorithm"], ["algorithm", "protocol"]):
        return _colours(series)
    return [
        to_hex(colormaps["viridis"](0.88 * place / max(1, len(series) - 1))) for place in range(len(series))
    ]


def _word(key: str, value: Any) -> str:
    """Return what the legend calls one value of a series."""
    if key == "size_bytes":
        return cell(int(value), "B")
    return f"{value:,} GPUs" if key == "gpus" else str(value).replace("_", " ")
