"""The exact seconds of a step of many candidates at once: tasks of every lane, then the way through the schedule."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.planning.search.cells import EMBEDDING
from simulator.planning.search.exchange import Exchanged
from simulator.planning.search.times import Clock, Lanes
from simulator.planning.search.walk import ends
from workloads.parallelism import pipeline
from workloads.training import Training
from workloads.training_layer import cut_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Exact:
    """One batch of candidates on its way through the schedule.

    Parameters
    ----------
    clock : Clock
        Of their class.
    lanes : Lanes
        Which they are.
    exchanged : sequence of Exchanged
        What each exchanges.
    """

    def __init__(self, clock: Clock, lanes: Lanes, exchanged: Sequence[Exchanged]) -> None:
        self.clock, self.lanes = clock, lanes
        kinds = {id(one): one for one in exchanged}
        self.exchanged = list(kinds.values())
        number = {key: place for place, key in enumerate(kinds)}
        self.which = np.array([number[id(one)] for one in exchanged])  # of the lanes
        self.count = clock.counts[lanes.again]  # lanes, rows, columns
        self.split = clock.structure.split
        self.last = "W" if self.split else "B"
        self.every = np.arange(len(lanes))
        self._queued: dict[tuple[bool, bool], dict[str, tuple[Floats, Floats]]] = {}
        self._closed: dict[tuple[tuple[int, ...], bool], Floats] = {}

    def _column(self, task: str, what: str) -> Floats:
        return self.clock.column(task, what)[self.lanes.cell]

    @cached_property
    def held(self) -> tuple[Floats, Floats]:
        """Return by how much exchanges hold each block up, first and last microbatch, shape (lanes, columns)."""
        every = [
            [
                [sum(send.holds for send in sends) for sends in one.block(place)]
                for place, _ in self.clock.columns
            ]
            for one in self.exchanged
        ]
        both = np.array(every, dtype=float)[self.which]
        return both[:, :, 0], both[:, :, 1]

    @cached_property
    def blocks(self) -> dict[str, Floats]:
        """Return the seconds of each block by task, shape (lanes, columns); "F first" and the last one too."""
        first, last = self.held
        found = {"F": self._column("F", "whole")}
        found["F first"] = np.maximum(self._column("F", "launch"), self._column("F", "held") + first)
        for task in self.clock.backward:
            found[task] = self._column(task, "whole")
        found[f"{self.last} last"] = np.maximum(found[self.last], self._column(self.last, "held") + last)
        return found

    def _rows(self, blocks: Floats) -> Floats:
        found: Floats = np.einsum("nrc,nc->nr", self.count, blocks)
        return found

    def seconds(self) -> Floats:
        """Return the seconds of the step of every lane."""
        clock, plan = self.clock, self.clock.plan
        begin = clock.begin[self.lanes.cell]
        nodes = self._edges()
        finals = np.arange(len(plan.before) - plan.stages, len(plan.before))
        wanted = np.array([*finals, *(node for _, node in nodes)], dtype=np.int64)
        lengths = self._lengths()
        sends = [not one.training.software.p2p_overlap for one in self.exchanged]  # by strategy too
        blocking = np.array(sends)[self.which]
        price, out = self._price(), np.empty((len(self.lanes), len(wanted)))
        for held in (False, True):
            some = np.flatnonzero(blocking == held)
            if len(some):
                out[some] = ends(plan, begin[some], lengths[some], price[some], wanted, blocking=held)
        finish = np.zeros(len(self.lanes))
        for stage in range(plan.stages):
            now = out[:, stage].copy()
            streams: dict[str, Floats] = {}
            for place, (at, node) in enumerate(nodes):
                if at == stage:
                    end = out[:, plan.stages + place]
                    self._leave(streams, node, end, lengths[:, plan.variant[node]])
            for busy in streams.values():
                np.maximum(now, busy, out=now)
            np.maximum(finish, now + self._after(stage), out=finish)
        return finish

    def _edges(self) -> list[tuple[int, int]]:
        """Return stage and number of the nodes that leave something running, in the order in which they run."""
        plan = self.clock.plan
        marked = [
            any((kind == "F" and first) or (kind == self.last and last) for kind, _, first, last in tasks)
            for _, tasks in plan.variants
        ]
        nodes = np.flatnonzero(np.array(marked)[plan.variant])
        return [(int(plan.stage[node]), int(node)) for node in nodes]

    def _lengths(self) -> Floats:
        """Return the seconds of each variant of a task, shape (lanes, variants)."""
        row, rows = self.clock.row, {name: self._rows(blocks) for name, blocks in self.blocks.items()}
        found = np.zeros((len(self.lanes), len(self.clock.plan.variants)))
        for number, (stage, tasks) in enumerate(self.clock.plan.variants):
            if len(tasks) == 1:
                kind, chunk, first, last = tasks[0]
                found[:, number] = rows[self._named(kind, first, last)][:, row[stage, chunk]]
            elif tasks:
                work, talk = (
                    np.sum(
                        [self._side(kind, what)[:, row[stage, chunk]] for kind, chunk, _, _ in tasks], axis=0
                    )
                    for what in ("work", "talk")
                )
                found[:, number] = np.maximum(work, talk)
        return found

    def _named(self, kind: str, first: bool, last: bool) -> str:
        if kind == "F":
            return "F first" if first else "F"
        name = "I" if kind == "B" and self.split else kind
        return f"{name} last" if last and name == self.last else name

    def _side(self, kind: str, what: str) -> Floats:
        task = "I" if kind == "B" else kind
        return self._rows(self._column(task, what))

    def _price(self) -> Floats:
        """Return the seconds between the stages of each pair, shape (lanes, pairs)."""
        pairs = self.clock.plan.pairs[1:]
        found = np.zeros((len(self.lanes), len(pairs) + 1))
        known: dict[int, Floats] = {}
        for place, cell in enumerate(self.lanes.cell.tolist()):
            if cell not in known:
                sizes = np.array([boundary(self.clock.training(cell))])
                known[cell] = self.clock.tariffs[cell].transfers(pairs, sizes)[:, 0]
            found[place, 1:] = known[cell]
        return found

    def _leave(self, streams: dict[str, Floats], node: int, end: Floats, length: Floats) -> None:
        """Run what a task leaves for the end of the step on its streams."""
        stage, tasks = self.clock.plan.variants[self.clock.plan.variant[node]]
        alone = len(tasks) == 1
        for kind, chunk, first, last in tasks:
            if (kind == "F" and first) or (kind == self.last and last):
                forward = kind == "F"
                blocks = self.blocks["F first" if forward else f"{self.last} last"]
                held = np.zeros_like(blocks) if forward or not alone else self._column(self.last, "held")
                row, ready = int(self.clock.row[stage, chunk]), end - length if alone else end
                for column in self._in_order(row, forward=forward):
                    times = np.where(column < 0, 0.0, self.count[self.every, row, column])
                    spacing = blocks[self.every, column] if alone else np.zeros_like(end)
                    begin = ready + held[self.every, column]
                    self._queue(streams, column, begin, spacing, times, forward=forward, alone=alone)
                    ready = ready + times * spacing

    def _in_order(self, row: int, *, forward: bool) -> Iterator[Ints]:
        """Yield the columns of a part in the order in which they run, each of shape (lanes,); -1 for none.

        Weights' own tasks go through the layers as the forward does, from the head to the embedding all the same.
        """
        names = [place for place, _ in self.clock.columns]
        here = [
            column
            for column, name in enumerate(names)
            if isinstance(name, str) and self.clock.counts[:, row, column].any()
        ]
        ahead = [column for column in here if str(names[column]).startswith(EMBEDDING)]
        behind = [column for column in here if column not in ahead]
        layers = self.clock.order[self.lanes.again, row].T
        layers = layers[(layers >= 0).any(axis=1)]
        ends = [[np.full(len(self.lanes), column) for column in some] for some in (ahead, behind)]
        if forward:
            yield from (*ends[0], *layers, *ends[1])
        else:
            yield from (*ends[1][::-1], *(layers if self.split else layers[::-1]), *ends[0][::-1])

    def _queue(
        self, streams: dict[str, Floats], column: Ints, ready: Floats, spacing: Floats, times: Floats,
        *, forward: bool, alone: bool,
    ) -> None:  # fmt: skip
        """Let the exchanges of blocks that come some times run one after another on their streams."""
        for name, (took, came) in self._sends(forward, alone).items():
            mine, passed = took[self.which, column].T, came[self.which, column].T
            every = mine.sum(axis=0)
            left = np.maximum(times - 1, 0.0)
            busy = streams.get(name, np.full(len(self.lanes), -np.inf))
            end = busy + times * every
            behind = every
            for one, before in zip(mine, passed, strict=True):
                start = ready + before
                later = np.maximum(start + behind + left * every, start + left * spacing + behind)
                end = np.where(one > 0, np.maximum(end, later), end)
                behind = behind - one
            streams[name] = np.where((every > 0) & (times > 0), end, busy)

    def _sends(self, forward: bool, alone: bool) -> dict[str, tuple[Floats, Floats]]:
        """Return the exchanges of all blocks by stream: seconds of each, by how much those before it hold it up.

        Shapes are (layouts that exchange, columns, exchanges). Beside other tasks all of them begin as the tasks end.
        """
        if (forward, alone) not in self._queued:
            sends = [
                [one.block(place)[0 if forward else 1] for place, _ in self.clock.columns]
                for one in self.exchanged
            ]
            deep = max(len(some) for way in sends for some in way)
            names = dict.fromkeys(send.stream for way in sends for some in way for send in some)
            found = {name: np.zeros((2, len(sends), len(self.clock.columns), deep)) for name in names}
            for at, way in enumerate(sends):
                for column, some in enumerate(way):
                    passed = 0.0
                    for number, send in enumerate(some):
                        passed += send.holds
                        seconds = send.beside if alone else send.whole
                        found[send.stream][:, at, column, number] = seconds, passed if alone else 0.0
            self._queued[forward, alone] = {name: (both[0], both[1]) for name, both in found.items()}
        return self._queued[forward, alone]

    def _after(self, stage: int) -> Floats:
        """Return the seconds of what follows the last task, shape (lanes,); stages alike do the same."""
        structure, optimizer = self.clock.structure, self.clock.optimizer
        key = (structure.of_stage[stage], stage in structure.outer)
        if key in self._closed:
            return self._closed[key]
        done = [one.after(structure, stage) for one in self.exchanged]
        optimizer.learn(one for some in done for one in some)
        seconds = [
            optimizer.seconds(some, one.tariff) for some, one in zip(done, self.exchanged, strict=True)
        ]
        self._closed[key] = np.array(seconds)[self.which]
        return self._closed[key]


def boundary(training: Training) -> float:
    """Return the bytes that a rank sends to the next stage."""
    found = pipeline.boundary(
        cut_of(training), training.model.hidden,
        sliced=training.software.sliced_sends, overlap=training.software.p2p_overlap,
    )  # fmt: skip
    return found.size
