"""``commsim merge``: the finished parts of a sweep as one result."""

from pathlib import Path
from typing import Any

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit
from simulator.cli._results import save_manifest, save_table


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the whole; the first DIR.")
@form_options
def command(*, folders: tuple[Path, ...], output: Path | None) -> None:
    """Join the parts that `commsim sweep --shard i/n` left in folders into one results.csv."""
    from simulator.planning.merge import merge

    whole = merge(folders)
    folder = output or folders[0]
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "results.csv"
    save_table(table, whole.sweep.rows)
    wrote = [table, save_manifest(folder / "manifest.toml", whole.files)]
    result: dict[str, Any] = {
        "points": whole.sweep.reused, "parts": whole.parts, "results": str(table), "rows": whole.sweep.rows,
    }  # fmt: skip
    emit(
        result,
        lambda: [f"{whole.sweep.reused} points of {whole.parts} parts", f"wrote {' '.join(map(str, wrote))}"],
        inputs=whole.files,
        warnings=whole.sweep.warnings,
    )
