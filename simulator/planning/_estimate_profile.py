"""Which values of the laws a step goes by, and how far measured runs say that they can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.calibration.steps.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Values by name, the 90 % interval as factors of the step time, and what they were fitted on.

    Parameters
    ----------
    profile : mapping of str to float
        Values of the laws.
    low, high : float
        Ends of the interval over the prediction.
    known : bool
        Whether runs of this software on this generation of accelerators are among the fitted ones.
    line : str
        On what this was tested.
    """

    profile: Mapping[str, float]
    low: float
    high: float
    known: bool
    line: str

    @property
    def basis(self) -> str:
        """Return ``calibrated`` or ``catalogue``."""
        return "calibrated" if self.known else "catalogue"


def values_of(case: Case) -> Values:
    """Return the values for a step.

    A user's cluster is none of those whose runs were fitted, so the interval is that of sources left out as a whole,
    whether the stack is known or not.
    """
    from simulator.calibration.steps import fitted

    low, high = fitted.band(case.kind, False)
    known = fitted.known(case.generation, case.stack.family, case.precision)
    return Values(profile=fitted.values(), low=low, high=high, known=known, line=fitted.accuracy_line(False))
