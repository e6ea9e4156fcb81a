"""All candidates of a search: which fit in memory, and how long each takes at least, class by class.

A class has one schedule on so many stages with so many microbatches; its candidates are a block of strategies x ways to
compute again x members, a member being a layout with a cell.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search import memory
from simulator.planning.search.basis import Basis, Recipe
from simulator.planning.search.cells import FULL, NOTHING, Policy
from simulator.planning.search.classes import Group, Inner, Member
from simulator.planning.search.exchange import Exchanged, Optimizer
from simulator.planning.search.memory import Members, Shelf
from simulator.planning.search.space import Space, Stage, agains, batches, layouts, stages
from simulator.planning.search.structure import Again, Structure
from simulator.planning.search.tariff import Tariff
from simulator.planning.search.times import Lanes
from workloads.layout import AXES, Layout
from workloads.training import Training

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Slice = tuple[Any, ...]  # what a cell is known by


@dataclass(slots=True)
class Survey:
    """The candidates of a search.

    Parameters
    ----------
    basis : Basis
        What they have in common.
    space : Space
        What may be chosen.
    tell : callable
        Called with how much of the work is done, of how much.
    """

    basis: Basis
    space: Space
    tell: Callable[[int, int | None], object] = lambda *_: None
    groups: list[Group] = field(default_factory=list)
    usable: dict[Layout, float] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    _tariffs: dict[Layout, Tariff] = field(default_factory=dict)
    _exchanged: dict[tuple[Any, ...], Exchanged] = field(default_factory=dict)
    _optimizer: Optimizer | None = None
    _samples: list[Member] = field(default_factory=list)

    def run(self, visible: float | None) -> None:
        """Enumerate, and prune by memory (bytes that a program sees of a GPU)."""
        self._enumerate()
        self._prune(visible)

    @property
    def optimizer(self) -> Optimizer:
        """Return what computes once a step."""
        if self._optimizer is None:
            self._optimizer = Optimizer(self.basis.profile, self.basis.site.device)
        return self._optimizer

    def tariff(self, at: Layout) -> Tariff:
        """Return the prices of a layout, of whose chunks nothing is said."""
        if at not in self._tariffs:
            self._tariffs[at] = Tariff(at, self.basis.site, self.basis.profile, self.basis.desk)
        return self._tariffs[at]

    def exchanged(self, group: Group, member: Member, strategy: str) -> Exchanged:
        """Return what a candidate exchanges between its replicas."""
        key = (member.layout, strategy, *member.inner[1:], group.structure.meet)
        if key not in self._exchanged:
            recipe = replace(self.recipe(group, member, strategy, ("none", (), 0)), sp=member.inner[0])
            plain = replace(recipe, schedule="1f1b", stage_layers=_some(self.basis.model, member.layout.pp))
            training = self.basis.training(replace(member.layout, vpp=1), plain)
            self._exchanged[key] = Exchanged(training, self.tariff(member.layout), group.structure.meet)
        return self._exchanged[key]

    def recipe(self, group: Group, member: Member, strategy: str, again: Again) -> Recipe:
        """Return how a candidate is run."""
        sp, precision, context = member.inner
        return Recipe(
            schedule=group.structure.name, strategy=strategy, precision=precision, context=context,
            mbs=member.mbs, sp=sp, again=again, stage_layers=group.structure.stage_layers,
        )  # fmt: skip

    def at(self, group: Group, member: Member) -> Layout:
        """Return the layout of a candidate, with its chunks."""
        return replace(member.layout, vpp=group.structure.chunks)

    def _enumerate(self) -> None:
        """Find the classes and their members."""
        basis, space, options = self.basis, self.space, self.basis.options
        depth = basis.model.layers + basis.model.encoder_layers
        classes: dict[tuple[int, int, Stage], list[Member]] = defaultdict(list)
        for at in layouts(space, basis.model, options.gpus, options.seq_len, options.etp):
            inner = list(self._inner(at))
            for mbs in batches(space, options.gbs, at.dp):
                microbatches = options.gbs // at.dp // mbs
                members = [Member(at, mbs, one) for one in inner]
                for stage in stages(space, depth, at.pp, microbatches):
                    classes[at.pp, microbatches, stage] += members
        structures: dict[tuple[int, Stage], Structure] = {}
        shelf: dict[Slice, int] = {}
        self._samples = []
        for (pp, microbatches, stage), members in classes.items():
            if (pp, stage) not in structures:
                structures[pp, stage] = self._structure(members[0], stage)
            structure = structures[pp, stage]
            again = agains(space, basis.model, self.basis.usual, structure.deepest)
            again = [one for one in again if not (structure.split and _whole(one))]
            kept = np.array([self._number(shelf, member) for member in members], dtype=np.int64)
            if again:
                self.groups.append(Group(structure, microbatches, again, members, kept))

    def _number(self, shelf: dict[Slice, int], member: Member) -> int:
        key = self.slice(member)
        found = shelf.setdefault(key, len(shelf))
        if found == len(self._samples):
            self._samples.append(member)
        return found

    def slice(self, member: Member) -> Slice:
        """Return what the cell of a member is known by: nothing of the data parallel replicas is in it."""
        at = member.layout
        more = () if at.order == AXES else (at.dp, at.pp)
        return (at.tp, at.cp, at.ep, at.etp, member.mbs, member.inner, *more)

    def _inner(self, at: Layout) -> Iterator[Inner]:
        sliced = self.space.sp if at.tp > 1 else (False,)
        contexts = self.space.contexts if at.cp > 1 else self.space.contexts[:1]
        heads = self.basis.model.heads // at.tp
        for sp, precision, context in product(sliced, self.space.precisions, contexts):
            if context != "ulysses" or heads % at.cp == 0:
                yield sp, precision, context

    def _structure(self, member: Member, stage: Stage) -> Structure:
        name, chunks, given = stage
        at = replace(member.layout, vpp=chunks)
        recipe = Recipe(schedule=name, mbs=member.mbs, stage_layers=given, precision=member.inner[1])
        return Structure(self.basis.training(at, recipe))

    def policies(self) -> list[Policy]:
        """Return the ways to compute a layer again that there are."""
        found: dict[Policy, None] = {NOTHING: None}
        for group in self.groups:
            for kind, modules, _ in group.again:
                found[FULL if kind == "full" else (kind, modules)] = None
        return list(found)

    def sample(self, member: Member) -> Training:
        """Return a step with the slices of a member."""
        sp, precision, context = member.inner
        recipe = Recipe(mbs=member.mbs, sp=sp, precision=precision, context=context,
                        stage_layers=_some(self.basis.model, member.layout.pp))  # fmt: skip
        return self.basis.training(member.layout, recipe)

    def _prune(self, visible: float | None) -> None:
        """Find out what fits."""
        policies = self.policies()
        model = self.basis.model
        kinds = list(dict.fromkeys((*model.encoder_kinds(), *model.layer_kinds())))
        shelf = Shelf([memory.kept(self.sample(member), kinds, policies) for member in self._samples])
        for group in self.groups:
            members = _arrays(shelf, group)
            group.room = memory.allocated(
                group.structure, group.microbatches, group.again, self.space.strategies, members
            )
            limit = np.inf if visible is None else memory.usable(members, visible)
            group.fits = group.room <= limit

    def links(self, at: Layout) -> tuple[tuple[float, float], ...]:
        """Return by how much links slow what the layers of a layout exchange."""
        tariff = self.tariff(at)
        asked = [("tp", "all_gather"), ("cp", "all_gather"), ("cp", "all_to_all"), ("cp", "send_recv")]
        asked += [("ep", "all_to_all"), ("etp", "all_gather")] if self.basis.model.experts else []
        return tuple(tariff.carried(axis, op) for axis, op in asked)

    def exact(self, group: Group, lanes: Lanes) -> Floats:
        """Return the seconds of a step of some candidates of a class; NaN where replay alone can tell."""
        exchanged = [
            self.exchanged(group, group.members[cell], self.space.strategies[strategy])
            for strategy, cell in zip(lanes.strategy.tolist(), lanes.cell.tolist(), strict=True)
        ]
        for one in dict.fromkeys(map(id, exchanged)):
            self._look(group, next(other for other in exchanged if id(other) == one))
        regular = np.array(
            [
                one.regular and group.timed.tariffs[cell].regular
                for one, cell in zip(exchanged, lanes.cell.tolist(), strict=True)
            ]
        )
        found = np.full(len(lanes), np.nan)
        some = np.flatnonzero(regular)
        if len(some):
            part = Lanes(lanes.strategy[some], lanes.again[some], lanes.cell[some])
            found[some] = group.timed.exact(part, [exchanged[place] for place in some.tolist()])
        return found

    def _look(self, group: Group, one: Exchanged) -> None:
        """Ask for all blocks that a class has, so that it is known whether the exchange is regular."""
        for place, _ in group.timed.columns:
            one.block(place)


def _whole(again: Again) -> bool:
    """Tell whether layers are computed again as a whole, of which late gradients of weights need what it drops."""
    return again[0] == "full" or "half_blocks" in again[1]


def _arrays(shelf: Shelf, group: Group) -> Members:
    at = [member.layout for member in group.members]
    degrees = {
        name: np.array([getattr(one, name) for one in at], dtype=float)
        for name in ("tp", "cp", "dp", "pp", "ep")
    }
    etp = np.array([one.expert_tp for one in at], dtype=float)
    return Members(shelf=shelf, index=group.kept, etp=etp, **degrees)


def _some(model: Any, pp: int) -> tuple[int, ...]:
    """Return some way to deal the layers, for what does not depend on it."""
    layers = model.layers + model.encoder_layers
    return (layers - (pp - 1) * (layers // pp), *(layers // pp,) * (pp - 1))
