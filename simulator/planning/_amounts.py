"""Amounts as people write them on the command line: ``1T`` tokens, ``70B`` parameters, ``5MW``."""

import re

from simulator.errors import UsageError

_BIG = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_WATTS = {"W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9}
_AMOUNT = re.compile(r"(\d+\.?\d*(?:[eE][+-]?\d{1,3})?)\s*([A-Za-z]*)")


def number_of(text: str, flag: str) -> float:
    """Return a number written with ``k M B T``, or bare.

    Raises
    ------
    UsageError
        It is none, or not more than nothing.
    """
    return _amount(text, flag, _BIG, "1T")


def watts_of(text: str, flag: str) -> float:
    """Return W of a power written with its unit.

    Raises
    ------
    UsageError
        It is none, has no unit, or is not more than nothing.
    """
    return _amount(text, flag, _WATTS, "5MW")


def _amount(text: str, flag: str, units: dict[str, float], example: str) -> float:
    match = _AMOUNT.fullmatch(str(text).strip()) if len(str(text)) <= 40 else None
    if match is None or match[2] not in units:
        raise UsageError(f"{flag} {text!s:.40}: wanted an amount like {example}", where=flag, hint=example)
    value = float(match[1]) * units[match[2]]
    if not 0 < value < 1e30:
        raise UsageError(f"{flag} {text}: must be more than nothing", where=flag, hint=example)
    return value
