"""What a training step can be asked for: every option with its kind, its default and how its text is read.

The command line, scenario files, presets and the Python interface all name the same options. Nothing here imports
numbers: what is wrong with an option must be said at once.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from simulator.errors import Fault, InputError, UsageError, nearest
from simulator.planning._estimate_read import BY_ZERO, FIDELITIES, FOLDS, READERS, STACKS, VERSIONS, count
from workloads.layout import AXES

__all__ = [
    "BY_ZERO",
    "FIDELITIES",
    "FOLDS",
    "MUST",
    "READERS",
    "STACKS",
    "SWEPT",
    "VERSIONS",
    "Options",
    "flag",
    "made",
    "read_table",
]

MUST = ("model", "fabric", "gpus", "gbs", "seq_len")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One training step as it is asked for; names are those of the command line.

    Parameters
    ----------
    model : str
        A name of the catalogue, a ``.toml`` or a ``config.json``.
    fabric : str
        A name of the catalogue or a file.
    gpus, gbs, seq_len : int
        GPUs; samples of a step; tokens of a sample.
    gpu : str
        Another accelerator than the fabric's.
    tp, pp, vpp, cp, ep, etp, dp : int
        Degrees of parallelism. 0: dp follows from the GPUs, vpp from the schedule, etp is tp.
    mbs : int
        Samples of one forward pass of a rank.
    sp : bool, optional
        Sequence parallelism; as the stack does where left out.
    stage_layers : tuple of int
        Layers of each pipeline stage, or of each chunk; empty: equal shares.
    order : tuple of str
        Axes of ranks from the one whose ranks are neighbours outwards.
    schedule : str
        A name or the file of an own one; empty: ``1f1b``, with vpp ``interleaved``.
    strategy : str
        Empty: as the stack does.
    zero : int, optional
        The same as a stage of ZeRO.
    shard : int
        Ranks that share states; 0: all of dp x cp.
    recompute : str
        ``none``, ``selective`` or ``full``.
    recompute_modules : tuple of str
        What ``selective`` means; empty: as the stack does, the attention core as a rule.
    recompute_layers : int
        Layers of a stage that ``full`` means; 0: all.
    precision : str
        Of the matrix products.
    context : str
        How context ranks exchange: ``ring all_gather ulysses``.
    imbalance : float
        Rows of the fullest expert rank over the mean.
    node_limit : int
        Most nodes that a token may visit; 0: no limit.
    stack : str
        The training software.
    stack_version : str
        Its release, year and month; empty: the usual one.
    region : str
        Whose grid the energy comes from.
    carbon_intensity : str
        CO2 equivalent for a kWh, with its unit, in place of the region's; empty: the region's.
    pue : float, optional
        Joules at the meter for a joule of the machines.
    utilisation : float
        Share of the paid time in which the job runs.
    price : float, optional
        USD for one GPU and hour.
    fidelity : str
        ``formula``, ``fluid`` or ``messages``.
    fold : str
        Whether to send one of each class of messages that nobody can tell apart: ``auto``, ``on``, ``off``.
    """

    model: str
    fabric: str
    gpus: int
    gbs: int
    seq_len: int
    gpu: str = ""
    tp: int = 1
    pp: int = 1
    vpp: int = 0
    cp: int = 1
    ep: int = 1
    etp: int = 0
    dp: int = 0
    mbs: int = 1
    sp: bool | None = None
    stage_layers: tuple[int, ...] = ()
    order: tuple[str, ...] = AXES
    schedule: str = ""
    strategy: str = ""
    zero: int | None = None
    shard: int = 0
    recompute: str = "none"
    recompute_modules: tuple[str, ...] = ()
    recompute_layers: int = 0
    precision: str = "bf16"
    context: str = "ring"
    imbalance: float = 1.0
    node_limit: int = 0
    stack: str = "megatron"
    stack_version: str = ""
    region: str = ""
    carbon_intensity: str = ""
    pue: float | None = None
    utilisation: float = 1.0
    price: float | None = None
    fidelity: str = "fluid"
    fold: str = "auto"


def flag(name: str) -> str:
    """Return what an option is called on the command line."""
    return "--" + name.replace("_", "-")


def made(values: Mapping[str, Any]) -> Options:
    """Return the options of some values by name, read and checked one by one.

    Raises
    ------
    UsageError
        An option that there is not, one that is missing, a value that it does not take.
    """
    for name in values:
        if name not in READERS:
            near = nearest(name, list(READERS), 1)
            hint = flag(near[0]) if near else ""
            raise UsageError(f"unknown option '{name}'", where=name, hint=hint)
    read = {}
    for name, value in values.items():
        try:
            read[name] = READERS[name](value)
        except ValueError as error:
            raise UsageError(f"{flag(name)}: {error}", where=flag(name)) from None
    missing = [name for name in MUST if name not in read]
    if missing:
        others = f" (and {', '.join(map(flag, missing[1:]))})" if missing[1:] else ""
        raise UsageError(
            f"{flag(missing[0])} is missing{others}", where=flag(missing[0]), hint="--preset demo"
        )
    return Options(**read)


def read_table(
    table: Mapping[str, Any], source: str, text: str = "", also: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the options that a table of a file holds.

    Parameters
    ----------
    table : mapping
        Keys are names of options, with hyphens or underscores.
    source : str
        The file as typed.
    text : str
        Its text, to tell lines.
    also : iterable of str
        Keys that are no options and left alone.

    Raises
    ------
    InputError
        All keys and values that are wrong, with their lines.
    """
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in table.items():
        name = key.replace("-", "_")
        if key in also:
            continue
        if name not in READERS:
            near = nearest(name, list(READERS), 1)
            words = f"unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else "")
            faults.append(Fault(words, _line(text, key)))
            continue
        try:
            found[name] = READERS[name](value)
        except ValueError as error:
            faults.append(Fault(f"{key}: {error}", _line(text, key)))
    if faults:
        raise InputError(source, faults)
    return found


def _line(text: str, key: str) -> str:
    match = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=", text, re.MULTILINE)
    return f"line {text.count(chr(10), 0, match.start()) + 1}" if match else key


SWEPT = tuple(  # what may have several values at a time
    field.name for field in fields(Options) if READERS[field.name] is count
)
