"""What a plan may choose, read off the options that are given; those not given are searched."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from simulator.errors import UsageError
from simulator.planning._estimate_options import BY_ZERO, flag
from simulator.planning.search.space import Space
from simulator.planning.search.space import runnable as had

NUMBERS = ("tp", "pp", "vpp", "cp", "ep", "dp", "mbs")
NAMES = {"schedule": "schedules", "strategy": "strategies", "precision": "precisions", "context": "contexts"}
NOT_CHOSEN = ("order", "shard", "stage_layers")  # a plan lays them out itself


def chosen(found: Mapping[str, Any], *, runnable: bool = False) -> tuple[Space, dict[str, Any]]:
    """Return what may be chosen, and the options that are settled.

    Parameters
    ----------
    found : mapping
        Options by name, as typed.
    runnable : bool
        Whether only what the training software has may be chosen.

    Raises
    ------
    UsageError
        An option that a plan cannot take.
    """
    for name in NOT_CHOSEN:
        if found.get(name):
            raise UsageError(
                f"{flag(name)} is not for a plan, which lays ranks and layers out itself",
                where=flag(name),
                hint=f"leave {flag(name)} out, or ask commsim estimate",
            )
    several = {name: _tuple(found[name]) for name in found}
    limits: dict[str, Any] = {name: several[name] for name in NUMBERS if any(several.get(name, ()))}
    limits |= {to: several[name] for name, to in NAMES.items() if several.get(name)}
    if "zero" in several:
        limits["strategies"] = tuple(BY_ZERO[int(one)] for one in several["zero"])
    if "sp" in several:
        limits["sp"] = several["sp"]
    limits |= _again(several)
    file = [name for name in limits.get("schedules", ()) if str(name).endswith(".toml")]
    if file:
        raise UsageError(f"--schedule {file[0]}: a plan takes schedules by name", where="--schedule")
    taken = {*NUMBERS, *NAMES, "zero", "sp", "recompute", "recompute_modules", "recompute_layers"}
    space = Space(**limits)
    if runnable:
        stack = found.get("stack", "megatron")
        space = had(space, stack)
        if not (space.schedules and space.strategies):
            raise UsageError(
                f"--runnable: {stack} has none of the schedules or strategies given", where="--runnable"
            )
    return space, {name: value for name, value in found.items() if name not in taken}


def _again(several: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if "recompute" in several:
        limits["recompute"] = several["recompute"]
    if several.get("recompute_modules"):
        limits["modules"] = several["recompute_modules"]
    if any(several.get("recompute_layers", ())):
        limits["layers"] = several["recompute_layers"]
    return limits


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def spread(settled: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one set of options for every combination of some that have several values."""
    ways = product(*(_tuple(settled[name]) for name in names))
    points = [dict(settled) | dict(zip(names, way, strict=True)) for way in ways]
    for name, value in settled.items():
        if isinstance(value, list) and name not in names:
            raise UsageError(f"{flag(name)}: a plan takes one value", where=flag(name))
    return points
