"""How alike the residuals of two measured points are: a covariance that knows settings.

The residual log(measured / closed form) of two points is the more alike the closer their sizes, GPU counts
and links are, and the more of operation, fabric, library and source they share. Each component says one such
thing; their weights are fitted by leaving out what a prediction will have to do without (`training`).

References
----------
.. [1] Rasmussen, Williams, Gaussian Processes for Machine Learning, MIT Press 2006, ch. 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.components import COMPONENTS, NOISE, Component, Floats
from simulator.calibration.setting import Setting

Ints = NDArray[np.int64]
JITTER = 1e-6  # variance added to every point, so that the matrix stays positive definite
REPEAT_LIMIT = 0.3  # largest |log in-place / out-of-place| that counts as noise of a point


class Features:
    """What the covariance compares of a list of settings.

    Parameters
    ----------
    settings : sequence of Setting
        The settings; points refer to them by place.
    """

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.count = len(settings)
        version = [".".join(s.library_version.split(".")[:2]) for s in settings]
        algorithm = [f"{s.algorithm}/{s.protocol}" for s in settings]
        labels: dict[str, Sequence[object]] = {
            "op": [s.op for s in settings],
            "half": ["half" if s.op in ("all_gather", "reduce_scatter") else s.op for s in settings],
            "transport": [s.transport for s in settings],
            "inside": [s.inside for s in settings],
            "library": [s.library for s in settings],
            "family": [s.family for s in settings],
            "fabric": [s.fabric for s in settings],
            "source": [s.source for s in settings],
            "version": version,
            "algorithm": algorithm,
            "notes": [s.notes for s in settings],
            "config": list(zip(version, algorithm, (s.notes for s in settings), strict=True)),
            "series": [s.series or id(s) for s in settings],
        }
        self.codes = {key: _codes(values) for key, values in labels.items()}
        self.numbers = {
            "gpus": np.log2([s.gpus for s in settings]),
            "domains": np.log2([s.domains for s in settings]),
            "nic": np.log2(
                [max(s.outside_rate / s.per_domain, 1e9) if s.transport else 1e9 for s in settings]
            ),
            "link": np.log2([s.inside_rate or 50e9 for s in settings]),
        }
        self.parted = np.array([s.op in ("all_gather", "reduce_scatter", "all_to_all") for s in settings])
        self.noise = np.array([_noise_kind(s.transport) for s in settings])

    @cached_property
    def _same(self) -> dict[str, NDArray[np.bool_]]:
        return {key: code[:, None] == code[None, :] for key, code in self.codes.items()}

    def shared(self, part: Component, values: Mapping[str, float]) -> Floats:
        """Return a component's covariance between settings at equal size, shape (settings, settings)."""
        return self._shared(part, values, self._same, np.arange(self.count))

    def shared_of_last(self, part: Component, values: Mapping[str, float]) -> Floats:
        """Return the row of the last setting of `shared`, shape (settings,)."""
        same = {key: code[-1:, None] == code[None, :] for key, code in self.codes.items()}
        row: Floats = self._shared(part, values, same, np.array([self.count - 1]))[0]
        return row

    def _shared(
        self, part: Component, values: Mapping[str, float], same: Mapping[str, NDArray[np.bool_]], rows: Ints
    ) -> Floats:
        found = np.full((len(rows), self.count), values[f"{part.name}_amplitude"] ** 2)
        for key in part.only:
            found *= same[key]
        for key in part.alike or {}:
            share = values[f"{part.name}_alike_{key}"]
            other = np.where(same["half"], np.sqrt(share), share) if key == "op" else share
            found *= np.where(same[key], 1.0, other)
        for key in part.near or {}:
            gap = np.abs(self.numbers[key][rows, None] - self.numbers[key][None, :])
            reach = gap / values[f"{part.name}_near_{key}"]
            found *= matern(reach) if part.rough_near else np.exp(-0.5 * reach**2)
        if part.slope:
            found *= np.outer(self.numbers["domains"][rows], self.numbers["domains"]) / 9.0  # 1 at 8 domains
        return found


def _codes(values: Sequence[object]) -> Ints:
    places: dict[object, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values])


def _noise_kind(transport: str) -> int:
    kinds = list(NOISE)
    if not transport:
        return kinds.index("none")
    if transport in ("infiniband", "unstated"):
        return kinds.index("infiniband")
    if transport in ("tcp", "tcpx"):
        return kinds.index("tcp")
    return kinds.index("slingshot" if transport == "slingshot" else "ethernet")


def matern(reach: Floats) -> Floats:
    """Return the Matern 3/2 correlation at a distance in correlation lengths."""
    scaled = np.sqrt(3.0) * reach
    out: Floats = (1 + scaled) * np.exp(-scaled)
    return out


@dataclass(frozen=True, slots=True)
class Points:
    """Measured or wanted points.

    Attributes
    ----------
    which : array of int, shape (points,)
        Setting of each point.
    octave : array, shape (points,)
        log2 of the size in bytes.
    repeat : array, shape (points,)
        |log(in-place / out-of-place)| where both were measured, else 0.
    """

    which: Ints
    octave: Floats
    repeat: Floats

    def take(self, index: Ints | NDArray[np.bool_]) -> "Points":
        """Return some of the points."""
        return Points(self.which[index], self.octave[index], self.repeat[index])


def gaps(features: Features, left: Points, right: Points) -> tuple[Floats, Floats]:
    """Return distances in octaves between points: of the size, and of the part of one rank."""
    part = [
        p.octave - np.where(features.parted[p.which], features.numbers["gpus"][p.which], 0.0)
        for p in (left, right)
    ]
    return (
        np.abs(left.octave[:, None] - right.octave[None, :]),
        np.abs(part[0][:, None] - part[1][None, :]),
    )


def along_size(part: Component, gap: tuple[Floats, Floats], values: Mapping[str, float]) -> Floats:
    """Return a component's correlation over the distance in size."""
    reach = gap[1 if part.name == "K" else 0] / values[f"{part.name}_size"]
    return matern(reach) if part.rough else np.exp(-0.5 * reach**2)


class Covariance:
    """The covariance of log residuals for one set of parameters.

    Parameters
    ----------
    features : Features
        Of the settings that points refer to.
    values : mapping
        Parameters by name.
    shared : sequence of array, optional
        What settings share, one matrix a component, if it was worked out before.
    """

    def __init__(
        self, features: Features, values: Mapping[str, float], shared: Sequence[Floats] | None = None
    ) -> None:
        self._features = features
        self._values = values
        self.shared = list(shared) if shared else [features.shared(part, values) for part in COMPONENTS]

    def between(self, left: Points, right: Points) -> Floats:
        """Return covariances, shape (left points, right points)."""
        gap = gaps(self._features, left, right)
        total = np.zeros(gap[0].shape)
        for part, matrix in zip(COMPONENTS, self.shared, strict=True):
            total += matrix[np.ix_(left.which, right.which)] * along_size(part, gap, self._values)
        return total

    def measured(self, points: Points) -> Floats:
        """Return covariances of measurements at the points, their noise on the diagonal."""
        matrix = self.between(points, points)
        matrix[np.diag_indices_from(matrix)] += self.noise(points)
        return matrix

    def variance(self, points: Points) -> Floats:
        """Return the variance of a new measurement at each point that no other one explains."""
        own = np.sum([matrix[points.which, points.which] for matrix in self.shared], axis=0)
        out: Floats = own + self.noise(points)
        return out

    def noise(self, points: Points) -> Floats:
        """Return the variance that no neighbour explains, shape (points,)."""
        level = np.array([self._values[f"noise_{key}"] for key in NOISE])[self._features.noise[points.which]]
        repeat = self._values["noise_repeat"] * np.minimum(points.repeat, REPEAT_LIMIT)
        out: Floats = level**2 + repeat**2 + JITTER
        return out
