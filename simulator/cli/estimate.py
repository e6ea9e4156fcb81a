"""``commsim estimate``: one training step of a model on a cluster."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli._options import OutputFile, form_options
from simulator.cli._output import emit, save
from simulator.cli._progress import gauge
from simulator.cli._training_options import complete, given, inputs, training_options
from simulator.errors import InfeasibleError, UsageError

if TYPE_CHECKING:
    from simulator.planning.estimate import Estimate

MOST = 1000  # steps of one call; more is what a sweep is for


@click.command()
@training_options(several=True)
@click.option("--layers", is_flag=True, help="List each layer's operations, bytes and where they run.")
@click.option("--trace", type=OutputFile(".gz", ".json"), help="Timeline for ui.perfetto.dev: step.json.gz.")
@click.option(
    "--ranks", default="", help="Ranks of the timeline: all, or 0,8,16; one of each stage if left out."
)
@click.option(
    "--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Picture of the pipeline and the breakdown."
)
@form_options
def command(*, layers: bool, trace: Path | None, ranks: str, plot: Path | None, **values: Any) -> None:
    """Predict how long one training step takes, where the time goes, what it needs of memory and money.

    Numbers sweep: --gpus 64..2048 and --tp 4,8 give a row for every combination.
    """
    found = given(values)
    complete(found)
    asked = _combinations(found)
    if len(asked) > 1 and (trace or plot or layers):
        raise UsageError("--layers, --trace and --plot are for a single step", where="--layers")
    if ranks and not trace:
        raise UsageError("--ranks is for --trace", where="--ranks", hint="--trace step.json.gz")
    if trace and found.get("fidelity") == "formula":
        raise UsageError(
            "--trace needs events: --fidelity formula has no timeline",
            where="--trace",
            hint="--fidelity fluid",
        )
    answers = _answers(asked, spans=bool(trace or plot))
    warnings = list(dict.fromkeys(text for _, one in answers for text in _warned(one)))
    rows = [one.row if not isinstance(one, InfeasibleError) else _refused(point) for point, one in answers]
    good = [one for _, one in answers if not isinstance(one, InfeasibleError)]
    result: dict[str, Any] = {"rows": rows}
    wrote: list[str] = []
    if layers:
        result["layers"] = _layers(good[0])
    if trace:
        wrote.append(_trace(good[0], trace, ranks))
    if plot:
        wrote.append(_plot(good[0], plot))
    emit(result, lambda: _lines(good, result, wrote), inputs=inputs(found), warnings=warnings)


def _combinations(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    several = {name: value for name, value in found.items() if isinstance(value, list)}
    asked = [dict(found) | dict(zip(several, values, strict=True)) for values in product(*several.values())]
    if len(asked) > MOST:
        raise UsageError(f"{len(asked):,} combinations, at most {MOST:,}", hint="commsim sweep")
    return asked


def _answers(
    asked: Sequence[Mapping[str, Any]], *, spans: bool
) -> "list[tuple[Mapping[str, Any], Estimate | InfeasibleError]]":
    """Return the answer to each; what does not fit as the reason, unless nothing fits."""
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made

    options = [made(point) for point in asked]
    for one in options:
        checked(one)
    from simulator.planning.estimate import Desk, estimate
    from simulator.planning.place import Fabric

    desk = Desk(Fabric(options[0].fabric))
    answers: list[tuple[Mapping[str, Any], Any]] = []
    for point, one in zip(asked, options, strict=True):
        try:
            with gauge("messages") as tell:
                answers.append((point, estimate(one, desk, spans=spans, progress=tell)))
        except InfeasibleError as error:
            answers.append((point, error))
    faults = [answer for _, answer in answers if isinstance(answer, InfeasibleError)]
    if len(faults) == len(answers):
        raise faults[0]
    return answers


def _warned(answer: "Estimate | InfeasibleError") -> Iterable[str]:
    return (answer.message,) if isinstance(answer, InfeasibleError) else answer.warnings


def _refused(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a step that does not fit: no number is given for it."""
    kept = {name: value for name, value in point.items() if name != "fidelity"}
    unknown = ("step_s", "low_s", "high_s", "tokens_per_s_per_gpu", "mfu", "hfu", "memory_bytes_per_gpu")
    more = ("breakdown_s", "communication_bytes", "cost_usd", "energy_J")
    return (
        dict.fromkeys(unknown)
        | {"fits": False}
        | dict.fromkeys(more)
        | {"fidelity": point.get("fidelity", "fluid"), "messages": None, "basis": None}
        | kept
    )


def _layers(answer: "Estimate") -> list[dict[str, Any]]:
    from workloads.listing import rows

    graph, prices = answer.step.graph, answer.step.prices
    spent = [prices.seconds(one, stage) for stage, _, _, one in graph.operations()]
    return [row | {"seconds_s": seconds} for row, seconds in zip(rows(graph), spent, strict=True)]


def _trace(answer: "Estimate", path: Path, ranks: str) -> str:
    from simulator.reports.timeline import write

    layout = answer.step.layout
    chosen: Iterable[int] | None = None
    if ranks == "all":
        chosen = range(layout.world)
    elif ranks:
        words = ranks.split(",")
        if not all(word.strip().isdecimal() for word in words):
            raise UsageError(f"--ranks {ranks}: wanted all, or numbers like 0,8,16", where="--ranks")
        chosen = [int(word) for word in words]
    return write(path, answer.result.spans, layout, ranks=chosen)


def _plot(answer: "Estimate", path: Path) -> str:
    import io

    from simulator.reports.step_plot import picture

    content = io.BytesIO()
    picture(answer.row, answer.result.spans).savefig(content, format=path.suffix.removeprefix("."))
    save(path, content.getvalue())
    return f"wrote {path}"


def _lines(answers: "Sequence[Estimate]", result: Mapping[str, Any], wrote: Sequence[str]) -> list[str]:
    from simulator.cli._training_tables import many, one

    lines = one(answers[0]) if len(result["rows"]) == 1 else many(result["rows"], answers[0].step.values.line)
    if "layers" in result:
        from simulator.cli._training_tables import layers

        lines += ["", *layers(result["layers"])]
    return [*lines, *wrote]
