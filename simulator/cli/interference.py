"""``commsim interference``: several jobs on one fabric, who slows whom on which link."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.cli._fabric import FABRIC
from simulator.cli._options import COUNT, INPUT_FILE, Choice, OutputFile, form_options
from simulator.cli._output import emit, save
from simulator.cli._progress import progress
from simulator.cli._training_options import inputs

if TYPE_CHECKING:
    from simulator.planning._interference_read import Tenancy
    from simulator.planning.interference import Answer


@click.command()
@click.argument("file", type=INPUT_FILE, metavar="JOBS.toml")
@click.option("--fabric", type=FABRIC, help="Instead of the fabric of the file: a name or a file.")
@click.option("--gpus", type=COUNT, help="GPUs of the fabric; as many as the jobs need if left out.")
@click.option(
    "--fidelity",
    type=Choice("fidelity", ("fluid", "messages")),
    default="fluid",
    show_default=True,
    help="Bundles, or every message.",
)
@click.option("-o", "--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Picture of who slows whom.")
@form_options
def command(*, file: Path, fabric: str | None, gpus: int | None, fidelity: str, plot: Path | None) -> None:
    """Run the jobs of JOBS.toml side by side on one fabric and show who slows whom on which link.

    The file names a fabric (and gpus, if it shall have more than the jobs need) and holds a table [[job]] for each
    job: a name, gpus, and the options of estimate as keys (model, tp, pp, gbs, seq_len, preset, ...). A job that
    is one collective in a loop has op, size and, if need be, algorithm (ring, pairwise) and repeat instead.

    Where and when: gpus_at is the first GPU, a list, or ranges as "0-7,16-23"; placement is packed (as a rule) or
    striped over the leaves. Jobs that name no GPUs take free machines in the order of their names. start_s is
    when a job starts, steps how many it does; left out, as many as it takes to last as long as the others.

    Times are those of the mean step. What a victim loses to a culprit is how much shorter its step is with all jobs
    but the culprit.
    """
    from simulator.planning._interference_check import checked_jobs
    from simulator.planning._interference_read import read

    tenancy = read(str(file), fabric=fabric or "", gpus=gpus)
    checked_jobs(tenancy, fidelity)
    from simulator.planning.interference import interference, replays

    with progress(f"{len(tenancy.jobs)} jobs", replays(tenancy)) as done:
        answer = interference(tenancy, fidelity=fidelity, done=done)
    wrote = [_plot(answer, plot)] if plot else []
    emit(
        {"jobs": answer.jobs, "interference": answer.interference, "links": answer.links},
        lambda: _lines(tenancy, answer, wrote),
        rows=answer.jobs,
        inputs=[str(file), *_files(tenancy)],
        warnings=answer.warnings,
    )


def _files(tenancy: "Tenancy") -> list[str]:
    """Return the other files that an answer rests on."""
    shared = {"fabric": tenancy.fabric}
    return list(dict.fromkeys(name for job in tenancy.jobs for name in inputs(dict(job.options) | shared)))


def _plot(answer: "Answer", path: Path) -> str:
    import io

    from simulator.reports.interference_plot import picture

    content = io.BytesIO()
    picture(answer.jobs, answer.interference).savefig(content, format=path.suffix.removeprefix("."))
    save(path, content.getvalue())
    return f"wrote {path}"


def _lines(tenancy: "Tenancy", answer: "Answer", wrote: Sequence[str]) -> list[str]:
    from simulator.cli._training_tables import wrapped
    from simulator.reports.interference_tables import contention, jobs, links

    title = f"{len(answer.jobs)} jobs on {tenancy.fabric}"
    below = wrapped(answer.line) if answer.line else []
    return [
        title,
        *jobs(answer.jobs),
        "",
        *contention(answer.interference),
        "",
        *links(answer.links),
        *([""] if below else []),
        *below,
        *wrote,
    ]
