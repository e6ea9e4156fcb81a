"""Pictures of what the referee of training steps found: a frame of all runs, residuals by source, effects."""

import csv
import io
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from simulator.calibration.steps.corpus import corpus

HUES = {"dense": "#0072b2", "moe": "#d55e00", "hybrid": "#009e73"}
_TOLD_BY = ("model", "fabric", "precision", "tp", "pp", "cp", "ep", "mbs", "schedule", "strategy", "fidelity")
_MOST_LINES = 12  # of a picture
_GRID: dict[str, Any] = {"color": "#d9dce1", "linewidth": 0.6}


def frame() -> pd.DataFrame:
    """Return one row a scored run: what it was, what it measured, and what fits without it say.

    Columns ``seen_s`` (fitted on all runs), ``folds_s`` (without its configuration) and ``unseen_s`` (without its
    source) are seconds, ``_low_s`` and ``_high_s`` the ends of the 90 % interval.
    """
    path = files("simulator.calibration") / "data" / "training" / "predictions.csv"
    told = {row["case_id"]: row for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))}
    whole = corpus()
    return pd.DataFrame(
        {
            "case_id": case.case_id,
            "table": table,
            "group": case.group,
            "kind": case.kind,
            "gpu": case.system.gpu,
            "generation": case.generation,
            "gpus": case.system.gpus,
            "precision": case.precision,
            "stack": case.stack.family,
            "doubts": "; ".join(case.doubts),
        }
        | {key: float(value or "nan") for key, value in told[case.case_id].items() if key != "case_id"}
        for case, table in zip(whole.cases, whole.tables, strict=True)
    )


def residuals(table: pd.DataFrame, column: str, axes: Axes) -> Axes:
    """Draw predicted over measured of each run, a line a source, the number of runs beside its name.

    Parameters
    ----------
    table : pandas.DataFrame
        As `frame` returns it, or some of its rows.
    column : str
        Which prediction: ``folds_s`` or ``unseen_s``.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    groups = sorted(table["group"].unique(), reverse=True)
    chance = np.random.default_rng(0)
    for kind, hue in HUES.items():
        some = table[table["kind"] == kind]
        if some.empty:
            continue
        heights = np.array([groups.index(group) for group in some["group"]], dtype=float)
        heights += chance.uniform(-0.3, 0.3, len(some))
        axes.plot(some[column] / some["measured_s"], heights, ".", ms=4, alpha=0.6, color=hue, label=kind)
    counts = table["group"].value_counts()
    axes.set_yticks(range(len(groups)), [f"{group} ({counts[group]})" for group in groups])
    axes.axvline(1.0, color="#6b7280", linewidth=1)
    axes.set(xlabel="predicted / measured", xscale="log", xlim=(0.35, 2.9))
    axes.set_xticks([0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5], ["0.4", "0.6", "0.8", "1", "1.25", "1.6", "2.5"])
    axes.minorticks_off()
    axes.grid(axis="x", **_GRID)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def worth(effects: Mapping[str, Mapping[str, Any]], whole: str, axes: Axes) -> Axes:
    """Draw by how much the mean error of left-out sources, and of all runs, grows without each effect.

    Parameters
    ----------
    effects : mapping
        As the shipped accuracy holds them.
    whole : str
        The one of them that switches nothing off.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    lost = {
        name: [100 * (found[key] - effects[whole][key]) for key in ("unseen", "seen")]
        for name, found in effects.items()
        if name != whole
    }
    names = sorted(lost, key=lambda name: lost[name][0])
    for shift, (place, label, hue) in enumerate(
        ((0, "sources left out", "#0072b2"), (1, "fitted on all", "#9db8cf"))
    ):
        heights = np.arange(len(names)) + 0.2 - 0.4 * shift
        axes.barh(heights, [lost[name][place] for name in names], height=0.4, color=hue, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="points of mean error lost without it")
    axes.grid(axis="x", **_GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return axes


def step_against_gpus(table: pd.DataFrame, axes: Axes) -> Axes:
    """Draw step times over GPUs with their 90 % intervals, a line for each model, fabric and degrees that differ.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``gpus step_s low_s high_s`` and those that tell lines apart.
    axes : matplotlib.axes.Axes
        Where to draw.
    """
    apart = [name for name in _TOLD_BY if name in table and table[name].nunique(dropna=False) > 1]
    groups = list(table.groupby(apart, sort=False, dropna=False)) if apart else [((), table)]
    for names, some in groups[:_MOST_LINES]:
        line = some.sort_values("gpus")
        values = names if isinstance(names, tuple) else (names,)
        label = ", ".join(
            str(value) if name in ("model", "fabric") else f"{name} {value}"
            for name, value in zip(apart, values, strict=True)
        )
        errors = np.array([line["step_s"] - line["low_s"], line["high_s"] - line["step_s"]])
        axes.errorbar(
            line["gpus"],
            line["step_s"],
            yerr=errors,
            marker="o",
            markersize=4,
            capsize=2,
            label=label or None,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("GPUs")
    axes.set_ylabel("step, s (90 % interval)")
    axes.grid(**_GRID)
    if apart:
        axes.legend(fontsize=8, frameon=False)
    return axes
