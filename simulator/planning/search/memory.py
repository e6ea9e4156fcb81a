"""Bytes that every layout takes, in arrays: what `simulator.accounting.memory` counts for one at a time.

What differs from layout to layout in its own way (slices of activations) is asked of that account once a cell; what
is only scaled (states by their shards, activations by the microbatches in flight) is done here for all at once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from simulator.accounting import _moments as moments
from simulator.accounting import activations, fits, weights
from simulator.accounting import plan as memory_plan
from simulator.accounting.activations import SINGLE
from simulator.accounting.memory import COMMUNICATOR, CONTEXT, MOMENTS, STRATEGIES
from simulator.accounting.plan import Plan
from simulator.accounting.weights import Count
from simulator.planning.search.cells import Policy
from simulator.planning.search.structure import Again, Structure
from workloads.layers import ELEMENT
from workloads.model import LayerKind, Model
from workloads.training import Training

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Kept:
    """What one cell keeps of a microbatch, bytes.

    Parameters
    ----------
    plan : Plan
        A step that slices so.
    layers : dict
        A layer by kind and policy.
    inside : dict
        Alive inside the backward of a layer, by kind and policy.
    loss : float
        Of the loss, for one microbatch.
    first, every : float
        In addition on the part with the embedding, on each part.
    """

    plan: Plan
    layers: dict[tuple[LayerKind, Policy], float] = field(default_factory=dict)
    inside: dict[tuple[LayerKind, Policy], float] = field(default_factory=dict)
    loss: float = 0.0
    first: float = 0.0
    every: float = 0.0


def kept(training: Training, kinds: Sequence[LayerKind], policies: Sequence[Policy]) -> Kept:
    """Return what a cell keeps.

    Parameters
    ----------
    training : Training
        A step that slices so.
    kinds : sequence of LayerKind
        Of its model.
    policies : sequence of Policy
        Ways to compute again.
    """
    plain = training.replace(
        schedule="1f1b", layout=replace(training.layout, vpp=1), chunk_layers=_any(training), strategy="zero1",
        recompute="none", recompute_modules=(), recompute_layers=0,
    )  # fmt: skip
    plan = memory_plan.of(plain)
    held = plan.held
    found = Kept(plan, loss=moments.loss(plan))
    boundary = plan.tokens * plan.model.hidden / held.sequence
    found.first = activations.tower(plan.model, held, plan.microbatch) + (boundary if plan.dropout else 0.0)
    found.every = held.wide * boundary if plan.keeps_outputs else 0.0
    for policy in policies:
        name, modules = policy[0], policy[1] or ("core_attn",)
        again = plan.replace(recompute=name, recompute_modules=modules)
        for kind in kinds:
            found.layers[kind, policy] = activations.kept(
                plan.model, kind, held, recompute=name, modules=modules
            )
            found.inside[kind, policy] = moments.inside(again, kind)
    return found


def _any(training: Training) -> tuple[int, ...]:
    """Return some way to deal the layers to the stages, which is of no matter for one of them."""
    pp = training.layout.pp
    return (training.layers - (pp - 1) * (training.layers // pp), *(training.layers // pp,) * (pp - 1))


class Shelf:
    """What many cells keep, as columns.

    Parameters
    ----------
    kept : sequence of Kept
        One for each.
    """

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = kept
        self.loss, self.first, self.every = (
            np.array([getattr(one, name) for one in kept]) for name in ("loss", "first", "every")
        )
        plans = [one.plan for one in kept]
        self.wide = np.array([plan.precision == "fp32" for plan in plans])
        self.grad_bytes, self.bucket = (
            np.array([getattr(plan, name) for plan in plans]) for name in ("grad_bytes", "bucket")
        )
        self.moments = np.array([MOMENTS[plan.optimizer] + plan.step_bytes for plan in plans])
        self._columns: dict[tuple[str, LayerKind, Policy], Floats] = {}

    def column(self, what: str, kind: LayerKind, policy: Policy) -> Floats:
        """Return bytes of a kind of layer under a policy, shape (kept,)."""
        if (what, kind, policy) not in self._columns:
            found = [getattr(one, what)[kind, policy] for one in self.kept]
            self._columns[what, kind, policy] = np.array(found)
        return self._columns[what, kind, policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Cells of layouts that share a structure, as arrays of shape (cells,).

    Parameters
    ----------
    shelf : Shelf
        What cells keep.
    index : array of int
        Which of them each is.
    tp, cp, dp, pp, ep, etp : array of int
        Degrees.
    """

    shelf: Shelf
    index: NDArray[np.int64]
    tp: Floats
    cp: Floats
    dp: Floats
    pp: Floats
    ep: Floats
    etp: Floats

    @property
    def replicas(self) -> Floats:
        """Return the ranks that hold the same dense parameters."""
        return self.dp * self.cp

    @property
    def expert_replicas(self) -> Floats:
        """Return the ranks that hold the same experts."""
        return self.tp * self.cp * self.dp / (self.ep * self.etp)


def usable(members: Members, visible: float) -> Floats:
    """Return the bytes that tensors can have, shape (cells,): see `simulator.accounting.fits.usable`."""
    axes = (members.tp, members.cp, members.replicas, members.pp, members.ep)
    groups = np.sum([axis > 1 for axis in (*axes, members.replicas * members.tp * members.pp)], axis=0)
    found: Floats = (visible - CONTEXT - COMMUNICATOR * groups) / (1 + fits.LEAST_GAPS)
    return found


def allocated(
    structure: Structure,
    microbatches: int,
    again: Sequence[Again],
    strategies: Sequence[str],
    members: Members,
) -> Floats:
    """Return the bytes in tensors of the fullest stage, shape (strategies, ways to compute again, cells)."""
    sheet = _Sheet(structure, again, members)
    flights = structure.flights(microbatches)
    most = np.zeros((len(strategies), len(again), len(members.index)))
    for stage, flight in zip(structure.stages, flights, strict=True):
        held = sheet.activations(stage) * flight / structure.copies
        last = any(structure.kinds[kind].last for kind in stage)
        alive = microbatches if structure.name == "gpipe" else 1
        loss = members.shelf.loss[members.index] * (alive if last else 0)
        passing = held + loss + np.maximum(0.0, sheet.inside(stage) - loss)
        for number, strategy in enumerate(strategies):
            fixed = _States(structure, stage, members, strategy).total()
            np.maximum(most[number], passing + fixed, out=most[number])
    return most


class _Sheet:
    """Activations by kind of part."""

    def __init__(self, structure: Structure, again: Sequence[Again], members: Members) -> None:
        self.structure, self.again, self.members = structure, again, members
        columns, often = structure.kept(again)
        sizes = np.array([members.shelf.column("layers", *key)[members.index] for key in columns])
        self.kept = often @ sizes
        self.first, self.every = members.shelf.first[members.index], members.shelf.every[members.index]

    def activations(self, stage: tuple[int, ...]) -> Floats:
        """Return what a kind of stage keeps of one microbatch, shape (ways, cells)."""
        found = self.kept[:, list(stage)].sum(axis=1) + self.every * len(stage)
        ends = sum(self.structure.kinds[kind].first for kind in stage)
        total: Floats = found + ends * self.first
        return total

    def inside(self, stage: tuple[int, ...]) -> Floats:
        """Return what is alive inside the largest layer, shape (ways, cells)."""
        kinds = list(dict.fromkeys(cut[0] for part in stage for cut in self.structure.kinds[part].layers))
        policies = [(name, modules if name == "selective" else ()) for name, modules, _ in self.again]
        known: dict[Policy, Floats] = {}
        for policy in policies:
            if policy not in known:
                sizes = [self._inside(kind, policy) for kind in kinds]
                known[policy] = np.array(sizes).max(axis=0, initial=0.0)
        return np.array([known[policy] for policy in policies])

    def _inside(self, kind: LayerKind, policy: Policy) -> Floats:
        return self.members.shelf.column("inside", kind, policy)[self.members.index]


class _States:
    """Model states of a kind of stage under a strategy: see `simulator.accounting.memory.states`."""

    def __init__(self, structure: Structure, stage: tuple[int, ...], members: Members, strategy: str) -> None:
        self.plan: Plan = members.shelf.kept[members.index[0]].plan
        self.model: Model = self.plan.model
        parts = [structure.kinds[kind] for kind in stage]
        self.kinds = [kind for part in parts for kind, _ in part.layers]
        self.counts = {kind: weights.layer(self.model, kind) for kind in dict.fromkeys(self.kinds)}
        self.first, self.last = any(part.first for part in parts), any(part.last for part in parts)
        self.members, self.name, self.strategy = members, strategy, STRATEGIES[strategy]
        self.count = self._count()
        shelf, index = members.shelf, members.index
        narrow = ELEMENT if strategy in ("zero3", "zeropp") else SINGLE
        given = np.zeros(len(index)) if strategy in ("fsdp", "hsdp") else shelf.grad_bytes[index]
        self.grad = np.where(given > 0, given, narrow)
        self.single = shelf.wide[index] | self.strategy.single
        self.moments, self.bucket = shelf.moments[index], shelf.bucket[index]
        self.gathered = structure.pp > 1  # as a pipeline keeps them for all microbatches

    def total(self) -> Floats:
        """Return states and what stands beside them, bytes, shape (cells,)."""
        found: Floats = self._states() + self._beside() + self.bucket
        return found

    def _count(self) -> Count:
        often = Counter(self.kinds)
        found = sum((self.counts[kind].times(times) for kind, times in often.items()), Count())
        if self.first:
            found += weights.embedding(self.model)
        if self.last:
            head = weights.head(self.model)
            found += Count(copied=head.copied) if self.model.tied and self.first else head
        if self.last and self.plan.prediction:
            found += weights.prediction(self.model)
        return found

    def _dense(self, count: Count) -> Floats:
        found: Floats = count.sliced / self.members.tp + count.copied
        return found

    def _routed(self, count: Count) -> Floats:
        found: Floats = count.experts / (self.members.ep * self.members.etp)
        return found

    def _states(self) -> Floats:
        dense, routed = self._dense(self.count), self._routed(self.count)
        group = self.members.replicas
        inner = np.minimum(self.members.expert_replicas, group)
        whole, part = dense + routed, dense / group + routed / inner
        held = np.where(self.single, SINGLE, ELEMENT) * (part if self.strategy.weights else whole)
        if self.strategy.second:
            held = held + ELEMENT * part
        master = np.where(self.single, 0.0, SINGLE)
        held = held + self.grad * (part if self.strategy.gradients else whole)
        found: Floats = held + (master + self.moments) * (part if self.strategy.optimizer else whole)
        return found

    def _beside(self) -> Floats:
        """Return gathered weights, or one gradient of each shape of weight."""
        counts = list(self.counts.values())
        nothing = np.zeros(len(self.members.index))
        head = self._dense(weights.head(self.model)) if self.last else nothing
        layer: Floats
        if not self.strategy.weights:
            expert = self.members.etp * max(self.model.experts, 1)
            layer = np.max([nothing, *(self._dense(one) + one.experts / expert for one in counts)], axis=0)
            return np.multiply(ELEMENT, layer + head)
        if self.gathered:
            return np.multiply(ELEMENT + SINGLE, self._dense(self.count) + self._routed(self.count))
        layer = np.max([nothing, *(self._dense(one) + self._routed(one) for one in counts)], axis=0)
        return np.multiply(2 * ELEMENT, layer + head) + np.multiply(ELEMENT, layer)
