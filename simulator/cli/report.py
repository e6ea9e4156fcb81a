"""``commsim report``: a folder of results as one page that can be handed on."""

from pathlib import Path

import click

from simulator.cli._options import OutputFile, form_options
from simulator.cli._output import emit, save


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("-o", "--output", type=OutputFile(".html"), help="The page; DIR/report.html.")
@form_options
def command(*, folder: Path, output: Path | None) -> None:
    """Write the results that a command left in DIR as one HTML file: tables, pictures, inputs, accuracy.

    The page is complete in itself and asks for nothing from the net.
    """
    from simulator.calibration.referee import accuracy_line
    from simulator.calibration.steps import fitted
    from simulator.planning.ties import line
    from simulator.reports.html import page
    from simulator.reports.result import read_result

    result = read_result(folder)
    rows = result.tables["results.csv"]
    if rows[0].get("step_s") is not None:
        accuracy = [fitted.accuracy_line(False), line()]
    else:
        bases = sorted({row["basis"] for row in rows if row.get("basis") and row.get("low_s")})
        accuracy = [accuracy_line(basis) for basis in bases]
    path = output or folder / "report.html"
    save(path, page(result, accuracy).encode())
    emit(
        {"rows": [{"report": str(path), "tables": list(result.tables)}]},
        lambda: [f"wrote {path}"],
        inputs=[str(folder / name) for name in result.tables],
    )
