"""A picture of a pipeline: what each stage runs when, and where it waits."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from simulator.reports.tables import cell

MOST_NUMBERS = 600  # boxes with the number of their microbatch; more would be specks
NARROWEST = 0.009  # share of the width that a number needs for each digit
LOWEST = 0.35  # share of the height of a stage that it needs
_KINDS = {"F": "forward", "B": "backward", "W": "weight gradients"}
_HUES = {"F": "#0072b2", "B": "#d55e00", "W": "#009e73"}
_OTHER_HUES = ("#8e5ba6", "#c79a1e", "#6b7280", "#7a5230", "#56b4e9")
_LANE, _HEIGHT = "#eef0f3", 0.8
_Box = tuple[float, float, float, float]  # left, right, top, bottom

Look = tuple[str, int]  # kind and chunk


def gantt(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw what each stage runs when: a lane a stage, the first on top, a box a task, grey where it waits.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a task, with columns ``stage``, ``kind`` (F, B, W or a name), ``microbatch``, ``chunk``,
        ``start_s`` and ``end_s``; a microbatch of -1 is none. Tasks of a stage that overlap share its height.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure as high as there are stages.

    Returns
    -------
    matplotlib.axes.Axes
        With a collection of boxes for each kind and chunk, and a legend.

    Raises
    ------
    ValueError
        No task.
    """
    if frame.empty:
        raise ValueError("a chart of a pipeline needs at least one task, got none")
    stages = sorted(frame["stage"].unique())
    axes = axes or _new_axes(len(stages))
    lanes = {stage: place for place, stage in enumerate(stages)}
    first, last = frame["start_s"].min(), frame["end_s"].max()
    axes.barh(range(len(stages)), last - first, left=first, height=_HEIGHT, color=_LANE, zorder=1)
    looks = _looks(frame)
    boxes: dict[Look, list[_Box]] = {look: [] for look in looks}
    numbers = len(frame) <= MOST_NUMBERS
    for stage, rows in frame.groupby("stage", sort=True):
        for row, top, bottom in _shared(rows, lanes[stage]):
            boxes[row.kind, row.chunk].append((row.start_s, row.end_s, top, bottom))
            text = str(row.microbatch)
            wide = row.end_s - row.start_s >= NARROWEST * len(text) * (last - first)
            if numbers and wide and row.microbatch >= 0 and bottom - top > LOWEST:
                axes.text(
                    (row.start_s + row.end_s) / 2, (top + bottom) / 2, text, ha="center", va="center",
                    fontsize=7, color=_ink(looks[row.kind, row.chunk]), zorder=3, clip_on=True,
                )  # fmt: skip
    edge = 0.4 if numbers else 0.0
    for look, found in boxes.items():
        corners = [((left, top), (right, top), (right, low), (left, low)) for left, right, top, low in found]
        axes.add_collection(
            PolyCollection(
                corners,
                facecolors=looks[look],
                edgecolors="white",
                linewidths=edge,
                label=_name(look),
                zorder=2,
            )
        )
    _finish(axes, stages, (first, last), looks)
    return axes


def _shared(rows: pd.DataFrame, lane: int) -> Iterable[tuple[Any, float, float]]:
    """Yield the tasks of a stage with top and bottom: those that overlap lie below one another."""
    cluster: list[tuple[Any, int]] = []
    ends: list[float] = []
    for row in rows.sort_values(["start_s", "end_s"], kind="stable").itertuples(index=False):
        if ends and row.start_s >= max(ends) - 1e-9 * abs(row.end_s):
            yield from _stacked(cluster, len(ends), lane)
            cluster, ends = [], []
        free = [place for place, end in enumerate(ends) if end <= row.start_s]
        place = free[0] if free else len(ends)
        ends[place : place + 1] = [row.end_s]
        cluster.append((row, place))
    yield from _stacked(cluster, len(ends), lane)


def _stacked(cluster: Iterable[tuple[Any, int]], count: int, lane: int) -> Iterable[tuple[Any, float, float]]:
    step = _HEIGHT / max(1, count)
    for row, place in cluster:
        top = lane - _HEIGHT / 2 + place * step
        yield row, top, top + step


def _looks(frame: pd.DataFrame) -> dict[Look, tuple[float, float, float]]:
    """Return a colour for each kind and chunk: hue of the kind, the lighter the later the chunk."""
    kinds = [kind for kind in _KINDS if (frame["kind"] == kind).any()]
    kinds += sorted({*frame["kind"]} - {*_KINDS})
    most = max(1, frame["chunk"].max())
    found = {}
    for index, kind in enumerate(kinds):
        red, green, blue = to_rgb(_HUES.get(kind, _OTHER_HUES[index % len(_OTHER_HUES)]))
        for chunk in sorted(frame.loc[frame["kind"] == kind, "chunk"].unique()):
            white = 0.62 * chunk / most
            found[kind, chunk] = (
                red + (1 - red) * white, green + (1 - green) * white, blue + (1 - blue) * white,
            )  # fmt: skip
    return found


def _ink(colour: tuple[float, float, float]) -> str:
    """Return what can be read on a colour."""
    red, green, blue = colour
    return "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.6 else "#222222"


def _name(look: Look) -> str:
    kind, chunk = look
    return _KINDS.get(kind, kind) + (f", chunk {chunk}" if chunk else "")


def _new_axes(stages: int) -> Axes:
    height = min(12.0, 1.3 + 0.34 * stages)
    return Figure(figsize=(10.5, height), layout="constrained", dpi=110).add_subplot()


def _finish(
    axes: Axes, stages: list[int], ends: tuple[float, float], looks: Mapping[Look, tuple[float, float, float]]
) -> None:
    axes.set_xlim(*ends)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    step = -(-len(stages) // 32)
    axes.set_yticks(range(0, len(stages), step), [f"stage {stage}" for stage in stages[::step]])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cell(float(value), "s")))
    axes.spines[["top", "right", "left"]].set_visible(False)
    shown = [look for look in looks if look[1] < 4] if len(looks) > 12 else list(looks)
    patches = [Patch(color=looks[look], label=_name(look)) for look in shown]
    patches.append(Patch(color=_LANE, label="waits"))
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
