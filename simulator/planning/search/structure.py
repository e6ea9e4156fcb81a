"""What the stages of a pipeline hold under a schedule: parts alike told once, layers counted by kind and policy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search.cells import EMBEDDING, FULL, HEAD, NOTHING, PREDICTION, Policy
from workloads.model import LayerKind
from workloads.recomputation import policies
from workloads.schedules import SCHEDULES
from workloads.training import Training
from workloads.training_step import dealt

Again = tuple[str, tuple[str, ...], int]  # what is computed again: kind, modules, layers of a stage (0: all)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cut = tuple[LayerKind, bool]


@dataclass(frozen=True, slots=True)
class Part:
    """What a stage runs for one microbatch at a time, one of its chunks.

    Parameters
    ----------
    stage, chunk : int
        Where.
    layers : tuple
        Kinds of layers in order, each with whether it stays in 16 bits.
    first, last : bool
        Whether the embedding, the head are on it.
    """

    stage: int
    chunk: int
    layers: tuple[Cut, ...]
    first: bool
    last: bool

    @property
    def like(self) -> tuple[object, ...]:
        """Return what parts alike have in common."""
        return (self.layers, self.first, self.last)


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each layer comes, for several ways to compute again.

    Parameters
    ----------
    columns : list
        Kinds of layers with their policy.
    often : array of float
        Shape (ways, rows, columns).
    order : array of int
        Columns as they are run forward, shape (ways, rows, most of them); -1 behind the last one.
    row : array of int
        Of each part of the structure, shape (stages, chunks).
    """

    columns: list[tuple[Cut, Policy]]
    often: Floats
    order: Ints
    row: Ints


class Structure:
    """The parts of a pipeline.

    Parameters
    ----------
    sample : Training
        A step with this schedule, number of stages and of chunks.

    Attributes
    ----------
    schedule : module
        Its plugin.
    parts : list of Part
        Of all stages, chunk by chunk.
    kinds : list of Part
        One of each kind.
    of_stage : list of tuple of int
        By stage, the kinds of its parts.
    stages : list of tuple of int
        Kinds of stages: the kinds of their parts.
    meet : bool
        Whether embedding and head are on one stage.
    outer : set of int
        Stages that hold either.
    """

    def __init__(self, sample: Training) -> None:
        at = sample.layout
        self.name = sample.schedule
        self.schedule: ModuleType = SCHEDULES[sample.schedule]
        self.pp, self.chunks = (
            at.pp,
            at.vpp if at.vpp in self.schedule.CHUNKS else int(self.schedule.CHUNKS[0]),
        )
        self.stage_layers = sample.chunk_layers
        self.routes = self.schedule.routes(at.pp, self.chunks)
        self.split, self.copies = bool(self.schedule.SPLIT), int(self.schedule.COPIES)
        placed = dealt(sample, self.routes, self.chunks)
        firsts, lasts = ({route[end] for route in self.routes} for end in (0, -1))
        self.parts = [
            Part(stage, chunk, placed[stage, chunk], (stage, chunk) in firsts, (stage, chunk) in lasts)
            for stage in range(self.pp)
            for chunk in range(self.chunks)
        ]
        self.kinds = list({part.like: part for part in self.parts}.values())
        number = {part.like: at for at, part in enumerate(self.kinds)}
        kind = [number[part.like] for part in self.parts]
        self.of_stage = [tuple(kind[s * self.chunks : (s + 1) * self.chunks]) for s in range(self.pp)]
        self.stages = list(dict.fromkeys(self.of_stage))
        self.prediction = sample.mtp
        self.sample = sample
        self._counts: dict[tuple[Again, ...], Counts] = {}
        self._kept: dict[tuple[Again, ...], tuple[list[tuple[LayerKind, Policy]], Floats]] = {}
        ends = [{part.stage for part in self.parts if getattr(part, end)} for end in ("first", "last")]
        self.meet = bool(ends[0] & ends[1])
        self.outer = ends[0] | ends[1]

    @property
    def deepest(self) -> int:
        """Return the most layers of a stage."""
        return max(sum(len(self.kinds[kind].layers) for kind in stage) for stage in self.stages)

    def cuts(self) -> list[Cut]:
        """Return the kinds of layers that there are."""
        return list(dict.fromkeys(one for part in self.kinds for one in part.layers))

    def ends(self, part: Part) -> tuple[str, ...]:
        """Return the ends of the model that a part holds."""
        last = (*([PREDICTION] if self.prediction else []), HEAD)
        return (*([EMBEDDING] if part.first else []), *(last if part.last else ()))

    def flights(self, microbatches: int) -> list[float]:
        """Return by kind of stage the most activations in flight, in those of one microbatch."""
        most = dict.fromkeys(self.stages, 0.0)
        for stage, kind in enumerate(self.of_stage):
            held = float(self.schedule.in_flight(self.pp, microbatches, self.chunks, stage))
            most[kind] = max(most[kind], held)
        return list(most.values())

    def counts(self, again: Sequence[Again]) -> Counts:
        """Return how often each layer is run in each kind of part; a row is a part, those alike told once."""
        key = tuple(again)
        if key not in self._counts:
            self._counts[key] = _table(self, again)
        return self._counts[key]

    def kept(self, again: Sequence[Again]) -> tuple[list[tuple[LayerKind, Policy]], Floats]:
        """Return how often activations of each layer are kept: columns, and (ways, kinds of parts, columns)."""
        key = tuple(again)
        if key not in self._kept:
            ways = [[_held(part, one) for part in self.kinds] for one in again]
            columns = list(dict.fromkeys(key for way in ways for part in way for key in part))
            often = [[[part[key] for key in columns] for part in way] for way in ways]
            shape = (len(again), len(self.kinds), len(columns))
            self._kept[key] = columns, np.array(often, dtype=float).reshape(shape)
        return self._kept[key]


def _repeated(structure: Structure, again: Again) -> list[Counter[tuple[Cut, Policy]]]:
    """Return the layers of every part by kind and policy."""
    kind, modules, layers = again
    asked = structure.sample.replace(recompute=kind, recompute_modules=modules, recompute_layers=layers)
    named = {"none": NOTHING, "full": FULL, "selective": ("selective", modules)}
    found: list[Counter[tuple[Cut, Policy]]] = []
    for stage in range(structure.pp):
        here = structure.parts[stage * structure.chunks : (stage + 1) * structure.chunks]
        for part, names in zip(here, policies(asked, [len(one.layers) for one in here]), strict=True):
            found.append(_counted(part.layers, [named[name] for name in names]))
    return found


def _counted(cuts: Sequence[Any], named: Sequence[Policy]) -> Counter[tuple[Any, Policy]]:
    """Return how often each pair comes, runs of equal ones at a time."""
    found: Counter[tuple[Any, Policy]] = Counter()
    start = 0
    for place in range(1, len(cuts) + 1):
        if place == len(cuts) or cuts[place] is not cuts[start] or named[place] is not named[start]:
            found[cuts[start], named[start]] += place - start
            start = place
    return found


def _held(part: Part, again: Again) -> Counter[tuple[LayerKind, Policy]]:
    """Return the layers of a part by how their activations are kept."""
    kind, modules, layers = again
    named = {"none": NOTHING, "full": FULL, "selective": ("selective", modules)}
    some = layers or len(part.layers)
    names = [kind if kind != "full" or place < some else "none" for place in range(len(part.layers))]
    return _counted([cut[0] for cut in part.layers], [named[name] for name in names])


def _table(structure: Structure, again: Sequence[Again]) -> Counts:
    every = [_repeated(structure, one) for one in again]
    columns = list(dict.fromkeys(key for way in every for part in way for key in part))
    place = {key: at for at, key in enumerate(columns)}
    shape = (len(structure.parts), len(again), len(columns))
    often, order = np.zeros(shape), np.full(shape, -1, dtype=np.int64)
    kinds = {part.like: at for at, part in enumerate(structure.kinds)}
    for number in range(len(structure.parts)):
        for way, found in enumerate(every):
            for turn, (key, times) in enumerate(found[number].items()):
                often[number, way, place[key]] = times
                order[number, way, turn] = place[key]
    ends = np.array([[kinds[part.like]] for part in structure.parts])  # keep parts apart too
    whole = np.concatenate([often.reshape(len(often), -1), order.reshape(len(often), -1), ends], axis=1)
    _, first, row = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    return Counts(
        columns,
        often[first].swapaxes(0, 1),
        order[first].swapaxes(0, 1),
        row.reshape(structure.pp, structure.chunks),
    )
