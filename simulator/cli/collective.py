"""``commsim collective``: one operation on one fabric."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from simulator.cli._fabric import fabric_option
from simulator.cli._options import COUNT, SIZE, Choice, form_options
from simulator.cli._output import emit
from simulator.cli._progress import gauge
from simulator.operations import OPERATIONS

FIDELITIES = ("formula", "fluid", "messages")


@click.command()
@click.argument("op", type=Choice("operation", OPERATIONS))
@click.option("--size", type=SIZE, required=True, help="Bytes as nccl-tests counts them, e.g. 64MiB.")
@click.option("--gpus", type=COUNT, required=True, help="Ranks, one a GPU.")
@fabric_option
@click.option("--algorithm", default="auto", show_default=True, help="auto: as NCCL; a name of either.")
@click.option("--protocol", default="auto", show_default=True, help="LL, LL128, Simple; as NCCL_PROTO.")
@click.option(
    "--fidelity",
    type=Choice("fidelity", FIDELITIES),
    default="formula",
    show_default=True,
    help="Closed form, one bundle of bytes in SimPy, or every message.",
)
@click.option("--nccl", default="2.30", show_default=True, help="NCCL release, e.g. 2.18.")
@form_options
def command(
    op: str, size: int, gpus: int, fabric: str, algorithm: str, protocol: str, fidelity: str, nccl: str
) -> None:
    """Predict how long OP takes on a fabric, and name the link that holds it up."""
    from simulator.engine.fabric import is_file
    from simulator.planning.collective import ask

    with gauge("messages") as tell:
        answer = ask(
            op,
            size=size,
            gpus=gpus,
            fabric=fabric,
            algorithm=algorithm,
            protocol=protocol,
            fidelity=fidelity,
            release=nccl,
            progress=lambda done: tell(done, None),
        )
    emit(
        {"rows": answer.rows, "candidates": answer.candidates},
        lambda: _table(answer.rows[0], answer.candidates),
        inputs=[fabric] if is_file(fabric) else [],
        warnings=answer.warnings,
    )


def _table(row: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    from simulator.calibration.referee import accuracy_line
    from simulator.reports.tables import Column, cell, facts, lay_out

    shown = {
        key: value
        for key, value in row.items()
        if key not in ("bottleneck", "channels") and value is not None
    }
    if row["channels"]:
        shown["channels"] = row["channels"]
    link = row["bottleneck"]
    if link:
        shown["bottleneck"] = f"{link['src']} -> {link['dst']}, busy {link['busy']:.0%} of the time"
    lines = list(facts(shown))
    if len(candidates) > 1:
        lines += ["", *lay_out(candidates[:8], [Column("algorithm"), Column("protocol"), Column("time_s")])]
    if row["low_s"] is not None and row["gpus"] > 1:
        lines += ["", f"90 % interval {cell(row['low_s'], 's')} .. {cell(row['high_s'], 's')}"]
        lines.append(accuracy_line(row["basis"]))
    return lines
