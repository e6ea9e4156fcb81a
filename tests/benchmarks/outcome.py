"""What a run of a benchmark tells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run took and found.

    Parameters
    ----------
    seconds : float
        CPU time, s.
    finish : sequence of float, or numpy.ndarray
        When each message, or each sender, was through, s.
    instants, messages : int, optional
        How many, where that is counted.
    version : str, optional
        Of the program that ran.
    """

    seconds: float
    finish: Sequence[float] | NDArray[np.float64]
    instants: int | None = None
    messages: int | None = None
    version: str | None = None
