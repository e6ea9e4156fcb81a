"""Prices as both engines ask for them: checked, so that a wrong one is named and not summed up."""

from math import isfinite

from simulator.engine.result import Prices
from workloads.step_graph import Collective, Operation


def seconds_of(prices: Prices, operation: Operation, stage: int) -> float:
    """Return the seconds of an operation on a stage.

    Raises
    ------
    ValueError
        If they are no number from 0 on.
    """
    return _checked(prices.seconds(operation, stage), operation.name)


def transfer_of(prices: Prices, source: int, target: int) -> float:
    """Return the seconds from one stage to another.

    Raises
    ------
    ValueError
        If they are no number from 0 on.
    """
    return _checked(prices.transfer(source, target), "what passes between stages")


def share_of(prices: Prices, operation: Collective) -> float:
    """Return which share of a collective beside computation holds the compute stream.

    Raises
    ------
    ValueError
        If it is not 0 to 1.
    """
    share = prices.exposed(operation)
    if not 0 <= share <= 1:
        raise ValueError(f"'{operation.name}': a share of {share} cannot be exposed, it must be 0 to 1")
    return share


def _checked(seconds: float, name: str) -> float:
    if not (isfinite(seconds) and seconds >= 0):
        raise ValueError(f"'{name}' takes {seconds} s; a number from 0 on is wanted")
    return seconds
