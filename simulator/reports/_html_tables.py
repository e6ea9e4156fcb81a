"""Which columns of a table a person reads, under which title, in which unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulator.reports.tables import cell

_GIB = 2.0**30
_SENTENCE = 40  # characters from which on a text goes on below itself
_ASKED = (
    "model",
    "fabric",
    "gpus",
    "op",
    "basis",
    "mbs",
    "schedule",
    "strategy",
    "recompute",
    "algorithm",
    "protocol",
)
_DAY_COLUMNS = ("days", "in_time", "total_usd")


@dataclass(frozen=True, slots=True)
class Shown:
    """Titles and cells; of each column the class: ``n`` numbers, ``l`` sentences."""

    titles: list[str]
    kinds: list[str]
    rows: list[list[str]]


Reader = Callable[[float], str]
_COLUMNS: tuple[tuple[str, str, Reader | None], ...] = (
    ("rank", "rank", None), ("against_best", "against the best", None), ("change", "change", None),
    ("model", "model", None), ("fabric", "fabric", None), ("op", "operation", None),
    ("gpus", "GPUs", lambda v: f"{v:,.0f}"), ("size_bytes", "size", lambda v: cell(int(v), "B")),
    ("plan", "plan", None), ("schedule", "schedule", None), ("strategy", "strategy", None),
    ("recompute", "recompute", None), ("mbs", "mbs", lambda v: f"{v:.0f}"),
    ("step_s", "step, s", lambda v: f"{v:.4g}"), ("low_s", "from, s", lambda v: f"{v:.3g}"),
    ("high_s", "to, s", lambda v: f"{v:.3g}"), ("difference", "difference", lambda v: f"{v:+.1%}"),
    ("time_s", "time", lambda v: cell(v, "s")), ("busbw_Bps", "bus bandwidth", lambda v: cell(v, "B/s")),
    ("algorithm", "algorithm", None), ("protocol", "protocol", None),
    ("mfu", "MFU", lambda v: f"{v:.1%}"), ("tokens_per_s_per_gpu", "tokens/s/GPU", lambda v: f"{v:,.0f}"),
    ("memory_bytes_per_gpu", "GiB a GPU", lambda v: f"{v / _GIB:.1f}"),
    ("days", "days", lambda v: f"{v:.1f}"), ("days_low", "from", lambda v: f"{v:.1f}"),
    ("days_high", "to", lambda v: f"{v:.1f}"), ("in_time", "in time", lambda v: f"{v:.0%}"),
    ("total_usd", "million USD", lambda v: f"{v / 1e6:.3g}"), ("cost_usd", "USD a step", lambda v: f"{v:,.2f}"),
    ("energy_J", "energy a step", lambda v: cell(v, "J")), ("carbon_kg", "kg CO2e a step", lambda v: f"{v:.3g}"),
    ("basis", "basis", None), ("why", "why", None),
    ("axis", "axis", None), ("value", "value", None), ("evaluated", "candidates", lambda v: f"{v:,.0f}"),
    ("fit", "fit", lambda v: f"{v:,.0f}"), ("at_least_s", "fastest, at least s", lambda v: f"{v:.3g}"),
    ("least_memory_bytes", "smallest, GiB in tensors", lambda v: f"{v / _GIB:.1f}"),
    ("input", "input", None), ("up", "+10 %", lambda v: f"{v:+.2%}"), ("down", "-10 %", lambda v: f"{v:+.2%}"),
)  # fmt: skip


def shown(name: str, rows: Sequence[dict[str, str]]) -> Shown:
    """Return what is shown of some rows; a table none of whose columns is known is shown as it is.

    Parameters
    ----------
    name : str
        Of the file.
    rows : sequence of dict
        As text.
    """
    keys = rows[0].keys()
    known = [(key, title, reader) for key, title, reader in _COLUMNS if key in keys]
    columns = known or [(key, words(key), None) for key in keys]
    if name == "results.csv" and any(key in keys for key in _DAY_COLUMNS):
        columns = [one for one in columns if one[0] not in ("cost_usd", "energy_J")]
    columns = [one for one in columns if any(row[one[0]] for row in rows) and not _told_above(one[0], rows)]
    longest = [max(len(row[key]) for row in rows) for key, _, _ in columns]
    return Shown(
        titles=[title for _, title, _ in columns],
        kinds=[
            "n" if reader is not None else "l" if size > _SENTENCE else ""
            for (_, _, reader), size in zip(columns, longest, strict=True)
        ],
        rows=[[_cell(row[key], reader) for key, _, reader in columns] for row in rows],
    )


def _told_above(key: str, rows: Sequence[dict[str, str]]) -> bool:
    """Tell whether a column is what was asked and alike in all rows: then it stands above the table."""
    return key in _ASKED and len(rows) > 1 and len({row[key] for row in rows}) == 1


def words(key: str) -> str:
    """Return a column's name as words."""
    return key.replace("_", " ")


def _cell(text: str, reader: Reader | None) -> str:
    if not text:
        return "–"
    if reader is None:
        return text
    try:
        return reader(float(text))
    except (ValueError, OverflowError):
        return text
