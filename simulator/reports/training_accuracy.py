"""How accurate steps are, as Markdown: ``python -m simulator.reports.training_accuracy README.md``.

The command rewrites what stands between two marks in a file; the numbers are those of the shipped referee.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.calibration.steps.accuracy import WHOLE, accuracy
from simulator.reports.tables import cell

BEGIN, END = "<!-- training accuracy -->", "<!-- /training accuracy -->"
_TRANSLATED = {"moe": "MoE", "hybrid": "Mamba hybrids"}
_LEGEND = (
    "Errors are |predicted / measured - 1| of step times, *bias* exp(mean log ratio) - 1. *Configurations left "
    "out*: five folds dealt by a hash, equal configurations together. *Sources left out*: nothing of the source, "
    "nor of others that print the same runs, in the fit. Laws and priors were chosen on these same rows, so the "
    "errors are somewhat too good. *Compact model*: 60 values without a step graph. Bold: goal missed."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing measured: where its numbers stand, the mean error it is to stay below, and what peers reach."""

    says: str
    path: tuple[str, ...]
    goal: float
    compact: float
    peers: str = ""

    @property
    def found(self) -> Mapping[str, Any]:
        """Return its numbers."""
        found: Mapping[str, Any] = at(self.path)
        return found


CHECKS = (
    Check(says="sources left out, all", path=("runs", "unseen", "all"), goal=0.09, compact=0.130,
          peers="one constant 30 %"),
    Check(says="sources left out, dense", path=("runs", "unseen", "dense"), goal=0.07, compact=0.098),
    Check(says="configurations left out, all", path=("runs", "folds", "all"), goal=0.065, compact=0.088),
    Check(says="configurations left out, dense", path=("runs", "folds", "dense"), goal=0.045, compact=0.068,
          peers="equal runs {dense} apart"),
    Check(says="configurations left out, MoE", path=("runs", "folds", "moe"), goal=0.095, compact=0.148,
          peers="equal runs {moe} apart"),
    Check(says="vTrain, several nodes, left out", path=("vtrain_multi", "unseen"), goal=0.08, compact=0.116),
    Check(says="vTrain, several nodes, by folds", path=("vtrain_multi", "folds"), goal=0.06, compact=0.110,
          peers="vTrain 14.7 %, Calculon 15.3 %"),
    Check(says="vTrain, one node, left out", path=("vtrain_single", "unseen"), goal=0.20, compact=0.262),
    Check(says="vTrain, one node, by folds", path=("vtrain_single", "folds"), goal=0.05, compact=0.082,
          peers="vTrain 8.4 %, Calculon 39 %"),
    Check(says="Korthikanti Table 5, left out", path=("korthikanti", "unseen"), goal=0.04, compact=0.079,
          peers="Calculon 3.65 % (8 points, its own)"),
)  # fmt: skip
"""Checks, goals and what a model of 60 parameters (compact) and peers reach on public data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What a 90 % interval is to hold, and how wide it may be in the median."""

    says: str
    name: str
    least: float
    most: float
    width: float


INTERVALS = (
    Interval(says="known stacks, configurations left out", name="folds", least=0.87, most=0.93, width=0.25),
    Interval(says="unknown stacks, sources left out", name="unseen", least=0.85, most=1.0, width=0.70),
)


def at(path: Iterable[str]) -> Any:
    """Return what the shipped accuracy holds at a path."""
    found: Any = accuracy()
    for key in path:
        found = found[key]
    return found


def markdown() -> str:
    """Return goals and errors, intervals, errors by source, what effects are worth, worst and refused runs."""
    parts = [
        _goals(), _LEGEND, _intervals(), _verdict(),
        _folded("By kind of model", _by_kind()), _folded("By source", _by_source()),
        _folded("What each effect is worth", _effects()), _folded("The worst runs", _worst()),
        _folded("Rows that are refused", _refused()),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def replaced(text: str, part: str) -> str:
    """Return a text with another part between the marks.

    Raises
    ------
    ValueError
        Marks that are not there, not in order or not once each.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or any(mark in before + after for mark in (BEGIN, END)):
        raise ValueError(f"wanted {BEGIN} and then {END}, once each")
    return f"{before}{begin}\n\n{part}\n{end}{after}"


def rewrite(path: Path) -> None:
    """Bring the part between the marks of a file up to date; the file is replaced whole or not at all."""
    text = replaced(path.read_text("utf-8"), markdown())
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, "utf-8")
    part.replace(path)


def missed() -> list[str]:
    """Return the goals that are missed, each with its figure."""
    errors = [f"{one.says} {_percent(one.found['mean_error'])}" for one in CHECKS if not _met(one)]
    return errors + [f"interval of {one.says}" for one in INTERVALS if not _kept(one)]


def _met(check: Check) -> bool:
    return bool(check.found["mean_error"] <= check.goal)


def _kept(one: Interval) -> bool:
    found = at(("runs", one.name, "band", "all"))
    return bool(one.least <= found["coverage"] <= one.most and found["width"] <= one.width)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _bold(text: str, fine: bool) -> str:
    return text if fine else f"**{text}**"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]], words: int) -> str:
    """Return a table; the first columns are words, the others numbers."""
    titles = list(titles)
    rule = ["---"] * words + ["--:"] * (len(titles) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [titles, rule, *rows])


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _goals() -> str:
    noise = {kind: _percent(found["mean_deviation"]) for kind, found in at(("noise",)).items()}
    rows = (
        [
            one.says,
            one.peers.format(**noise) or "-",
            f"{one.found['runs']}",
            f"{100 * one.goal:g} %",
            _percent(one.compact),
            _bold(_percent(one.found["mean_error"]), _met(one)),
            _percent(one.found["median_error"]),
            _percent(one.found["p90_error"]),
        ]
        for one in CHECKS
    )
    titles = ("step time", "peers", "runs", "goal", "compact model", "mean error", "median", "90 % below")
    return _table(titles, rows, words=2)


def _intervals() -> str:
    rows = []
    for one in INTERVALS:
        found = at(("runs", one.name, "band", "all"))
        most = f" to {100 * one.most:g} %" if one.most < 1 else " % or more"
        rows.append(
            [
                one.says,
                f"{100 * one.least:g}{most}, width {100 * one.width:g} % or less",
                _bold(_percent(found["coverage"]), one.least <= found["coverage"] <= one.most),
                _bold(_percent(found["width"]), found["width"] <= one.width),
            ]
        )
    return _table(("90 % interval", "goal", "holds", "median full width"), rows, words=2)


def _verdict() -> str:
    rows, table = at(("rows",)), missed()
    counts = "; ".join(
        f"`{name}`: {found['scored']} of {found['rows']} rows scored" for name, found in rows.items()
    )
    return f"{counts}. Missed: {'; '.join(table) or 'none'}."


def _by_kind() -> str:
    rows = []
    for name, says in (("folds", "configurations left out"), ("unseen", "sources left out")):
        for kind, found in at(("runs", name)).items():
            if not isinstance(found, Mapping) or "mean_error" not in found:
                continue
            band = at(("runs", name, "band", kind))
            rows.append(
                [
                    _TRANSLATED.get(kind, kind),
                    says,
                    f"{found['runs']}",
                    _percent(found["mean_error"]),
                    _percent(found["median_error"]),
                    f"{100 * found['bias']:+.1f} %",
                    _percent(band["coverage"]),
                    _percent(band["width"]),
                ]
            )
    titles = ("kind", "left out", "runs", "mean error", "median", "bias", "in 90 % interval", "width")
    return _table(titles, rows, words=2)


def _by_source() -> str:
    rows = (
        [
            name,
            f"{found['runs']}",
            _percent(found["unseen_error"]),
            f"{100 * found['unseen_bias']:+.1f} %",
            _percent(found["folds_error"]),
            f"{100 * found['folds_bias']:+.1f} %",
        ]
        for name, found in at(("groups",)).items()
    )
    return _table(("source", "runs", "left out", "bias", "configurations left out", "bias"), rows, words=1)


def _effects() -> str:
    rows = [
        [
            f"{name}: {found['says']}" if "says" in found else name,
            _percent(found["unseen"]),
            _percent(found["seen"]),
            f"{found['runs']}",
            f"{_percent(found['before'])} -> {_percent(found['after'])}" if "before" in found else "-",
        ]
        for name, found in sorted(
            at(("effects",)).items(), key=lambda one: (one[0] != WHOLE, -one[1]["unseen"])
        )
    ]
    titles = ("without", "sources left out", "fitted on all", "runs moved", "their error")
    note = (
        "Everything else is fitted again; sources by straight lines, which moves their mean by 0.1 % at most."
    )
    return f"{note}\n\n{_table(titles, rows, words=1)}"


def _worst() -> str:
    rows = (
        [
            f"`{one['case_id']}`",
            "; ".join(one["doubts"]) or "-",
            cell(one["measured_s"], "s"),
            cell(one["predicted_s"], "s"),
            f"{one['ratio']:.2f}",
            f"{one['unseen_ratio']:.2f}",
        ]
        for one in at(("worst",))
    )
    titles = ("configuration left out", "doubts", "measured", "predicted", "ratio", "ratio, source left out")
    return _table(titles, rows, words=2)


def _refused() -> str:
    return _table(
        ("row", "reason"), ([f"`{one['case_id']}`", one["reason"]] for one in at(("refused",))), words=2
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m simulator.reports.training_accuracy FILE")
    rewrite(Path(sys.argv[1]))
