"""Rates and times as people write them: ``400Gbps``, ``50GB/s``, ``1.5us``; a bare number is refused."""

import re
from decimal import Decimal

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?)\s*([A-Za-zµ/]+)\s*")
_RATES = {
    f"{prefix}{unit}": Decimal(scale) / divisor
    for prefix, scale in (("", 1), ("k", 10**3), ("K", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))
    for unit, divisor in (("bps", 8), ("bit/s", 8), ("b/s", 8), ("B/s", 1), ("Bps", 1))
} | {f"{prefix}iB/s": Decimal(2**power) for prefix, power in (("K", 10), ("M", 20), ("G", 30), ("T", 40))}
_TIMES = {
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}


def bandwidth(text: object) -> float:
    """Return bytes/s of a text such as ``400Gbps`` or ``50GB/s``.

    Raises
    ------
    ValueError
        No number, no unit, or one that is no rate.

    Examples
    --------
    >>> bandwidth("400Gbps")
    50000000000.0
    """
    return _parse(text, _RATES, "400Gbps")


def seconds(text: object) -> float:
    """Return seconds of a text such as ``1.5us``.

    Raises
    ------
    ValueError
        No number, no unit, or one that is no time.

    Examples
    --------
    >>> seconds("1.5us")
    1.5e-06
    """
    return _parse(text, _TIMES, "1.5us")


def _parse(text: object, units: dict[str, Decimal], example: str) -> float:
    found = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[2] not in units:
        raise ValueError(f"{text!r} needs a number and a unit, e.g. '{example}'")
    return float(Decimal(found[1]) * units[found[2]])
