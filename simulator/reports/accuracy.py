"""How accurate predictions are, as Markdown: ``python -m simulator.reports.accuracy README.md``.

The command rewrites what stands between two marks in a file; the numbers are those of the shipped referee.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simulator.calibration.fitted import BASES
from simulator.calibration.referee import accuracy
from simulator.reports.tables import cell

BEGIN, END = "<!-- accuracy -->", "<!-- /accuracy -->"
GOALS = {"calibrated": 0.04, "scaled": 0.15, "catalogue": 0.25}
"""Mean error that each basis is to stay below."""
COVERED = (0.85, 0.95)
"""Share of held-out points that the 90 % intervals are to hold."""
NAMED = 3  # worst points of each basis that the report names
_FAMILIES = {"library": "libraries", "mpi": "MPI", "kernel": "kernels"}
_KNOWN = {
    "calibrated": "other sizes of this very series",
    "scaled": "this fabric with fewer GPUs",
    "catalogue": "nothing of this fabric",
}
_BANDS = {"small": "below 32 KiB", "middle": "32 KiB to 8 MiB", "large": "from 8 MiB"}
_PLACES = {"inside": "inside one node or rack", "between": "between nodes"}
_TITLES = ("points", "mean", "median", "geometric", "bias", "in 90 % interval", "width")
_LEGEND = (
    "*libraries*: NCCL, RCCL, oneCCL; *MPI*: Open MPI; *kernels*: all-reduce of vLLM and TensorRT-LLM. "
    "Each point is predicted by a fit that saw nothing of what is held out. "
    "Errors are |predicted / measured - 1|; *geometric* is exp(mean |log ratio|) - 1, *bias* exp(mean log "
    "ratio) - 1, *width* the median of the interval over the prediction. A 90 % interval should hold 85 % to "
    "95 % of the points. Bold: goal missed."
)


def markdown() -> str:
    """Return the accuracy on held-out points: by basis, fabric and regime, and the worst points by name."""
    rows = [
        (family, basis, accuracy()[family][basis])
        for family in _FAMILIES
        for basis in BASES
        if basis in accuracy()[family]
    ]
    parts = [_summary(rows), *_verdict(rows), _worst(rows)]
    parts += [
        _folded(f"By fabric: {title}", _by_fabric(family))
        for family, title in _FAMILIES.items()
        if family in accuracy()
    ]
    parts.append(_folded("By size", _by_regime(rows)))
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


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]], words: int) -> str:
    """Return a table; the first columns are words, the others numbers."""
    titles = list(titles)
    rule = ["---"] * words + ["--:"] * (len(titles) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [titles, rule, *rows])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _error(found: Mapping[str, Any], basis: str) -> str:
    """Return a mean error, bold where it misses the goal of its basis."""
    text = _percent(found["mean_error"])
    return f"**{text}**" if found["mean_error"] > GOALS[basis] else text


def _coverage(found: Mapping[str, Any]) -> str:
    text = _percent(found["coverage"])
    return text if COVERED[0] <= found["coverage"] <= COVERED[1] else f"**{text}**"


def _numbers(found: Mapping[str, Any], basis: str) -> list[str]:
    return [
        f"{found['points']:,}",
        _error(found, basis),
        _percent(found["median_error"]),
        _percent(found["geometric_error"]),
        f"{100 * found['bias']:+.1f} %",
        _coverage(found),
        _percent(found["width"]),
    ]


def _summary(rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    titles = ("library", "basis", "what was measured", "goal", *_TITLES)
    return _table(
        titles,
        (
            [_FAMILIES[family], basis, _KNOWN[basis], f"{100 * GOALS[basis]:g} %", *_numbers(found, basis)]
            for family, basis, found in rows
        ),
        words=3,
    )


def _verdict(rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Return what the columns mean, and which goals are met and which are not."""
    met: list[str] = []
    missed: list[str] = []
    for family, basis, found in rows:
        name = f"{_FAMILIES[family]} {basis}"
        within = found["mean_error"] <= GOALS[basis]
        (met if within else missed).append(f"{name} {_percent(found['mean_error'])}")
        if not COVERED[0] <= found["coverage"] <= COVERED[1]:
            missed.append(f"{name} interval holds {_percent(found['coverage'])}")
    return [_LEGEND, f"Missed: {'; '.join(missed) or 'none'}.", f"Met: {'; '.join(met) or 'none'}."]


def _worst(rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    titles = ("worst points", "basis", "GPUs", "size", "measured", "predicted", "ratio")
    named = (
        [
            f"`{point['series']}`",
            basis,
            f"{point['gpus']:,}",
            cell(point["size_bytes"], "B"),
            cell(point["measured_s"], "s"),
            cell(point["predicted_s"], "s"),
            f"{point['predicted_s'] / point['measured_s']:.2f}",
        ]
        for _, basis, found in rows
        for point in found["worst"][:NAMED]
    )
    return _table(titles, named, words=2)


def _by_fabric(family: str) -> str:
    """Return mean error and number of points of every fabric, one column a basis."""
    found = {basis: accuracy()[family][basis]["by_fabric"] for basis in BASES if basis in accuracy()[family]}
    names = sorted({name for groups in found.values() for name in groups})
    rows = (
        [
            f"`{'unstated' if name.startswith('-') else ''}{name}`",
            *(
                f"{_error(groups[name], basis)} ({groups[name]['points']:,})" if name in groups else "-"
                for basis, groups in found.items()
            ),
        ]
        for name in names
    )
    return _table(["fabric: mean (points)", *found], rows, words=1)


def _by_regime(rows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> str:
    lines = []
    for family, basis, found in rows:
        for place, where in _PLACES.items():
            for band, size in _BANDS.items():
                group = found["by_regime"].get(f"{place}_{band}")
                if group:
                    lines.append([_FAMILIES[family], basis, where, size, *_numbers(group, basis)])
    return _table(("library", "basis", "where", "size", *_TITLES), lines, words=4)


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m simulator.reports.accuracy FILE")
    rewrite(Path(sys.argv[1]))
