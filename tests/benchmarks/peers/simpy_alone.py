"""SimPy without the engine: ranks on raw timeouts, and a process a message with rates solved in Python."""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise
from time import process_time

import simpy

from tests.benchmarks.outcome import Outcome
from tests.benchmarks.traffic import MESSAGE, Traffic

RING = "SimPy, a process a rank, raw timeouts"
FLOWS = "SimPy, a process a message, all rates anew in Python"


@dataclass(slots=True)
class _Inbox:
    """What has come for a rank, and the rank if it waits."""

    come: int = 0
    waits: simpy.Event | None = None


def ring(ranks: int, bandwidth: float) -> Outcome:
    """Run workload i; each message is alone on its links, so nothing is shared and nothing solved."""
    env = simpy.Environment()
    inboxes = [_Inbox() for _ in range(ranks)]
    ends = [0.0] * ranks
    begun = process_time()

    def rank(number: int) -> Generator[simpy.Event, None, None]:
        mine, following = inboxes[number], inboxes[(number + 1) % ranks]
        for _ in range(2 * (ranks - 1)):
            yield env.timeout(MESSAGE / bandwidth)
            following.come += 1
            if following.waits is not None:
                following.waits.succeed()
                following.waits = None
            if not mine.come:
                mine.waits = env.event()
                yield mine.waits
            mine.come -= 1
        ends[number] = env.now

    for number in range(ranks):
        env.process(rank(number))
    env.run()
    return Outcome(seconds=process_time() - begun, finish=ends)


def flows(traffic: Traffic) -> Outcome:
    """Run messages that are released together; whenever some end, the rates of all others are solved anew."""
    start, links = traffic.routes.start.tolist(), traffic.routes.links.tolist()
    routes = [links[first:last] for first, last in pairwise(start)]
    bandwidth, size = traffic.routes.bandwidth.tolist(), traffic.size.tolist()
    begun = process_time()
    env = simpy.Environment()
    ends = [0.0] * len(routes)
    through = [env.event() for _ in routes]

    def message(number: int) -> Generator[simpy.Event, None, None]:
        yield through[number]
        ends[number] = env.now

    def network() -> Generator[simpy.Event, None, None]:
        left = dict(enumerate(size))
        while left:
            rates = fair({number: routes[number] for number in left}, bandwidth)
            wait = min(left[number] / rates[number] for number in left)
            yield env.timeout(wait)
            left = {number: bytes_ - rates[number] * wait for number, bytes_ in left.items()}
            for number in [number for number, bytes_ in left.items() if bytes_ <= 1e-9 * size[number]]:
                del left[number]
                through[number].succeed()

    for number in range(len(routes)):
        env.process(message(number))
    env.process(network())
    env.run()
    return Outcome(seconds=process_time() - begun, finish=ends)


def fair(routes: dict[int, list[int]], bandwidth: list[float]) -> dict[int, float]:
    """Return max-min fair rates by progressive filling, a round for each level."""
    on: dict[int, set[int]] = {}
    for number, route in routes.items():
        for link in route:
            on.setdefault(link, set()).add(number)
    room = {link: bandwidth[link] for link in on}
    rates: dict[int, float] = {}
    while on:
        share = min(room[link] / len(members) for link, members in on.items())
        full = [link for link, members in on.items() if room[link] / len(members) <= share * (1 + 1e-12)]
        for number in {number for link in full for number in on[link]}:
            rates[number] = share
            for link in routes[number]:
                room[link] -= share
                on[link].discard(number)
        on = {link: members for link, members in on.items() if members}
    return rates
