"""The table of the README, made of what was measured: ``python -m tests.benchmarks.readme README.md``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parent / "measured.json"
BEGIN, END = "<!-- speed -->\n", "<!-- /speed -->\n"


def table(measured: dict[str, Any]) -> str:
    """Return what stands between the marks."""
    machine, versions = measured["machine"], measured["versions"]
    others = sorted(
        {run["who"] for row in measured["rows"] for run in row["runs"] if "SimGrid" in run["who"]}
    )
    about = (
        f"{machine['cpu']}, {machine['cores']} cores; Python {versions['python']}, NumPy {versions['numpy']}, "
        f"Numba {versions['numba']}, SimPy {versions['simpy']}; {' and '.join(others)}; {measured['date']}. "
        "CPU seconds from routes known to all ends known, medians after a warm-up. *Ratio*: theirs to ours in "
        "the same run. *Differs*: largest relative difference of an end from the first line of the row."
    )
    head = "| work | messages | who | CPU s | ratio | differs |\n|---|--:|---|--:|--:|--:|"
    return "\n".join([about, "", head, *_lines(measured["rows"])]) + "\n"


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        first = row["runs"][0]
        for run in row["runs"]:
            if run["who"].startswith("on SimPy's clock"):
                continue  # as fast, unless a process is woken all the time
            ratio = run["seconds"] / first["seconds"]
            cells = [
                row["work"] if run is first else "",
                f"{run['messages']:,}" if run["own"] and run["messages"] else "",
                run["who"],
                f"{run['seconds']:.3g}",
                "" if run is first else f"x{ratio:,.0f}" if ratio > 100 else f"x{ratio:.3g}",
                "" if run is first else f"{run['differs']:.0e}",
            ]
            yield f"| {' | '.join(cells)} |"


def written(text: str, measured: dict[str, Any]) -> str:
    """Return a README with the table in its place.

    Raises
    ------
    ValueError
        A README without the marks.
    """
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"no {BEGIN.strip()} and {END.strip()}: where shall the table go?")
    return before + BEGIN + "\n" + table(measured) + "\n" + END + after


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text(), json.loads(MEASURED.read_text())))
