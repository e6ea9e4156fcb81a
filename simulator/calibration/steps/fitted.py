"""The shipped values of the laws of a training step, and how far predictions with them can be trusted."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.accuracy import accuracy
from simulator.calibration.steps.bands import DEPTHS, Band, sort_of
from simulator.calibration.steps.fitting import priors

_BASES = {True: "known", False: "unknown"}


@cache
def table() -> dict[str, Any]:
    """Return what ``fitted.toml`` says."""
    path = files("simulator.calibration") / "data" / "training" / "fitted.toml"
    return tomllib.loads(path.read_text("utf-8"))


@cache
def values(fold: int | None = None) -> dict[str, float]:
    """Return the values of the laws by name.

    Parameters
    ----------
    fold : int, optional
        Those that were fitted without the runs of a fold; left out, with all runs.
    """
    found, known = table(), priors()
    fitted = found["fits"]["all" if fold is None else f"fold_{fold}"]
    # a value that has come since stands where it starts from; a test holds that none has
    return known.profile(known.mean) | dict(zip(found["names"], fitted, strict=True))


def known(generation: str, stack: str, precision: str) -> bool:
    """Tell whether runs of a stack on a generation of GPUs are among the fitted ones, and in that precision."""
    found = table()
    return f"{generation}/{stack}" in found["stacks"] and f"{generation}/{precision}" in found["precisions"]


def band(
    kind: str, known: bool, *, generation: str = "", stack: str = "", fold: int | None = None
) -> tuple[float, float]:
    """Return both ends of a 90 % interval as factors of the predicted step time.

    Parameters
    ----------
    kind : str
        ``dense``, ``moe`` or ``hybrid``.
    known : bool
        Whether runs of this sort were fitted; where not, errors are those of sources left out as a whole.
    generation, stack : str
        Whose errors of the past count most; used where ``known``.
    fold : int, optional
        Learnt without the runs of a fold.
    """
    basis = _BASES[known]
    sort = sort_of(kind, generation, stack)[: DEPTHS[basis]]
    return _band(basis if fold is None or not known else f"{basis}_{fold}").factors(sort)


@cache
def _band(name: str) -> Band:
    found = table()["bands"][name]
    return Band(found["sizes"], found["low"], found["high"])


def accuracy_line(known: bool) -> str:
    """Return the sentence under a prediction: on what its basis was tested, and how it did."""
    name, what = ("folds", "configuration") if known else ("unseen", "source")
    found = accuracy()["runs"][name]
    return (
        f"accuracy: {found['all']['mean_error']:.1%} mean error on {found['all']['runs']:,} measured "
        f"runs, each {what} left out, {found['band']['all']['coverage']:.0%} inside the 90 % interval"
    )
