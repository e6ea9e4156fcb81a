"""Plain aligned tables: at most 100 columns where the words allow it, and nothing is ever cut."""

import csv
import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100
_GAP = "  "
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SECONDS = ((86400.0, "d"), (3600.0, "h"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_UNITS = {"_Bps": "B/s", "_s": "s", "_bytes": "B", "_flops": "FLOP/s", "_W": "W", "_J": "J", "_USD": "USD"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    key : str
        Which value of a row it shows; its ending names the unit of the numbers: ``time_s``, ``busbw_Bps``.
    title : str
        What stands above it; the key in words if empty.
    unit : str
        A unit other than the ending's, or ``%`` for a share.
    """

    key: str
    title: str = ""
    unit: str = ""

    @property
    def words(self) -> str:
        """What stands above the column."""
        ending = next((ending for ending in _UNITS if self.key.endswith(ending)), "")
        return self.title or self.key.removesuffix(ending).replace("_", " ")

    def cell(self, row: Mapping[str, Any]) -> str:
        """Return what stands in the column for one row."""
        ending = next((ending for ending in _UNITS if self.key.endswith(ending)), "")
        return cell(row.get(self.key), self.unit or _UNITS.get(ending, ""))


def cell(value: Any, unit: str = "") -> str:
    """Return one value as a person reads it, e.g. ``61.2 us``, ``64 MiB``, ``-`` for what is not known."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(cell(part, unit) for part in value)
    return _number(value, unit) if isinstance(value, (int, float)) else printable(str(value))


def _number(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.1f} %"
    if value == 0 or unit == "USD":
        return f"{value:,.2f}" if value else f"0 {unit}".strip()
    if unit == "":
        return f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:.6g}"
    decimal = [(size, prefix + unit) for size, prefix in _DECIMAL]
    return (_binary(value) if unit == "B" else "") or _scaled(value, _SECONDS if unit == "s" else decimal)


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """Return a number in the largest unit that it fills, else in the smallest."""
    size, name = next((unit for unit in units if abs(value) >= unit[0]), units[-1])
    return f"{value / size:.4g} {name}"


def _binary(value: float) -> str:
    """Return a whole number of KiB to TiB as message sizes are given; empty for sizes of another origin."""
    size, name = next((unit for unit in _BINARY if value >= unit[0]), (math.inf, ""))
    return f"{value / size:g} {name}" if value % size == 0 else ""


def printable(text: str) -> str:
    """Return text that stays on one line and leaves the terminal alone: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def lay_out(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int = WIDTH) -> list[str]:
    """Return the lines of a table, its titles first: numbers to the right, words to the left.

    Parameters
    ----------
    rows : sequence of mapping
        One mapping a row; a key that is missing shows as ``-``.
    columns : sequence of Column
        What to show, in order.
    width : int
        Characters a line; words in the last column go on below themselves to stay inside.
    """
    texts = [[column.cell(row) for column in columns] for row in rows]
    titles = [column.words for column in columns]
    widths = [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
    words = [
        all(isinstance(row.get(column.key), (str, bool, type(None))) for row in rows) for column in columns
    ]
    before = sum(widths[:-1]) + len(_GAP) * (len(columns) - 1)
    room = max(width - before, 20)
    lines = []
    for line in [titles, *texts]:
        *first, last = line
        parts = textwrap.wrap(last, room, break_long_words=False, break_on_hyphens=False) if words[-1] else []
        padded = [
            text.ljust(size) if word else text.rjust(size)
            for text, size, word in zip([*first, parts[0] if parts else last], widths, words, strict=True)
        ]
        lines.append(_GAP.join(padded).rstrip())
        lines += [" " * before + part for part in parts[1:]]
    return lines


def facts(items: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """Return one thing as lines ``key  value``, long words going on below themselves."""
    columns = [Column(key) for key in items]
    rows = [{"key": column.words, "value": column.cell(items)} for column in columns]
    return lay_out(rows, [Column("key"), Column("value")], width)[1:]


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with full precision, the keys of all rows in the header; unknown is empty."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = (row.get(key) for key in header)
        writer.writerow([json.dumps(v) if isinstance(v, (list, tuple, dict)) else v for v in values])
    return text.getvalue()


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the entries of inner tables as columns: ``breakdown_s.bubble``.

    Examples
    --------
    >>> flattened({"step_s": 1.0, "breakdown_s": {"bubble": 0.1}})
    {'step_s': 1.0, 'breakdown_s.bubble': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": one for inner, one in flattened(value).items()}
        else:
            found[key] = value
    return found
