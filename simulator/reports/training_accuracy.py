"""How accurate steps are, as Markdown: ``python -m simulator.reports.training_accuracy README.md``.

The command rewrites what stands between two marks; the numbers are those of ``accuracy.toml``.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulator.calibration.steps.fitted import scores

BEGIN, END = "<!-- training accuracy -->", "<!-- /training accuracy -->"
_NAMED = 8  # worst rows that the report names
Goal = tuple[str, tuple[str, ...], float, str]
GOALS: tuple[Goal, ...] = (
    ("whole sources left out, all", ("sources", "all", "mean"), 0.09, "one constant 30 %"),
    ("whole sources left out, dense", ("sources", "dense", "mean"), 0.07, ""),
    ("configurations left out, all", ("folds", "all", "mean"), 0.065, "two runs of one: 1.7 to 4.2 %"),
    ("configurations left out, dense", ("folds", "dense", "mean"), 0.045, ""),
    ("configurations left out, mixtures", ("folds", "moe", "mean"), 0.095, ""),
    ("vTrain, several nodes, fitted without", ("vtrain", "multi", "without", "mean"), 0.08, "vTrain 14.7 %"),
    ("vTrain, several nodes, by folds", ("vtrain", "multi", "folds", "mean"), 0.06, ""),
    ("vTrain, one node, fitted without", ("vtrain", "single", "without", "mean"), 0.20, "vTrain 8.4 %, Calculon 39 %"),
    ("vTrain, one node, by folds", ("vtrain", "single", "folds", "mean"), 0.05, ""),
    ("Korthikanti table 5, left out", ("source", "Korthikanti 2022", "left_out", "mean"), 0.04, "Calculon 3.7 %"),
)  # fmt: skip
"""Mean error that each check is to stay below, and what peers print of the same public data."""


def at(path: Iterable[str]) -> Any:
    """Return one figure of ``accuracy.toml``."""
    found: Any = scores()
    for key in path:
        found = found[key]
    return found


def markdown() -> str:
    """Return the table of goals, the bands, the errors by source, what effects are worth, the worst rows."""
    return "\n\n".join([_goals(), _bands(), _sources(), _effects(), _worst()]) + "\n"


def _goals() -> str:
    rows = []
    for name, path, goal, peers in GOALS:
        mean, whole = at(path), at(path[:-1])
        shown = f"{mean:.1%}" if mean <= goal else f"**{mean:.1%}**"
        rows.append((name, whole["rows"], shown, f"{whole['median']:.1%}", f"{goal:.1%}", peers))
    return _table(("check", "rows", "mean error", "median", "goal", "peers, public data"), rows)


def _bands() -> str:
    known, unknown = at(("bands", "known")), at(("bands", "unknown"))
    return (
        f"The 90 % interval of a known stack holds {known['coverage']:.0%} of the rows left out at a median full width "
        f"of {known['width']:.0%}; that of an unknown one {unknown['coverage']:.0%} at {unknown['width']:.0%}. "
        f"{at(('refused',))} rows are refused, each with its reason. Bold: goal missed."
    )


def _sources() -> str:
    rows = [
        (
            name,
            one["left_out"]["rows"],
            f"{one['left_out']['mean']:.1%}",
            f"{one['left_out']['bias']:+.1%}",
            f"{one['folds']['mean']:.1%}",
        )
        for name, one in at(("source",)).items()
    ]
    table = _table(("source", "rows", "left out", "bias", "by folds"), rows)
    return f"<details><summary>By source</summary>\n\n{table}\n\n</details>"


def _effects() -> str:
    rows = [(one["effect"], f"{one['seen']:.1%}", f"{one['left_out']:.1%}") for one in at(("ablations",))]
    table = _table(("effect left out, then fitted again", "rows seen", "sources left out"), rows)
    return f"<details><summary>What each effect is worth</summary>\n\n{table}\n\n</details>"


def _worst() -> str:
    rows = [
        (
            one["case"],
            f"{one['measured_s']:.3g}",
            f"{one['predicted_s'] / one['measured_s'] - 1:+.0%}",
            one["doubts"],
        )
        for one in at(("worst",))[:_NAMED]
    ]
    table = _table(("worst row", "measured s", "error", "doubts about it"), rows)
    return f"<details><summary>Worst rows, by folds</summary>\n\n{table}\n\n</details>"


def _table(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(titles)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def replaced(text: str, part: str) -> str:
    """Return a text with another part between the marks.

    Raises
    ------
    ValueError
        The marks are not there.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"no marks {BEGIN} ... {END}")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{part}{END}{text.partition(END)[2]}"


def main(arguments: list[str]) -> None:
    """Rewrite the part of each file named."""
    for name in arguments:
        path = Path(name)
        path.write_text(replaced(path.read_text("utf-8"), markdown()), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
