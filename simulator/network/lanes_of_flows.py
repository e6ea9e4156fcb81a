"""Flows as lanes: each a sender of one message that waits for the flows it is after."""

from collections.abc import Hashable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import numpy as np

from simulator.network.lanes import Book, Floats, Ints, Lanes
from simulator.network.traffic import Flow, Link


def of_flows(links: Mapping[Hashable, Link], flows: Sequence[Flow]) -> tuple[Lanes, list[Hashable]]:
    """Return a lane for each flow, and the ids of the flows by lane.

    Flows of like size, delay and number of predecessors share a programme. Links are numbered as given.

    Parameters
    ----------
    links : mapping of hashable to Link
        The links by id.
    flows : sequence of Flow
        In any order.

    Raises
    ------
    ValueError
        An id twice, an unknown link or flow, or flows that wait for each other in a circle.

    Examples
    --------
    >>> lanes, ids = of_flows({"cable": Link(1e9, 1e-3)}, [Flow(id="hello", route=("cable",), size=5e8)])
    >>> ids, lanes.programmes.delay.tolist()
    (['hello'], [0.001])
    """
    lane = {flow.id: number for number, flow in enumerate(flows)}
    if len(lane) < len(flows):
        raise ValueError("two flows have the same id")
    after = [tuple(dict.fromkeys(flow.after)) for flow in flows]
    _check_after(lane, after)
    numbers, crossed = _routes(links, flows)
    book = Book()
    known: dict[tuple[float, float, int], int] = {}
    programme = np.empty(len(flows), np.int64)
    for number, (flow, delay) in enumerate(zip(flows, _delays(links, flows), strict=True)):
        kind = (flow.size, delay, len(after[number]))
        if kind not in known:
            known[kind] = _written(book, *kind)
        programme[number] = known[kind]
    waits = np.fromiter(map(len, after), np.int64, len(after))
    made = Lanes(
        programmes=book.made(),
        programme=programme,
        partner_start=_starts(waits)[:-1],
        partners=np.fromiter(map(lane.__getitem__, chain.from_iterable(after)), np.int64, int(waits.sum())),
        slot_start=np.arange(len(flows)),
        slots=np.arange(len(flows)),
        route_start=_starts(numbers),
        links=crossed,
        weights=_weights(flows),
        bandwidth=np.array([link.bandwidth for link in links.values()], float),
    )
    return made, list(lane)


def _written(book: Book, size: float, delay: float, waits: int) -> int:
    """Write the programme of one message that waits for the only message of each of its partners."""
    gates = [(partner, 1, 0) for partner in range(waits)]
    book.phase(1, size, delay=delay, slot=0 if size else -1, gates=gates)
    return book.programme()


def _check_after(lane: Mapping[Hashable, int], after: Sequence[tuple[Hashable, ...]]) -> None:
    unknown = [id_ for id_ in dict.fromkeys(chain.from_iterable(after)) if id_ not in lane]
    if unknown:
        raise ValueError(f"flows are after flows that do not exist: {_some(unknown)}")
    if all(lane[earlier] < number for number, ids in enumerate(after) for earlier in ids):
        return
    sorter = TopologicalSorter(dict(zip(lane, after, strict=True)))
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(f"flows wait for each other in a circle: {_some(error.args[1])}") from None


def _some(ids: Sequence[Hashable]) -> str:
    return ", ".join(repr(id_) for id_ in ids[:10]) + (", ..." if len(ids) > 10 else "")


def _routes(links: Mapping[Hashable, Link], flows: Sequence[Flow]) -> tuple[Ints, Ints]:
    """Return how many links each flow crosses and the numbers of these links."""
    number = {link: position for position, link in enumerate(links)}
    lengths = np.fromiter((len(flow.route) for flow in flows), np.int64, len(flows))
    crossed = chain.from_iterable(flow.route for flow in flows)
    try:
        return lengths, np.fromiter(map(number.__getitem__, crossed), np.int64, int(lengths.sum()))
    except KeyError as error:
        link = error.args[0]
        flow = next(flow for flow in flows if link in flow.route)
        raise ValueError(f"flow {flow.id!r}: no link {link!r}") from None


def _delays(links: Mapping[Hashable, Link], flows: Sequence[Flow]) -> list[float]:
    """Return all that each flow waits, s, from its release to its first byte."""
    latency = {name: link.latency for name, link in links.items()}
    return [
        flow.delay + (sum(latency[link] for link in flow.route) if flow.latency is None else flow.latency)
        for flow in flows
    ]


def _weights(flows: Sequence[Flow]) -> Floats | None:
    if all(flow.weights is None for flow in flows):
        return None
    return np.array([w for flow in flows for w in flow.weights or (1.0,) * len(flow.route)], float)


def _starts(lengths: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
