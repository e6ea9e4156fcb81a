"""A sweep over collectives: its grid, its tables and its picture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FOLD = 40  # rows above which the table is folded: sizes down, GPUs across
ACROSS = 8  # GPU counts beside each other
_APART = ("fabric", "algorithm_asked", "fidelity")


def read(given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the values of each option of a collective.

    Raises
    ------
    UsageError
        An option of training steps, an empty name, an unknown fidelity.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for name, value in given.items():
        if name not in ("size", "gpus", "fabric", "algorithm", "protocol", "nccl", "fidelity"):
            said = f"--{name.replace('_', '-')} is for training steps"
            raise UsageError(said, where=f"--{name.replace('_', '-')}", hint="leave OP out, or leave it out")
        several = value if isinstance(value, (list, tuple)) else [value]
        if name == "algorithm":
            several = [part.strip() for part in str(value).split(",")]
        if not all(str(one) for one in several):
            raise UsageError(f"--{name}: an empty name in '{value}'", where=f"--{name}")
        found[name] = tuple(dict.fromkeys(several))
    return found


def axes(op: str, asked: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the axes of the grid, the last one varying fastest.

    Raises
    ------
    UsageError
        An axis that must be given and is not.
    """
    for name in ("size", "gpus", "fabric"):
        if not asked.get(name):
            raise UsageError(f"--{name} is missing", where=f"--{name}", hint="commsim sweep --help")
    return {
        "fabric": asked["fabric"],
        "gpus": asked["gpus"],
        "algorithm_asked": asked.get("algorithm") or ("auto",),
        "fidelity": asked.get("fidelity") or ("formula",),
        "op": [op],
        "protocol_asked": asked.get("protocol") or ("auto",),
        "nccl": asked.get("nccl") or ("2.30",),
        "size_bytes": asked["size"],
    }


def picture(rows: Sequence[Mapping[str, Any]], kind: str) -> bytes | None:
    """Return times over sizes, or over GPUs where there is one size, a panel for each fabric and fidelity."""
    import io

    import matplotlib as mpl
    import pandas as pd
    from matplotlib.figure import Figure

    from simulator.reports.plots import against_gpus, time_against_size

    frame = pd.DataFrame(rows)
    frame = frame[(frame["status"] == "predicted")]
    frame = frame[(frame["size_bytes"] > 0) & (frame["time_s"] > 0)] if len(frame) else frame
    if frame.empty:
        return None
    draw = time_against_size if frame["size_bytes"].nunique() > 1 else against_gpus
    panels = list(frame.groupby(["fabric", "fidelity"], sort=False))
    figure = Figure(figsize=(8.2, 4.4 * len(panels)), layout="constrained", dpi=130)
    for axes, (names, some) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        draw(_asked(some), axes)
        axes.set_title(", ".join([some["op"].iloc[0].replace("_", " "), *names]), loc="left", fontsize=11)
    content = io.BytesIO()
    date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "commsim"}):  # the same rows, the same bytes
        figure.canvas.print_figure(content, format=kind, metadata=date)
    return content.getvalue()


def _asked(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the columns to draw; a line is what was asked for, not what NCCL chose from size to size."""
    frame = frame.assign(algorithm=frame["algorithm_asked"]).astype({"low_s": float, "high_s": float})
    return frame[["op", "gpus", "size_bytes", "algorithm", "time_s", "low_s", "high_s"]]


def table(rows: Sequence[Mapping[str, Any]], wrote: Iterable[Path]) -> list[str]:
    from simulator.calibration.referee import accuracy_line

    good = [row for row in rows if row["status"] == "predicted"]
    lines = _folded(rows) if len(rows) > FOLD else _listed(rows)
    refused = Counter(row["reason"] for row in rows if row["status"] != "predicted")
    lines += [f"refused {count}: {reason}" for reason, count in refused.items()]
    lines.append("")
    if any(row["basis"] != "calibrated" for row in good):
        lines.append("~ not measured in this very setting: scaled from others or from the catalogue")
    bases = {row["basis"] for row in good if row["low_s"] is not None and row["gpus"] > 1}
    lines += [accuracy_line(basis) for basis in sorted(bases)]
    files = [str(path) for path in wrote]
    return [*lines, f"wrote {' '.join(files)}"] if files else lines


def _time(row: Mapping[str, Any], key: str = "time_s") -> str:
    from simulator.reports.tables import cell

    mark = "~" if row.get("basis") not in (None, "calibrated") else ""
    return mark + cell(row.get(key), "s")


def _listed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line a point, with the columns that differ."""
    from simulator.reports.tables import Column, cell, lay_out

    several = [name for name in _APART if len({row[name] for row in rows}) > 1]
    shown = [
        {
            **row,
            "time": _time(row),
            "interval": f"{cell(row['low_s'], 's')} .. {cell(row['high_s'], 's')}"
            if row.get("low_s") is not None
            else "-",
        }
        for row in rows
    ]
    _align(shown, "time", "interval")
    columns = [Column(name, name.removesuffix("_asked")) for name in several]
    columns += [Column("gpus"), Column("size_bytes"), Column("time"), Column("interval", "90 % interval")]
    columns += [Column("busbw_Bps"), Column("algorithm", "runs"), Column("protocol"), Column("basis")]
    return lay_out(shown, columns)


def _folded(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a block for each fabric, algorithm and fidelity: sizes down, GPUs across, times inside."""
    from simulator.reports.tables import Column, lay_out

    blocks: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        blocks.setdefault(tuple(row[name] for name in _APART), []).append(row)
    lines = []
    for names, block in blocks.items():
        counts = list(dict.fromkeys(row["gpus"] for row in block))
        for first in range(0, len(counts), ACROSS):
            some = counts[first : first + ACROSS]
            table: dict[int, dict[str, Any]] = {}
            for row in block:
                if row["gpus"] in some:
                    line = table.setdefault(row["size_bytes"], {"size_bytes": row["size_bytes"]})
                    line[str(row["gpus"])] = _time(row)
            columns = [Column("size_bytes"), *(Column(str(count), f"{count:,} GPUs") for count in some)]
            shown = list(table.values())
            _align(shown, *(column.key for column in columns[1:]), least=[c.words for c in columns[1:]])
            lines += ["", f"{block[0]['op']}: {', '.join(names)}", *lay_out(shown, columns)]
    return lines[1:]


def _align(rows: Sequence[dict[str, Any]], *keys: str, least: Sequence[str] = ()) -> None:
    """Put ready texts of numbers to the right of their column."""
    for place, name in enumerate(keys):
        title = least[place] if least else ""
        width = max(len(title), *(len(row[name]) for row in rows))
        for row in rows:
            row[name] = row[name].rjust(width)
