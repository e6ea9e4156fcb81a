"""``commsim notebook``: a notebook beside a folder of results."""

import shlex
from pathlib import Path

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit, save
from simulator.errors import UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--force", is_flag=True, help="Overwrite a notebook that is there.")
@form_options
def command(*, folder: Path, force: bool) -> None:
    """Write DIR/explore.ipynb: the results of DIR as a frame and as pictures, to go on from."""
    from simulator.reports.notebook import explore
    from simulator.reports.result import read_result

    result = read_result(folder)
    path = folder / "explore.ipynb"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", where="DIR", hint="--force overwrites it")
    save(path, explore(folder, shlex.join(result.command)).encode())
    emit({"rows": [{"notebook": str(path)}]}, lambda: [f"wrote {path}"], inputs=[str(folder / "results.csv")])
