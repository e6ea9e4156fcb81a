"""What may be changed of a step, as it is typed: ``pp=4``, ``fabric.ib.bandwidth=x2``, ``gpu.slow=0.8@rank5``.

Nothing here imports numbers, so that a fault in what was typed is there at once.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator import quantities
from simulator.errors import UsageError, nearest
from simulator.planning._estimate_options import MUST, READERS, SWEPT

FIELDS = ("bandwidth", "latency")
_OTHERS = ("fabric.oversubscription", "fabric.fail", "gpu.slow")
_FACTOR = re.compile(r"(?:[x*]\s*(?P<times>\d+\.?\d*|\.\d+))|(?:(?P<by>[+-]\d+\.?\d*)\s*%)")
_ENDS = re.compile(r"(?P<tail>[\w-]*\w)\s*(?:->|:)\s*(?P<head>[\w-]+)(?:/(?P<cables>\d+))?")
_SLOW = re.compile(r"(?P<speed>\d*\.?\d+%?)@rank(?P<rank>\d+)")
WAYS = "pp=4, gbs=x2, fabric.inter.bandwidth=800Gbps, fabric.fail=leaf0-0->spine0, gpu.slow=0.8@rank0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is other than in the base run.

    Parameters
    ----------
    text : str
        As typed.
    key : str
        What is changed: an option, ``fabric.LINK.bandwidth``, ``fabric.LINK.latency``, ``fabric.oversubscription``,
        ``fabric.fail`` or ``gpu.slow``.
    value : object
        An option's text; bytes/s, s, or the ports over the uplinks; `Ends`; `Slow`. None with a factor.
    factor : float or None
        Times what the base has, where so typed.
    """

    text: str
    key: str
    value: Any = None
    factor: float | None = None

    @property
    def option(self) -> str:
        """Return the option that is changed; empty where it is the machine."""
        return "" if "." in self.key else self.key

    @property
    def link(self) -> str:
        """Return the link whose rate or latency is changed; empty else."""
        parts = self.key.split(".")
        return parts[1] if len(parts) == 3 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """A link that fails: its two nodes as the answers spell them, and how many of its cables; 0: all."""

    tail: str
    head: str
    cables: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A GPU that computes at a share of its speed, by its rank."""

    speed: float
    rank: int


def parse_all(texts: Iterable[str]) -> list[tuple[Change, ...]]:
    """Return the changes of each text; those of one text, with spaces between them, belong together.

    Raises
    ------
    UsageError
        The first that cannot be read.
    """
    found = []
    for text in texts:
        changes = tuple(parse(part) for part in text.split())
        if not changes:
            raise _wrong(text, "is empty")
        found.append(changes)
    return found


def parse(text: str) -> Change:
    """Return the change that a text of the form KEY=VALUE means.

    Raises
    ------
    UsageError
        No such key, or a value that it does not take.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip().removeprefix("--"), value.strip()
    if not equals or not key or not value:
        raise _wrong(text, "wanted KEY=VALUE", WAYS)
    if key == "fabric.fail":
        return Change(text=text, key=key, value=_ends(text, value))
    if key == "gpu.slow":
        return Change(text=text, key=key, value=_slow(text, value))
    factor = _factor(text, value)
    if key == "fabric.oversubscription":
        return Change(text=text, key=key, value=_ratio(text, value, factor), factor=None)
    parts = key.split(".")
    if parts[0] == "fabric" and len(parts) == 3 and parts[2] in FIELDS:
        quantity = quantities.RATE if parts[2] == "bandwidth" else quantities.DURATION
        return Change(
            text=text,
            key=key,
            value=None if factor is not None else _read(text, value, quantity),
            factor=factor,
        )
    return _option(text, key.replace("-", "_"), value, factor)


def _option(text: str, key: str, value: str, factor: float | None) -> Change:
    if key not in READERS:
        known = [*READERS, *_OTHERS, "fabric.inter.bandwidth", "fabric.intra.bandwidth"]
        near = nearest(key, known, 2)
        raise _wrong(text, f"unknown key '{key}'", ", ".join(near) or WAYS)
    if key in ("fidelity", "fold"):
        raise _wrong(text, f"{key} is how the answer is found, not what is asked", f"--{key} for all columns")
    if factor is None:
        try:
            READERS[key](_typed(key, value))
        except ValueError as error:
            said, _, way = str(error).partition("; try ")
            raise _wrong(text, said, way) from None
    return Change(text=text, key=key, value=None if factor is not None else value, factor=factor)


def _typed(key: str, value: str) -> Any:
    """Return the value of an option as its reader takes it."""
    return {"true": True, "false": False}.get(value.lower(), value) if key == "sp" else value


def applied(found: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """Return the options of a base run with the changed ones in their place.

    A given dp gives way where another change makes the axes multiply to other GPUs.

    Parameters
    ----------
    found : mapping
        Options of the base run by name, as typed or read.
    changes : iterable of Change
        Those of the machine are left alone.

    Raises
    ------
    UsageError
        A factor of what the base run leaves out, or one that makes no whole number.
    """
    values = dict(found)
    for change in changes:
        name = change.option
        if not name:
            continue
        if change.factor is None:
            values[name] = _typed(name, change.value)
        else:
            values[name] = _times(change, values.get(name, 1 if name in _DEGREES else None))
        if name in ("gpus", *_DEGREES) and "dp" not in {one.key for one in changes}:
            values.pop("dp", None)
        if name in ("strategy", "zero"):
            values.pop("zero" if name == "strategy" else "strategy", None)
        if name == "pp" and "stage_layers" not in {one.key for one in changes}:
            values.pop("stage_layers", None)
    return values


_DEGREES = ("tp", "pp", "cp", "mbs", "ep")


def _times(change: Change, base: Any) -> Any:
    factor = change.factor or 0.0
    if base is None:
        raise _wrong(change.text, f"the base run has no {change.key} to multiply", f"{change.key}=VALUE")
    if isinstance(base, bool) or not isinstance(base, int | float):
        raise _wrong(
            change.text, f"{change.key} is no number that could be multiplied", f"{change.key}=VALUE"
        )
    made = base * factor
    if change.key not in SWEPT:
        return made
    if abs(made - round(made)) > 1e-9 * made or made < 1:
        raise _wrong(change.text, f"{base} x {factor:g} is no whole number from 1 on", f"{change.key}=VALUE")
    return round(made)


def _factor(text: str, value: str) -> float | None:
    match = _FACTOR.fullmatch(value)
    if match is None:
        return None
    factor = float(match["times"]) if match["times"] else 1 + float(match["by"]) / 100
    if not 0 < factor <= 1e6:
        raise _wrong(text, f"'{value}' must leave something")
    return factor


def _read(text: str, value: str, quantity: quantities.Quantity) -> float:
    try:
        found = quantity.read(value)
    except ValueError as error:
        raise _wrong(text, str(error), f"{quantity.hint(value)}, x2, +10%") from None
    if not found > 0:
        raise _wrong(text, f"'{value}' must be more than nothing")
    return found


def _ratio(text: str, value: str, factor: float | None) -> float:
    try:
        ratio = float(value.removesuffix(":1")) if factor is None else 0.0
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1e3:
        raise _wrong(text, "wanted what enters a leaf over what leaves it", "fabric.oversubscription=2")
    return ratio


def _ends(text: str, value: str) -> Ends:
    match = _ENDS.fullmatch(value)
    if match is None:
        raise _wrong(
            text, "wanted the two nodes of a link", "fabric.fail=leaf0-0->spine0, or .../1 for one cable"
        )
    return Ends(tail=match["tail"], head=match["head"], cables=int(match["cables"] or 0))


def _slow(text: str, value: str) -> Slow:
    match = _SLOW.fullmatch(value)
    if match:
        written = match["speed"]
        speed = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
        if 0 < speed <= 1:
            return Slow(speed=speed, rank=int(match["rank"]))
    raise _wrong(text, "wanted a share of the speed and a rank", "gpu.slow=0.8@rank5")


def _wrong(text: str, said: str, hint: str = "") -> UsageError:
    return UsageError(f"--set {text}: {said}", where="--set", hint=hint)


def missing(values: Mapping[str, Any]) -> list[str]:
    """Return the options that nothing stands in for and that are not there."""
    return [name for name in MUST if name not in values]
