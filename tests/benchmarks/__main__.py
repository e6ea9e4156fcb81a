"""Measure: ``python -m tests.benchmarks [ROW ...]``. CPU seconds; compare ratios, and only within a run."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator._bootstrap import ensure


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows that were asked for, each in a process of its own; return the exit status."""
    from tests.benchmarks import report
    from tests.benchmarks.peers.simgrid_process import pythons
    from tests.benchmarks.rows import ROWS

    parser = _parser({name: row.work for name, row in ROWS.items()})
    asked = parser.parse_args(arguments)
    unknown = [row for row in asked.row if row not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    if asked.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {asked.repeat}")
    if asked.alone:
        from tests.benchmarks.measure import measure

        found = measure(asked.row[0], repeat=asked.repeat, peers=asked.peers, pythons=asked.simgrid_python)
        print(json.dumps(found))
        return 0
    try:
        simgrids = pythons(asked.simgrid_python) if asked.peers else []
    except FileNotFoundError as error:
        parser.error(str(error))
    rows = []
    print(report.title())
    for row in asked.row or ROWS:
        rows.append(_in_a_process(row, asked, simgrids))
        print(*report.lines(rows[-1]), sep="\n", flush=True)
    if asked.json:
        report.write(asked.json, rows)
    return 0


def _parser(rows: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog="rows:\n" + "\n".join(f"  {name:22}{work}" for name, work in rows.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("row", nargs="*", metavar="ROW", help="all of them by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run others that are installed beside it (SimGrid, SimPy alone, the plain solver)",
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="medians of so many runs")
    parser.add_argument(
        "--simgrid-python",
        action="append",
        default=[],
        metavar="PATH",
        help="a Python that can import simgrid; may be given more than once",
    )
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


def _in_a_process(row: str, asked: argparse.Namespace, simgrids: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks", row, "--alone", "--repeat", str(asked.repeat)]
    command.append("--peers" if asked.peers else "--no-peers")
    for python in simgrids:
        command += ["--simgrid-python", python]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    ensure("tests.benchmarks", "test")
    sys.exit(main())
