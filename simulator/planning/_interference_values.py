"""How each value of a file of jobs is read: one reader a kind of value, one sentence for a fault."""

import re
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from simulator import quantities
from simulator.errors import nearest
from simulator.planning._estimate_read import count

LONGEST = 24  # characters of a name: it stands in every table
MOST_GPUS = 2**17  # numbers that a text of ranges may stand for
MOST_STEPS = 100_000


def one_of(kind: str, names: Sequence[str]) -> Callable[[Any], str]:
    """Return a reader of one name out of some."""

    def read(value: Any) -> str:
        if value in names:
            return str(value)
        shown = str(value)[:40]
        raise ValueError(f"unknown {kind} '{shown}'; try {', '.join(nearest(shown, names) or names)}")

    return read


def name(value: Any) -> str:
    """Return what a job is called."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST:
        raise ValueError(f"{value!r:.40}: wanted 1 to {LONGEST} printable characters")
    return value


def size(value: Any) -> int:
    """Return bytes."""
    if isinstance(value, bool | list | dict):
        raise ValueError(f"{str(value).lower():.40} is no size")
    found = int(quantities.SIZE.read(str(value)))
    if not found:
        raise ValueError("must be 1 byte or more")
    return found


def moment(value: Any) -> float:
    """Return seconds from the start."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not good or not 0 <= value <= 1e9:
        raise ValueError(f"{value!s:.40}: wanted seconds from 0 on")
    return float(value)


def gpus(value: Any) -> int:
    """Return how many GPUs there are."""
    found = count(value)
    if not 1 <= found <= MOST_GPUS:
        raise ValueError(f"{found}: wanted 1 to {MOST_GPUS}")
    return found


def steps(value: Any) -> int:
    """Return how many steps there are."""
    found = count(value)
    if not 1 <= found <= MOST_STEPS:
        raise ValueError(f"{found}: wanted 1 to {MOST_STEPS}")
    return found


def seats(value: Any) -> tuple[int, tuple[int, ...]]:
    """Return the first GPU of a whole number, or all GPUs of a list or of a text of ranges."""
    if isinstance(value, int) and not isinstance(value, bool):
        _number(str(value))
        return value, ()
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise ValueError(f"{value!s:.40}: wanted the first GPU, a list, or ranges as in '0-7,16-23'")
    found: dict[int, None] = {}  # in order
    for word in words:
        ends = [_number(end) for end in str(word).strip().split("-")]
        if len(ends) > 2 or ends[0] > ends[-1]:
            raise ValueError(f"'{word!s:.40}' is no range; wanted one as in 0-7")
        for gpu in range(ends[0], ends[-1] + 1):
            if gpu in found:
                raise ValueError(f"names GPU {gpu} twice")
            found[gpu] = None
    return -1, tuple(found)


def _number(text: str) -> int:
    """Return the number of a GPU."""
    if not re.fullmatch(r"\s*[0-9]{1,7}\s*", text) or int(text) >= MOST_GPUS:
        raise ValueError(f"'{text:.40}' is no GPU; wanted a number from 0 to {MOST_GPUS - 1}")
    return int(text)
