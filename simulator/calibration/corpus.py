"""The measured collectives that ship with the product: points, settings, provenance and held-out splits.

4,353 points in 308 series of public runs. ``data/series.csv`` says what ran where, ``data/points.csv`` how
long it took, ``data/sources.toml`` who measured it under which licence, ``data/splits.toml`` what is held out
when the predictor is scored.
"""

import csv
import io
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.covariance import Points
from simulator.calibration.logs._log import LogRow
from simulator.calibration.measured import text
from simulator.calibration.setting import Setting, of_row

FAMILIES = {"kernel": ("vllm_custom", "trtllm_custom"), "mpi": ("openmpi",)}
"""Libraries that are fitted and reported apart; everything else is a collective library (``library``)."""


def family_of(library: str) -> str:
    """Return which fit a library belongs to: ``library``, ``mpi`` or ``kernel``."""
    for family, names in FAMILIES.items():
        if any(library.startswith(name) for name in names):
            return family
    return "library"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Measured points of one family of libraries, spikes left out.

    Attributes
    ----------
    settings : tuple of Setting
        One a series.
    points : Points
        Setting and size of each point.
    log_us : array, shape (points,)
        Natural logarithm of the measured time in us.
    """

    settings: tuple[Setting, ...]
    points: Points
    log_us: NDArray[np.float64]

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> "Corpus":
        """Return some of the points, all settings kept."""
        return Corpus(self.settings, self.points.take(index), self.log_us[index])

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Return bytes of each point."""
        return np.exp2(self.points.octave)


def corpus_hash() -> str:
    """Return the SHA-256 of the shipped measurements, for manifests and fitted values."""
    return sha256((text("series.csv") + text("points.csv")).encode()).hexdigest()


@cache
def splits() -> dict[str, dict[str, list[int]] | dict[str, list[str]]]:
    """Return what is held out when the predictor is scored: ``sizes``, ``counts``, ``fabrics``."""
    return tomllib.loads(text("splits.toml"))


@cache
def sources() -> tuple[dict[str, object], ...]:
    """Return who measured the runs: name, licence, addresses."""
    return tuple(tomllib.loads(text("sources.toml"))["source"])


@cache
def shipped_rows() -> tuple[LogRow, ...]:
    """Return every shipped point as a measured row, spikes marked."""
    series = {row["series_id"]: row for row in csv.DictReader(io.StringIO(text("series.csv")))}
    rows = []
    for line, point in enumerate(csv.DictReader(io.StringIO(text("points.csv"))), start=2):
        what = series[point["series_id"]]
        rows.append(
            LogRow(
                op=what["op"],
                gpus=int(what["gpus"]),
                nodes=int(what["nodes"]),
                gpus_per_node=int(what["gpus_per_node"]),
                size_bytes=int(point["size_bytes"]),
                time_s=float(point["time_us"]) * 1e-6,
                in_place=what["in_place"] == "1",
                time_in_place_s=float(point["time_in_place_us"]) * 1e-6
                if point["time_in_place_us"]
                else None,
                dtype=what["dtype"],
                algorithm_forced=what["algo_forced"],
                protocol_forced=what["proto_forced"],
                library=what["library"],
                library_version=what["library_version"],
                gpu=what["gpu"],
                intra_link=what["intra_link"],
                inter_link=what["inter_link"],
                case_id=f"{point['series_id']}|{point['size_bytes']}",
                series_id=point["series_id"],
                source=what["source"],
                notes=what["notes"],
                line=line,
                spike=point["spike"] == "1",
            )
        )
    return tuple(rows)


def corpus_of(rows: Iterable[LogRow], setting: Callable[[LogRow], Setting] = of_row) -> Corpus:
    """Return measured rows as a corpus, spikes left out; rows of equal setting share one.

    Parameters
    ----------
    rows : iterable of LogRow
        Measured rows.
    setting : callable
        Tells where a row was measured; by default by the words in it.

    Raises
    ------
    ValueError
        A row that does not say what is needed.
    """
    places: dict[Setting, int] = {}
    which, octave, repeat, log_us = [], [], [], []
    for row in rows:
        if row.spike or row.time_s is None:
            continue
        which.append(places.setdefault(setting(row), len(places)))
        octave.append(np.log2(max(row.size_bytes, 1)))
        again = row.time_in_place_s
        repeat.append(abs(np.log(again / row.time_s)) if again else 0.0)
        log_us.append(np.log(row.time_s * 1e6))
    points = Points(np.array(which, dtype=np.int64), np.array(octave), np.array(repeat))
    return Corpus(tuple(places), points, np.array(log_us))


@cache
def shipped(family: str) -> Corpus:
    """Return the shipped measurements of one family of libraries."""
    return corpus_of(row for row in shipped_rows() if family_of(row.library) == family)


def joined(first: Corpus, second: Corpus) -> Corpus:
    """Return the points of two corpora as one."""
    shift = len(first.settings)
    points = Points(
        np.concatenate([first.points.which, second.points.which + shift]),
        np.concatenate([first.points.octave, second.points.octave]),
        np.concatenate([first.points.repeat, second.points.repeat]),
    )
    return Corpus(first.settings + second.settings, points, np.concatenate([first.log_us, second.log_us]))
