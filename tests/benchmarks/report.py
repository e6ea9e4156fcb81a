"""The table, and the file that says where and with what it was measured."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "simpy")
WIDTHS = (21, 54, 11, 10, 10, 10, 12, 9)
TITLES = ("row", "who", "CPU s", "ratio", "differs", "instants", "messages", "peak MB")


def title() -> str:
    """Return the heads of the columns."""
    return _line(TITLES)


def lines(row: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a row; a ratio is that of the CPU seconds to those of the first line."""
    first = row["runs"][0]["seconds"]
    facts = ", ".join(f"{value:,} {name}" for name, value in row["facts"].items())
    yield f"{row['row']}: {row['work']}; {facts}"
    for run in row["runs"]:
        yield _line(
            (
                "",
                run["who"],
                f"{run['seconds']:.4g}",
                f"{run['seconds'] / first:.4g}",
                f"{run['differs']:.1e}",
                _count(run["instants"]),
                _count(run["messages"]),
                f"{run['peak_bytes'] / 1e6:.0f}" if run["own"] else "",
            )
        )


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _line(cells: Sequence[str]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], WIDTHS, strict=False)]
    left[0] = left[0] if cells[0] else "  "
    return " ".join([*left, *(cell.rjust(width) for cell, width in zip(cells[2:], WIDTHS[2:], strict=True))])


def where() -> dict[str, Any]:
    """Return the machine, the versions and the day."""
    return {
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "os": platform.platform()},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _cpu() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write all that was measured."""
    path.write_text(json.dumps(where() | {"rows": list(rows)}, indent=1) + "\n")
