"""Which of the bytes of a step can meet on a link, and the few links that decide what each then gets."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import inf

import numpy as np

from simulator.engine._replay_words import Use
from simulator.engine.bundles import Load, Traffic
from simulator.network.traffic import Flow, Link

Edge = Hashable
_ROUNDING = 1e-9
_COMPARED = 2000  # classes of links of which dominated ones are looked for: a matter of a second


class Sharing:
    r"""What the uses of a step do to the links, and to each other.

    A use that needs :math:`b_l` seconds of link `l` and takes `t` on an idle network fills the part
    :math:`u_l = \min(1, b_l/t)` of it. Links are counted in time, capacity 1. A link decides nothing where
    the largest parts of all lanes add up to at most 1, or where no use fills it more than another link; all
    others stay. So the answer is that of all links, at the price of few.

    Parameters
    ----------
    traffic : Traffic
        Where the bytes go.
    uses : sequence of Use
        All of a step, by number.
    each : bool
        Whether messages are sent one by one: then two lanes on a link are enough to count it in, because a
        message may fill it for a while where the whole collective does not in the mean.

    Attributes
    ----------
    loads : list of Load
        Of each use.
    networked : set of int
        Numbers of the uses that must go through a network; the others take what they take on an idle one.
    """

    def __init__(self, traffic: Traffic, uses: Sequence[Use], *, each: bool = False) -> None:
        self._ways = traffic.ways
        self._uses = uses
        self.loads = [_load(traffic, use) for use in uses]
        self._parts = [_part(use, load) for use, load in zip(uses, self.loads, strict=True)]
        deciding = self._deciding(each=each)
        classes, place = self._classes(deciding)
        self._edges = [self._ways.edges[edge] for edge in classes]
        self._weights = [self._weigh(number, place) for number in range(len(uses))]
        self.networked = {number for number, found in enumerate(self._weights) if found}

    def links(self, times: Mapping[int, int]) -> dict[Hashable, Link]:
        """Return the deciding links, and one that holds each use to its time on an idle network."""
        found: dict[Hashable, Link] = {edge: Link(1.0) for edge in self._edges}
        for number in sorted(self.networked):
            use, copies = self._uses[number], self._copies(number, times)
            rate = self.loads[number].unit * use.size / use.seconds
            found |= {("own", number, copy): Link(rate) for copy in range(copies)}
        return found

    def flow(self, number: int, turn: int, after: tuple[Hashable, ...] = ()) -> Flow:
        """Return a use as a flow; ``turn`` counts how often it was asked for before."""
        use, load, weights = self._uses[number], self.loads[number], self._weights[number]
        own = ("own", number, turn if use.gap < inf else 0)
        size = load.unit * use.size
        return Flow(
            id=(number, turn),
            route=(own, *weights),
            size=size,
            after=after,
            latency=0.0,
            weights=(1.0, *(part * use.seconds / size for part in weights.values())),
        )

    def felt(self, number: int) -> Mapping[Edge, float]:
        """Return the deciding links of a use and the part of each that it fills on an idle network."""
        return self._weights[number]

    def busy(self, uses: Iterable[Use], times: Mapping[int, int], step_s: float) -> dict[Edge, float]:
        """Return the part of a step that some uses keep each link busy, for the links that are."""
        total = self._total(uses, times) / step_s if step_s else self._total(uses, times)
        used, edges = np.flatnonzero(total), self._ways.edges
        return dict(zip([edges[at] for at in used.tolist()], total[used].tolist(), strict=True))

    def users(
        self, uses: Sequence[Use], times: Mapping[int, int], step_s: float
    ) -> dict[Edge, dict[str, float]]:
        """Return, for the busiest link of each kind, for which part of the step each axis kept it busy."""
        by_axis = {
            axis: self._total([use for use in uses if use.axis == axis], times)
            for axis in dict.fromkeys(use.axis for use in uses)
        }
        total = sum(by_axis.values(), np.zeros(len(self._ways.edges)))
        used = np.flatnonzero(total)
        kinds = self._ways.wiring.kinds[used]
        busiest = [_busiest(total, used[kinds == kind]) for kind in dict.fromkeys(kinds.tolist())]
        return {
            self._ways.edges[edge]: {
                axis: float(busy[edge]) / step_s for axis, busy in by_axis.items() if busy[edge]
            }
            for edge in sorted(busiest, key=lambda edge: -total[edge])
        }

    def _total(self, uses: Iterable[Use], times: Mapping[int, int]) -> np.ndarray:
        """Return the seconds that each link is busy, shape (edges,)."""
        total = np.zeros(len(self._ways.edges))
        for use in uses:
            total[self.loads[use.number].edges] += self._parts[use.number] * use.seconds * times[use.number]
        return total

    def _copies(self, number: int, times: Mapping[int, int]) -> int:
        return times[number] if self._uses[number].gap < inf else 1

    def _deciding(self, *, each: bool) -> np.ndarray:
        """Return which links can hold somebody up, shape (edges,)."""
        overlapping = {use.number for use in self._uses if use.gap < use.seconds}
        while True:
            lanes, filled = self._filled(overlapping)
            deciding = (lanes > 1) & ((filled > 1 + _ROUNDING) | each)
            # what is held up takes longer, and then the next of its kind may start before it has ended
            held = {
                use.number
                for use in self._uses
                if use.gap < inf and deciding[self.loads[use.number].edges].any()
            }
            if held <= overlapping:
                return deciding
            overlapping |= held

    def _filled(self, overlapping: set[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return how many lanes use each link and how full all at once make it, both of shape (edges,)."""
        edges = len(self._ways.edges)
        lanes, filled, peak = np.zeros(edges), np.zeros(edges), np.zeros(edges)
        by_lane: dict[tuple[int, str], list[Use]] = defaultdict(list)
        for use in self._uses:
            by_lane[use.stage, use.lane].append(use)
        for members in by_lane.values():
            for use in members:
                there = self.loads[use.number].edges
                peak[there] = np.maximum(peak[there], self._parts[use.number])
            many = any(use.number in overlapping for use in members)
            for use in members:  # a link counts at the first that is on it
                there = self.loads[use.number].edges
                most = peak[there]
                lanes[there] += (2 if many else 1) * (most > 0)
                filled[there] += np.where(most > 0, inf, 0.0) if many else most
                peak[there] = 0.0
        return lanes, filled

    def _classes(self, deciding: np.ndarray) -> tuple[list[int], np.ndarray]:
        """Return a link of each class that no other outdoes, and the place of each in this list, else -1."""
        generator = np.random.default_rng(0)  # a random projection: rows that agree in it are equal
        project = np.zeros(len(deciding))
        for load, part in zip(self.loads, self._parts, strict=True):
            project[load.edges] += part * generator.uniform(1, 2)
        mantissa, exponent = np.frexp(project)
        keys = np.ldexp(np.round(mantissa * 2**36), exponent)
        inside = np.flatnonzero(deciding)
        _, first = np.unique(keys[inside], return_index=True)
        edges = inside[np.sort(first)]
        place = _places(edges, len(deciding))
        table = np.zeros((len(edges), len(self._uses)))
        for number, (load, part) in enumerate(zip(self.loads, self._parts, strict=True)):
            there = place[load.edges] >= 0
            table[place[load.edges[there]], number] = part[there]
        chosen = edges[_undominated(table)] if len(edges) <= _COMPARED else edges
        return chosen.tolist(), _places(chosen, len(deciding))

    def _weigh(self, number: int, place: np.ndarray) -> dict[Edge, float]:
        """Return the deciding links of a use and the part of each that it fills."""
        edges = self.loads[number].edges
        there = place[edges] >= 0
        parts = self._parts[number][there].tolist()
        return {self._edges[at]: part for at, part in zip(place[edges[there]].tolist(), parts, strict=True)}


def _load(traffic: Traffic, use: Use) -> Load:
    if use.target >= 0:
        return traffic.boundary(use.stage, use.target)
    return traffic.load(use.stage, use.axis, use.op)


def _part(use: Use, load: Load) -> np.ndarray:
    return np.minimum(1.0, load.busy * use.size / use.seconds)


def _busiest(total: np.ndarray, edges: np.ndarray) -> int:
    """Return the busiest of some edges; of those that differ by rounding alone, the one that was met first."""
    busy = total[edges]
    risen = np.flatnonzero(busy[1:] > np.maximum.accumulate(busy)[:-1]) + 1
    best = 0
    for at in risen.tolist():
        best = at if busy[at] > busy[best] * (1 + _ROUNDING) else best
    return int(edges[best])


def _places(edges: np.ndarray, length: int) -> np.ndarray:
    """Return where each edge stands among some, -1 for the others, shape (length,)."""
    place = np.full(length, -1)
    place[edges] = np.arange(len(edges))
    return place


def _undominated(table: np.ndarray) -> list[int]:
    """Return the rows that no other row reaches or surpasses in every column, in order."""
    kept: list[int] = []
    for at in np.argsort(-table.sum(axis=1), kind="stable"):
        if not kept or not (table[kept] >= table[at] - _ROUNDING * table[at]).all(axis=1).any():
            kept.append(int(at))
    return sorted(kept)
