"""``commsim sensitivity``: which input moves a step most, one at a time and all at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.cli._options import Choice, OutputFile, form_options
from simulator.cli._output import emit, save
from simulator.cli._progress import progress
from simulator.cli._training_options import complete, given, inputs, training_options
from simulator.errors import UsageError

MOST_SAMPLES = 8192


@click.command()
@training_options()
@click.option("--global", "whole", is_flag=True, help="Sobol indices: all inputs at once, over their ranges.")
@click.option("--of", "what", type=Choice("answer", ("time", "cost")), default="time", show_default=True)
@click.option("--range", "ranges", multiple=True, metavar="INPUT=A..B", help="Times what it is; 0.8..1.25.")
@click.option("--samples", type=int, default=512, show_default=True, help="A power of two; more is closer.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True)
@click.option("--plot", type=OutputFile(".png", ".svg", ".pdf"), help="Tornado, and the Sobol indices.")
@form_options
def command(
    *,
    whole: bool,
    what: str,
    ranges: tuple[str, ...],
    samples: int,
    seed: int,
    plot: Path | None,
    **values: Any,
) -> None:
    """Say which input moves the time per token most: each a tenth up and down and, with --global, all at once.

    Both are by formula. --global shares out the variance that the ranges make, by input alone (first order) and
    with what it does together with others (total), each with a 90 % interval from the bootstrap. Ranges left out
    are a fifth down and as much up, an assumption; inputs are even in their logarithm. --of cost asks for USD
    a token, and the price is an input then.
    """
    found = given(values)
    complete(found)
    from simulator.planning._sobol_ranges import chosen, read_ranges

    typed = read_ranges(ranges)
    _checked(whole, what, samples, typed)
    from simulator.planning._estimate_checks import checked
    from simulator.planning._estimate_options import made

    options = made(found | {"fidelity": "formula"})
    checked(options)
    from simulator.planning.estimate import Desk, answered, prepared, run
    from simulator.planning.place import Fabric
    from simulator.planning.sensitivity import as_rows, present, sensitivities

    desk = Desk(Fabric(options.fabric))
    step = prepared(options, desk)
    answer = answered(step, run(step, desk), desk)
    result: dict[str, Any] = {"rows": as_rows(sensitivities(step, desk)), "step": answer.row}
    warnings = list(answer.warnings)
    if whole:
        about = chosen(present(step), typed, cost=what == "cost")
        with progress("points", samples * (len(about) + 2)) as done:
            result |= _shared(
                step, desk, about, samples, seed, _price(answer) if what == "cost" else None, done
            )
        warnings += _loose(result["shares"], samples)
    wrote = [_plot(result, plot)] if plot else []
    emit(
        result,
        lambda: [*_lines(result), *wrote],
        inputs=inputs(found),
        seed=seed if whole else None,
        warnings=warnings,
    )


def _checked(whole: bool, what: str, samples: int, typed: Mapping[str, Any]) -> None:
    if not whole and (typed or what == "cost"):
        raise UsageError(
            "--range and --of are for all inputs at once: --global", where="--range", hint="--global"
        )
    if samples.bit_count() != 1 or not 16 <= samples <= MOST_SAMPLES:
        raise UsageError(
            f"--samples {samples}: must be a power of two from 16 to {MOST_SAMPLES}",
            where="--samples",
            hint="--samples 512",
        )


def _price(answer: Any) -> float:
    """Return USD for a GPU and hour of an answer."""
    row = answer.row
    if row["cost_usd"] is None:
        raise UsageError("--of cost: nobody knows a price of this GPU", where="--of", hint="--price 2.10")
    return float(row["cost_usd"] * 3600 / row["gpus"] / row["step_s"])


def _shared(
    step: Any, desk: Any, about: Sequence[Any], samples: int, seed: int, price: float | None, done: Any
) -> dict[str, Any]:
    from simulator.planning.sobol import as_rows, step_shares

    found, variation = step_shares(step, desk, about, samples=samples, seed=seed, price=price, done=done)
    points = samples * (len(about) + 2)
    return {"shares": as_rows(found), "variation": variation, "samples": samples, "points": points}


def _loose(shares: Sequence[Mapping[str, Any]], samples: int) -> list[str]:
    """Return what to say where an interval is wider than what is aimed at."""
    from simulator.planning.sobol import ACCURACY

    # the bootstrap takes points as drawn at random, which makes intervals wider than a Sobol sequence deserves
    widest = max(
        (one[f"{name}_high"] - one[f"{name}_low"]) / 2 for one in shares for name in ("first", "total")
    )
    if widest <= ACCURACY:
        return []
    return [f"indices are known to {widest:.2f} only, not to {ACCURACY}; --samples {4 * samples} halves that"]


def _plot(result: Mapping[str, Any], path: Path) -> str:
    import io

    import pandas as pd

    from simulator.reports.tornado_plot import picture

    shares = pd.DataFrame(result["shares"]) if "shares" in result else None
    content = io.BytesIO()
    figure = picture(pd.DataFrame(result["rows"]), shares)
    figure.savefig(content, format=path.suffix.removeprefix("."))
    save(path, content.getvalue())
    return f"wrote {path}"


def _lines(result: Mapping[str, Any]) -> list[str]:
    from simulator.cli._training_tables import title
    from simulator.reports.tables import Column, lay_out

    columns = [Column("input", "one at a time"), Column("down", "10 % less"), Column("up", "10 % more")]
    moved = [
        {"input": row["input"]} | {end: _percent(row[end]) for end in ("down", "up")}
        for row in result["rows"]
    ]
    lines = [title(result["step"]), *lay_out(moved, columns), "change of the time per token, by formula"]
    if "shares" not in result:
        return lines
    shown = [
        {
            "input": row["input"],
            "range": f"x {row['low']:g} .. {row['high']:g}",
            "first": f"{row['first']:.3f}",
            "first_ends": f"{row['first_low']:.3f} .. {row['first_high']:.3f}",
            "total": f"{row['total']:.3f}",
            "total_ends": f"{row['total_low']:.3f} .. {row['total_high']:.3f}",
        }
        for row in result["shares"]
    ]
    columns = [
        Column("input", "all at once"), Column("range"), Column("first", "first order"),
        Column("first_ends", "90 % interval"), Column("total"), Column("total_ends", "90 % interval"),
    ]  # fmt: skip
    text = (
        f"shares of the variance, {result['points']:,} points; the answer varies by {result['variation']:.1%}"
    )
    return [*lines, "", *lay_out(shown, columns), text]


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:+.2f} %"
