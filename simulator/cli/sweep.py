"""``commsim sweep``: a collective or a training step over every combination of the values given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import SIZES, Choice, OutputFile, form_options
from simulator.cli._output import emit, remark, save
from simulator.cli._progress import progress
from simulator.cli._sweep_options import Asked, Executed, ShardOf, executed, room, several, shard_of
from simulator.cli._training_options import training_options
from simulator.errors import UsageError
from simulator.operations import OPERATIONS

if TYPE_CHECKING:
    from simulator.planning.sweep import Sweep


@click.command()
@click.argument("op", type=Choice("operation", OPERATIONS), required=False, metavar="[OP]")
@click.option("--size", type=SIZES, help="Of a collective: bytes, e.g. 1KiB..8GiB or 4KiB,64MiB.")
@click.option("--algorithm", help="Of a collective: auto, as NCCL; or names.")
@click.option("--protocol", help="Of a collective: LL, LL128, Simple; as NCCL_PROTO.")
@click.option("--nccl", help="Of a collective: NCCL release; 2.30.")
@training_options(several=True, names=True, without=("shard",))
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=V,..",
    help="Of the machine: fabric.ib.bandwidth=200Gbps,400Gbps.",
)
@click.option(
    "--grid", type=click.Path(path_type=Path), help="TOML file of options, each with one or more values."
)
@click.option(
    "--jobs", type=click.IntRange(0, 1024), default=1, show_default=True, help="Processes; 0: all cores."
)
@click.option(
    "--shard", type=ShardOf(), help="i/n: one part of the grid, for job arrays; commsim merge joins."
)
@click.option(
    "--executor", type=Executed(), default="local", show_default=True, help="local or dask:HOST:PORT."
)
@click.option("--within", help="Refuse a sweep that would take longer, e.g. 2h.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the results; goes on where it stopped.",
)
@click.option("--parquet", is_flag=True, help="Write results.parquet too.")
@click.option("--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Picture of the times.")
@form_options
def command(
    *, op: str | None, jobs: int, shard: tuple[int, int] | None, executor: str, within: str | None,
    output: Path | None, parquet: bool, plot: Path | None, **values: Any,
) -> None:  # fmt: skip
    """Predict a collective OP, or a training step if OP is left out, at every combination of the values given.

    Every option may have several values: --gpus 8..512, --tp 4,8, --model llama3-8b,llama3-70b.
    """
    asked = Asked.of(op, values)
    points = asked.points()
    if shard and output is None:
        raise UsageError("--shard needs a folder that all parts are kept in", where="--shard", hint="-o run1")
    if parquet and output is None:
        raise UsageError("--parquet needs a folder", where="--parquet", hint="-o run1")
    mine = shard_of(points, shard)
    room(asked, len(mine), output, jobs, within)
    found, damaged = _run(asked, mine, output, jobs=jobs, executor=executor, part=shard)
    warnings = [*found.warnings, *damaged]
    result: dict[str, Any] = {"points": len(mine), "reused": found.reused, "run": found.run}
    wrote = _save(asked, found, output, shard, parquet=parquet) if output else []
    pictures = [path for path in (plot, output and shard is None and output / "time.png") if path]
    for path in pictures:
        picture = asked.picture(found.rows, path.suffix.removeprefix("."))
        if picture is None:
            warnings.append(f"{path}: not drawn: no point has a size and a time above 0")
        else:
            save(path, picture)
            wrote.append(path)
    if output:
        result["results"] = str(wrote[0])
    emit(
        result | {"rows": found.rows},
        lambda: asked.table(found.rows, wrote),
        inputs=asked.inputs,
        warnings=warnings,
    )


def _run(
    asked: Asked, points: Sequence[Mapping[str, Any]], output: Path | None, *, jobs: int, executor: str,
    part: tuple[int, int] | None,
) -> "tuple[Sweep, list[str]]":  # fmt: skip
    """Return the answers, with a folder kept there and looked up, and what a reader should know of it."""
    from simulator.planning.store import Store
    from simulator.planning.sweep import sweep

    ground, who = asked.ground(), executed(executor, jobs, len(points))
    with progress(f"sweep {len(points)} points", len(points)) as done:
        if output is None:
            return sweep(points, asked.question(), executor=who, done=done), []
        with Store(output / several("results.db", part)) as store:
            for name, text in asked.facts(ground).items():
                store.note(name, text)
            found = sweep(points, asked.question(), store=store, ground=ground, executor=who, done=done)
            damaged = store.damaged
            path = store.path
    if found.reused:
        remark(f"{found.reused} points from {path}, {found.run} computed")
    said = [f"{path}: damaged in places; what could not be read was computed again"] if damaged else []
    return found, said


def _save(
    asked: Asked, found: "Sweep", output: Path, part: tuple[int, int] | None, *, parquet: bool
) -> list[Path]:
    """Write the rows and what they were made from; return all files of the folder but the picture."""
    from simulator.cli._results import save_manifest, save_parquet, save_table

    table = output / several("results.csv", part)
    save_table(table, found.rows)
    wrote = [table, output / several("results.db", part)]
    if parquet:
        wrote.append(save_parquet(output / several("results.parquet", part), found.rows))
    wrote.append(save_manifest(output / several("manifest.toml", part), asked.inputs))
    return wrote
