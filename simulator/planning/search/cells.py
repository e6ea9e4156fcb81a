r"""What a layer takes on one rank, forward, backward and again, for every way to slice it.

A cell is what the time of a layer depends on: how it is sliced, tokens of a microbatch, precision, software. Layouts
of millions share some thousands of cells. Inside a block all that runs beside ends with the block, so that a block is
told by few numbers: its seconds by itself, and how they grow by what holds it up in addition, ``x`` ahead of a forward
or behind a backward, where kernels are launched beside for ``h``:

.. math:: F(x) = \max(h, R + x), \qquad B(x) = \max(B, H + x)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from simulator.engine.compute import Device, Work
from simulator.planning.search.tariff import Tariff
from workloads.model import LayerKind
from workloads.step_graph import Block, Collective, Compute, Kind, Operation
from workloads.strategies._parts import Exchange
from workloads.training import Training
from workloads.training_ends import embed, predict, project
from workloads.training_layer import Layer, Sliced

Floats = NDArray[np.float64]
Place = (
    tuple[LayerKind, bool] | str
)  # a kind of layer and whether it stays in 16 bits; or an end of the model
Policy = tuple[str, tuple[str, ...]]  # what is computed again: kind, modules
Key = tuple[str, Place, Policy]  # "F", "B" (whole), "I" (of inputs), "W" (of weights)
EMBEDDING, HEAD, PREDICTION = "embedding", "head", "prediction"
ENDS = (EMBEDDING, PREDICTION, HEAD)  # in the order of the forward pass
NOTHING: Policy = ("none", ())
FULL: Policy = ("full", ())


@dataclass(frozen=True, slots=True)
class Seconds:
    """A block's seconds.

    Parameters
    ----------
    whole : float
        By itself.
    launch : float
        That its kernels are launched beside it; 0 in a backward.
    held : float
        Of all that comes after the launches (forward), that holds the compute stream (backward).
    work, talk : float
        Of computations alone and of collectives alone.
    times : int
        How often it comes, one after the other.
    """

    whole: float = 0.0
    launch: float = 0.0
    held: float = 0.0
    work: float = 0.0
    talk: float = 0.0
    times: int = 1


@dataclass(slots=True)
class Cell:
    """One way to slice a layer, as some training step and some prices have it.

    Parameters
    ----------
    training : Training
        A step that slices so.
    tariff : Tariff
        What its collectives take.
    seconds : dict
        By what it is; what is not there takes no time.
    """

    training: Training
    tariff: Tariff
    seconds: dict[Key, Seconds] = field(default_factory=dict)


_ABSENT = Seconds()


class Book:
    """The seconds of many cells as columns.

    Parameters
    ----------
    cells : sequence of Cell
        Filled.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells
        self._columns: dict[tuple[Key, str], Floats] = {}

    def column(self, key: Key, what: str) -> Floats:
        """Return a number of a block, shape (cells,); 0 where there is none."""
        if (key, what) not in self._columns:
            found = [getattr(cell.seconds.get(key, _ABSENT), what) for cell in self.cells]
            self._columns[key, what] = np.array(found, dtype=float)
        return self._columns[key, what]


def fill(
    cells: Sequence[Cell], places: Iterable[tuple[LayerKind, bool]], policies: Sequence[Policy],
    profile: Mapping[str, float], device: Device, *, whole: bool, split: bool,
) -> None:  # fmt: skip
    """Work out the seconds of some cells.

    Parameters
    ----------
    cells : sequence of Cell
        To be filled.
    places : iterable of (LayerKind, bool)
        The kinds of layers, and whether they stay in 16 bits.
    policies : sequence of Policy
        Ways to compute again.
    profile, device
        What computations take.
    whole, split : bool
        Whether backwards are wanted as one, and as those of inputs and of weights.
    """
    places = tuple(places)
    found: list[tuple[Cell, Key, Block]] = []
    for cell in cells:
        for key, block in _blocks(cell.training, places, policies, whole=whole, split=split):
            found.append((cell, key, block))
    _learn(found)
    prices = _priced((one for _, _, block in found for one in block.operations), profile, device)
    for cell, key, block in found:
        cell.seconds[key] = _walked(block, cell.tariff, prices, forward=key[0] == "F")


def _blocks(
    training: Training, places: Sequence[tuple[LayerKind, bool]], policies: Sequence[Policy],
    *, whole: bool, split: bool,
) -> Iterable[tuple[Key, Block]]:  # fmt: skip
    """Yield every block, without what a strategy exchanges."""
    wire = replace(training.wire, grad_overlap=False)
    bare = training.replace(
        strategy="ddp", wire=wire, recompute="none", recompute_modules=(), recompute_layers=0
    )
    layers = {place: Layer(kind=place[0], wide=place[1], repeat=1, recompute="none") for place in places}
    sliced = {place: Sliced(bare, layer) for place, layer in layers.items()}
    forward = True
    for apart in [False] * whole + [True] * split:
        for policy in policies:
            kind, modules = policy
            if apart and kind == "full":
                continue  # late gradients of weights need what it drops
            asked = bare if kind != "selective" else bare.replace(recompute=kind, recompute_modules=modules)
            for place, layer in layers.items():
                found = sliced[place].blocks(asked, replace(layer, recompute=kind), Exchange(), split=apart)
                for task, block in found.items():
                    if task != "F" or (forward and policy == policies[0]):
                        yield (_name(task, apart=apart), place, policy if task != "F" else NOTHING), block
        yield from _ends(bare, policies, apart=apart, forward=forward)
        forward = False


def _name(task: Kind, *, apart: bool) -> str:
    return "I" if apart and task == "B" else task


def _ends(
    training: Training, policies: Sequence[Policy], *, apart: bool, forward: bool
) -> Iterable[tuple[Key, Block]]:
    """Yield the blocks of both ends and of multi-token prediction, numbered in the order of the forward pass.

    The layers of multi-token prediction are computed again as those of the model are.
    """
    for name in ENDS:
        for policy in policies if name == PREDICTION and training.mtp else policies[:1]:
            kind, modules = policy if name == PREDICTION else NOTHING
            if apart and kind == "full":
                continue
            asked = training.replace(recompute=kind, recompute_modules=modules)
            for task, number, block in _end(asked, name, apart=apart):
                if task != "F":
                    yield (_name(task, apart=apart), f"{name} {number}", (kind, modules)), block
                elif forward and policy == policies[0]:
                    yield ("F", f"{name} {number}", NOTHING), block


def _end(training: Training, name: str, *, apart: bool) -> Iterable[tuple[Kind, int, Block]]:
    """Yield the blocks of one end with their tasks and numbers."""
    work: dict[Kind, list[Block]] = {task: [] for task in ("F", "B", *(("W",) if apart else ()))}
    if name == EMBEDDING:
        embed(training, work)
    elif name == HEAD:
        project(training, work, own=True)
    elif training.mtp:
        predict(training, work)
    for task, some in work.items():
        for number, block in enumerate(some if task == "F" else reversed(some)):
            yield task, number, block


def _learn(found: Sequence[tuple[Cell, Key, Block]]) -> None:
    """Ask for all collectives of all cells at once."""
    asked = (
        setting
        for cell, _, block in found
        for setting in cell.tariff.asked(one for one in block.operations if isinstance(one, Collective))
    )
    times = next((cell.tariff.times for cell, _, _ in found), None)
    if times is not None:
        times.learn(asked)


_Price = dict[tuple[object, ...], float]


def _like(one: Compute) -> tuple[object, ...]:
    return (one.law, one.flops, one.bytes, one.shape, one.count, one.precision, one.variant)


def _priced(operations: Iterable[Operation], profile: Mapping[str, float], device: Device) -> _Price:
    """Return the seconds of computations, those alike asked for once."""
    known = {_like(one): one for one in operations if isinstance(one, Compute)}
    seconds = Work([(one, device) for one in known.values()]).seconds(profile)
    return dict(zip(known, seconds.tolist(), strict=True))


def _walked(block: Block, tariff: Tariff, prices: _Price, *, forward: bool) -> Seconds:
    """Return what a block comes to: see `simulator.engine._task_time.Walk`."""
    now = launch = work = talk = 0.0
    free: dict[str, float] = {}
    for one in block.operations:
        if isinstance(one, Compute):
            seconds = prices[_like(one)]
            if not one.stream:
                now += seconds
                work += seconds
            elif one.stream == "host":
                launch += seconds
            else:
                free[one.stream] = max(free.get(one.stream, now), now) + seconds
            continue
        seconds = tariff.seconds(one)
        talk += seconds
        stream = one.stream or (one.axis if one.overlap else "")
        share = tariff.exposed(one) if stream else 1.0
        now += seconds * share
        if stream:
            free[stream] = max(free.get(stream, now), now) + seconds * (1 - share)
    latest = max(free.values(), default=0.0)
    if forward:
        rest = max(now, latest)
        return Seconds(max(launch, rest), launch, rest, work, talk, block.repeat)
    return Seconds(max(now, latest, launch), 0.0, now, work, talk, block.repeat)
