"""Quantities as people write them, turned into SI: ``64MiB``, ``400Gbps``, ``1.5us``, ``12%``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_WRITTEN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*([A-Za-zµμ/%]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """How one kind of quantity is written.

    Parameters
    ----------
    kind : str
        What it is, for messages, e.g. ``size``.
    units : mapping of str to Fraction
        What one of each unit is in SI; the unit ``""`` allows a bare number.
    example : str
        A value that is accepted.
    smallest, largest : Fraction
        Range in SI units, both ends included.
    whole : bool
        Whether only whole numbers of the SI unit make sense.
    """

    kind: str
    units: Mapping[str, Fraction]
    example: str
    smallest: Fraction = Fraction(0)
    largest: Fraction = Fraction(10**18)
    whole: bool = False

    def read(self, text: str) -> float:
        """Return the value in SI units, an ``int`` where only whole numbers make sense.

        Raises
        ------
        ValueError
            With one sentence: not a number, no unit or an unknown one, outside of the range, not whole.
        """
        shown = text if len(text) <= 40 else text[:40] + "..."
        match = _WRITTEN.fullmatch(text.strip()) if len(text) <= 80 else None
        if match is None:
            raise ValueError(f"'{shown}' is not a {self.kind}")
        sign, digits, exponent, unit = match.groups()
        if unit not in self.units:
            fault = f"has the unknown unit '{unit}'" if unit else "has no unit"
            raise ValueError(f"'{shown}' {fault}")
        value = Fraction(digits + (exponent or "")) * self.units[unit]
        if sign == "-" and value:
            raise ValueError(f"'{shown}' is negative")
        if value < self.smallest:
            raise ValueError(f"'{shown}' is too small for a {self.kind}")
        if value > self.largest:
            raise ValueError(f"'{shown}' is too large for a {self.kind}")
        if self.whole and value.denominator != 1:
            raise ValueError(f"'{shown}' is not a whole number{' of bytes' if 'B' in self.units else ''}")
        return int(value) if self.whole else float(value)

    def hint(self, text: str) -> str:
        """Return what to type instead: the number with the usual unit if that lacked, else an example."""
        with_unit = text.strip() + self.example.lstrip("0123456789.")
        try:
            self.read(with_unit)
        except ValueError:
            return self.example
        return with_unit


def _bytes(ending: str = "") -> dict[str, Fraction]:
    decimal = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
    binary = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
    return {unit + ending: Fraction(factor) for unit, factor in (decimal | binary).items()}


def _bits() -> dict[str, Fraction]:
    prefixes = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    endings = ("bps", "bit/s", "b/s")
    return {prefix + ending: Fraction(size, 8) for prefix, size in prefixes.items() for ending in endings}


_SHORTER = {"ns": 10**9, "us": 10**6, "µs": 10**6, "μs": 10**6, "ms": 10**3, "s": 1}
_LONGER = {"min": 60, "h": 3600, "d": 86400, "days": 86400}

SIZE = Quantity(kind="size", units={"": Fraction(1)} | _bytes(), example="64MiB", whole=True)
RATE = Quantity(
    kind="rate", units=_bits() | _bytes("/s") | _bytes("ps"), example="400Gbps", smallest=Fraction(1)
)
DURATION = Quantity(
    kind="duration",
    units={unit: Fraction(1, parts) for unit, parts in _SHORTER.items()}
    | {unit: Fraction(seconds) for unit, seconds in _LONGER.items()},
    example="1.5us",
    largest=Fraction(10**12),
)
PERCENT = Quantity(kind="percentage", units={"%": Fraction(1, 100)}, example="12%", largest=Fraction(1000))
COUNT = Quantity(
    kind="positive whole number",
    units={"": Fraction(1)},
    example="8",
    smallest=Fraction(1),
    largest=Fraction(10**9),
    whole=True,
)


def values(text: str, quantity: Quantity) -> tuple[float, ...]:
    """Return the values that a sweep names, in the order written and each one once.

    Parameters
    ----------
    text : str
        ``64,128,256``, ``64..2048`` (powers of two), ``64..2048+64`` (steps), or a mixture with commas.
    quantity : Quantity
        How each number is written; only whole ones make a range.

    Raises
    ------
    ValueError
        With one sentence.
    """
    found: dict[float, None] = {}
    for part in text.split(","):
        found.update(dict.fromkeys(_range(part.strip(), quantity) if ".." in part else [quantity.read(part)]))
        if len(found) > 100_000:
            raise ValueError(f"'{text[:40]}' names more than 100,000 values")
    return tuple(found)


def _range(part: str, quantity: Quantity) -> list[int]:
    ends, _, step = part.partition("+")
    first, last = (int(quantity.read(end)) for end in ends.split("..", 1))
    if last < first:
        raise ValueError(f"'{part}' runs backwards")
    if step:
        every = int(quantity.read(step))
        if every < 1 or (last - first) // every > 100_000:
            raise ValueError(f"'{part}' names more than 100,000 values")
        return list(range(first, last + 1, every))
    if first.bit_count() != 1 or last.bit_count() != 1:
        raise ValueError(
            f"'{part}' runs over powers of two and both ends must be one; or step, as in {part}+8"
        )
    return [2**power for power in range(first.bit_length() - 1, last.bit_length())]
