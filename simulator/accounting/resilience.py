r"""What failures cost: how often they come, when to checkpoint, how much of the time is work.

References
----------
.. [1] Young, CACM 17(9), 1974, doi:10.1145/361147.361115.
.. [2] Daly, FGCS 22(3), 2006, doi:10.1016/j.future.2004.11.016.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp, expm1, inf, sqrt
from typing import Any

HOUR = 3600.0  # s
STATE_BYTES = 14.0  # of a parameter in a checkpoint: half precision, master copy, two moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How often one GPU ends a job, and who counted it.

    Parameters
    ----------
    name : str
        Of the fleet.
    gpu_mtbf_s : float
        Seconds of one GPU between interruptions; infinite: none.
    source : str
        Who counted.
    """

    name: str
    gpu_mtbf_s: float
    source: str

    def mtbf(self, gpus: int) -> float:
        """Return the seconds between interruptions of a job on so many GPUs: M/N."""
        return self.gpu_mtbf_s / gpus


@cache
def fleets() -> dict[str, Failures]:
    """Return the fleets that were counted, by name."""
    text = files("simulator.accounting").joinpath("data", "failures.toml").read_text("utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: Failures(name=name, gpu_mtbf_s=row["gpu_mtbf_h"] * HOUR, source=row["source"])
        for name, row in rows.items()
    }


def young(checkpoint_s: float, mtbf_s: float) -> float:
    r"""Return the seconds between checkpoints: :math:`\sqrt{2\delta M}` [1]_."""
    return sqrt(2 * checkpoint_s * mtbf_s)


def daly(checkpoint_s: float, mtbf_s: float) -> float:
    r"""Return the seconds of work between checkpoints.

    :math:`\sqrt{2\delta M}(1 + x/3 + x^2/9) - \delta` with :math:`x = \sqrt{\delta/2M}` [2]_; where a checkpoint
    takes two MTBF or more, the MTBF.
    """
    if checkpoint_s >= 2 * mtbf_s:
        return mtbf_s
    x = sqrt(checkpoint_s / (2 * mtbf_s))
    return young(checkpoint_s, mtbf_s) * (1 + x / 3 + x * x / 9) - checkpoint_s


def goodput(mtbf_s: float, checkpoint_s: float, restart_s: float, interval_s: float | None = None) -> float:
    r"""Return the share of the time that is work which is not done again.

    :math:`\tau / (M e^{R/M} (e^{(\tau+\delta)/M} - 1))`, exact for exponential failures [2]_.

    Parameters
    ----------
    mtbf_s : float
        M, of the job.
    checkpoint_s, restart_s : float
        What a checkpoint stops the job for; from a failure until it works again.
    interval_s : float, optional
        Work between checkpoints; `daly` if left out.

    Raises
    ------
    ValueError
        Times below 0, an MTBF that is not above it.
    """
    if not mtbf_s > 0 or min(checkpoint_s, restart_s) < 0:
        raise ValueError(
            f"MTBF {mtbf_s:g} s, checkpoint {checkpoint_s:g} s, restart {restart_s:g} s: must be positive"
        )
    if mtbf_s == inf:
        return 1.0 if not interval_s else interval_s / (interval_s + checkpoint_s)
    work = daly(max(checkpoint_s, 1e-3), mtbf_s) if interval_s is None else interval_s
    span = (work + checkpoint_s) / mtbf_s
    if span > 500 or restart_s / mtbf_s > 500:
        return 0.0
    return work / (mtbf_s * exp(restart_s / mtbf_s) * expm1(span))


def first_order(mtbf_s: float, checkpoint_s: float, restart_s: float, interval_s: float) -> float:
    r"""Return the same to first order: :math:`1 - \delta/(\tau+\delta) - ((\tau+\delta)/2 + R)/M`."""
    whole = interval_s + checkpoint_s
    return 1 - checkpoint_s / whole - (whole / 2 + restart_s) / mtbf_s


def checkpoint_seconds(parameters: float, storage_Bps: float) -> float:  # noqa: N803  a unit
    """Return how long all states take to a store of so many bytes/s: 14 bytes a parameter."""
    return STATE_BYTES * parameters / storage_Bps
