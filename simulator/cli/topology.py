"""``commsim topology``: a fabric as a graph, counted or drawn."""

import io
from pathlib import Path

import click

from simulator.cli._fabric import fabric_argument, gpus_option
from simulator.cli._options import OutputFile, form_options
from simulator.cli._output import emit, save

PICTURES = (".png", ".svg", ".pdf")


@click.group()
def command() -> None:
    """Count what a fabric is made of, or draw it."""


@command.command()
@fabric_argument
@gpus_option
@form_options
def show(fabric: str, gpus: int | None) -> None:
    """Count nodes and cables of FABRIC, its diameter and the bandwidth between its halves."""
    from simulator.engine.fabric import is_file, load

    graph, _ = load(fabric, gpus)
    from simulator.reports.tables import facts
    from topologies._measures import bisection, census, diameter

    row = {
        "name": fabric,
        "family": graph.graph.get("family"),
        **census(graph),
        "diameter_links": diameter(graph),
        "bisection_Bps": bisection(graph),
    }
    emit({"rows": [row]}, lambda: facts(row), inputs=[fabric] if is_file(fabric) else [])


@command.command()
@fabric_argument
@gpus_option
@click.option(
    "-o", "--output", type=OutputFile(*PICTURES), required=True, help="Picture: .png, .svg or .pdf."
)
@form_options
def draw(fabric: str, gpus: int | None, output: Path) -> None:
    """Draw FABRIC: machines, switches by level, cables as thick as they are fast."""
    from simulator.engine.fabric import is_file, load

    graph, _ = load(fabric, gpus)
    import matplotlib as mpl

    from simulator.reports.topology_plot import draw as plot

    picture, kind = io.BytesIO(), output.suffix.removeprefix(".")
    date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "commsim"}):  # the same graph, the same bytes
        plot(graph).figure.canvas.print_figure(picture, format=kind, metadata=date)
    save(output, picture.getvalue())
    row = {"name": fabric, "file": str(output), "nodes": len(graph), "edges": graph.number_of_edges()}
    emit(
        {"rows": [row]},
        lambda: [f"wrote {output}: {len(graph)} nodes, {graph.number_of_edges() // 2} connections"],
        inputs=[fabric] if is_file(fabric) else [],
    )
