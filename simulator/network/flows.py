"""Replay a list of flows over a network and tell when each ends."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from time import perf_counter
from typing import Literal

import simpy

from simulator.errors import CheckError
from simulator.network.flow_network import SLACK, FlowNetwork
from simulator.network.traffic import Flow, Link

__all__ = ["Flow", "Link", "Replay", "replay"]

FEW = 500  # flows that the plain solver does in the half second that loading the compiled core takes


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    Parameters
    ----------
    finish : dict
        Flow id to the instant its last byte arrives, s from the start.
    makespan : float
        The last of these, s; 0 without flows.
    engine_s : float
        Wall time spent simulating, s.
    carried : dict
        Link id to the bytes it carried.
    events : int
        Instants at which flows started or ended.
    """

    finish: dict[Hashable, float]
    makespan: float
    engine_s: float
    carried: dict[Hashable, float]
    events: int


def replay(
    links: Mapping[Hashable, Link],
    flows: Sequence[Flow],
    *,
    fold: str = "auto",
    solver: Literal["auto", "plain", "compiled"] = "auto",
) -> Replay:
    """Return when each flow ends if all that wait for nothing are released at 0.

    Parameters
    ----------
    links : mapping of hashable to Link
        The links by id.
    flows : sequence of Flow
        In any order; the order changes nothing.
    fold : {"auto", "on", "off"}
        Whether to simulate one of each class of flows that nobody can tell apart. ``auto`` does not: each
        flow is sent once, and one compiled run costs less than to find the classes.
    solver : {"auto", "plain", "compiled"}
        ``plain``: the one to read; ``compiled``: the same rates by machine code. ``auto`` takes the plain one
        for few flows, because loading the other takes longer than they do, and where numba is missing.

    Raises
    ------
    ValueError
        An id twice, an unknown link or flow, or flows that wait for each other in a circle.
    CheckError
        A conservation check failed: bytes sent = bytes carried, no link above capacity, every flow ended.
    """
    if solver == "auto":
        few = len(flows) < FEW and fold != "on"
        solver = "plain" if few or find_spec("numba") is None else "compiled"
    if solver == "compiled":
        from simulator.network.core import load

        load()  # start-up is not simulating
    begun = perf_counter()
    if solver == "compiled":
        finish, carried, events = _compiled(links, flows, fold=fold == "on")
    else:
        finish, carried, events = _plain(links, flows)
    _check_carried(carried, flows)
    return Replay(finish, max(finish.values(), default=0.0), perf_counter() - begun, carried, events)


_Outcome = tuple[dict[Hashable, float], dict[Hashable, float], int]


def _plain(links: Mapping[Hashable, Link], flows: Sequence[Flow]) -> _Outcome:
    env = simpy.Environment()
    network = FlowNetwork(env, links)
    for flow in _in_order(flows):
        network.transfer(flow)
    env.run()
    blocked = network.unfinished()
    if blocked:
        raise CheckError(f"{len(blocked)} flows never ended: {_some(blocked)}")
    return {flow.id: network.finish[flow.id] for flow in flows}, network.carried, network.instants


def _compiled(links: Mapping[Hashable, Link], flows: Sequence[Flow], *, fold: bool) -> _Outcome:
    from simulator.network.core import run
    from simulator.network.folding import fold as folded
    from simulator.network.lanes_of_flows import of_flows

    lanes, ids = of_flows(links, flows)
    if fold:
        classes = folded(lanes)
        ran = run(classes.lanes)
        finish, carried = classes.finish(ran.finish), classes.carried(ran.carried)
    else:
        ran = run(lanes)
        finish, carried = ran.finish, ran.carried
    ends: dict[Hashable, float] = dict(zip(ids, finish.tolist(), strict=True))
    return ends, dict(zip(links, carried.tolist(), strict=True)), ran.instants


def _in_order(flows: Sequence[Flow]) -> list[Flow]:
    """Return the flows so that each comes behind those that it is after."""
    known = {flow.id: flow for flow in flows}
    if len(known) < len(flows):
        raise ValueError("two flows have the same id")
    sorter: TopologicalSorter[Hashable] = TopologicalSorter()
    for flow in flows:
        sorter.add(flow.id, *flow.after)
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        raise ValueError(f"flows wait for each other in a circle: {_some(error.args[1])}") from None
    unknown = [id_ for id_ in order if id_ not in known]
    if unknown:
        raise ValueError(f"flows are after flows that do not exist: {_some(unknown)}")
    return [known[id_] for id_ in order]


def _some(ids: Sequence[Hashable]) -> str:
    return ", ".join(repr(id_) for id_ in ids[:10]) + (", ..." if len(ids) > 10 else "")


def _check_carried(carried: Mapping[Hashable, float], flows: Sequence[Flow]) -> None:
    sent = dict.fromkeys(carried, 0.0)
    for flow in flows:
        for link, weight in zip(flow.route, flow.weights or (1.0,) * len(flow.route), strict=True):
            sent[link] += weight * flow.size
    for link, size in sent.items():
        if abs(carried[link] - size) > SLACK * size:
            raise CheckError(f"link {link!r} carried {carried[link]} bytes of {size}")
