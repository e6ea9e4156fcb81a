"""The fitted profile of training steps: values of the laws, bands, and what they were tested on."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from simulator.calibration.steps.spreads import Band, known_path, unknown_path
from simulator.calibration.steps.case import Case


def _read(name: str) -> dict[str, Any]:
    path = files("simulator.calibration") / "data" / "training" / name
    return tomllib.loads(path.read_text("utf-8"))


@cache
def _file() -> dict[str, Any]:
    return _read("fitted.toml")


@cache
def scores() -> dict[str, Any]:
    """Return what ``accuracy.toml`` holds: every figure that the referee measured."""
    return _read("accuracy.toml")


def values(fold: int | None = None) -> Mapping[str, float]:
    """Return the values of the laws.

    Parameters
    ----------
    fold : int, optional
        Values of a fit that did not see this fold of the shipped rows; left out: of all rows.
    """
    found: Mapping[str, float] = _file()["all"] if fold is None else _file()["without"][str(fold)]
    return found


def corpus() -> str:
    """Return the hash of the rows that were fitted."""
    return str(_file()["corpus"])


def known(case: Case) -> bool:
    """Tell whether runs of this software on this generation of accelerators are among the fitted ones."""
    return f"{case.stack.family} {case.generation}" in _file()["known"]


@cache
def _band(name: str) -> Band:
    found = _file()["band"][name]
    spreads = {tuple(key.split("/")) if key else (): float(value) for key, value in found["spread"].items()}
    return Band(spreads, float(found["low"]), float(found["high"]))


def band(case: Case) -> tuple[float, float]:
    """Return the factors on the step time of a case between which 90 % of measured ones lie."""
    if known(case):
        return _band("known").ends(known_path(case))
    return _band("unknown").ends(unknown_path(case))


def accuracy_line(is_known: bool) -> str:
    """Return one sentence on what predictions like this one were tested with."""
    table = scores()["folds" if is_known else "sources"]
    what = "configurations" if is_known else "whole sources"
    return (
        f"accuracy: {table['all']['mean']:.1%} mean error on {table['all']['rows']} public runs, "
        f"{what} left out; dense {table['dense']['mean']:.1%}, mixtures {table['moe']['mean']:.1%}"
    )
