"""What the closed form leaves over, taken from measured points: kriging.

References
----------
.. [1] Cressie, Statistics for Spatial Data, Wiley 1993, ch. 3.
.. [2] Rasmussen, Williams, Gaussian Processes for Machine Learning, MIT Press 2006, ch. 2 and sec. 5.4.2.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky

from simulator.calibration.components import Floats
from simulator.calibration.covariance import JITTER, Covariance, Points


def krige(
    covariance: Covariance,
    known: Points,
    residual: Floats,
    wanted: Points,
    itself: NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the log residual of a new measurement at the wanted points.

    Parameters
    ----------
    covariance : Covariance
        Of the settings of both.
    known, wanted : Points
        Where it was measured, where it is wanted.
    residual : array, shape (known points,)
        log(measured / closed form).
    itself : bool array, shape (wanted points, known points), optional
        Known points that a wanted one must not see.

    Notes
    -----
    Leaving points out needs no second factorisation: with the inverse covariance P, the solution without the
    set s changes by ``P[:, s] P[s, s]^-1`` times its part on s [2]_.
    """
    variance = covariance.variance(wanted)
    if not len(residual):
        return np.zeros(len(variance)), np.sqrt(variance)
    lower = cholesky(covariance.measured(known), lower=True, overwrite_a=True, check_finite=False)
    cross = covariance.between(wanted, known)
    solved = cho_solve((lower, True), np.column_stack([residual, cross.T]), check_finite=False)
    mean, explained = cross @ solved[:, 0], np.einsum("ij,ji->i", cross, solved[:, 1:])
    for place in [] if itself is None else np.flatnonzero(itself.any(axis=1)).tolist():
        out = np.flatnonzero(itself[place]) if itself is not None else np.array([], dtype=int)
        unit = np.zeros((len(residual), len(out)))
        unit[out, np.arange(len(out))] = 1.0
        inner = np.linalg.inv(cho_solve((lower, True), unit, check_finite=False)[out])
        seen = solved[out, 1 + place]
        mean[place] -= seen @ inner @ solved[out, 0]
        explained[place] -= seen @ inner @ seen
    return mean, np.sqrt(np.maximum(variance - explained, JITTER))
