"""The readable solver of this repository, which is the oracle of the compiled core."""

from collections.abc import Hashable
from time import process_time

from simulator.network.flows import Flow, Link, replay
from tests.benchmarks.outcome import Outcome
from tests.benchmarks.traffic import Traffic

NAME = "plain solver"


def flows(traffic: Traffic) -> Outcome:
    """Replay messages that are released together."""
    start, links = traffic.routes.start.tolist(), traffic.routes.links.tolist()
    wires: dict[Hashable, Link] = {
        number: Link(float(each)) for number, each in enumerate(traffic.routes.bandwidth)
    }
    listed = [
        Flow(id=number, route=tuple(links[start[number] : start[number + 1]]), size=size)
        for number, size in enumerate(traffic.size.tolist())
    ]
    begun = process_time()
    ran = replay(wires, listed, solver="plain")
    seconds = process_time() - begun
    return Outcome(seconds=seconds, finish=[ran.finish[flow.id] for flow in listed])
