"""``commsim sweep``: one operation over sizes, cluster sizes, fabrics and algorithms."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._fabric import FABRIC
from simulator.cli._options import NUMBERS, SIZES, Choice, OutputFile, flag, form_options
from simulator.cli._output import ARGUMENTS, emit, remark, save
from simulator.cli._progress import progress
from simulator.cli.collective import FIDELITIES
from simulator.errors import UsageError
from simulator.operations import OPERATIONS

if TYPE_CHECKING:
    import pandas as pd

    from simulator.planning.sweep import Sweep

FOLD = 40  # rows above which the table is folded: sizes down, GPUs across
ACROSS = 8  # GPU counts beside each other
_APART = ("fabric", "algorithm_asked", "fidelity")
_RESULTS = ("results.db", "results.csv", "manifest.toml", "time.png")


class _Several(click.ParamType[tuple[str, ...]]):
    """Values of one type, commas between them, each once."""

    def __init__(self, one: click.ParamType[str]) -> None:
        self.one = one
        self.name = f"{one.name},.."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
        names = [self.one.convert(part.strip(), param, ctx) for part in map(str, parts)]
        if not all(names):
            raise UsageError(f"{flag(param)}: an empty name in '{value}'", where=flag(param))
        return tuple(dict.fromkeys(names))


@click.command()
@click.argument("op", type=Choice("operation", OPERATIONS))
@click.option("--size", "sizes", type=SIZES, required=True, help="Bytes, e.g. 1KiB..8GiB or 4KiB,64MiB.")
@click.option("--gpus", type=NUMBERS, required=True, help="Ranks, e.g. 8..512 or 8,24,96.")
@click.option(
    "--fabric", "fabrics", type=_Several(FABRIC), required=True, help="Names of the catalogue or files."
)
@click.option(
    "--algorithm",
    "algorithms",
    type=_Several(click.STRING),
    default="auto",
    show_default=True,
    help="auto: as NCCL; or names.",
)
@click.option("--protocol", default="auto", show_default=True, help="LL, LL128, Simple; as NCCL_PROTO.")
@click.option(
    "--fidelity",
    "fidelities",
    type=_Several(Choice("fidelity", FIDELITIES)),
    default="formula",
    show_default=True,
    help="formula, fluid, messages.",
)
@click.option("--nccl", default="2.30", show_default=True, help="NCCL release, e.g. 2.18.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the results; goes on where it stopped.",
)
@click.option("--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Picture of the times.")
@form_options
def command(
    *,
    op: str,
    sizes: Sequence[int],
    gpus: Sequence[int],
    fabrics: Sequence[str],
    algorithms: Sequence[str],
    protocol: str,
    fidelities: Sequence[str],
    nccl: str,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Predict OP at every combination of the values given, one row each."""
    start = time.perf_counter()
    from simulator.engine.fabric import is_file
    from simulator.planning.sweep import Collectives, grid

    answer = Collectives(op, fabrics, algorithms)
    points = grid(
        {
            "fabric": fabrics,
            "gpus": gpus,
            "algorithm_asked": algorithms,
            "fidelity": fidelities,
            "op": [op],
            "protocol_asked": [protocol],
            "nccl": [nccl],
            "size_bytes": sizes,
        }
    )
    inputs = [fabric for fabric in fabrics if is_file(fabric)]
    found = _run(points, answer, output, inputs)
    result: dict[str, Any] = {"points": len(points), "reused": found.reused, "run": found.run}
    warnings = list(found.warnings)
    wrote = _save(found, output, inputs, start) if output else []
    for path in filter(None, (plot, output and output / _RESULTS[3])):
        picture = _picture(found.rows, path.suffix.removeprefix("."))
        if picture is None:
            warnings.append(f"{path}: not drawn: no point has a size and a time above 0")
        else:
            save(path, picture)
            wrote.append(path)
    if output:
        result["results"] = str(output / _RESULTS[1])
    emit(result | {"rows": found.rows}, lambda: _table(found.rows, wrote), inputs=inputs, warnings=warnings)


def _run(points: Sequence[Mapping[str, Any]], answer: Any, output: Path | None, inputs: list[str]) -> "Sweep":
    """Return the answers, with a folder kept there and looked up."""
    from simulator.planning.store import Store, product_hash
    from simulator.planning.sweep import sweep
    from simulator.reading import digest

    with progress(f"sweep {len(points)} points", len(points)) as done:
        if output is None:
            return sweep(points, answer, done=done)
        ground = {"product": product_hash()} | {name: digest(name) for name in inputs}
        with Store(output / _RESULTS[0]) as store:
            found = sweep(points, answer, store=store, ground=ground, done=done)
    if found.reused:
        remark(f"{found.reused} points from {output / _RESULTS[0]}, {found.run} computed")
    return found


def _save(found: "Sweep", output: Path, inputs: list[str], start: float) -> list[Path]:
    """Write the rows and what they were made from; return all files of the folder but the picture."""
    from simulator._toml import entries
    from simulator.manifest import manifest
    from simulator.reports.tables import comma_separated

    made = manifest(inputs, command=click.get_current_context().meta[ARGUMENTS])
    made["wall_s"] = round(time.perf_counter() - start, 3)
    plain = {name: value for name, value in made.items() if value is not None and not isinstance(value, dict)}
    lines = entries(plain)
    for name, value in made.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *entries(value)]
    save(output / _RESULTS[1], comma_separated(found.rows).encode())
    save(output / _RESULTS[2], ("\n".join(lines) + "\n").encode())
    return [output / name for name in _RESULTS[:3]]


def _picture(rows: Sequence[Mapping[str, Any]], kind: str) -> bytes | None:
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


def _table(rows: Sequence[Mapping[str, Any]], wrote: Iterable[Path]) -> list[str]:
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
