"""What replicas exchange beside the first and the last microbatch, and after the last task, layout by layout."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulator.engine.compute import Device, Work
from simulator.planning.search.cells import EMBEDDING, HEAD
from simulator.planning.search.structure import Cut, Part, Structure
from simulator.planning.search.tariff import Tariff
from workloads.parallelism import data
from workloads.parallelism.data import Held
from workloads.step_graph import Collective, Compute, Operation
from workloads.strategies._parts import Exchange
from workloads.training import Training
from workloads.training_layer import Layer, exchanged, held
from workloads.training_step import closing


@dataclass(frozen=True, slots=True)
class Send:
    """A collective beside computation.

    Parameters
    ----------
    stream : str
        Where it runs.
    holds, beside, whole : float
        s that it holds computation up; that it runs on beside; of both.
    """

    stream: str
    holds: float
    beside: float
    whole: float


Sends = tuple[Send, ...]


@dataclass(slots=True)
class Exchanged:
    """What one layout exchanges under one strategy.

    Parameters
    ----------
    training : Training
        A step of this layout with this strategy.
    tariff : Tariff
        Of the layout.
    meet : bool
        Whether embedding and head are on one stage.

    Attributes
    ----------
    regular : bool
        Whether all of it waits for nothing but the end of the step.
    """

    training: Training
    tariff: Tariff
    meet: bool = False
    regular: bool = True
    _blocks: dict[Cut | str, tuple[Sends, Sends]] = field(default_factory=dict)
    _layers: dict[Cut, Held] = field(default_factory=dict)
    _after: dict[tuple[int, tuple[int, ...], bool], tuple[Operation, ...]] = field(default_factory=dict)

    def block(self, place: Cut | str) -> tuple[Sends, Sends]:
        """Return what a block exchanges forward in the first microbatch and backward in the last one."""
        if place not in self._blocks:
            found = self._exchange(place)
            for one in (*found.entry, *found.backward_before):
                self.regular &= one is None
            every = (*found.forward, *found.backward)
            self.regular &= all(one.until == "step" and bool(one.stream) for one in every)
            self.tariff.times.learn(self.tariff.asked(one for one in every if isinstance(one, Collective)))
            self._blocks[place] = (self._sends(found.forward), self._sends(found.backward))
        return self._blocks[place]

    def pressed(self, place: Cut | str) -> tuple[float, float, float, float]:
        """Return what a block exchanges in every microbatch, forward and backward: s that hold it up, s beside it."""
        found = self._exchange(place)
        ways = [
            self._sends(one for one in some if getattr(one, "when", "every") == "every")
            for some in (found.forward, (*found.backward_before, *found.backward))
        ]
        holds = [sum(send.holds for send in some) for some in ways]
        beside = [sum(send.beside for send in some) for some in ways]
        return holds[0], beside[0], holds[1], beside[1]

    def _exchange(self, place: Cut | str) -> Exchange:
        training = self.training
        if not isinstance(place, str):
            return exchanged(training, held(training, _layer(place)))
        name, _, number = place.partition(" ")
        if name == EMBEDDING:
            return exchanged(training, data.embedding(training.model, training.layout))
        if name == HEAD:
            own = not (self.meet and training.model.tied)
            return exchanged(training, data.head(training.model, training.layout, own=own))
        kinds = training.model.mtp_kinds()
        if int(number) < len(kinds):
            return exchanged(training, held(training, _layer((kinds[int(number)], False))))
        return exchanged(training, data.prediction(training.model, training.layout))

    def _sends(self, operations: Iterable[Operation]) -> Sends:
        found = []
        for one in operations:
            if isinstance(one, Collective):
                seconds, share = self.tariff.seconds(one), self.tariff.exposed(one)
                found.append(Send(one.stream, seconds * share, seconds * (1 - share), seconds))
        return tuple(found)

    def after(self, structure: Structure, stage: int) -> tuple[Operation, ...]:
        """Return what follows the last task of a stage."""
        held_by, outer = structure.of_stage[stage], stage in structure.outer
        key = (id(structure), held_by, outer)
        if key not in self._after:
            owned, meets = Held(), any(structure.kinds[kind].first for kind in held_by)
            for kind, times in Counter(held_by).items():
                owned += self._owned(structure.kinds[kind], meets=meets).times(times)
            self._after[key] = closing(self.training, owned, structure.routes, stage)
        return self._after[key]

    def _owned(self, part: Part, *, meets: bool) -> Held:
        training = self.training
        model, at = training.model, training.layout
        found = Held()
        for cut, times in Counter(part.layers).items():
            found += self._held(cut).times(times)
        if part.first:
            found += data.embedding(model, at)
        if part.last:
            if training.mtp:
                inner = sum((self._held((kind, False)) for kind in model.mtp_kinds()), Held())
                found += inner + data.prediction(model, at).times(model.mtp_layers)
            found += data.head(model, at, own=not (meets and model.tied))
        return found

    def _held(self, cut: Cut) -> Held:
        if cut not in self._layers:
            self._layers[cut] = held(self.training, _layer(cut))
        return self._layers[cut]


def _layer(cut: Cut) -> Layer:
    return Layer(kind=cut[0], wide=cut[1], repeat=1, recompute="none")


class Optimizer:
    """Seconds of what computes once a step, each asked for once.

    Parameters
    ----------
    profile, device
        What computations take.
    """

    def __init__(self, profile: dict[str, float], device: Device) -> None:
        self._profile, self._device = profile, device
        self._known: dict[Compute, float] = {}

    def learn(self, operations: Iterable[Operation]) -> None:
        """Ask for several at once."""
        new = list(
            dict.fromkeys(one for one in operations if isinstance(one, Compute) and one not in self._known)
        )
        if new:
            seconds = Work([(one, self._device) for one in new]).seconds(self._profile)
            self._known |= dict(zip(new, seconds.tolist(), strict=True))

    def seconds(self, operations: Sequence[Operation], tariff: Tariff) -> float:
        """Return the seconds of operations one after another, as `simulator.engine._task_time.Walk` has them."""
        self.learn(operations)
        return sum(
            self._known[one] if isinstance(one, Compute) else tariff.seconds(one) for one in operations
        )
