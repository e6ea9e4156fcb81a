"""The shipped parameters of the predictor, and which half of the measurements each was fitted on."""

import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.corpus import Corpus
from simulator.calibration.measured import text
from simulator.calibration.mechanism import prior
from simulator.calibration.setting import Setting

Floats = NDArray[np.float64]
BASES = ("calibrated", "scaled", "catalogue")
"""From where a prediction comes: this very series, this fabric otherwise, datasheets and other fabrics."""
LIBRARIES = ("library", "mpi", "kernel")
"""Families that are fitted apart: collective libraries, MPI, kernels of inference engines."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters of one basis and family.

    Attributes
    ----------
    halves : tuple of array
        Parameters fitted on points of half 0 and half 1.
    interval : dict
        Factors of the standard deviation at the two ends, by regime.
    """

    halves: tuple[Floats, Floats]
    interval: dict[str, list[float]]

    def unseen(self, half: int | None) -> tuple[Floats, Floats]:
        """Return mechanism and covariance parameters for a point: never those fitted on it.

        Parameters
        ----------
        half : int or None
            The half that a shipped point belongs to; None for a point that was in neither.
        """
        chosen = (self.halves[0] + self.halves[1]) / 2 if half is None else self.halves[1 - half]
        count = len(prior().mean)
        return chosen[:count], chosen[count:]


@cache
def fitted(family: str, basis: str) -> Fitted:
    """Return the shipped parameters of a family of libraries and a basis."""
    table = tomllib.loads(text("fitted.toml"))[family][basis]
    return Fitted((np.array(table["half_0"]), np.array(table["half_1"])), table["interval"])


def half(setting: Setting, size: int) -> int:
    """Return the half of the measurements that a shipped point falls in, by a hash of series and size."""
    return sha256(f"{setting.series}|{int(size)}".encode()).digest()[0] & 1


def half_of(corpus: Corpus) -> NDArray[np.int64]:
    """Return the half of every point."""
    sizes = np.rint(corpus.sizes).astype(np.int64)
    return np.array(
        [
            half(corpus.settings[place], int(size))
            for place, size in zip(corpus.points.which, sizes, strict=True)
        ]
    )
