"""What the values of a profile file may be, key by key: each check says what is wrong, or nothing."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from simulator.errors import nearest
from simulator.operations import OPERATIONS


def text_fault(value: Any) -> str:
    """Return what is wrong with a value that should be text on one line; empty if nothing."""
    return "" if isinstance(value, str) and value.isprintable() else "must be text on one line"


def name_fault(value: Any) -> str:
    """Return what is wrong with a value that should be a name; empty if nothing."""
    return text_fault(value) or ("" if value.strip() else "must not be empty")


def _operation(value: Any) -> str:
    if value in OPERATIONS:
        return ""
    close = nearest(str(value), OPERATIONS, 1)
    return f"unknown op '{str(value)[:60]}'" + f", did you mean '{close[0]}'?" * bool(close)


def _file(value: Any) -> str:
    return name_fault(value) or ("must be a name without folders" if re.search(r"[/\\]", value) else "")


def _hash(value: Any) -> str:
    right = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return "" if right else "must be 64 hexadecimal digits"


def _whole(value: Any) -> str:
    right = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 2**60
    return "" if right else f"{shown(value)}; must be a whole number from 1 on"


def _real(value: Any, least: float = 0.0) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and least <= value <= 1e30  # neither NaN nor an infinity


def _positive(value: Any) -> str:
    return "" if _real(value) and value > 0 else f"{shown(value)}; must be a number above 0"


def _not_negative(value: Any) -> str:
    return "" if _real(value) else f"{shown(value)}; must be a number, 0 or more"


def _list(check: Callable[[Any], str]) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if not isinstance(value, list) or not value:
            return "must be a list of numbers"
        wrong = ((place, check(item)) for place, item in enumerate(value))
        return next((f"number {place + 1}: {fault}" for place, fault in wrong if fault), "")

    return checked


def shown(value: Any) -> str:
    """Return a value as a message can hold it."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"  # which Python may refuse to print
    return repr(value)[:60]


CHECKS: Mapping[str, Callable[[Any], str]] = {
    "file": _file, "sha256": _hash, "op": _operation, "algorithm": name_fault, "protocol": name_fault,
    **dict.fromkeys(("lines", "gpus", "nodes", "gpus_per_node", "from_bytes", "to_bytes", "points"), _whole),
    **dict.fromkeys(("alpha_s", "alpha_error_s", "bandwidth_error_Bps"), _not_negative),
    **dict.fromkeys(("mean_error", "max_error"), _not_negative),
    "bandwidth_Bps": _positive, "sizes": _list(_whole), "times_s": _list(_positive),
    "in_place": _list(_positive),
}  # fmt: skip
