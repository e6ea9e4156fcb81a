"""A folder of results as one page of HTML that needs nothing else: tables, pictures, what it was made from.

The page asks for nothing from the net, and its own policy forbids it. The same folder gives the same bytes.
"""

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from simulator.reports._html_tables import Shown, shown
from simulator.reports.html_pictures import PICTURES
from simulator.reports.result import Result, Row

MOST_ROWS = 50  # of a table that are shown; all are in its link


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it shows, for those who do not see it."""

    title: str
    about: str
    svg: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the whole of it as a link."""

    name: str
    title: str
    link: str
    table: Shown
    left_out: int


def page(result: Result, accuracy: Sequence[str]) -> str:
    """Return the page.

    Parameters
    ----------
    result : Result
        The folder.
    accuracy : sequence of str
        How right such predictions are.
    """
    from jinja2 import Environment, select_autoescape

    source = files("simulator.reports").joinpath("page.html").read_text("utf-8")
    made = Environment(autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True)
    rows = result.tables["results.csv"]
    frame = pd.read_csv(io.StringIO(result.texts["results.csv"]))
    return made.from_string(source).render(
        title=_title(result),
        summary=_summary(frame, result),
        facts=_facts(rows),
        pictures=list(_pictures(frame)),
        tables=list(_tables(result)),
        refused=_refused(rows),
        accuracy=accuracy,
        command=" ".join(map(_quoted, result.command)),
        manifest=_manifest(result.manifest),
    )


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _title(result: Result) -> str:
    rows = result.tables["results.csv"]
    models = list(dict.fromkeys(row["model"] for row in rows if row.get("model")))
    what = ", ".join(models[:3]) if models else next((row["op"] for row in rows if row.get("op")), "")
    fabrics = ", ".join(list(dict.fromkeys(row.get("fabric", "") for row in rows))[:3])
    return f"{result.kind}: {what} on {fabrics}" if what else result.kind


def _summary(frame: pd.DataFrame, result: Result) -> list[str]:
    """Return what a hurried reader should know, a sentence each."""
    kind, found = result.kind, []
    good = frame[frame["step_s"].notna()] if "step_s" in frame else frame.iloc[:0]
    if len(good):
        best = good.iloc[0] if kind == "plan" else good.loc[good["step_s"].idxmin()]
        span = f"{best['low_s']:.3g} to {best['high_s']:.3g} s" if "low_s" in best else ""
        found.append(
            f"{'Best' if kind == 'plan' else 'Fastest'}: {best['plan']} on {int(best['gpus'])} {best['gpu']}: "
            f"{best['step_s']:.3g} s a step, 90 % interval {span}, MFU {best['mfu']:.1%}."
        )
        if "days" in best and pd.notna(best["days"]):
            late = "" if pd.isna(best.get("in_time")) else f", in time in {best['in_time']:.0%} of runs"
            cost = "" if pd.isna(best.get("total_usd")) else f", {best['total_usd'] / 1e6:.3g} million USD"
            found.append(
                f"The whole run takes {best['days']:.1f} days ({best['days_low']:.1f} to {best['days_high']:.1f}), "
                f"failures included{cost}{late}."
            )
        if "against_best" in good:
            ties = int((good["against_best"] == "tie").sum()) - 1
            if ties > 0:
                found.append(
                    f"{ties} of the other {len(good) - 1} cannot be told from it with what was measured."
                )
    elif "time_s" in frame:
        found.append(f"{len(frame)} predictions of collectives; times are medians with 90 % intervals.")
    return found


def _facts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return what is the same in all rows and was asked."""
    from simulator.reports._html_tables import words

    found = []
    for key in (
        "model",
        "fabric",
        "gpu",
        "gpus",
        "gbs",
        "seq_len",
        "precision",
        "stack",
        "fidelity",
        "op",
        "nccl",
    ):
        values = list(dict.fromkeys(row[key] for row in rows if row.get(key)))
        if values:
            more = f" and {len(values) - 8} more" if len(values) > 8 else ""
            found.append((words(key), ", ".join(values[:8]) + more))
    return found


def _pictures(frame: pd.DataFrame) -> Iterator[Picture]:
    for picture in PICTURES:
        if picture.there(frame):
            yield Picture(picture.title, picture.about, _svg(frame, picture.draw))


def _svg(frame: pd.DataFrame, draw: Callable[[pd.DataFrame, Any], object]) -> str:
    """Return a picture as an SVG element, its text as text and its numbers the same each time."""
    with mpl.rc_context({"svg.hashsalt": "commsim", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8.0, 4.2), layout="constrained")
        draw(frame, figure.subplots())
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return text[text.index("<svg") :]


_TITLES = {
    "results.csv": "Results",
    "pareto.csv": "None is better in both",
    "rejected.csv": "What became of all candidates",
    "sensitivity.csv": "What moves the answer",
}


def _tables(result: Result) -> Iterator[Table]:
    for name, rows in result.tables.items():
        good = [row for row in rows if row.get("status", "predicted") == "predicted"]
        if good:
            coded = base64.b64encode(result.texts[name].encode()).decode("ascii")
            link = f"data:text/csv;charset=utf-8;base64,{coded}"
            table = shown(name, good[:MOST_ROWS])
            yield Table(name, _TITLES[name], link, table, len(rows) - min(len(good), MOST_ROWS))


def _refused(rows: Sequence[Row]) -> list[tuple[int, str]]:
    found = Counter(row["reason"] for row in rows if row.get("status") == "refused")
    return [(count, reason) for reason, count in found.most_common(20)]


def _manifest(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            found += [(f"{key}: {inner}", str(one)) for inner, one in value.items()]
        elif key != "command":
            found.append((key, str(value)))
    return found
