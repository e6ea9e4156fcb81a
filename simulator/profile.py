"""What a fabric was measured to do: the points, the lines through them, and where both came from."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from simulator._profile_checks import CHECKS, name_fault, shown, text_fault
from simulator._toml import entries
from simulator.errors import Fault, InputError, nearest
from simulator.reading import parse_toml, read_text

SCHEMA = 1
KIND = "profile"
LIMIT = 64 * 2**20  # bytes of a profile file; a thousand series fill two MiB
Setting = tuple[str, int, int | None, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was measured: its name without folders, the SHA-256 of its bytes, how many lines."""

    file: str
    sha256: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    r"""A line :math:`t = \alpha + s/B` over the sizes from ``from_bytes`` up to ``to_bytes``.

    Where two pieces meet, the size belongs to the upper one.

    Parameters
    ----------
    op, gpus, nodes, dtype, algorithm_forced, protocol_forced
        Which series it describes.
    algorithm, protocol : str
        What NCCL ran there by its own rules or by force; ``unknown`` where nobody can tell.
    alpha_s, alpha_error_s : float
        Latency and its standard error, s.
    bandwidth_Bps, bandwidth_error_Bps : float
        Algorithm bandwidth and its standard error, bytes/s.
    mean_error, max_error : float
        Of \|fit/measured - 1\| over its points.
    points : int
        Sizes measured in it.
    """

    op: str
    gpus: int
    nodes: int | None = None
    dtype: str = ""
    algorithm_forced: str = ""
    protocol_forced: str = ""
    algorithm: str
    protocol: str
    from_bytes: int
    to_bytes: int
    alpha_s: float
    alpha_error_s: float
    bandwidth_Bps: float  # noqa: N815
    bandwidth_error_Bps: float  # noqa: N815
    mean_error: float
    max_error: float
    points: int

    @property
    def setting(self) -> Setting:
        """What tells series of one profile apart."""
        return _setting(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The measured points of one operation on some GPUs in one setting.

    Parameters
    ----------
    op, gpus, nodes, gpus_per_node, dtype, algorithm_forced, protocol_forced
        What ran where; None and empty where nobody said.
    library, library_version, gpu, intra_link, inter_link : str
        On what it ran, as the source words it.
    sizes : tuple of int
        Bytes as nccl-tests counts them, growing.
    times_s : tuple of float
        Seconds of one operation at each size.
    in_place : tuple of float, optional
        Seconds of the in-place repeat of each.
    """

    op: str
    gpus: int
    nodes: int | None = None
    gpus_per_node: int | None = None
    dtype: str = ""
    algorithm_forced: str = ""
    protocol_forced: str = ""
    library: str = ""
    library_version: str = ""
    gpu: str = ""
    intra_link: str = ""
    inter_link: str = ""
    sizes: tuple[int, ...]
    times_s: tuple[float, ...]
    in_place: tuple[float, ...] | None = None

    @property
    def setting(self) -> Setting:
        """What tells series of one profile apart."""
        return _setting(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a fabric was measured to do.

    Parameters
    ----------
    name : str
        What it is called.
    fabric : str
        The catalogue's fabric that it was measured on; empty if that is in no catalogue.
    table : mapping
        The other keys of ``[fabric]``: ``gpus``, how many there are, or what stands for it in no catalogue.
    sources, pieces, series : tuple
        Files measured, the fit, and the points themselves.
    """

    name: str
    fabric: str = ""
    table: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sources: tuple[Source, ...] = ()
    pieces: tuple[Piece, ...] = ()
    series: tuple[Series, ...]

    def range(self, op: str) -> dict[int, tuple[int, int]]:
        """Return the smallest and the largest size measured, bytes, by GPU count; empty if never measured."""
        found: dict[int, tuple[int, int]] = {}
        for one in sorted((one for one in self.series if one.op == op), key=lambda one: one.gpus):
            low, high = found.get(one.gpus, (one.sizes[0], one.sizes[-1]))
            found[one.gpus] = (min(low, one.sizes[0]), max(high, one.sizes[-1]))
        return found


def _setting(one: Piece | Series) -> Setting:
    return (one.op, one.gpus, one.nodes, one.dtype, one.algorithm_forced, one.protocol_forced)


_PARTS = {"source": Source, "piece": Piece, "series": Series}
_TOP = ("schema", "kind", "name", "fabric", *_PARTS)


def read(path: str | Path) -> Profile:
    """Return the profile of a file that `calibrate` or a person wrote.

    Raises
    ------
    InputError
        With everything that is wrong in it.
    """
    return parse(parse_toml(read_text(path, limit=LIMIT), str(path)), str(path))


def parse(tables: Mapping[str, Any], source: str) -> Profile:
    """Return the profile of the tables of a TOML file; ``[fabric]`` may be gone.

    Parameters
    ----------
    tables : mapping
        As parsed.
    source : str
        The file as typed, for messages.

    Raises
    ------
    InputError
        With everything that is wrong in it.
    """
    faults: list[Fault] = []
    if tables.get("kind") != KIND:
        raise InputError(source, f'is no profile: wanted kind = "{KIND}", got {shown(tables.get("kind"))}')
    if tables.get("schema") != SCHEMA or tables["schema"] is True:
        raise InputError(
            source, [Fault(f"{shown(tables.get('schema'))}; this version reads {SCHEMA}", "schema")]
        )
    _unknown(tables, _TOP, "", faults)
    if fault := name_fault(tables.get("name")):
        faults.append(Fault(fault, "name"))
    name, table = _fabric(tables.get("fabric", {}), faults)
    parts = {key: _rows(tables.get(key, []), key, faults) for key in _PARTS}
    if not tables.get("series"):
        faults.append(Fault("has no [[series]]: nothing was measured"))
    if not faults:
        faults += _disagreements(parts["piece"], parts["series"])
    if faults:
        raise InputError(source, faults)
    return Profile(
        name=tables["name"],
        fabric=name,
        table=table,
        sources=tuple(parts["source"]),
        pieces=tuple(parts["piece"]),
        series=tuple(parts["series"]),
    )


def _fabric(table: Any, faults: list[Fault]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the catalogue's fabric and the other keys; what they mean is for others to judge."""
    if not isinstance(table, dict):
        faults.append(Fault("must be a table", "fabric"))
        return "", {}
    if "base" not in table:
        return "", table
    if fault := name_fault(table["base"]):
        faults.append(Fault(fault, "fabric.base"))
    _unknown(table, ("base", "gpus"), "fabric.", faults)
    return table["base"], {key: value for key, value in table.items() if key != "base"}


def _unknown(table: Mapping[str, Any], known: Iterable[str], place: str, faults: list[Fault]) -> None:
    for key in table:
        if key not in known:
            close = nearest(key, list(known), 1)
            meant = f", did you mean '{close[0]}'?" if close else ""
            faults.append(Fault(f"unknown key '{key[:60]}'{meant}", f"{place}{key[:60]}"))


def _rows(tables: Any, key: str, faults: list[Fault]) -> list[Any]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        faults.append(Fault(f"must be tables, each under [[{key}]]", key))
        return []
    return [_row(_PARTS[key], table, f"{key}[{place}].", faults) for place, table in enumerate(tables, 1)]


def _row(kind: type[Any], table: Mapping[str, Any], place: str, faults: list[Fault]) -> Any:
    """Return one Source, Piece or Series, None where something is wrong with it."""
    before = len(faults)
    known = {one.name: one.default is MISSING for one in fields(kind)}
    _unknown(table, known, place, faults)
    for key, needed in known.items():
        if key not in table:
            if needed:
                faults.append(Fault("is missing", place + key))
        elif fault := CHECKS.get(key, text_fault)(table[key]):
            faults.append(Fault(fault, place + key))
    if len(faults) > before:
        return None
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in table.items()})


def _disagreements(pieces: list[Piece], series: list[Series]) -> Iterable[Fault]:
    """Yield where parts that are right by themselves do not go together."""
    seen: dict[Setting, int] = {}
    for place, one in enumerate(series, 1):
        where = f"series[{place}]"
        if seen.setdefault(one.setting, place) != place:
            yield Fault(f"the same operation, GPUs and setting as series[{seen[one.setting]}]", where)
        if any(high <= low for low, high in pairwise(one.sizes)):
            yield Fault("must grow", f"{where}.sizes")
        for key, column in (("times_s", one.times_s), ("in_place", one.in_place)):
            if column is not None and len(column) != len(one.sizes):
                yield Fault(f"{len(column)} numbers for {len(one.sizes)} sizes", f"{where}.{key}")
        if one.nodes and one.gpus_per_node and one.nodes * one.gpus_per_node != one.gpus:
            message = f"{one.nodes} nodes x {one.gpus_per_node} GPUs are not {one.gpus} GPUs"
            yield Fault(f"mismatched GPU counts: {message}", where)
    reached: dict[Setting, int] = {}
    for place, piece in enumerate(pieces, 1):
        where = f"piece[{place}]"
        if piece.setting not in seen:
            yield Fault("belongs to no [[series]]", where)
        if piece.from_bytes >= piece.to_bytes:
            yield Fault(f"from {piece.from_bytes} to {piece.to_bytes} bytes is no band", where)
        if piece.mean_error > piece.max_error * (1 + 1e-9):
            yield Fault("mean_error is larger than max_error", where)
        if piece.from_bytes < reached.get(piece.setting, 0):
            yield Fault(f"overlaps the piece before it, which reaches {reached[piece.setting]} bytes", where)
        reached[piece.setting] = piece.to_bytes


def write(profile: Profile) -> str:
    """Return the text of a profile file; `read` gives back the same profile, to the last digit."""
    base = ({"base": profile.fabric} if profile.fabric else {}) | dict(profile.table)
    lines = [*entries({"schema": SCHEMA, "kind": KIND, "name": profile.name}), "", "[fabric]", *entries(base)]
    for key, rows in (("source", profile.sources), ("piece", profile.pieces), ("series", profile.series)):
        for row in rows:
            values = {one.name: getattr(row, one.name) for one in fields(row)}
            told = {one.name: values[one.name] for one in fields(row) if values[one.name] != one.default}
            lines += ["", f"[[{key}]]", *entries(told)]
    return "\n".join(lines) + "\n"
