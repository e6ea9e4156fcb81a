"""Standard output of nccl-tests and rccl-tests, as it comes out of launchers, pods and debug logs.

References
----------
.. [1] NVIDIA, nccl-tests, https://github.com/NVIDIA/nccl-tests, README and doc/PERFORMANCE.md.
.. [2] AMD, rccl-tests, https://github.com/ROCm/rccl-tests.
"""

import re
from collections.abc import Iterator

from simulator.calibration.logs._environment import Environment
from simulator.calibration.logs._finish import finish
from simulator.calibration.logs._header import Header, cut_row, find_header, find_row, find_unit
from simulator.calibration.logs._log import LIMIT_FAULTS, LIMIT_LINES, LIMIT_ROWS, Log, refuse
from simulator.calibration.logs._operations import program
from simulator.calibration.logs._points import GarbledError, Table
from simulator.calibration.logs._ranks import RankList

_SIGNS = re.compile(
    r"\bsize\s+count\s[^\n]*\balgbw\b|# nThread \d|# Using devices|Collective test starting:|"
    r"\bNCCL (?:INFO|WARN)\b"
)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_MARK = re.compile(
    r"(?:\[[^\]\n]{10,40}\] ?)?\S+:\d+:\d+ \[[^\]\n]*\] (?:\S+ )?NCCL ([A-Z]+)|\bNCCL (INFO|WARN|TRACE)\b"
)
_TIMES = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ]?|\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_LAST = ("Out of bounds values", "Avg bus bandwidth")
_LINE = 1024  # characters; a longer line is no row


def sniff(text: str) -> bool:
    """Return whether a text looks like the output of nccl-tests."""
    return _SIGNS.search(text) is not None


def read(text: str, source: str) -> Log:
    r"""Return the rows of a log.

    Parameters
    ----------
    text : str
        The log, newlines as ``\n``.
    source : str
        Its file as typed, for messages.

    Raises
    ------
    InputError
        No table, a table without rows, times that cannot be, or contradictory GPU counts.
    """
    if text.count("\n") > LIMIT_LINES:
        refuse(source, [(0, f"has more than {LIMIT_LINES:,} lines")])
    reader = _Reader(Log(source=source, format="nccl_tests"))
    for number, line in enumerate(_lines(text), start=1):
        reader.take(number, line)
    return reader.close()


def _lines(text: str) -> Iterator[str]:
    """Yield lines one at a time: splitting a large log at once would double the memory."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


class _Process:
    """What one printing process said last; processes are told apart by what stands before its lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.op: str | None = None
        self.ranks = RankList()
        self.header: Header | None = None
        self.table: Table | None = None
        self.above = ""


class _Reader:
    """Line by line: who speaks, which table is open, what the run was told."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.environment = Environment()
        self.processes: dict[str, _Process] = {}
        self.open: _Process | None = None  # who printed the last header
        self.tables: list[Table] = []
        self.size = 0  # rows and headers
        self.faults: list[tuple[int, str]] = []

    def take(self, number: int, line: str) -> None:
        """Use one line."""
        if len(line) > _LINE:
            self.log.skip("other")
            return
        if "\x1b" in line:
            line = _COLOUR.sub("", line)
        if "NCCL " in line:
            line = self._debug(line)
        if not line or line.isspace():
            return
        try:
            self._sort(number, line)
        except GarbledError as error:
            self.log.skip("garbled")
            if self.log.skipped["garbled"] <= 5:
                self.log.warnings.append(f"line {number}: {error}; left out as garbled")
        except ValueError as error:
            self.faults.append((number, str(error)))
            if len(self.faults) >= LIMIT_FAULTS:
                refuse(self.log.source, self.faults)

    def _debug(self, line: str) -> str:
        """Note what a debug message says, and return what stands before it on its line."""
        mark = _MARK.search(line)
        if mark is None:
            return line
        kind = mark[1] or mark[2]
        self.log.skip("warn" if kind == "WARN" else "info")
        self.environment.message(line[mark.start() :])
        before = line[: mark.start()]
        return before if find_row(before) else ""

    def _sort(self, number: int, line: str) -> None:
        if self.open is not None:
            row = find_row(line)
            if row is not None and "#" not in line[: row.start(1)]:
                self._row(number, row)
                return
        if "algbw" in line and self._header(number, line):
            return
        sign = line.find("#")
        if sign < 0:
            sign = max(line.find(words) for words in _LAST)  # old versions print these without a sign
        if sign >= 0:
            self.log.skip("comment")
            self._comment(line[:sign], line[sign:])
            return
        self.log.skip("other")
        if self.environment.command(line):
            for process in self.processes.values():
                process.op = None

    def _process(self, before: str) -> _Process:
        name = _TIMES.sub("", before).strip(" \t:|[]<>-")
        return self.processes.setdefault(name, _Process(name))

    def _header(self, number: int, line: str) -> bool:
        size = line.find("size")
        sign = line.find("#", 0, max(size, 0))
        process = self._process(line[: sign if sign >= 0 else max(size, 0)])
        found = find_header(line, process.above)
        if found is None:
            return False
        process.header = found[1]
        process.table = Table(
            line=number,
            op=process.op or self.environment.op,
            ranks=process.ranks.ranks() or self.environment.ranks(),
            process=process.name,
            algorithm=self.environment.forced("NCCL_ALGO"),
            protocol=self.environment.forced("NCCL_PROTO"),
        )
        self._count(number)
        process.ranks.close()
        self.environment.close()
        self.tables.append(process.table)
        self.open = process
        return True

    def _comment(self, before: str, comment: str) -> None:
        process = self._process(before)
        process.above = comment
        if process.ranks.take(comment):
            return
        if process.table is not None and process.table.unit is None:
            process.table.unit = find_unit(comment)
        if "Collective test starting" in comment:
            process.op = program(comment)
        elif "Collective test concluded" in comment:
            process.op = self.environment.op = None
        elif comment.startswith("# nThread"):
            process.ranks = RankList()
        elif any(words in comment for words in _LAST):
            self._footer(process, comment)
        else:
            self.environment.comment(comment)

    def _footer(self, process: _Process, comment: str) -> None:
        table = process.table
        if table is None:
            return
        table.complete = True
        if "FAILED" in comment:
            self.log.warnings.append(f"line {table.line}: the test ends with '{comment.strip('# ')[:60]}'")

    def _row(self, number: int, row: re.Match[str]) -> None:
        process = self._process(row.string[: row.start(1)])
        if process.table is None and self.open is not None:
            process = self.open  # the prefix changes from line to line
        if process.table is None or process.header is None:
            raise GarbledError("a row before any header")
        if process.table.complete:
            raise GarbledError("a row after the last lines of its table")
        self._count(number)
        point = cut_row(row, process.header, process.table.unit or 1e-6, number)
        process.table.points.append(point)

    def _count(self, number: int) -> None:
        self.size += 1
        if self.size > LIMIT_ROWS:
            refuse(self.log.source, [(number, f"more than {LIMIT_ROWS:,} rows")])

    def close(self) -> Log:
        """Return the finished log; InputError where it cannot be one."""
        if self.faults:
            refuse(self.log.source, self.faults)
        if not self.tables:
            refuse(self.log.source, [(0, "has no table of nccl-tests: the run probably died before it")])
        for table in self.tables:
            table.library, table.version = self.environment.library(table.ranks)
            if table.unit is None and table.points:
                self.log.warnings.append(f"line {table.line}: no line of units; times taken as us")
        return finish(self.log, self.tables)
