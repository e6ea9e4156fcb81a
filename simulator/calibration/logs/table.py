"""CSV tables of measured points, one row a point; columns as in the corpus that ships with commsim."""

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from simulator.calibration.logs._log import (
    LIMIT_FAULTS,
    LIMIT_GPUS,
    LIMIT_ROWS,
    LIMIT_SECONDS,
    LIMIT_SIZE,
    Log,
    LogRow,
    refuse,
)
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.errors import InputError, nearest
from simulator.operations import OPERATIONS
from simulator.reading import parse_csv

_REQUIRED = ("op", "gpus", "size_bytes")
_TEXT = {  # column: field
    "case_id": "case_id",
    "series_id": "series_id",
    "source": "source",
    "source_url": "source_url",
    "library": "library",
    "library_version": "library_version",
    "gpu": "gpu",
    "intra_link": "intra_link",
    "inter_link": "inter_link",
    "dtype": "dtype",
    "algo_forced": "algorithm_forced",
    "proto_forced": "protocol_forced",
    "notes": "notes",
}
_OTHER = ("time_us", "nodes", "gpus_per_node", "in_place", "time_in_place_us", "algbw_GBps", "busbw_GBps")
COLUMNS = (*_REQUIRED, *_TEXT, *_OTHER)
_WHOLE = re.compile(r"[+-]?\d{1,40}")
_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,4})?")
_TRUTH = {"": False, "0": False, "1": True, "false": False, "true": True}


def sniff(text: str) -> bool:
    """Return whether the first line names columns of such a table."""
    first = text.lstrip().split("\n", 1)[0][:4096]
    names = {name.strip().strip('"') for name in re.split("[,;\t]", first)}
    return len(names & set(COLUMNS)) >= 2


def read(text: str, source: str) -> Log:
    """Return the rows of a table; a blank time comes back as None.

    Raises
    ------
    InputError
        Broken CSV, a column missing, values that cannot be: all of them together, with their lines.
    """
    first = text.lstrip().split("\n", 1)[0]
    if "," not in first:
        mark = ";" if ";" in first else "tab"
        raise InputError(source, f"columns are separated by '{mark}', wanted ','")
    if text.count("\n") > LIMIT_ROWS:
        raise InputError(source, f"has more than {LIMIT_ROWS:,} lines")
    log = Log(source=source, format="table")
    faults: list[tuple[int, str]] = []
    seen: dict[tuple[object, ...], int] = {}
    twice: list[str] = []
    doubts: list[str] = []
    cells = parse_csv(text, source, _REQUIRED)
    _note_columns(log, list(cells[0]))
    for record in cells:
        if len(faults) >= LIMIT_FAULTS:
            break
        line = int(record[""])
        row = _Row(record, line, faults, doubts).take(PurePath(source).stem)
        if row is None:
            continue
        key: tuple[object, ...] = (row.series_id, row.op, row.gpus, row.size_bytes, row.dtype, row.in_place)
        key += (row.library, row.gpu, row.nodes, row.algorithm_forced, row.protocol_forced)
        if seen.setdefault(key, line) != line:
            twice.append(f"line {line}: the same series and size as line {seen[key]}")
        log.rows.append(row)
    if faults:
        refuse(source, faults)
    _note_rows(log, twice, doubts)
    return log


def _note_columns(log: Log, names: list[str]) -> None:
    for name in names:
        if name and name not in COLUMNS:
            close = nearest(name, COLUMNS, 1)
            meant = f"; did you mean '{close[0]}'?" if close else ""
            log.warnings.append(f"column '{name[:60]}' is not used{meant}")


def _note_rows(log: Log, *notes: list[str]) -> None:
    for told in filter(None, notes):
        log.warnings.append(told[0] + f" (and {len(told) - 1} more such rows)" * (len(told) > 1))
    alone = [row.line for row in log.rows if row.gpus == 1]
    if alone:
        log.warnings.append(f"line {alone[0]}: 1 GPU: nothing is communicated ({len(alone)} rows)")


class _Row:
    """Turns the cells of one line into a row, collecting what is wrong with them."""

    def __init__(
        self, cells: dict[str, str], line: int, faults: list[tuple[int, str]], doubts: list[str]
    ) -> None:
        self._cells = cells
        self._line = line
        self._faults = faults
        self._doubts = doubts

    def take(self, stem: str) -> LogRow | None:
        """Return the row, None if anything is wrong with it; ``stem`` names a series without a name."""
        before = len(self._faults)
        values: dict[str, Any] = {field: self._cells.get(name, "") for name, field in _TEXT.items()}
        values["op"] = self._cells["op"]
        if values["op"] not in OPERATIONS:
            hint = nearest(values["op"], OPERATIONS, 1)
            meant = f", did you mean '{hint[0]}'?" if hint else f"; wanted one of {', '.join(OPERATIONS)}"
            self._fault(f"unknown op '{values['op'][:60]}'{meant}")
        values["gpus"] = self._number("gpus", int, 1, LIMIT_GPUS, blank=False)
        values["nodes"] = self._number("nodes", int, 1, LIMIT_GPUS)
        values["gpus_per_node"] = self._number("gpus_per_node", int, 1, LIMIT_GPUS)
        values["size_bytes"] = self._number("size_bytes", int, 0, LIMIT_SIZE, blank=False)
        for name, field in (("time_us", "time_s"), ("time_in_place_us", "time_in_place_s")):
            time = self._number(name, float, 0, LIMIT_SECONDS * 1e6)
            if time == 0:
                self._fault(f"{name} {self._cells[name]}; must be more than 0")
            values[field] = None if time is None else time / 1e6
        truth = self._cells.get("in_place", "").lower()
        if truth not in _TRUTH:
            self._fault(f"in_place '{truth[:60]}'; must be 0 or 1")
        if len(self._faults) > before:
            return None
        self._check_ranks(values)
        self._check_rates(values)
        if len(self._faults) > before:
            return None
        values["in_place"] = _TRUTH[truth]
        values["series_id"] = values["series_id"] or f"{stem}-{values['op']}-{values['gpus']}"
        values["case_id"] = values["case_id"] or f"{values['series_id']}|{values['size_bytes']}|{self._line}"
        return LogRow(**values, line=self._line, spike="SPIKE" in values["notes"])

    def _fault(self, message: str) -> None:
        self._faults.append((self._line, message))

    def _number(
        self, name: str, kind: Callable[[str], float], least: float, most: float, *, blank: bool = True
    ) -> float | None:
        """Return a number of [least, most], None where the cell is blank or wrong."""
        text = self._cells.get(name, "")
        shown = text[:40]
        pattern, wanted = (_WHOLE, "a whole number") if kind is int else (_DECIMAL, "a number")
        if not text:
            if not blank:
                self._fault(f"{name} is blank")
        elif not pattern.fullmatch(text):
            self._fault(f"{name} '{shown}' is not {wanted}")
        elif not least <= kind(text) <= most:
            self._fault(f"{name} {shown}; must be {least} to {most:.15g}")
        else:
            return kind(text)
        return None

    def _check_ranks(self, values: dict[str, Any]) -> None:
        gpus, nodes, each = values["gpus"], values["nodes"], values["gpus_per_node"]
        if nodes and each and nodes * each != gpus:
            self._fault(f"mismatched GPU counts: {nodes} nodes x {each} GPUs are not {gpus} GPUs")
        elif nodes and nodes > gpus:
            self._fault(f"mismatched GPU counts: {gpus} GPUs on {nodes} nodes")

    def _check_rates(self, values: dict[str, Any]) -> None:
        """Bandwidths are redundant: where they disagree with the time, the time stands and that is said."""
        algbw = self._number("algbw_GBps", float, 0, 1e9)
        busbw = self._number("busbw_GBps", float, 0, 1e9)
        if values["time_s"] is None:
            return
        rate = values["size_bytes"] / values["time_s"] / 1e9
        for name, value, factor in (
            ("algbw_GBps", algbw, 1.0),
            ("busbw_GBps", busbw, bus_factor(values["op"], values["gpus"])),
        ):
            if value is not None and abs(value - rate * factor) > 0.01 * rate * factor + 0.01:
                told = f"{name} {value:g} is not that of {values['op']}: {rate * factor:.6g} by time"
                self._doubts.append(f"line {self._line}: {told}, which stands")
