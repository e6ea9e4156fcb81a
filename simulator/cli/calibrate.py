"""``commsim calibrate``: a log in, a fabric out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._fabric import FABRIC
from simulator.cli._kinds import check_name
from simulator.cli._options import INPUT_FILE, OutputFile, form_options, usage
from simulator.cli._output import emit, remark, save
from simulator.errors import Fault, InputError, UsageError

if TYPE_CHECKING:
    from simulator.calibration.logs._log import Log
    from simulator.collectives._nccl import Machine
    from simulator.profile import Piece, Profile, Series, Source


@click.command()
@click.argument("logs", type=INPUT_FILE, nargs=-1, required=True, metavar="LOG_OR_CSV...")
@click.option(
    "--fabric", type=FABRIC, help="What it was measured on: a name of the catalogue or a .toml file."
)
@click.option("--name", help="What the profile is called; the name of the file if left out.")
@click.option("-o", "output", type=OutputFile(".toml"), required=True, help="The file to write.")
@form_options
def command(logs: tuple[Path, ...], fabric: str | None, name: str | None, output: Path) -> None:
    """Fit latency and bandwidth to measured collectives and write them as a FABRIC.

    LOG_OR_CSV is the output of nccl-tests or rccl-tests, or a table with op,gpus,size_bytes,time_us.
    """
    from simulator.calibration.fit import fit
    from simulator.calibration.logs._read import read_measured
    from simulator.engine.fabric import is_file
    from simulator.profile import Profile, write

    title = output.stem if name is None else name
    if not (title.strip() and title.isprintable()):
        raise UsageError(f"--name {title!r}: must be text on one line", where="--name")
    for path in [*logs, *([Path(fabric)] if fabric else [])]:
        if path.exists() and output.exists() and path.samefile(output):
            raise UsageError(f"-o {output}: would overwrite an input", where="-o")
    base, table = _ground(fabric)
    read = [read_measured(path) for path in logs]
    found = fit(read, _machines(fabric, base, table))
    profile = Profile(
        name=title,
        fabric=base,
        table=table if fabric else _star(found.pieces),
        sources=tuple(_source(path) for path in logs),
        pieces=found.pieces,
        series=found.series,
    )
    save(output, write(profile).encode())
    for log in read:
        remark(_about(log))
    notes = [f"{log.source}: {note}" for log in read for note in log.warnings] + list(found.warnings)
    if fabric is None:
        notes.append("no --fabric: a star with the bandwidth and latency measured stands for its cables")
    rows = [_row(piece) for piece in profile.pieces]
    inputs: list[str | Path] = [*logs, *([fabric] if fabric and is_file(fabric) else [])]
    emit({"rows": rows}, lambda: _table(profile, output), inputs=inputs, warnings=notes)


def _ground(fabric: str | None) -> tuple[str, dict[str, Any]]:
    """Return the name of the catalogue's fabric, else empty, and the other keys of a file's ``[fabric]``."""
    from simulator.engine.fabric import is_file
    from simulator.reading import parse_toml, read_text

    if fabric is None:
        return "", {}
    if not is_file(fabric):
        check_name("fabrics", fabric)
        return fabric, {}
    if Path(fabric).suffix != ".toml":
        message = (
            f"--fabric {fabric}: a profile stands on a name of the catalogue or a .toml file with [fabric]"
        )
        raise UsageError(message, where="--fabric", hint="commsim list fabrics")
    table = parse_toml(read_text(fabric), fabric).get("fabric")
    if not isinstance(table, dict):
        raise InputError(fabric, "has no table [fabric]")
    gpus, base = table.get("gpus", 1), table.get("base", "")
    if isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 1:
        raise InputError(fabric, [Fault("must be a whole number from 1 on", "fabric.gpus")])
    if not isinstance(base, str):
        raise InputError(fabric, [Fault("must be text", "fabric.base")])
    return base, {key: value for key, value in table.items() if key != "base"}


def _machines(fabric: str | None, base: str, table: dict[str, Any]) -> Callable[["Series"], "Machine | None"]:
    """Return what finds the machine of a series: the fabric with the GPUs that took part."""
    keys = {key: value for key, value in table.items() if key != "gpus"}

    def machine(series: "Series") -> "Machine | None":
        from simulator.collectives._nccl import machine_of
        from topologies import _fabrics

        if fabric is None:
            return None
        each, there = series.gpus_per_node or 0, table.get("gpus", series.gpus)
        if series.gpus > there:
            raise UsageError(f"--fabric {fabric}: has {there} GPUs, the log {series.gpus}", where="--fabric")
        with usage(f"--fabric {fabric}"):
            if base:
                graph = _fabrics.build(base, series.gpus, gpus_per_node=each)
            else:
                graph = _fabrics.build_from_table(keys, series.gpus, gpus_per_node=each)
        try:
            return machine_of(graph.graph, series.gpus)
        except ValueError:  # not a machine that NCCL has tables for
            return None

    return machine


def _star(pieces: Sequence["Piece"]) -> dict[str, Any]:
    """Return the table of a fabric that nobody described: one switch, as fast as the best that was measured.

    The latency of a port is the least alpha over the messages, one after the other, that a tree of these GPUs
    takes, half of a message's latency at either end.
    """
    from simulator.collectives._bus_bandwidth import bus_factor

    bandwidth = max(piece.bandwidth_Bps * bus_factor(piece.op, piece.gpus) for piece in pieces)
    latency = min(piece.alpha_s / (4 * max(1, (piece.gpus - 1).bit_length())) for piece in pieces)
    return {
        "family": "star",
        "link_bandwidth_Bps": bandwidth,
        "link_latency_s": latency,
        "assumed": "one switch; bandwidth and latency are the best that was measured",
    }


def _source(path: Path) -> "Source":
    from simulator.profile import Source
    from simulator.reading import digest, read_text

    name = path.name.encode(errors="replace").decode()
    lines = read_text(path).rstrip("\n").count("\n") + 1
    return Source(file="".join(c if c.isprintable() else "?" for c in name), sha256=digest(path), lines=lines)


def _row(piece: "Piece") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(piece)


def _about(log: "Log") -> str:
    """Return the line that says what was read."""

    def words(name: str, unit: str = "{}") -> str:
        values = sorted({value for row in log.rows if (value := getattr(row, name)) not in ("", None)})
        return ", ".join(unit.format(value) for value in values)

    sizes = len({row.size_bytes for row in log.rows})
    parts = [words("op"), words("gpus", "{} ranks"), words("gpus_per_node", "{} a node"), f"{sizes} sizes"]
    parts.append(words("dtype"))
    skipped = ", ".join(f"{count} {kind}" for kind, count in log.skipped.items() if count)
    text = f"read {log.source}: {', '.join(filter(None, parts))}"
    return f"{text}; skipped {skipped} lines" if skipped else text


def _table(profile: "Profile", output: Path) -> list[str]:
    from simulator.reports.tables import Column, cell, lay_out

    rows = [_shown(piece) for piece in profile.pieces]
    settings = {piece.setting for piece in profile.pieces}
    runs = {(piece.op, piece.gpus) for piece in profile.pieces}
    keys = [*["op", "gpus"] * (len(runs) > 1), *["setting"] * (len(settings) > len(runs))]
    titles = ["band", "protocol/algorithm", "alpha us", "beta GB/s", "mean err", "worst"]
    lines = lay_out(rows, [Column(key) for key in [*keys, *titles]])
    for op in dict.fromkeys(one.op for one in profile.series):
        spans = profile.range(op)
        low, high = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
        counts = ", ".join(map(str, spans))
        lines.append(f"valid for: {op}, {counts} ranks, {cell(low, 'B')} .. {cell(high, 'B')}")
    lines.append("Other collectives, counts and sizes are inferred and marked so.")
    made = "; ".join(f"source: {one.file}, sha256 {one.sha256[:8]}" for one in profile.sources)
    return [*lines, f"wrote {output} ({made})"]


def _shown(piece: "Piece") -> dict[str, Any]:
    """Return a piece as the table shows it."""
    from simulator.reports.tables import cell

    forced = "/".join(filter(None, (piece.algorithm_forced, piece.protocol_forced)))
    nodes = f"{piece.nodes} nodes" if piece.nodes else ""
    return {
        "op": piece.op,
        "gpus": piece.gpus,
        "setting": ", ".join(filter(None, (nodes, piece.dtype, forced and f"forced {forced}"))),
        "band": f"{cell(piece.from_bytes, 'B')} .. {cell(piece.to_bytes, 'B')}",
        "protocol/algorithm": "unknown"
        if piece.algorithm == piece.protocol
        else f"{piece.protocol} {piece.algorithm}",
        "alpha us": _with_error(piece.alpha_s * 1e6, piece.alpha_error_s * 1e6),
        "beta GB/s": _with_error(piece.bandwidth_Bps / 1e9, piece.bandwidth_error_Bps / 1e9),
        "mean err": cell(piece.mean_error, "%"),
        "worst": cell(piece.max_error, "%"),
    }


def _with_error(value: float, error: float) -> str:
    return f"{float(f'{value:.4g}'):g} ±{float(f'{error:.2g}'):g}"
