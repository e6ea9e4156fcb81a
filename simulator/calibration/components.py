"""What the covariance of residuals is made of, its parameters and where their fit starts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Component:
    """One term of the covariance, a product of what two settings share and how far apart their sizes are.

    Attributes
    ----------
    name : str
        One letter, first part of its parameters' names.
    amplitude, size_length : float
        Starting standard deviation of the log residual; starting correlation length in octaves of size.
    rough, rough_near : bool
        Matern 3/2 instead of a squared exponential, in size and in the numeric features: kinks allowed.
    only : tuple of str
        Features that must be equal, else nothing is shared.
    alike : mapping of str to float
        Features that may differ, and the starting correlation if they do.
    near : mapping of str to float
        Numeric features (log2) and their starting correlation lengths.
    slope : bool
        Grows with the product of log2(domains): a trend over the machine's size instead of a level.
    """

    name: str
    amplitude: float
    size_length: float
    rough: bool = False
    rough_near: bool = False
    only: tuple[str, ...] = ()
    alike: Mapping[str, float] | None = None
    near: Mapping[str, float] | None = None
    slope: bool = False


COMPONENTS = (
    Component(
        "A",
        0.2,
        3.0,
        alike={"op": 0.4, "transport": 0.5, "inside": 0.7, "library": 0.2, "family": 0.8},
        near={"gpus": 1.5, "domains": 4.0, "nic": 2.0, "link": 2.0},
    ),
    Component(
        "G",
        0.15,
        1.5,
        rough_near=True,
        only=("library",),
        alike={"op": 0.4, "transport": 0.6, "inside": 0.6, "family": 0.7},
        near={"domains": 2.0, "gpus": 2.0},
    ),
    Component(
        "F", 0.3, 6.0, only=("fabric",), alike={"library": 0.3, "op": 0.7, "source": 0.5}, near={"gpus": 3.5}
    ),
    Component(
        "O",
        0.2,
        4.0,
        rough_near=True,
        only=("fabric", "op"),
        alike={"library": 0.3, "source": 0.5, "version": 0.8, "algorithm": 0.3, "notes": 0.4},
        near={"gpus": 6.0},
    ),
    Component(
        "K",
        0.1,
        0.8,
        rough=True,
        rough_near=True,
        only=("fabric", "op", "library"),
        alike={"source": 0.5, "config": 0.7},
        near={"gpus": 1.5},
    ),
    Component("T", 0.1, 3.0, only=("fabric", "library"), alike={"op": 0.5}, slope=True),
    Component("S", 0.1, 6.0, only=("series",)),
    Component("M", 0.07, 1.2, rough=True, only=("series",)),
)
NOISE = {"none": 0.01, "infiniband": 0.05, "ethernet": 0.05, "slingshot": 0.08, "tcp": 0.08}
REPEAT = 0.6  # starting share of the in-place repeat's difference that is taken as noise


def _names() -> tuple[tuple[str, ...], Floats, NDArray[np.bool_]]:
    names: list[str] = []
    start: list[float] = []
    share: list[bool] = []
    for part in COMPONENTS:
        entries = [("amplitude", part.amplitude, False), ("size", part.size_length, False)]
        entries += [(f"alike_{key}", value, True) for key, value in (part.alike or {}).items()]
        entries += [(f"near_{key}", value, False) for key, value in (part.near or {}).items()]
        names += [f"{part.name}_{key}" for key, _, _ in entries]
        start += [value for _, value, _ in entries]
        share += [bounded for _, _, bounded in entries]
    for key, value in NOISE.items():
        names.append(f"noise_{key}")
        start.append(value)
        share.append(False)
    names.append("noise_repeat")
    start.append(REPEAT)
    share.append(False)
    return tuple(names), np.array(start), np.array(share)


NAMES, _START, SHARES = _names()
"""Names of the covariance's parameters, and which of them are shares between 0 and 1."""


def encode(values: Floats) -> Floats:
    """Return parameters as unbounded numbers: logit of shares, logarithm of all others."""
    inner = np.clip(values, 1e-6, 1 - 1e-6)
    out: Floats = np.where(SHARES, np.log(inner / (1 - inner)), np.log(values))
    return out


def decode(coded: Floats) -> dict[str, float]:
    """Return parameters by name from their unbounded form."""
    with np.errstate(over="ignore"):
        values = np.where(SHARES, 1 / (1 + np.exp(-coded)), np.exp(coded))
    return dict(zip(NAMES, values.tolist(), strict=True))


START = encode(_START)
