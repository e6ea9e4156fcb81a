"""The referee: predictions of held-out points against what was measured, by basis, fabric and size."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator._toml import entries
from simulator.calibration.components import decode
from simulator.calibration.corpus import Corpus, family_of
from simulator.calibration.covariance import Covariance, Features
from simulator.calibration.intervals import ends, regime
from simulator.calibration.kriging import krige
from simulator.calibration.measured import text
from simulator.calibration.mechanism import Design, log_microseconds, prior

Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One held-out point: what was predicted without it, and what was measured."""

    family: str
    basis: str
    fabric: str
    series: str
    op: str
    gpus: int
    size_bytes: int
    regime: str
    measured_s: float
    predicted_s: float
    low_s: float
    high_s: float

    @property
    def error(self) -> float:
        """Return |predicted / measured - 1|."""
        return abs(self.predicted_s / self.measured_s - 1)

    @property
    def inside(self) -> bool:
        """Tell whether the interval holds the measurement."""
        return self.low_s <= self.measured_s <= self.high_s


def predicted(
    corpus: Corpus, hidden: Sequence[NDArray[np.bool_]], parameters: Floats
) -> tuple[Floats, Floats]:
    """Return log us and standard deviation of held-out points, each set predicted from all outside of it.

    Parameters
    ----------
    corpus : Corpus
        All points of one family.
    hidden : sequence of bool array, shape (points,)
        Sets of points that are predicted together.
    parameters : array
        Fitted without any of the sets.

    Returns
    -------
    middle, deviation : array, shape (points,)
        nan where a point is in no set.
    """
    count = len(prior().mean)
    covariance = Covariance(Features(corpus.settings), decode(parameters[count:]))
    design = Design(corpus.settings, corpus.points.which, corpus.sizes)
    model = log_microseconds(parameters[:count], design)
    middle, deviation = np.full((2, len(model)), np.nan)
    for mask in hidden:
        known, wanted = corpus.points.take(~mask), corpus.points.take(mask)
        residual = (corpus.log_us - model)[~mask]
        mean, spread = krige(covariance, known, residual, wanted)
        middle[mask], deviation[mask] = model[mask] + mean, spread
    return middle, deviation


def scored(
    corpus: Corpus, middle: Floats, deviation: Floats, basis: str, interval: Mapping[str, Sequence[float]]
) -> list[Scored]:
    """Return the held-out points beside what was measured; arguments as `predicted` returns them."""
    found = []
    for point in np.flatnonzero(np.isfinite(middle)):
        setting = corpus.settings[corpus.points.which[point]]
        name = regime(setting, float(corpus.points.octave[point]))
        low, high = ends(interval, name)
        logs = middle[point] + deviation[point] * np.array([0.0, low, high])
        seconds = (np.exp(logs) * 1e-6).tolist()
        found.append(
            Scored(
                family=family_of(setting.library),
                basis=basis,
                fabric=setting.fabric,
                series=setting.series,
                op=setting.op,
                gpus=setting.gpus,
                size_bytes=round(float(corpus.sizes[point])),
                regime=name,
                measured_s=float(np.exp(corpus.log_us[point]) * 1e-6),
                predicted_s=seconds[0],
                low_s=seconds[1],
                high_s=seconds[2],
            )
        )
    return found


def summary(points: Sequence[Scored]) -> dict[str, float | int]:
    """Return count, errors, bias, coverage and width of some held-out points.

    ``mean_error`` and ``median_error`` are of |predicted / measured - 1|; ``geometric_error`` and ``bias``
    are exp(mean |log ratio|) - 1 and exp(mean log ratio) - 1; ``width`` is the median of (high - low) over
    the prediction.
    """
    ratio = np.log([p.predicted_s / p.measured_s for p in points])
    error = np.array([p.error for p in points])
    return {
        "points": len(points),
        "mean_error": _short(float(error.mean())),
        "median_error": _short(float(np.median(error))),
        "geometric_error": _short(float(np.expm1(np.abs(ratio).mean()))),
        "bias": _short(float(np.expm1(ratio.mean()))),
        "coverage": _short(float(np.mean([p.inside for p in points]))),
        "width": _short(float(np.median([(p.high_s - p.low_s) / p.predicted_s for p in points]))),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def by(points: Iterable[Scored], key: Callable[[Scored], str]) -> dict[str, list[Scored]]:
    """Return points grouped by a key, groups in order of name."""
    groups: dict[str, list[Scored]] = {}
    for point in points:
        groups.setdefault(key(point), []).append(point)
    return dict(sorted(groups.items()))


def accuracy_text(points: Sequence[Scored]) -> str:
    """Return ``data/accuracy.toml``: summaries by basis, family, fabric and regime, and the worst points."""
    lines = [
        "# Written by python -m simulator.calibration.train; do not edit.",
        "# Errors on the held-out points of splits.toml, each predicted by a fit that saw none of its set.",
    ]
    for family, mine in by(points, lambda p: p.family).items():
        for basis, some in by(mine, lambda p: p.basis).items():
            head = f"{family}.{basis}"
            lines += ["", f"[{head}]", *entries(summary(some))]
            for kind, key in (
                ("fabric", lambda p: p.fabric),
                ("regime", lambda p: p.regime),
                ("op", lambda p: p.op),
            ):
                for name, group in by(some, key).items():
                    lines += ["", f'[{head}.by_{kind}."{name}"]', *entries(summary(group))]
            for point in sorted(some, key=lambda p: -p.error)[:15]:
                lines += ["", f"[[{head}.worst]]", *entries(_facts(point))]
    return "\n".join(lines) + "\n"


def _facts(point: Scored) -> dict[str, object]:
    return {
        "series": point.series,
        "op": point.op,
        "gpus": point.gpus,
        "size_bytes": point.size_bytes,
        "measured_s": _short(point.measured_s),
        "predicted_s": _short(point.predicted_s),
    }


@cache
def accuracy() -> dict[str, Any]:
    """Return the shipped accuracy on held-out points: by family, basis, then fabric, regime and operation."""
    return tomllib.loads(text("accuracy.toml"))


def accuracy_line(basis: str, family: str = "library") -> str:
    """Return the sentence under a prediction: on what its basis was tested, and how it did."""
    found = accuracy()[family][basis]
    return (
        f"accuracy: {basis}: {found['mean_error']:.1%} mean error on {found['points']:,} held-out points, "
        f"{found['coverage']:.0%} inside the 90 % interval"
    )
