"""Printed numbers as they stand in a log: a value and how finely it was rounded."""

import re
from dataclasses import dataclass, field

from simulator.calibration.logs._log import LIMIT_SECONDS

_NUMBER = re.compile(r"([+-]?\d{1,18})(?:\.(\d{0,18}))?(?:[eE]([+-]?\d{1,3}))?")
_SPECIAL = re.compile(r"[+-]?(nan|inf|infinity)(\(\w*\))?", re.IGNORECASE)


class GarbledError(ValueError):
    """The text of a row is broken, as when two processes write into one line."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number and one unit of its last printed digit."""

    value: float
    step: float


def printed(text: str) -> Printed:
    """Return a printed number.

    Raises
    ------
    ValueError
        NaN or an infinity.
    GarbledError
        No number at all.
    """
    match = _NUMBER.fullmatch(text)
    if match:
        exponent = int(match[3] or 0) - len(match[2] or "")
        return Printed(float(text), 10.0**exponent)
    if _SPECIAL.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number")
    raise GarbledError(f"'{text[:40]}' is not a number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One repeat of a point: out of place or in place; time in s, bandwidths in 1e9 bytes/s."""

    time: Printed
    algbw: Printed
    busbw: Printed
    wrong: str

    def rates(self, size: int) -> tuple[float, float]:
        """Return the least and the largest size / time, 1e9 bytes/s, that round to the printed time."""
        half_step = self.time.step / 2
        low = size / (self.time.value + half_step) / 1e9
        return low, size / max(self.time.value - half_step, self.time.value * 1e-3) / 1e9


def half(time: str, unit: float, algbw: str, busbw: str, wrong: str) -> Half:
    """Return one half of a row, its time in ``unit`` seconds.

    Raises
    ------
    ValueError
        A time or a bandwidth that cannot be.
    GarbledError
        No numbers.
    """
    try:
        raw = printed(time)
    except GarbledError:
        raise
    except ValueError as error:
        raise ValueError(f"time {error}") from None
    if raw.value <= 0:
        raise ValueError(f"time {time}; must be more than 0")
    if raw.value * unit > LIMIT_SECONDS:
        raise ValueError(f"time {time} is more than {LIMIT_SECONDS:.0e} s")
    rates = (printed(algbw), printed(busbw))
    if min(rate.value for rate in rates) < 0:
        raise ValueError(f"bandwidth {algbw} / {busbw}; must be 0 or more")
    return Half(
        time=Printed(raw.value * unit, raw.step * unit), algbw=rates[0], busbw=rates[1], wrong=wrong.lower()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row of a table of nccl-tests."""

    line: int
    size: int
    count: int
    dtype: str
    redop: str
    root: int | None
    out_of_place: Half | None
    in_place: Half | None

    @property
    def halves(self) -> tuple[Half, ...]:
        """The repeats that were measured, out of place before in place; at least one."""
        return tuple(half for half in (self.out_of_place, self.in_place) if half is not None)

    @property
    def first(self) -> Half:
        """The out-of-place half, or the in-place one where it is alone."""
        return self.halves[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Who took part, from a list of ranks."""

    gpus: int
    nodes: int | None = None
    gpus_per_node: int | None = None
    gpu: str = ""


@dataclass(slots=True, kw_only=True)
class Table:
    """One sweep over sizes as printed, before any check.

    ``ranks`` is None where no complete list says; ``unit`` is seconds per printed unit of time.
    """

    line: int
    op: str | None
    ranks: Ranks | None = None
    unit: float | None = None
    process: str = ""
    algorithm: str = ""
    protocol: str = ""
    library: str = ""
    version: str = ""
    complete: bool = False
    points: list[Point] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Where the table starts, to begin a warning with; empty in a report without lines."""
        return f"line {self.line}: " if self.line else ""
