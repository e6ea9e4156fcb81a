"""A file of jobs that share a fabric, read with suspicion: what each asks for, where it sits, when it starts."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.errors import Fault, InputError, UsageError, nearest
from simulator.operations import OPERATIONS
from simulator.planning._estimate_options import READERS
from simulator.planning._interference_values import gpus as gpus_of
from simulator.planning._interference_values import moment, name, one_of, seats, size, steps
from simulator.planning.presets import ABOUT, preset
from simulator.reading import parse_toml, read_text

PLACEMENTS = ("packed", "striped")
ALGORITHMS: Mapping[str, tuple[str, ...]] = {  # by operation, the usual one first
    **dict.fromkeys(OPERATIONS, ("ring",)),
    **dict.fromkeys(("all_reduce", "all_gather", "reduce_scatter"), ("ring", "pairwise")),
    "all_to_all": ("pairwise",),
    **dict.fromkeys(("gather", "scatter"), ("direct",)),
}
MOST_JOBS = 64
_TOP = ("fabric", "gpus", "job", *ABOUT)
_ELSEWHERE = {  # options of a training step that all jobs share
    "fabric": "all jobs share one: it stands at the top of the file",
    "fidelity": "all jobs share one: --fidelity",
    "fold": "all jobs share one network",
    "price": "nothing is paid here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One collective in a loop.

    Parameters
    ----------
    op, algorithm : str
        Operation; how its messages go, one of `ALGORITHMS`.
    size : int
        Bytes, as nccl-tests counts them.
    """

    op: str
    size: int
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One job as the file asks for it.

    Parameters
    ----------
    name : str
        Unique.
    gpus : int
        How many.
    line : int
        Where in the file it begins, 0 if that cannot be told.
    start_s : float
        When its first step begins, s.
    steps : int
        How many; 0: as many as it takes to run beside the others.
    placement : str
        One of `PLACEMENTS`.
    first : int
        The first GPU; -1: the first free one.
    seats : tuple of int
        The GPU of each rank, where the file names them.
    options : mapping
        Of a training step; empty for noise.
    noise : Noise, optional
        What it does instead of training.
    """

    name: str
    gpus: int
    line: int = 0
    start_s: float = 0.0
    steps: int = 0
    placement: str = "packed"
    first: int = -1
    seats: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    noise: Noise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """A file of jobs.

    Parameters
    ----------
    source : str
        The file as typed.
    fabric : str
        What the jobs share.
    typed : bool
        Whether that comes from the command line and not from the file.
    gpus : int or None
        GPUs of the fabric; None: as many as the jobs need.
    jobs : tuple of Asked
        In order.
    """

    source: str
    fabric: str
    typed: bool
    gpus: int | None
    jobs: tuple[Asked, ...]


def read(path: str, *, fabric: str = "", gpus: int | None = None) -> Tenancy:
    """Return the jobs of a TOML file.

    Parameters
    ----------
    path : str
        The file as typed.
    fabric : str
        Instead of the one in the file.
    gpus : int, optional
        GPUs of the fabric, instead of those in the file.

    Raises
    ------
    InputError
        Missing, not TOML, keys and values that cannot be; all are named with their lines.
    UsageError
        A preset that there is not.
    """
    text = read_text(path)
    table = parse_toml(text, path)
    faults: list[Fault] = []
    top = _Table(table, text, 0, faults)
    top.unknown(_TOP)
    where = fabric or top.read("fabric", READERS["fabric"], "")
    there = gpus or top.read("gpus", gpus_of, None)
    listed = table.get("job")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise InputError(path, "has no jobs: wanted tables [[job]]")
    if len(listed) > MOST_JOBS:
        raise InputError(path, f"has {len(listed)} jobs, at most {MOST_JOBS} are followed")
    if not where and "fabric" not in table:
        faults.append(Fault("names no fabric", "fabric"))
    jobs = [_job(part) for part in _parts(text, listed, faults)]
    faults += _twice(jobs)
    if faults:
        raise InputError(path, faults)
    return Tenancy(source=path, fabric=where, typed=bool(fabric), gpus=there, jobs=tuple(jobs))


def _twice(jobs: Sequence[Asked]) -> list[Fault]:
    names = [job.name for job in jobs]
    return [
        Fault(f"a second job is called '{job.name}'", f"line {job.line}" if job.line else "job.name")
        for at, job in enumerate(jobs)
        if job.name and job.name in names[:at]
    ]


class _Table:
    """One table of the file: its keys read one by one, faults collected with their lines."""

    def __init__(self, table: Mapping[str, Any], text: str, line: int, faults: list[Fault]) -> None:
        self.table = {key.replace("-", "_"): value for key, value in table.items()}
        self.typed = {key.replace("-", "_"): key for key in table}
        self.line, self._text, self._faults = line, text, faults

    def fault(self, words: str, key: str = "") -> None:
        """Note a fault at a key, else at the table."""
        typed = self.typed.get(key, key)
        found = re.search(rf"^[ \t]*[\"']?{re.escape(typed)}[\"']?[ \t]*=", self._text, re.MULTILINE)
        if key and found:
            where = f"line {max(1, self.line) + self._text.count(chr(10), 0, found.start())}"
        else:
            where = f"line {self.line}" if self.line else key
        self._faults.append(Fault(words, where))

    def read(self, key: str, reader: Callable[[Any], Any], default: Any) -> Any:
        """Return a value, or the default if it is not there or cannot be."""
        if key not in self.table:
            return default
        try:
            return reader(self.table[key])
        except ValueError as error:
            self.fault(f"{self.typed[key]}: {error}", key)
            return default

    def unknown(self, known: Sequence[str]) -> None:
        """Note keys that nobody knows."""
        for key in self.table:
            if key not in known:
                near = nearest(key, known, 1) if len(key) <= 40 else []
                meant = f", did you mean '{near[0]}'?" if near else ""
                self.fault(f"unknown key '{self.typed[key]:.60}'{meant}", key)


def _parts(text: str, listed: Sequence[Mapping[str, Any]], faults: list[Fault]) -> list[_Table]:
    """Return the tables of the jobs, each with its own piece of the text, so that lines can be told."""
    heads = [match.start() for match in re.finditer(r"^[ \t]*\[\[[ \t]*job[ \t]*\]\]", text, re.MULTILINE)]
    if len(heads) != len(listed):
        return [_Table(table, "", 0, faults) for table in listed]
    ends = [*heads[1:], len(text)]
    return [
        _Table(table, text[head:end], text.count("\n", 0, head) + 1, faults)
        for table, head, end in zip(listed, heads, ends, strict=True)
    ]


_COMMON = ("name", "start_s", "gpus_at", "placement", "gpus")


def _job(part: _Table) -> Asked:
    noisy = "op" in part.table
    own = ("op", "size", "algorithm", "repeat") if noisy else ("preset", "steps", *READERS)
    for key in [] if noisy else [key for key in _ELSEWHERE if key in part.table]:
        part.fault(f"{key}: {_ELSEWHERE[key]}", key)
    part.unknown([*_COMMON, *own])
    found = {} if noisy else _options(part)
    many = part.read("gpus", gpus_of, found.get("gpus", 0))
    if not many and "gpus" not in part.table:
        part.fault("no key 'gpus'")
    if "name" not in part.table:
        part.fault("no key 'name'")
    first, named = part.read("gpus_at", seats, (-1, ()))
    placement = part.read("placement", one_of("placement", PLACEMENTS), "packed")
    if named and "placement" in part.table:
        part.fault("placement: gpus_at names every GPU already", "placement")
    if named and many and len(named) != many:
        part.fault(f"gpus_at: names {len(named)} GPUs, gpus is {many}", "gpus_at")
    return Asked(
        name=part.read("name", name, ""),
        gpus=many,
        line=part.line,
        start_s=part.read("start_s", moment, 0.0),
        steps=part.read("repeat" if noisy else "steps", steps, 0),
        placement=placement,
        first=first,
        seats=named,
        options=found,
        noise=_noise(part) if noisy else None,
    )


def _options(part: _Table) -> dict[str, Any]:
    """Return the options of a training step, its preset's below its own."""
    base: dict[str, Any] = {}
    if "preset" in part.table:
        try:
            base = preset(str(part.table["preset"]))
        except UsageError as error:
            part.fault(f"{error.message}; try {error.hint}" if error.hint else error.message, "preset")
    names = [name for name in READERS if name in part.table and name not in _ELSEWHERE]
    if {"strategy", "zero"} & set(names):
        base = {name: value for name, value in base.items() if name not in ("strategy", "zero")}
    own = {name: part.read(name, READERS[name], None) for name in names}
    whole = base | {name: value for name, value in own.items() if value is not None}
    return {name: value for name, value in whole.items() if name not in _ELSEWHERE}


def _noise(part: _Table) -> Noise:
    op = part.read("op", one_of("operation", OPERATIONS), "")
    algorithms = ALGORITHMS.get(op, ("ring",))
    if "size" not in part.table:
        part.fault("no key 'size'")
    if part.table.get("gpus") == 1:
        part.fault("gpus: a collective needs 2 GPUs or more", "gpus")
    much = part.read("size", size, 0)
    algorithm = part.read("algorithm", one_of(f"algorithm of {op}", algorithms), algorithms[0])
    return Noise(op=op, size=much, algorithm=algorithm)
