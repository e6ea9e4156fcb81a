"""A training step of a model like Llama 3 405B, as senders on a rail-optimised network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.network.lanes import Book, Lanes
from tests.benchmarks.graphs import BANDWIDTH, Ints, compact
from tests.benchmarks.step_programmes import IN_NODE, compute, exchange, hand_on

PER_LEAF, SPINES = 32, 32
COMPUTE, FORWARD, BACKWARD, EXCHANGE = range(4)  # kinds of lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as lanes.

    Parameters
    ----------
    lanes : Lanes
        Who computes, who hands on to the next and to the stage before, who exchanges gradients.
    hint : numpy.ndarray of int64, shape (lanes,)
        Alike for lanes that only differ in the rail and in which leaf of a stage they are on.
    kind : numpy.ndarray of int64, shape (lanes,)
        COMPUTE, FORWARD, BACKWARD or EXCHANGE.
    """

    lanes: Lanes
    hint: Ints
    kind: Ints


def layers_of(stages: int) -> list[int]:
    """Return the layers of each stage: seven on the first and on the last, else eight."""
    return [7 if stage in (0, stages - 1) else 8 for stage in range(stages)]


def step(
    dp: int = 128,
    pp: int = 16,
    layers: Sequence[int] | None = None,
    microbatches: int = 16,
    rails: int = 8,
    *,
    tp_messages: bool = False,
) -> Step:
    """Return workload v at any scale.

    Parameters
    ----------
    dp, pp, microbatches : int
        Replicas, at least 2; stages; microbatches.
    layers : sequence of int, shape (pp,), optional
        Of each stage; `layers_of` by default.
    rails : int
        GPUs of a node, each with a network of its own.
    tp_messages : bool
        Every message of the tensor-parallel collectives too; needs 8 rails.

    Raises
    ------
    ValueError
        For sizes that do not fit.
    """
    layers = layers_of(pp) if layers is None else layers
    if min(dp - 1, pp, microbatches, rails) < 1 or len(layers) != pp or (tp_messages and rails != 8):
        raise ValueError(f"no such step: {dp=}, {pp=}, {layers=}, {microbatches=}, {rails=}, {tp_messages=}")
    return _Writer(dp, pp, rails, tp_messages).step(layers, microbatches)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Numbers of lanes and links; arrays over replicas and rails, stage by stage."""

    dp: int
    pp: int
    rails: int
    tensor: bool

    def step(self, layers: Sequence[int], microbatches: int) -> Step:
        book = Book()
        programme, partners, kind = [], [], []
        for stage in range(self.pp):
            done = compute(book, stage, layers, microbatches, self.rails, tensor=self.tensor)
            written = [done.programme]
            written.append(hand_on(book, done.forward, tensor=self.tensor) if stage < self.pp - 1 else -1)
            written.append(hand_on(book, done.backward, tensor=self.tensor) if stage else -1)
            written.append(exchange(book, done.layers, self.dp, tensor=self.tensor))
            for what, (number, waits) in enumerate(zip(written, self.partners(stage), strict=True)):
                if number >= 0:
                    programme.append(np.full(len(waits), number))
                    kind.append(np.full(len(waits), what))
                    partners.append(waits)
        kinds = np.concatenate(kind)
        start, links = compact(self.routes())
        widths = np.concatenate([np.full(len(waits), waits.shape[1]) for waits in partners])
        lanes = Lanes(
            programmes=book.made(),
            programme=np.concatenate(programme),
            partner_start=np.cumsum(widths) - widths,
            partners=np.concatenate([waits.ravel() for waits in partners]),
            slot_start=np.arange(len(kinds)) if self.tensor else np.cumsum(kinds > 0) - (kinds > 0),
            slots=np.arange(len(start) - 1),
            route_start=start,
            links=links,
            bandwidth=np.concatenate([np.full(count, each) for count, each in self.links()]),
        )
        return Step(lanes=lanes, hint=self.hint(), kind=kinds)

    @property
    def width(self) -> int:
        """Return how many lanes compute on a node."""
        return self.rails if self.tensor else 1

    def gpus(self) -> tuple[Ints, Ints]:
        """Return the replica and the rail of each GPU of a stage."""
        replica, rail = np.divmod(np.arange(self.dp * self.rails), self.rails)
        return replica, rail

    def first(self, stage: int, kind: int) -> int:
        """Return the first lane of a kind on a stage."""
        gpus = self.dp * self.rails
        present = [self.dp * self.width, gpus * (stage < self.pp - 1), gpus * (stage > 0)]
        whole = self.dp * self.width + 3 * gpus  # of a stage in the middle
        return stage * whole - gpus * (stage > 0) + sum(present[:kind])

    def computing(self, stage: int, replica: Ints, rail: Ints) -> Ints:
        """Return who computes for a GPU."""
        return self.first(stage, COMPUTE) + (replica * self.rails + rail if self.tensor else replica)

    def sending(self, kind: int, stage: int, replica: Ints, rail: Ints) -> Ints:
        """Return who sends for a GPU."""
        return self.first(stage, kind) + replica * self.rails + rail

    def partners(self, stage: int) -> list[Ints]:
        """Return for each kind whom each of its lanes on a stage waits for, shape (lanes, partners)."""
        replica, rail = self.gpus()
        before = (rail - 1) % self.rails
        own = [self.computing(stage, replica, rail)]
        own += [self.computing(stage, replica, before)] if self.tensor else []
        arrive = []
        if stage:
            arrive.append(self.sending(FORWARD, stage - 1, replica, rail))
        if stage < self.pp - 1:
            arrive.append(self.sending(BACKWARD, stage + 1, replica, rail))
        ring = self.sending(EXCHANGE, stage, (replica - 1) % self.dp, rail)
        if self.tensor:
            waits = np.stack([*arrive, own[1]], axis=1)
        else:
            waits = np.concatenate(
                [np.empty((self.dp, 0), np.int64), *(one.reshape(self.dp, self.rails) for one in arrive)],
                axis=1,
            )
        return [waits, np.stack(own, axis=1), np.stack(own, axis=1), np.stack([ring, *own], axis=1)]

    def routes(self) -> Ints:
        """Return the links of each lane that sends, shape (senders, 4), filled up with -1."""
        tables = []
        replica, rail = self.gpus()
        for stage in range(self.pp):
            node = self.dp * stage + replica
            if self.tensor:
                inside = np.full((len(node), 4), -1)
                inside[:, 0] = self.rails * self.of_a_rail() + node * self.rails + rail
                tables.append(inside)
            if stage < self.pp - 1:
                tables.append(self.between(node, node + self.dp, rail))
            if stage:
                tables.append(self.between(node, node - self.dp, rail))
            tables.append(self.between(node, self.dp * stage + (replica + 1) % self.dp, rail))
        return np.concatenate(tables)

    def between(self, source: Ints, target: Ints, rail: Ints) -> Ints:
        """Return the links from node to node on a rail: by the spine that the target names, unless near."""
        nodes, leaves, here, there = self.dp * self.pp, self.leaves(), source // PER_LEAF, target // PER_LEAF
        spine, far = target % SPINES, source // PER_LEAF != target // PER_LEAF
        up = np.where(far, 2 * nodes + SPINES * here + spine, -1)
        down = np.where(far, 2 * nodes + SPINES * (leaves + there) + spine, -1)
        hops = np.stack([source, up, down, nodes + target], axis=1)
        return np.where(hops >= 0, hops + (rail * self.of_a_rail())[:, None], -1)

    def leaves(self) -> int:
        """Return how many leaves a rail has."""
        return -(-self.dp * self.pp // PER_LEAF)

    def of_a_rail(self) -> int:
        """Return how many links a rail has."""
        return 2 * self.dp * self.pp + 2 * SPINES * self.leaves()

    def links(self) -> list[tuple[int, float]]:
        """Return how many links there are of each bandwidth, bytes/s."""
        inside = self.dp * self.pp * self.rails if self.tensor else 0
        return [(self.rails * self.of_a_rail(), BANDWIDTH), (inside, IN_NODE)]

    def hint(self) -> Ints:
        """Return kind, stage and place of each lane.

        Rings that stay on a leaf turn freely; those over whole leaves turn from leaf to leaf.
        """
        place = 1 if PER_LEAF % self.dp == 0 else PER_LEAF if self.dp % PER_LEAF == 0 else self.dp
        hints = []
        for stage in range(self.pp):
            for kind in range(4):
                if (kind == FORWARD and stage == self.pp - 1) or (kind == BACKWARD and not stage):
                    continue
                wide = self.width if kind == COMPUTE else self.rails
                node = np.repeat(np.arange(self.dp) % place, wide)
                hints.append((kind * self.pp + stage) * place + node)
        return np.concatenate(hints)
