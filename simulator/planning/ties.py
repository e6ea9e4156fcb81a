"""Which of several predictions can be told apart: an order that the intervals do not bear is a tie.

Two things are kept apart. By their own 90 % intervals predictions are *ties* unless one ends before the other begins.
Of two layouts of one model on one machine much of the error is common; how often their order was predicted right is
counted on measured pairs (`simulator.calibration.steps.pairs`), and from a ratio on at which it mostly is, the slower
one is *likely* slower.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.calibration.steps.pairs import pairs

TIE, LIKELY, APART = "tie", "likely slower", "slower"


def ranks(lows: Sequence[float], highs: Sequence[float]) -> list[int]:
    """Return ranks by intervals: one more than the number of others that are better for certain.

    Parameters
    ----------
    lows, highs : sequence of float
        Ends of intervals of something that should be small.

    Examples
    --------
    >>> ranks([1.0, 1.1, 2.0, 1.9], [1.2, 1.3, 2.5, 3.0])
    [1, 1, 3, 3]
    """
    return [1 + sum(high < low for high in highs) for low in lows]


def against_best(row: Mapping[str, Any], best: Mapping[str, Any], value: str = "step_s") -> str:
    """Return whether a row can be told from the best one: ``tie``, ``likely slower`` or ``slower``.

    Parameters
    ----------
    row, best : mapping
        With the value, ``low_s`` and ``high_s``.
    value : str
        What they are compared by; its interval is in proportion to that of the step.
    """
    if row is best or row[value] is None or best[value] is None:
        return TIE
    low = row[value] * row["low_s"] / row["step_s"]
    high = best[value] * best["high_s"] / best["step_s"]
    if low > high:
        return APART
    same = all(row.get(name) == best.get(name) for name in ("model", "fabric", "gpu", "gpus"))
    return LIKELY if same and row[value] / best[value] >= pairs().apart else TIE


def mark(rows: Sequence[dict[str, Any]], value: str = "step_s") -> None:
    """Add ``rank`` and ``against_best`` to rows that stand best first.

    Parameters
    ----------
    rows : sequence of dict
        With the value, ``step_s``, ``low_s`` and ``high_s``.
    value : str
        What they are sorted by.
    """
    known = [row for row in rows if row[value] is not None]
    scale = [row[value] / row["step_s"] for row in known]
    found = ranks(
        [row["low_s"] * factor for row, factor in zip(known, scale, strict=True)],
        [row["high_s"] * factor for row, factor in zip(known, scale, strict=True)],
    )
    for row, rank in zip(known, found, strict=True):
        row["rank"] = rank
        row["against_best"] = against_best(row, known[0], value)


def line() -> str:
    """Return what a reader of an order should know."""
    told = pairs()
    return (
        f"order: of {told.count:,} measured pairs of layouts, each predicted without its source, {told.ordered:.0%} "
        f"are in the predicted order, {told.clear[1.1]:.0%} of those predicted 10 % apart; = is a tie with the best: "
        f"less than {told.apart - 1:.0%} apart, or another machine within its interval"
    )
