"""``commsim plan``: the best layouts of a model on a cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import form_options
from simulator.cli._output import emit
from simulator.cli._plan_budget import budget, budget_options
from simulator.cli._progress import gauge
from simulator.cli._training_options import complete, given, inputs, training_options
from simulator.errors import UsageError

if TYPE_CHECKING:
    from simulator.planning._estimate_options import Options
    from simulator.planning.estimate import Desk
    from simulator.planning.plan import Planned

MOST = 64  # searches of one call
OBJECTIVES = ("time", "cost", "energy")
GPUS = [64, 128, 256, 512, 1024, 2048]  # that are tried where a deadline is given and no number of GPUs


@click.command()
@training_options(several=True, names=True)
@click.option("--objective", default="time", show_default=True, help=f"Least of: {', '.join(OBJECTIVES)}.")
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Rows.")
@click.option(
    "--replay",
    type=click.IntRange(1, 1000),
    help="Layouts of each search that are replayed; 2 x --top in all.",
)
@click.option("--rejected", is_flag=True, help="Say what became of the others, axis by axis.")
@click.option("--runnable", is_flag=True, help="Only schedules and strategies that --stack has.")
@click.option("--pareto", help="Front of two objectives: time,cost.")
@budget_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the results.")
@form_options
def command(
    *, objective: str, top: int, replay: int | None, rejected: bool, runnable: bool, pareto: str | None,
    output: Path | None, **values: Any,
) -> None:  # fmt: skip
    """Find the best layout: every legal one is looked at, the best by formula are replayed.

    An option that is given is settled, one with several values is chosen from them; all others are searched. Numbers
    of GPUs and fabrics may have several values too: each is searched by itself, the rows are compared per token.
    """
    found = given(values)
    if values["days"] is not None:
        found.setdefault("gpus", GPUS)
    complete(found)
    _objective(objective, *(fronts := _front(pareto)))
    from simulator.planning._plan_space import chosen, spread

    space, settled = chosen(found, runnable=runnable)
    whole = budget(values, str(settled["model"]))
    asked = _asked(spread(settled, ("fabric", "gpus", "gbs")))
    from simulator.planning.plan import plan

    with gauge("plan") as tell:
        answer = plan(
            asked, space, objective=objective, top=top, looked=replay or 0, pareto=fronts, rejected=rejected,
            budget=whole, tell=lambda _, done, of: tell(done, of),
        )  # fmt: skip
    result: dict[str, Any] = {
        "evaluated": answer.evaluated, "feasible": answer.feasible, "walked": answer.walked,
        "search_s": answer.search_s, "objective": objective, "rows": answer.rows,
    }  # fmt: skip
    if rejected:
        result["rejected"] = answer.rejected
    if fronts:
        result["pareto"] = answer.pareto
    wrote = _save(output, answer) if output else []
    emit(result, lambda: _lines(answer, asked[0], wrote), inputs=inputs(settled), warnings=answer.warnings)


def _objective(*names: str) -> None:
    from simulator.errors import nearest

    for name in names:
        if name not in OBJECTIVES:
            near = nearest(name, list(OBJECTIVES), 1)
            raise UsageError(
                f"--objective {name}: wanted one of {', '.join(OBJECTIVES)}",
                where="--objective",
                hint=f"--objective {near[0] if near else 'time'}",
            )


def _front(text: str | None) -> list[str]:
    if text is None:
        return []
    names = [part.strip() for part in text.split(",")]
    if len(names) != 2 or names[0] == names[1]:
        raise UsageError(
            f"--pareto {text}: wanted two objectives", where="--pareto", hint="--pareto time,cost"
        )
    return names


def _asked(points: Sequence[Mapping[str, Any]]) -> "list[tuple[Options, Desk]]":
    """Return the searches, those of one fabric on one desk."""
    if len(points) > MOST:
        raise UsageError(
            f"{len(points)} searches, at most {MOST}", where="--gpus", hint="fewer GPU counts or fabrics"
        )
    from simulator.planning._estimate_checks import named
    from simulator.planning._estimate_options import made

    options = [made(point) for point in points]
    for one in options:
        named(one)
    from simulator.planning.estimate import Desk
    from simulator.planning.place import Fabric

    desks: dict[str, Desk] = {}
    return [(one, desks.setdefault(one.fabric, Desk(Fabric(one.fabric)))) for one in options]


def _save(output: Path, answer: "Planned") -> list[str]:
    from simulator.cli._results import save_results

    tables = {"results.csv": answer.rows, "rejected.csv": answer.rejected, "pareto.csv": answer.pareto}
    return save_results(output, {name: rows for name, rows in tables.items() if rows})


def _lines(answer: "Planned", asked: "tuple[Options, Desk]", wrote: Sequence[str]) -> list[str]:
    from simulator.cli._plan_tables import front, plans, refused

    lines = plans(answer, asked[0])
    if answer.pareto:
        lines += ["", *front(answer.pareto)]
    if answer.rejected:
        lines += ["", *refused(answer.rejected)]
    return [*lines, *(f"wrote {path}" for path in wrote)]
