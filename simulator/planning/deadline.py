r"""How long a whole training run takes, and how likely it ends in time: predictions err, machines fail.

The time of a step is taken as log-normal on either side of the prediction, with 5 % below the lower end of its 90 %
interval and 5 % above the upper one. Interruptions come at exponential times; a run of W seconds of work then takes
W / goodput in the mean (`simulator.accounting.resilience`). What an interruption costs, half an interval between
checkpoints and the restart in the mean, is summed over a Poisson number of them: the total has mean and variance of a
compound Poisson sum, taken as normal.
"""

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.accounting.resilience import daly, goodput

Floats = NDArray[np.float64]
DAY = 86400.0  # s
_ENDS = 1.6448536269514722  # standard normal at 95 %
_GRID = 401  # points of the distribution of a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Risks:
    """What may interrupt a job.

    Parameters
    ----------
    mtbf_s : float
        Between interruptions of the whole job; infinite: none.
    checkpoint_s, restart_s : float
        What a checkpoint stops the job for; from an interruption until it works again.
    """

    mtbf_s: float = inf
    checkpoint_s: float = 0.0
    restart_s: float = 0.0

    @property
    def interval_s(self) -> float:
        """Return the work between checkpoints, s; infinite where nothing fails."""
        return inf if self.mtbf_s == inf else daly(max(self.checkpoint_s, 1e-3), self.mtbf_s)

    @property
    def goodput(self) -> float:
        """Return the share of the time that is work."""
        return goodput(self.mtbf_s, self.checkpoint_s, self.restart_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long a run takes.

    Parameters
    ----------
    median_s, low_s, high_s : float
        Of the total time; ends of 90 %.
    goodput : float
        Share of it that is work.
    in_time : float or None
        Probability of ending before the deadline; None without one.
    """

    median_s: float
    low_s: float
    high_s: float
    goodput: float
    in_time: float | None = None


def duration(
    step_s: float, low_s: float, high_s: float, steps: float, risks: Risks, deadline_s: float | None = None
) -> Duration:
    """Return how long so many steps take.

    Parameters
    ----------
    step_s, low_s, high_s : float
        A step and its 90 % interval, s.
    steps : float
        Of the run.
    risks : Risks
        What may interrupt it.
    deadline_s : float, optional
        From the start.

    Raises
    ------
    ValueError
        Ends that do not lie around the step; a job that fails so often that it never ends.
    """
    if not 0 < low_s <= step_s <= high_s:
        raise ValueError(f"step {step_s:g} s, interval {low_s:g} .. {high_s:g} s: wanted in this order")
    share = risks.goodput
    if not share > 1e-6:
        raise ValueError(f"a job interrupted every {risks.mtbf_s:.3g} s never ends")
    normal = _quantiles()
    below, above = log(step_s / low_s) / _ENDS, log(high_s / step_s) / _ENDS
    spread = np.where(normal < 0, below, above)
    work = step_s * np.exp(normal * spread) * steps
    mean = work / share
    deviation = np.sqrt(work) * _jitter(risks)
    middle = _inverse(mean, deviation, 0.5)
    return Duration(
        median_s=middle,
        low_s=_inverse(mean, deviation, 0.05),
        high_s=_inverse(mean, deviation, 0.95),
        goodput=share,
        in_time=None if deadline_s is None else _below(mean, deviation, deadline_s),
    )


def _quantiles() -> Floats:
    """Return standard normal numbers, each as likely as any other."""
    from scipy.special import ndtri

    found: Floats = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    return found


def _jitter(risks: Risks) -> float:
    """Return the deviation of the time lost, over the root of the work: of a sum of N losses, N E[loss^2] squared."""
    if risks.mtbf_s == inf:
        return 0.0
    lost = risks.interval_s + risks.checkpoint_s
    second = lost * lost / 3 + lost * risks.restart_s + risks.restart_s**2  # of a uniform loss and a restart
    return sqrt(second / risks.mtbf_s)


def _below(mean: Floats, deviation: Floats, limit: float) -> float:
    from scipy.special import ndtr

    if not deviation.any():
        return float((mean <= limit).mean())
    found: Any = ndtr((limit - mean) / np.maximum(deviation, 1e-12)).mean()
    return float(found)


def _inverse(mean: Floats, deviation: Floats, share: float) -> float:
    """Return the time before which a share of the runs ends, by halving."""
    low, high = float(mean.min() - 6 * deviation.max()), float(mean.max() + 6 * deviation.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _below(mean, deviation, middle) >= share else (middle, high)
    return high
