"""What a sweep is asked: its axes from flags and from a file, its parts, who works on it, whether there is room."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator import quantities
from simulator.cli._output import remark
from simulator.errors import InfeasibleError, UsageError

if TYPE_CHECKING:
    from simulator.planning.sweep import Executor, Point

# ruff: noqa: ARG002  the signatures are click's
_BYTES = {"collective": 2_000, "step": 8_000}  # of a point on disk, in the database and in the table
_SECONDS = {  # of a point at 512 GPUs, in one process on one core of a server of 2021; to know minutes from days
    ("collective", "formula"): 0.004, ("collective", "fluid"): 0.03, ("collective", "messages"): 0.5,
    ("step", "formula"): 0.08, ("step", "fluid"): 0.3, ("step", "messages"): 3.0,
}  # fmt: skip
_LONG = 600.0  # s from which on the time is said before
_KINDS = ("model", "fabric", "schedule")  # that may be files


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One sweep.

    Parameters
    ----------
    op : str
        The collective; empty for training steps.
    axes : dict
        Values of each parameter in grid order.
    inputs : list of str
        Files that they name.
    """

    op: str
    axes: dict[str, Sequence[Any]]
    inputs: list[str]

    @classmethod
    def of(cls, op: str | None, values: Mapping[str, Any]) -> "Asked":
        """Return the sweep of a command line.

        Raises
        ------
        UsageError, InputError
            Options that cannot be, of the line or of its file.
        """
        from simulator.cli import _sweep_collectives, _sweep_steps

        given = {name: value for name, value in values.items() if value not in (None, ()) and name != "grid"}
        file = values.get("grid")
        if op is not None:
            if file is not None:
                raise UsageError(f"--grid {file}: is for training steps, not for {op}", where="--grid")
            axes = _sweep_collectives.axes(op, _sweep_collectives.read(given))
        else:
            axes = _sweep_steps.axes(given, file)
        named = _files(axes)
        return cls(op=op or "", axes=axes, inputs=[*dict.fromkeys([*named, *([str(file)] if file else [])])])

    @property
    def kind(self) -> str:
        """Return what is asked at each point."""
        return "collective" if self.op else "step"

    def points(self) -> "list[Point]":
        """Return every point of the grid."""
        from simulator.planning.sweep import grid

        return list(grid(self.axes))

    def question(self) -> Any:
        """Return what is asked at each point."""
        from simulator.planning.sweep import Collectives, Steps

        if self.op:
            return Collectives(self.op, self.axes["fabric"], self.axes["algorithm_asked"])
        return Steps()

    def ground(self) -> dict[str, str]:
        """Return hashes of all that the answers rest on beside the points."""
        from simulator.planning.store import product_hash
        from simulator.reading import digest

        named = [
            name for name in self.inputs if name in _files(self.axes)
        ]  # a grid's own file is in its points
        return {"product": product_hash()} | {name: digest(name) for name in named}

    def facts(self, ground: Mapping[str, str]) -> dict[str, str]:
        """Return what a store has to know so that parts of a grid can be joined."""
        import json

        return {
            "op": self.op,
            "axes": json.dumps(self.axes),
            "ground": json.dumps(dict(ground), sort_keys=True),
        }

    def picture(self, rows: Sequence[Mapping[str, Any]], kind: str) -> bytes | None:
        """Return a picture of the times; None if there is nothing on it."""
        from simulator.cli import _sweep_collectives, _sweep_steps

        return _sweep_collectives.picture(rows, kind) if self.op else _sweep_steps.picture(rows, kind)

    def table(self, rows: Sequence[Mapping[str, Any]], wrote: Sequence[Path]) -> list[str]:
        """Return what a person reads."""
        from simulator.cli import _sweep_collectives, _sweep_steps

        return _sweep_collectives.table(rows, wrote) if self.op else _sweep_steps.table(rows, wrote)


def _files(axes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the files that values of a grid are."""
    return [str(one) for name in _KINDS for one in axes.get(name, ()) if Path(str(one)).is_file()]


class ShardOf(click.ParamType[tuple[int, int]]):
    """A part of a grid: ``2/8``."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return which part, and of how many."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value))
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of:
            raise UsageError(
                f"--shard {value}: wanted i/n with i from 1 to n", where="--shard", hint="--shard 1/8"
            )
        return number, of


class Executed(click.ParamType[str]):
    """Who works: ``local``, or a Dask cluster."""

    name = "local|dask:HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, if it is one of them."""
        if value != "local" and not re.fullmatch(r"dask:\S+:\d+", str(value)):
            raise UsageError(
                f"--executor {value}: wanted local or dask:HOST:PORT",
                where="--executor",
                hint="--executor dask:127.0.0.1:8786",
            )
        return str(value)


def executed(executor: str, jobs: int, points: int) -> "Executor":
    """Return who answers the points."""
    from functools import partial

    from simulator.planning import _sweep_workers as workers
    from simulator.planning.store import product_hash

    if executor.startswith("dask:"):
        return partial(workers.dask, address=executor.removeprefix("dask:"), product=product_hash())
    count = min(jobs or os.cpu_count() or 1, points)
    return partial(workers.processes, jobs=count) if count > 1 else workers.here


def several(name: str, part: tuple[int, int] | None) -> str:
    """Return the name of a file of a part of a grid: ``results-2of8.csv``."""
    stem, _, ending = name.partition(".")
    return name if part is None else f"{stem}-{part[0]}of{part[1]}.{ending}"


def shard_of(points: "list[Point]", part: tuple[int, int] | None) -> "list[Point]":
    """Return the points of a part, or all.

    Raises
    ------
    UsageError
        A part without any.
    """
    if part is None:
        return points
    from simulator.planning.sweep import shard

    found = shard(points, *part)
    if not found:
        raise UsageError(
            f"--shard {part[0]}/{part[1]}: the grid has only {len(points)} points",
            where="--shard",
            hint=f"--shard 1/{len(points)}",
        )
    return found


def room(asked: Asked, points: int, output: Path | None, jobs: int, within: str | None) -> None:
    """Refuse a sweep for which there is no disk or no time; say how long a long one takes.

    Raises
    ------
    UsageError
        A duration that is none.
    InfeasibleError
        Too little disk or time.
    """
    if output is not None:
        needed = points * _BYTES[asked.kind]
        there = next((path for path in (output, *output.absolute().parents) if path.is_dir()), Path())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise InfeasibleError(
                f"-o {output}: {points:,} points need about {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free",
                where="-o",
                hint="another disk, fewer points, or --shard 1/8",
            )
    cores = min(jobs or os.cpu_count() or 1, os.cpu_count() or 1)
    each = max(_SECONDS[asked.kind, str(one)] for one in asked.axes.get("fidelity", ("fluid",)))
    scale = max((int(one) for one in asked.axes.get("gpus", (512,))), default=512) / 512
    seconds = points * each * max(scale, 0.1) / cores
    if within is not None:
        try:
            most = quantities.DURATION.read(within)
        except ValueError as error:
            raise UsageError(
                f"--within: {error}", where="--within", hint=quantities.DURATION.hint(within)
            ) from None
        if seconds > most:
            raise InfeasibleError(
                f"--within {within}: {points:,} points take about {_time(seconds)}",
                where="--within",
                hint="--fidelity formula, more --jobs, or --shard 1/8",
            )
    if seconds > _LONG:
        remark(f"{points:,} points take about {_time(seconds)}; Ctrl-C stops, the same command goes on")


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return (
        f"{hours / 24:.1f} days"
        if hours > 48
        else f"{hours:.1f} h"
        if hours > 1
        else f"{seconds / 60:.0f} min"
    )
