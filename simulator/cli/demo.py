"""``commsim demo``: the main job once through."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit, save
from simulator.errors import UsageError

if TYPE_CHECKING:
    import networkx as nx

    from simulator.planning.demonstration import Calibrated

FOLDER = Path("demo")
NEXT = (
    "commsim sweep all_reduce --size 1KiB..8GiB --gpus 8..512 --fabric dgx-h100-ib400 -o run1",
    "commsim explain --preset demo",
    "commsim collective all_to_all --size 64MiB --gpus 64 --fabric gb200-nvl72",
    "commsim list fabrics",
)


@click.command()
@form_options
def command() -> None:
    """Show what commsim is for, on measurements that ship with it; draws a picture into ./demo."""
    from dataclasses import asdict

    from simulator.calibration.fitted import BASES
    from simulator.calibration.referee import accuracy
    from simulator.planning import demonstration as show
    from simulator.planning.collective import Fabric

    _make_folder()
    place = Fabric(show.FABRIC)
    graph = place.graph(show.GPUS)
    series = show.calibrated()
    found: dict[str, Any] = {
        "fabric": show.described(graph),
        "replays": show.replayed(graph),
        "choices": show.chosen(place),
        "calibration": asdict(series),
        "rows": show.across(place),
        "steps": show.steps(),
        "accuracy": {basis: _without_tables(accuracy()["library"][basis]) for basis in BASES},
        "next": list(NEXT),
    }
    found["picture"] = str(_draw(graph, series, found))
    emit(found, lambda: _lines(found))


def _make_folder() -> None:
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"./{FOLDER}: cannot be made: {error.strerror}") from None


def _without_tables(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if isinstance(value, (int, float))}


def _draw(graph: "nx.DiGraph", series: "Calibrated", found: Mapping[str, Any]) -> Path:
    from simulator.reports.demonstration_plot import picture
    from simulator.reports.tables import cell

    fabric, clusters = found["fabric"], found["rows"]
    across = cell(fabric["bisection_Bps"], "B/s")
    errors = ", ".join(f"{row['model']} {cell(row['held_out_error'], '%')}" for row in series.models[:2])
    titles = (
        (f"{fabric['name']}: {fabric['gpus']} GPUs, {fabric['cables']} cables, bisection {across}", ""),
        (
            "all-reduce on 2 x 8 H100 (p5.48xlarge)",
            f"mean error on the sizes held out: {errors}",
        ),
        (
            f"all-reduce of {cell(clusters[0]['size_bytes'], 'B')} on {fabric['name']}",
            "predicted from all shipped measurements and the closed form",
        ),
    )
    content = io.BytesIO()
    footer = f"measured by: {series.source}, {series.licence}, {series.url}"
    picture(graph, series, clusters, titles, footer).savefig(content, format="png")
    save(FOLDER / "demo.png", content.getvalue())
    return FOLDER / "demo.png"


def _lines(found: Mapping[str, Any]) -> list[str]:
    return [
        *_fabric(found["fabric"]), "",
        *_replays(found["replays"]), "",
        *_choices(found["choices"]), "",
        *_calibration(found["calibration"]), "",
        *_clusters(found["rows"], found["fabric"]["name"]),
        *_accuracy(found["accuracy"]), "",
        *_steps(found["steps"]),
        f"picture: {found['picture']}",
        *(f"{'next:' if not place else '     '} {line}" for place, line in enumerate(found["next"])),
    ]  # fmt: skip


def _steps(rows: list[dict[str, Any]]) -> list[str]:
    from simulator.calibration.steps.fitted import accuracy_line
    from simulator.cli._training_tables import many

    return many(rows, accuracy_line(False))


def _fabric(fabric: Mapping[str, Any]) -> list[str]:
    from simulator.reports.tables import cell

    inside = f"{fabric['connections_inside']:,} connections inside of machines"
    across = f"bisection {cell(fabric['bisection_Bps'], 'B/s')}"
    return [
        f"{fabric['name']} with {fabric['gpus']} GPUs as a NetworkX graph",
        f"  {fabric['nodes']} nodes, {fabric['cables']} cables, {inside}, {across}",
    ]


def _replays(rows: list[dict[str, Any]]) -> list[str]:
    from simulator.planning.demonstration import SIZE
    from simulator.reports.tables import cell

    how = {
        "formula": "closed form, no events",
        "fluid": "{flows} bundles of bytes, one a ring, in SimPy; links shared max-min fair",
        "messages": "{flows:,} messages, each a flow of its own, in SimPy",
    }
    lines = [f"ring all-reduce of {cell(SIZE, 'B')} over {rows[0]['gpus']} of them, idle network, three ways"]
    for row in rows:
        about = how[row["fidelity"]].format(**row)
        lines.append(f"  {row['fidelity']:<9} {row['time_s'] * 1e3:.9f} ms   {about}")
    return [*lines, f"  largest difference {_difference(rows):.0e}: rounding"]


def _difference(rows: list[dict[str, Any]]) -> float:
    times: list[float] = [row["time_s"] for row in rows]
    return max(times) / min(times) - 1


def _choices(rows: list[dict[str, Any]]) -> list[str]:
    from simulator.reports.tables import Column, lay_out

    shown = [row | {"interval": _interval(row)} for row in rows]
    columns = [Column("size_bytes"), Column("algorithm"), Column("protocol"), Column("channels")]
    columns += [Column("time_s"), Column("interval", "90 % interval")]
    return ["what NCCL would choose for an all-reduce on all 64", *_indented(lay_out(shown, columns))]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _interval(row: Mapping[str, Any]) -> str:
    from simulator.reports.tables import cell

    return f"{cell(row['low_s'], 's'):>8} .. {cell(row['high_s'], 's')}"


def _calibration(series: Mapping[str, Any]) -> list[str]:
    from simulator.reports.tables import Column, cell, lay_out

    points = series["points"]
    unseen = [point for point in points if point["held_out"]]
    inside = sum(point["low_s"] <= point["measured_s"] <= point["high_s"] for point in unseen)
    pieces = [
        {
            "band": f"{cell(one['from_bytes'], 'B')} .. {cell(one['to_bytes'], 'B')}",
            "alpha us": round(one["alpha_s"] * 1e6, 1),
            "beta GB/s": round(one["bandwidth_Bps"] / 1e9, 1),
        }
        for one in series["pieces"]
    ]
    models = [
        row | {"worst": f"{cell(row['worst_error'], '%')} at {cell(row['worst_size_bytes'], 'B')}"}
        for row in series["models"]
    ]
    columns = [Column("model"), Column("fitted_error", f"{len(points) - len(unseen)} fitted sizes", "%")]
    columns += [
        Column("held_out_error", f"{len(unseen)} held-out sizes", "%"),
        Column("worst", "worst held out"),
    ]
    return [
        "alpha-beta calibrated on a real run: NCCL all-reduce on 2 x 8 H100 (p5.48xlarge, EFA)",
        *_indented(lay_out(pieces, [Column("band"), Column("alpha us"), Column("beta GB/s")])),
        "  mean |predicted / measured - 1|:",
        *_indented(lay_out(models, columns)),
        f"  commsim: all shipped points but that one; {inside} of {len(unseen)} inside its 90 % interval",
        f"  source: {series['source']}, {series['licence']}, {series['url']}",
    ]


def _clusters(rows: list[dict[str, Any]], fabric: str) -> list[str]:
    from simulator.reports.tables import Column, cell, lay_out

    shown = [
        row
        | {
            "interval": _interval(row),
            "time": ("~" if row["basis"] != "calibrated" else "") + cell(row["time_s"], "s"),
        }
        for row in rows
    ]
    columns = [Column("gpus"), Column("algorithm"), Column("protocol"), Column("time")]
    columns += [Column("interval", "90 % interval"), Column("busbw_Bps"), Column("basis")]
    title = f"all-reduce of {cell(rows[0]['size_bytes'], 'B')} on {fabric}"
    return [title, *_indented(lay_out(shown, columns))]


def _accuracy(accuracy: Mapping[str, Mapping[str, Any]]) -> list[str]:
    from simulator.calibration.referee import accuracy_line

    return [accuracy_line(basis) for basis in accuracy]
