"""An exact flow network in fractions, written from the definition and sharing no code with the engine."""

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction

from simulator.network.flows import Flow, Link


def exact_rates(
    live: Sequence[Flow],
    capacity: Mapping[Hashable, Fraction],
    weight: Mapping[Hashable, dict[Hashable, Fraction]],
) -> dict[Hashable, Fraction]:
    """Raise all rates together until a link is full, freeze its flows, go on with the rest."""
    level = Fraction(0)
    rate = {flow.id: Fraction(0) for flow in live}
    rising = set(rate)
    while rising:
        room = {}
        for link in capacity:
            pull = sum((weight[f][link] for f in rising if link in weight[f]), Fraction(0))
            used = sum((weight[f][link] * rate[f] for f in rate if link in weight[f]), Fraction(0))
            if pull:
                room[link] = (capacity[link] - used) / pull
        rise = min(room.values())
        level += rise
        rate.update(dict.fromkeys(rising, level))
        full = {link for link in room if room[link] == rise}
        rising -= {f for f in rising if not full.isdisjoint(weight[f])}
    return rate


def exact_finish(links: Mapping[Hashable, Link], flows: Sequence[Flow]) -> dict[Hashable, Fraction]:
    """Return the exact instant each flow ends, taking every double as the fraction that it is."""
    capacity = {id_: Fraction(link.bandwidth) for id_, link in links.items()}
    weight = {
        flow.id: dict(zip(flow.route, map(Fraction, flow.weights or (1,) * len(flow.route)), strict=True))
        for flow in flows
    }
    now = Fraction(0)
    finish: dict[Hashable, Fraction] = {}
    start: dict[Hashable, Fraction] = {}
    left = {flow.id: Fraction(flow.size) for flow in flows}
    while True:
        for flow in flows:
            if flow.id not in start and all(other in finish for other in flow.after):
                latency = flow.latency
                if latency is None:
                    waits = sum((Fraction(links[link].latency) for link in flow.route), Fraction(0))
                else:
                    waits = Fraction(latency)
                start[flow.id] = (
                    max((finish[f] for f in flow.after), default=Fraction(0)) + Fraction(flow.delay) + waits
                )
        over = [f for f in start if f not in finish and start[f] <= now and not left[f]]
        finish.update(dict.fromkeys(over, now))
        if over:
            continue
        if len(finish) == len(flows):
            return finish
        live = [
            flow for flow in flows if flow.id in start and flow.id not in finish and start[flow.id] <= now
        ]
        rate = exact_rates(live, capacity, weight)
        instants = [start[f] for f in start if start[f] > now]
        instants += [now + left[f] / rate[f] for f in rate]
        then = min(instants)
        for f in rate:
            left[f] -= rate[f] * (then - now)
        now = then
