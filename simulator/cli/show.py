"""``commsim show``: one thing of the catalogue, every number with its source."""

import re
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from simulator.cli._kinds import MODELS, PLUGINS, KindType, check_name, names, rows, text
from simulator.cli._options import COUNT, SIZE, form_options, usage
from simulator.cli._output import emit
from simulator.errors import UsageError
from simulator.reports.tables import Column, cell, facts, lay_out

GPUS, SIZE_BYTES = 8, 2**20  # what the terms of a collective are shown for if nobody says


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    kind = context.params.get("kind")
    return [CompletionItem(name) for name in names(kind) if name.startswith(incomplete)] if kind else []


@click.command()
@click.argument("kind", type=KindType())
@click.argument("name", shell_complete=_complete)
@click.option("--gpus", type=COUNT, help="Ranks of a collective; 8 if left out.")
@click.option("--size", type=SIZE, help="Its size as nccl-tests counts it; 1MiB if left out.")
@click.option(
    "--option", "given", multiple=True, metavar="NAME=N[,N]", help="What its algorithm can be told."
)
@click.option("--seq-len", type=COUNT, help="Tokens of a sequence of a model; its context if left out.")
@form_options
def command(
    kind: str, name: str, gpus: int | None, size: int | None, given: Sequence[str], seq_len: int | None
) -> None:
    """Show one thing of a KIND by its NAME, with the source of every number.

    Of a collective, the terms of its cost apart: start-ups in a row (alpha), bytes on a link (beta), bytes
    reduced (gamma). Of a model, by name or file (ours or config.json): parameters, FLOPs, activations, keys
    and values.
    """
    if kind != "collectives" and (gpus is not None or size is not None or given):
        raise UsageError("--gpus, --size and --option are for `commsim show collective`", where="--gpus")
    if kind == MODELS:
        _model(name, seq_len)
        return
    if seq_len is not None:
        raise UsageError("--seq-len is for `commsim show model`", where="--seq-len")
    check_name(kind, name)
    found = next(row for row in rows(kind) if row["name"] == name)
    warnings: list[str] = []
    if kind == "collectives":
        found |= _terms(name, gpus or GPUS, SIZE_BYTES if size is None else size, given, warnings)
    emit({"rows": [found]}, lambda: _lines(kind, found), warnings=warnings)


def _model(name: str, seq_len: int | None) -> None:
    from simulator.models import is_file, resolve
    from simulator.reports.model_sheet import lines, row, sheet, usual_length

    model = resolve(name, where="NAME")
    length = usual_length(model) if seq_len is None else seq_len
    warnings = []
    if model.context and length > model.context:
        warnings.append(f"{length:,} tokens are more than the context of {model.name}, {model.context:,}")
    found = row(model) | sheet(model, length)
    inputs = [name] if is_file(name) else []
    emit({"rows": [found]}, lambda: lines(model, found), warnings=warnings, inputs=inputs)


def _terms(name: str, gpus: int, size: int, given: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    from simulator.collectives import COLLECTIVES
    from simulator.collectives._options import options
    from simulator.collectives._terms import terms

    module, told = COLLECTIVES[name], dict(map(_option, given))
    found = {
        "op": module.OP,
        "gpus": gpus,
        "size_bytes": size,
        "formula": plain(text("collectives", name, "cost")),
    }
    counts = dict.fromkeys(("alpha_count", "bytes_on_link", "bytes_reduced"))
    if "packets" in options(module) and "packets" not in told:
        warnings.append(f"the terms of {name} depend on the number of packets: --option packets=8")
        return found | counts
    with usage("--option" if told else "--gpus"):
        apart = terms(module, gpus, size, **told)
    return found | {key: getattr(apart, key) for key in counts}


def _option(written: str) -> tuple[str, int | tuple[int, ...]]:
    """Return name and value of ``packets=8`` or ``shape=4,2``."""
    match = re.fullmatch(r"([a-z_]+)=([0-9]{1,9}(?:,[0-9]{1,9})*)", written)
    if match is None:
        raise UsageError(f"--option: '{written}' is not NAME=N", where="--option", hint="--option packets=8")
    numbers = tuple(map(int, match[2].split(",")))
    return match[1], numbers if len(numbers) > 1 else numbers[0]


def _lines(kind: str, found: dict[str, Any]) -> list[str]:
    if kind not in PLUGINS:
        checked = found["checked"] if found["checked"] == "read" else f"unverified ({found['checked']})"
        return facts(found | {"checked": checked, "source": found["source"].replace(" ; ", " ")})
    lines = [f"{found['name']}: {text(kind, found['name'])}"]
    if kind == "collectives":
        shown = [
            {"term": "alpha", "times": cell(found["alpha_count"]), "what": "start-ups in a row"},
            {"term": "beta", "times": cell(found["bytes_on_link"], "B"), "what": "on the busiest link"},
            {"term": "gamma", "times": cell(found["bytes_reduced"], "B"), "what": "reduced in a row"},
        ]
        columns = [Column("term"), Column("times", "count"), Column("what", "of")]
        ask = f"{found['op']} of {cell(found['size_bytes'], 'B')} on {found['gpus']} GPUs"
        lines += ["", ask, *lay_out(shown, columns), "", found["formula"]]
    return lines


def plain(latex: str) -> str:
    r"""Return a docstring as a terminal can show it: ``:math:`2\alpha + n/B``` becomes ``2 alpha + n/B``."""
    shown = latex.replace("Return seconds", "Seconds").replace(".. math::\n\n", "").replace(".. [", "[")
    shown = re.sub(r"\n-{3,}\n", "\n", re.sub(r":math:`([^`]*)`", r"\1", shown))
    shown = re.sub(r"\\l(ceil|floor)\s*(.*?)\s*\\r\1", r"\1(\2)", re.sub(r"_\{([^{}]*)\}", r"_(\1)", shown))
    while (simpler := re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", _ratio, shown)) != shown:
        shown = simpler
    shown = re.sub(r"\\(?:Big|bigg?|left|right)|\\[,;! ]|\\quad", " ", shown)
    shown = re.sub(r"(?<=[\w)])\\([a-z]+)", r" \1", shown)
    return re.sub(r"(?<=\S) {2,}", " ", re.sub(r"\\([a-z]+)", r"\1", shown))


def _ratio(match: re.Match[str]) -> str:
    return "/".join(part if re.fullmatch(r"\w(_\w)?", part) else f"({part})" for part in match.groups())
