"""The parts of a sweep, each with a store of its own, as one result."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import CheckError, InputError, UsageError
from simulator.planning.store import Store, key
from simulator.planning.sweep import Sweep, gathered, grid

_NAMED = 5  # missing points that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A whole sweep.

    Parameters
    ----------
    sweep : Sweep
        As one process would have given it.
    parts : int
        Stores that it was joined from.
    files : list of str
        Input files that it rests on.
    """

    sweep: Sweep
    parts: int
    files: list[str]


def merge(folders: Iterable[Path]) -> Merged:
    """Return the sweep whose parts lie in some folders.

    Raises
    ------
    UsageError
        A folder without any part, or one that a sweep still works on.
    InputError
        Parts of different sweeps, or of different versions of this program.
    CheckError
        Points that no part has.
    """
    paths = [path for folder in folders for path in _stores(folder)]
    first: dict[str, str] = {}
    answers: dict[str, Any] = {}
    points: list[dict[str, Any]] = []
    names: list[str] = []
    for path in paths:
        with Store(path) as store:
            facts = {name: store.noted(name) or "" for name in ("op", "axes", "ground")}
            if not facts["axes"]:
                raise InputError(str(path), "holds no sweep that can be joined")
            if not first:
                first = facts
                points = grid(json.loads(facts["axes"]))
                names = [key(point, json.loads(facts["ground"])) for point in points]
            for name, text in facts.items():
                if text != first[name]:
                    what = "another version or other files" if name == "ground" else "another grid"
                    raise InputError(str(path), f"is of {what} than {paths[0]}")
            answers |= store.find(names)
    missing = [number for number, name in enumerate(names) if name not in answers]
    if missing:
        raise CheckError(_missing(missing, points))
    whole = gathered(points, [answers[name] for name in names], len(names))
    files = [name for name in json.loads(first["ground"]) if name != "product"]
    return Merged(sweep=whole, parts=len(paths), files=files)


def _stores(folder: Path) -> list[Path]:
    found = sorted(folder.glob("results*.db")) if folder.is_dir() else []
    if not found:
        raise UsageError(
            f"{folder}: holds no part of a sweep",
            where=str(folder),
            hint="commsim sweep ... --shard 1/8 -o DIR",
        )
    return found


def _missing(missing: Sequence[int], points: Sequence[dict[str, Any]]) -> str:
    varied = [name for name in points[0] if len({json.dumps(point[name]) for point in points}) > 1]
    some = ["; ".join(f"{name} {points[number][name]}" for name in varied) for number in missing[:_NAMED]]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"{len(missing)} of {len(points)} points are missing: {', '.join(f'({one})' for one in some)}{more}"
    )
