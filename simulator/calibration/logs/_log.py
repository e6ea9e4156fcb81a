"""What every reader of measured runs returns: rows in SI units, and what was left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from simulator.errors import Fault, InputError

LIMIT_BYTES = 64 * 2**20  # a debug log of a thousand ranks is about 50 MB
LIMIT_ROWS = 100_000
LIMIT_LINES = 1_000_000
LIMIT_FAULTS = 1000  # of one file, before the rest of it is left unread
LIMIT_SIZE = 2**60  # bytes in one operation
LIMIT_GPUS = 10**7
LIMIT_SECONDS = 1e6
SPIKE = 1.5  # ratio of two times of one point above which one of them is an outlier


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One measured point.

    Attributes
    ----------
    op : str
        Operation, a name in ``OPERATIONS``.
    gpus, nodes, gpus_per_node : int
        Ranks in the communicator, hosts, ranks a host; None where the input does not say.
    size_bytes : int
        Bytes as nccl-tests counts them (all_gather: the gathered output of one rank).
    time_s : float or None
        Seconds of one operation, out of place unless ``in_place``; None only in tables without times.
    time_in_place_s : float or None
        Seconds of the in-place repeat of the same point.
    algorithm_forced, protocol_forced : str
        What the run pinned; empty: the library chose.
    spike : bool
        An outlier, to be left out of fits and scores.
    inferred_ranks : bool
        ``gpus`` was computed from the printed bandwidths, not read.
    line : int
        Where the row stands in its file, from 1; in JSON the number of the result.
    """

    op: str
    gpus: int
    nodes: int | None = None
    gpus_per_node: int | None = None
    size_bytes: int
    time_s: float | None
    in_place: bool = False
    time_in_place_s: float | None = None
    dtype: str = ""
    algorithm_forced: str = ""
    protocol_forced: str = ""
    library: str = ""
    library_version: str = ""
    gpu: str = ""
    intra_link: str = ""
    inter_link: str = ""
    case_id: str = ""
    series_id: str = ""
    source: str = ""
    source_url: str = ""
    notes: str = ""
    line: int
    spike: bool = False
    inferred_ranks: bool = False


@dataclass(slots=True, kw_only=True)
class Log:
    """The rows of one file, with everything the reader has to say about it.

    Attributes
    ----------
    source : str
        The file as typed.
    format : str
        The reader's file name.
    rows : list of LogRow
        In the order of the file.
    skipped : dict of str to int
        Lines that are no rows, by class: ``info``, ``warn``, ``comment``, ``other``; ``empty`` are rows of
        0 bytes, ``garbled`` rows that do not fit their header, ``contradictory`` rows whose numbers
        disagree, ``duplicate`` rows that another process printed too.
    warnings : list of str
        One sentence each, with the line where there is one.
    """

    source: str
    format: str
    rows: list[LogRow] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def inferred_ranks(self) -> bool:
        """Whether a GPU count was computed from bandwidths."""
        return any(row.inferred_ranks for row in self.rows)

    def skip(self, kind: str, count: int = 1) -> None:
        """Count lines that gave no row."""
        self.skipped[kind] = self.skipped.get(kind, 0) + count


def refuse(source: str, faults: Sequence[tuple[int, str]], *, hint: str = "") -> NoReturn:
    """Raise the InputError of some (line, message), in the order of the file.

    Parameters
    ----------
    source : str
        The file as typed.
    faults : sequence of (int, str)
        Line from 1 (0: the whole file) and what is wrong there.
    hint : str
        What would work.
    """
    (line, first), *others = sorted(faults, key=lambda fault: fault[0])
    listed = [Fault(first), *(Fault(message, f"{source}:{at}") for at, message in others)]
    raise InputError(f"{source}:{line}" if line else source, listed, hint=hint)
