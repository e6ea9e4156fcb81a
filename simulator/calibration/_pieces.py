r"""One curve of time over size as a few lines :math:`t = \alpha + s/B`, each over a band of sizes.

Every residual is relative, :math:`r = (\alpha + s/B)/t - 1`, so that 8 bytes count as much as 8 GiB.

References
----------
.. [1] Bai, Perron, J. Applied Econometrics 18(1), 2003: the best breaks by dynamic programming.
.. [2] Schwarz, Annals of Statistics 6(2), 1978: the information criterion that says how many.
.. [3] Triggs et al., Bundle Adjustment, 2000, section 4.3: covariance of a robust fit.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]

MOST_PIECES = 4
FEWEST_POINTS = 3  # in a piece: two fix a line, the third says how well
MOST_CUTS = 48  # places where a curve of very many sizes may break
MOST_POINTS = 400  # looked at when breaks are searched, spread over the logarithm of the size
ISOLATED = 1.25  # a point so far from what both neighbours allow is an outlier
DOUBT = 0.1  # weight of an outlier
PENALTY = 1.5  # on the criterion's price of a parameter: plain, it breaks two of five curves too often
FLAT = 1e-3  # a line grows at least by this part over its band: no bandwidth is infinite
_ROUNDS = 12
_EXACT = 1e-6  # relative error below which nothing is left to explain
_LEAST_NOISE = 1e-4  # relative; no clock is better


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line over the points ``start`` to ``stop`` (not included), with standard errors."""

    start: int
    stop: int
    alpha_s: float
    alpha_error_s: float
    bandwidth_Bps: float  # noqa: N815
    bandwidth_error_Bps: float  # noqa: N815

    def time(self, size: float) -> float:
        """Return seconds for a size in bytes."""
        return self.alpha_s + size / self.bandwidth_Bps


def doubts(sizes: Array, times: Array) -> Array:
    r"""Return the weight of each point, below 1 where its neighbours agree that it is an outlier.

    If :math:`t = \alpha + s/B` with :math:`\alpha \ge 0`, a neighbour's time bounds a point's:
    :math:`t_0 \le t \le t_0 s/s_0` above it, the reverse below.

    Parameters
    ----------
    sizes, times : array
        Bytes, growing, and seconds.
    """
    weights = np.ones(len(sizes))
    for k in range(len(sizes)):
        bounds = [
            sorted((times[j], times[j] * sizes[k] / sizes[j])) for j in (k - 1, k + 1) if 0 <= j < len(sizes)
        ]
        high = times[k] / max(top for _, top in bounds)
        low = min(bottom for bottom, _ in bounds) / times[k]
        if max(high, low) > ISOLATED:
            weights[k] = DOUBT
    return weights


def breaks(sizes: Array, times: Array, weights: Array, expected: Collection[int] = ()) -> list[int]:
    """Return where the pieces start, by the Bayesian information criterion for Laplace's errors.

    Parameters
    ----------
    sizes, times, weights : array
        Points in the order of size.
    expected : collection of int
        Points where NCCL changes what it does: a break there costs two parameters (a line), elsewhere three
        (its place was searched for as well).

    Returns
    -------
    list of int
        First point of each piece; 0 is the first.
    """
    if len(sizes) > MOST_POINTS:
        some = spread(sizes, MOST_POINTS)
        near = {int(np.searchsorted(some, place)) for place in expected}
        return [int(some[k]) for k in breaks(sizes[some], times[some], weights[some], near)]
    cuts = _cuts(sizes, expected)
    cost = _costs(sizes, times, weights, cuts)
    last, total = len(cuts) - 1, float(weights.sum())
    best: dict[tuple[int, int, int], tuple[float, list[int]]] = {(0, 0, 0): (0.0, [])}
    for stop in range(1, last + 1):
        for start in range(stop):
            searched = int(start > 0 and cuts[start] not in expected)
            for pieces in range(min(MOST_PIECES, start + 1)):
                for away in range(pieces + 1):
                    before = best.get((start, pieces, away))
                    if before is None or not math.isfinite(cost[start, stop]):
                        continue
                    found = (before[0] + cost[start, stop], [*before[1], cuts[start]])
                    key = (stop, pieces + 1, away + searched)
                    if key not in best or found[0] < best[key][0]:
                        best[key] = found
    ends = [(key, found) for key, found in best.items() if key[0] == last]

    def criterion(pieces: int, away: int, error: float) -> float:
        parameters = 2 * pieces + away
        return 2 * total * math.log(max(error / total, _EXACT)) + PENALTY * parameters * math.log(total)

    return min(ends, key=lambda end: criterion(end[0][1], end[0][2], end[1][0]))[1][1]


def spread(sizes: Array, count: int) -> NDArray[np.intp]:
    """Return at most ``count`` of the points, alike far apart on a logarithmic scale, both ends among them.

    Parameters
    ----------
    sizes : array
        Bytes, growing.
    count : int
        Two or more.
    """
    wanted = np.geomspace(sizes[0], sizes[-1], count)
    return np.unique(np.clip(np.searchsorted(sizes, wanted), 0, len(sizes) - 1))


def _cuts(sizes: Array, expected: Collection[int]) -> list[int]:
    """Return the points where a piece may start, and the number of points."""
    starts = set(range(1, len(sizes)))
    if len(starts) > MOST_CUTS:
        starts &= {*map(int, spread(sizes, MOST_CUTS)), *expected}
    return [0, *sorted(starts), len(sizes)]


def _costs(sizes: Array, times: Array, weights: Array, cuts: Sequence[int]) -> Array:
    """Return the summed relative errors of the best line between any two cuts; infinite if too few."""
    cost = np.full((len(cuts), len(cuts)), math.inf)
    needed = min(FEWEST_POINTS, len(sizes))
    pairs = [(i, j) for i in range(len(cuts)) for j in range(i + 1, len(cuts)) if cuts[j] - cuts[i] >= needed]
    places = np.arange(len(sizes))
    begin, end = (np.array([cuts[pair[side]] for pair in pairs])[:, None] for side in (0, 1))
    inside = np.where((places >= begin) & (places < end), weights, 0.0)
    residuals, _ = _least_absolute(sizes / sizes[-1], times / times[-1], inside)
    for (i, j), total in zip(pairs, (inside * abs(residuals)).sum(axis=1), strict=True):
        cost[i, j] = total
    return cost


def _least_absolute(sizes: Array, times: Array, weights: Array) -> tuple[Array, Array]:
    """Return the lines of least absolute error, one a row of weights: relative residuals, and both terms."""
    u, v = 1 / times, sizes / times
    pull = weights
    for _ in range(_ROUNDS):  # reweighted least squares
        uu, uv, vv = pull @ (u * u), pull @ (u * v), pull @ (v * v)
        tu, tv = pull @ u, pull @ v
        area = np.maximum(uu * vv - uv * uv, 1e-300)
        alpha, slope = (tu * vv - tv * uv) / area, (tv * uu - tu * uv) / area
        alpha, slope = (
            np.where(slope < 0, tu / uu, np.where(alpha < 0, 0.0, alpha)),
            np.where(slope < 0, 0.0, np.where(alpha < 0, tv / vv, slope)),
        )
        residuals = np.outer(alpha, u) + np.outer(slope, v) - 1
        pull = weights / np.maximum(abs(residuals), _EXACT)
    return residuals, np.stack([alpha, slope], axis=1)


def lines(sizes: Array, times: Array, weights: Array, starts: Sequence[int]) -> list[Line]:
    """Return the robust line of each piece; the spread of the points about them is taken as one of all.

    Parameters
    ----------
    sizes, times, weights : array
        Points in the order of size.
    starts : sequence of int
        First point of each piece.
    """
    ends = [*starts[1:], len(sizes)]
    parts = [slice(start, stop) for start, stop in zip(starts, ends, strict=True)]
    rough = [
        _least_absolute(sizes[p] / sizes[p][-1], times[p] / times[p][-1], weights[p][None]) for p in parts
    ]
    scale = max(float(np.median(np.concatenate([abs(found[0]) for found, _ in rough]))), _LEAST_NOISE)
    fits = [
        _soft(sizes[p], times[p], weights[p], scale, found[0])
        for p, (_, found) in zip(parts, rough, strict=True)
    ]
    freedom = max(float(weights.sum()) - 2 * len(parts), 1.0)
    variance = 2 * sum(fit[2] for fit in fits) / freedom
    return [
        _line(part, sizes[part], times[part], fit, variance) for part, fit in zip(parts, fits, strict=True)
    ]


def _soft(
    sizes: Array, times: Array, weights: Array, scale: float, rough: Array
) -> tuple[Array, Array, float]:
    """Return the two terms at the largest size over its time, the Jacobian's square and the cost."""
    root = np.sqrt(weights)
    terms = np.stack([times[-1] / times, times[-1] / times * sizes / sizes[-1]], axis=1)
    found = least_squares(
        lambda x: root * (terms @ x - 1),
        x0=np.maximum(rough, [1e-9, 2 * FLAT]),
        jac=lambda _: root[:, None] * terms,
        bounds=([0.0, FLAT], [np.inf, np.inf]),
        loss="soft_l1",
        f_scale=scale,
        x_scale="jac",
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    )
    return found.x, found.jac.T @ found.jac, float(found.cost)


def _line(part: slice, sizes: Array, times: Array, fit: tuple[Array, Array, float], variance: float) -> Line:
    (alpha, growth), square, _ = fit
    alpha_error, growth_error = np.sqrt(np.diag(np.linalg.pinv(square)) * variance)
    bandwidth = sizes[-1] / (growth * times[-1])
    return Line(
        start=part.start,
        stop=part.stop,
        alpha_s=float(alpha * times[-1]),
        alpha_error_s=float(alpha_error * times[-1]),
        bandwidth_Bps=float(bandwidth),
        bandwidth_error_Bps=float(bandwidth * growth_error / growth),
    )
