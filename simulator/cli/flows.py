"""``commsim flows``: the fair-share network alone."""

from pathlib import Path

import click

from simulator.cli._options import INPUT_FILE, Choice, form_options
from simulator.cli._output import emit, remark


@click.command()
@click.argument("file", type=INPUT_FILE)
@click.option(
    "--fold",
    type=Choice("fold", ("on", "off", "auto")),
    default="auto",
    show_default=True,
    help="Simulate one of each class of flows that nobody can tell apart; never changes a result.",
)
@form_options
def command(file: Path, fold: str) -> None:
    """Replay the flows of FILE over its links, shared max-min fair."""
    from simulator.network.scenario import read, replay_scenario

    found = replay_scenario(read(file), fold=fold)
    rows = [{"flow": str(flow), "finish_s": instant} for flow, instant in found.finish.items()]
    remark(f"{found.events} changes of rates in {found.engine_s:.3g} s", level=1)

    def table() -> list[str]:
        from simulator.reports.tables import Column, cell, lay_out

        last = f"makespan {cell(found.makespan, 's')}, {len(rows)} flows"
        return [*lay_out(rows, [Column("flow"), Column("finish_s")]), last]

    result = {
        "finish_s": {row["flow"]: row["finish_s"] for row in rows},
        "makespan_s": found.makespan,
        "engine_s": found.engine_s,
    }
    emit(result, table, rows=rows, inputs=[file])
