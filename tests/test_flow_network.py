"""The flow network against exact fractions, its invariants, and SimPy processes that use it."""

import doctest
import random
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.network import fair_share, flow_network
from simulator.network.fair_share import fair_rates
from simulator.network.flow_network import FlowNetwork
from simulator.network.flows import Flow, Link, replay
from tests.oracle import exact_finish, exact_rates

LATENCIES = [0.0, 1e-6, 0.1, 0.25, 1.0]
SIZES = [0, 1, 10, 10, 10, 12, 60, 1000]  # many alike, so that ends tie
WEIGHTS = [0.125, 0.3, 1.0, 1.75, 6.0]


def random_network(rng, most=12):
    """Return links and flows full of ties, shared bottlenecks, dependencies and zeros."""
    links = {
        f"l{i}": Link(rng.choice([1, 2, 3, 10, rng.uniform(0.1, 100)]), rng.choice(LATENCIES))
        for i in range(rng.randint(1, 6))
    }
    flows = []
    for i in range(rng.randint(1, most)):
        route = tuple(rng.sample(sorted(links), rng.randint(1, min(4, len(links)))))
        earlier = [flow.id for flow in flows]
        flows.append(
            Flow(
                id=f"f{i}",
                route=route,
                size=rng.choice([*SIZES, rng.randint(1, 10**6), rng.uniform(0, 50)]),
                after=tuple(rng.sample(earlier, min(len(earlier), rng.choice([0, 0, 1, 2])))),
                delay=rng.choice([0.0, 0.0, *LATENCIES]),
                latency=rng.choice([None, None, 0.0, 0.5]),
                weights=tuple(rng.choice(WEIGHTS) for _ in route) if rng.random() < 0.25 else None,
            )
        )
    return links, flows


networks = st.builds(random_network, st.randoms(use_true_random=False))
factors = st.sampled_from([1e-6, 0.1, 1 / 3, 2.0, 7.0, 1e6])


def same(one, other, scale=1.0):
    assert one == pytest.approx({id_: instant * scale for id_, instant in other.items()}, rel=1e-9, abs=0)


def against_the_oracle(seed):
    links, flows = random_network(random.Random(seed))
    exact = {id_: float(instant) for id_, instant in exact_finish(links, flows).items()}
    assert replay(links, flows).finish == pytest.approx(exact, rel=1e-12, abs=0)


@pytest.mark.parametrize("block", range(4))
def test_engine_equals_exact_fractions(block):
    for seed in range(50 * block, 50 * (block + 1)):
        against_the_oracle(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(36))
def test_engine_equals_exact_fractions_on_many_more(block):
    for seed in range(200 + 50 * block, 200 + 50 * (block + 1)):
        against_the_oracle(seed)


# Rates alone


@given(networks)
def test_fair_rates_equal_exact_ones(network):
    links, flows = network
    weight = {
        f.id: dict(zip(f.route, map(Fraction, f.weights or (1,) * len(f.route)), strict=True)) for f in flows
    }
    capacity = {id_: Fraction(link.bandwidth) for id_, link in links.items()}
    exact = {id_: float(rate) for id_, rate in exact_rates(flows, capacity, weight).items()}
    rates = fair_rates(
        {flow.id: flow.route for flow in flows},
        {id_: link.bandwidth for id_, link in links.items()},
        {flow.id: flow.weights for flow in flows if flow.weights},
    )
    assert rates == pytest.approx(exact, rel=1e-13, abs=0)


def test_nothing_limits_a_flow_without_a_link():
    with pytest.raises(ValueError, match="flow 'f' crosses no link"):
        fair_rates({"f": ()}, {})


def test_no_flows_no_rates():
    assert fair_rates({}, {"a": 1.0}) == {}


def test_a_bundle_takes_its_weight_of_each_link():
    """3 parts of 4 on the link both cross; the plain flow gets the same rate of progress."""
    rates = fair_rates({"bundle": "ab", "plain": "a"}, {"a": 4.0, "b": 100.0}, {"bundle": (3.0, 1.0)})
    assert rates == {"bundle": 1.0, "plain": 1.0}


@pytest.mark.parametrize("module", [fair_share, flow_network])
def test_examples_in_the_documentation(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


# Invariants: whatever the network, these hold


class Observer:
    """What was seen of the rates: one row an interval."""

    def __init__(self):
        self.rows = []

    def __call__(self, instant, rates):
        self.rows.append((instant, rates))

    def intervals(self):
        for (begin, rates), (end, _) in zip(self.rows, self.rows[1:], strict=False):
            yield end - begin, rates


def observed(links, flows):
    env, observer = simpy.Environment(), Observer()
    network = FlowNetwork(env, links, observe=observer)
    for flow in flows:
        network.transfer(flow)
    env.run()
    assert not network.unfinished()
    return network, observer


def loads(flows, rates):
    load = defaultdict(float)
    for flow in flows:
        for link, weight in zip(flow.route, flow.weights or (1,) * len(flow.route), strict=True):
            load[link] += weight * rates.get(flow.id, 0.0)
    return load


@given(networks)
def test_bytes_in_are_bytes_out(network):
    links, flows = network
    net, observer = observed(links, flows)
    sent, carried = defaultdict(float), defaultdict(float)
    for seconds, rates in observer.intervals():
        for id_, rate in rates.items():
            sent[id_] += rate * seconds
        for link, rate in loads(flows, rates).items():
            carried[link] += rate * seconds
    rounding = 1e-11 * max(net.finish.values()) * max(link.bandwidth for link in links.values()) * 8
    assert {flow.id: sent[flow.id] for flow in flows} == pytest.approx(
        {flow.id: flow.size for flow in flows}, rel=1e-9, abs=rounding
    )
    assert net.carried == pytest.approx({link: carried[link] for link in links}, rel=1e-9, abs=rounding)
    assert not observer.rows or observer.rows[-1][1] == {}


@given(networks)
def test_no_link_above_capacity_and_every_flow_has_a_full_link_where_none_is_faster(network):
    links, flows = network
    _, observer = observed(links, flows)
    routes = {flow.id: flow.route for flow in flows}
    for _, rates in observer.rows:
        load = loads(flows, rates)
        full = {link for link in links if load[link] >= links[link].bandwidth * (1 - 1e-9)}
        assert all(load[link] <= links[link].bandwidth * (1 + 1e-9) for link in links)
        fastest = {
            link: max((r for f, r in rates.items() if link in routes[f]), default=0.0) for link in links
        }
        for id_, rate in rates.items():
            assert any(link in full and rate >= fastest[link] * (1 - 1e-9) for link in routes[id_])


@given(networks)
def test_no_flow_beats_its_slowest_link(network):
    links, flows = network
    finish = replay(links, flows).finish
    for flow in flows:
        release = max((finish[other] for other in flow.after), default=0.0)
        latency = sum(links[link].latency for link in flow.route) if flow.latency is None else flow.latency
        weights = flow.weights or (1,) * len(flow.route)
        slowest = min(
            links[link].bandwidth / weight for link, weight in zip(flow.route, weights, strict=True)
        )
        assert finish[flow.id] >= (release + flow.delay + latency + flow.size / slowest) * (1 - 1e-9)


# Relations: a changed network whose answer is known from the answer of the first


@given(networks, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter(network, rng):
    links, flows = network
    link_names, flow_names = ([*range(len(things))] for things in (links, flows))
    rng.shuffle(link_names)
    rng.shuffle(flow_names)
    link_name = dict(zip(links, link_names, strict=True))
    flow_name = {flow.id: name for flow, name in zip(flows, flow_names, strict=True)}
    renamed = [
        replace(
            flow,
            id=flow_name[flow.id],
            route=tuple(link_name[link] for link in flow.route),
            after=tuple(flow_name[other] for other in flow.after),
        )
        for flow in flows
    ]
    rng.shuffle(renamed)
    again = replay({link_name[id_]: link for id_, link in reversed(links.items())}, renamed).finish
    same({flow.id: again[flow_name[flow.id]] for flow in flows}, replay(links, flows).finish)


@given(networks, factors)
def test_more_bytes_over_as_much_more_bandwidth_take_as_long(network, k):
    links, flows = network
    wider = {id_: Link(link.bandwidth * k, link.latency) for id_, link in links.items()}
    same(
        replay(wider, [replace(flow, size=flow.size * k) for flow in flows]).finish,
        replay(links, flows).finish,
    )


@given(networks, factors)
def test_all_times_scale(network, k):
    links, flows = network
    slower = {id_: Link(link.bandwidth, link.latency * k) for id_, link in links.items()}
    longer = [
        replace(
            flow,
            size=flow.size * k,
            delay=flow.delay * k,
            latency=None if flow.latency is None else flow.latency * k,
        )
        for flow in flows
    ]
    same(replay(slower, longer).finish, replay(links, flows).finish, k)


@given(networks, st.integers(0, 5))
def test_a_link_is_as_good_as_two_in_series(network, number):
    links, flows = network
    split = sorted(links)[number % len(links)]
    halves = {
        "first": Link(links[split].bandwidth, 0.25 * links[split].latency),
        "second": Link(links[split].bandwidth, 0.75 * links[split].latency),
    }

    def twice(route, values, pair):
        return tuple(v for link, value in zip(route, values, strict=True) for v in (pair or (value,) * 2
                     if link == split else (value,)))  # fmt: skip

    longer = [
        replace(
            flow,
            route=twice(flow.route, flow.route, tuple(halves)),
            weights=flow.weights and twice(flow.route, flow.weights, None),
        )
        for flow in flows
    ]
    same(replay(links | halves, longer).finish, replay(links, flows).finish)


@given(networks, networks)
def test_a_job_elsewhere_and_flows_without_bytes_disturb_nobody(network, other):
    links, flows = network
    elsewhere = {("job", id_): link for id_, link in other[0].items()}
    job = [
        replace(
            flow,
            id=("job", flow.id),
            route=tuple(("job", link) for link in flow.route),
            after=tuple(("job", before) for before in flow.after),
        )
        for flow in other[1]
    ]
    idle = [Flow(id=("idle", id_), route=(id_,), size=0, delay=0.125) for id_ in links]
    alone = replay(links, flows).finish
    together = replay(links | elsewhere, [*idle, *job, *flows]).finish
    same({flow.id: together[flow.id] for flow in flows}, alone)


@given(networks)
def test_same_input_same_bits(network):
    links, flows = network
    first, second = replay(links, flows), replay(links, flows)
    assert (first.finish, first.carried, first.events) == (second.finish, second.carried, second.events)


# Replays that are refused, and ends of the range


@pytest.mark.parametrize("solver", ["plain", "compiled"])
def test_the_smallest_flow_ends(solver):
    flows = [Flow(id="f", route=("l",), size=5e-324, weights=(0.125,))]
    assert replay({"l": Link(1.0)}, flows, solver=solver).finish["f"] == pytest.approx(0.0, abs=1e-300)


def test_a_circle_is_named():
    flows = [Flow(id=a, route=("l",), size=1, after=(b,)) for a, b in ["ab", "bc", "ca"]]
    flows.append(Flow(id="free", route=("l",), size=1))
    with pytest.raises(ValueError, match="wait for each other in a circle") as fault:
        replay({"l": Link(1.0)}, flows)
    assert all(repr(id_) in str(fault.value) for id_ in "abc")
    assert "free" not in str(fault.value)


@pytest.mark.parametrize(
    ("flows", "message"),
    [
        ([Flow(id="a", route=("l",), size=1)] * 2, "same id"),
        ([Flow(id="a", route=("m",), size=1)], "no link 'm'"),
        ([Flow(id="a", route=("l",), size=1, after=("b",))], "flows that do not exist: 'b'"),
        ([Flow(id="a", route=("l",), size=1, after=("a",))], "circle: 'a'"),
    ],
)
def test_replay_refuses(flows, message):
    with pytest.raises(ValueError, match=message):
        replay({"l": Link(1.0)}, flows)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("bandwidth", [0, -1.0, NAN, INF, 1e31, 5e-324])
def test_link_needs_bandwidth(bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be from"):
        Link(bandwidth)


@pytest.mark.parametrize("latency", [-1e-9, NAN, INF])
def test_link_needs_a_latency_that_can_pass(latency):
    with pytest.raises(ValueError, match="latency must be from"):
        Link(1.0, latency)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": -1}, "size"),
        ({"size": NAN}, "size"),
        ({"size": INF}, "size"),
        ({"delay": -1.0}, "delay"),
        ({"delay": NAN}, "delay"),
        ({"latency": INF}, "latency"),
        ({"latency": -1.0}, "latency"),
        ({"route": ()}, "bytes to send but no route"),
        ({"route": ("l", "l")}, "crosses a link twice"),
        ({"weights": ()}, "0 weights, 1 links"),
        ({"weights": (1.0, 1.0)}, "2 weights, 1 links"),
        ({"weights": (0.0,)}, "weight must be"),
        ({"weights": (NAN,)}, "weight must be"),
    ],
)
def test_flow_needs_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        Flow(**({"id": "f", "route": ("l",), "size": 1} | changes))


def test_nothing_to_do_takes_no_time():
    result = replay({"l": Link(1.0)}, [])
    assert (result.finish, result.makespan, result.carried, result.events) == ({}, 0.0, {"l": 0.0}, 0)


def test_a_wait_needs_no_route():
    flows = [
        Flow(id="compute", route=(), size=0, delay=2.0),
        Flow(id="go", route=("l",), size=3, after=("compute",)),
    ]
    assert replay({"l": Link(1.0)}, flows).finish == {"compute": 2.0, "go": 5.0}


@pytest.mark.parametrize(("size", "bandwidth"), [(1e30, 1e-30), (1e-30, 1e30), (1e30, 1e30), (1, 1e-30)])
def test_numbers_at_the_ends_of_the_range(size, bandwidth):
    flows = [Flow(id=i, route=("l",), size=size) for i in range(3)]
    assert replay({"l": Link(bandwidth)}, flows).makespan == pytest.approx(3 * size / bandwidth, rel=1e-12)


def test_a_short_flow_late_in_a_long_run_still_ends():
    flows = [
        Flow(id="late", route=("l",), size=1, delay=1e9),
        Flow(id="next", route=("l",), size=1, after=("late",)),
    ]
    result = replay({"l": Link(1e12)}, flows)
    assert result.finish == pytest.approx({"late": 1e9, "next": 1e9}, rel=1e-12)
    assert result.carried == {"l": 2.0}


def test_ends_that_rounding_tears_apart_are_one_instant():
    links = {i: Link(3.0) for i in range(10)}
    flows = [Flow(id=i, route=(i,), size=3 * (1 - i / 10), delay=i / 10) for i in range(10)]
    flows += [Flow(id=("next", i), route=(i,), size=1, after=(i,)) for i in range(10)]
    result = replay(links, flows)
    assert len({result.finish[i] for i in range(10)}) == 1
    assert result.events == 12  # ten starts, one end that starts the next, one last end


def test_all_to_all_lasts_as_long_as_its_fullest_link():
    """Equal flows that start together end fastest first, so the fullest link is busy to the end."""
    hosts, spines, rng = 32, 8, random.Random(1)
    links = {("up", h): Link(50e9) for h in range(hosts)} | {("down", h): Link(50e9) for h in range(hosts)}
    links |= {
        (way, leaf, s): Link(50e9) for way in ("to", "from") for leaf in range(4) for s in range(spines)
    }
    flows = []
    for a in range(hosts):
        for b in set(range(hosts)) - {a}:
            spine = rng.randrange(spines)
            middle = () if a // 16 == b // 16 else (("to", a // 16, spine), ("from", b // 16, spine))
            flows.append(Flow(id=(a, b), route=(("up", a), *middle, ("down", b)), size=1e6))
    fullest = max(sum(link in flow.route for flow in flows) for link in links)
    assert replay(links, flows).makespan == pytest.approx(fullest * 1e6 / 50e9, rel=1e-9)


# Processes written by a person


CABLE = {"cable": Link(100.0)}


def test_a_process_waits_for_its_transfer_while_another_starts_in_the_middle():
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)
    seen = {}

    def sender(name, pause, size):
        yield env.timeout(pause)
        ended = yield network.transfer(Flow(id=name, route=("cable",), size=size))
        seen[name] = ended, env.now

    env.process(sender("first", 0.0, 100.0))
    env.process(sender("second", 0.5, 100.0))
    env.run()
    assert seen == {"first": (1.5, 1.5), "second": (2.0, 2.0)}
    assert network.finish == {"first": 1.5, "second": 2.0}
    assert network.carried == {"cable": 200.0}


def test_a_process_that_sends_again_at_once_keeps_its_share():
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)
    ended = []

    def sender():
        for number in range(4):
            ended.append((yield network.transfer(Flow(id=number, route=("cable",), size=50.0))))

    env.process(sender())
    rival = network.transfer(Flow(id="rival", route=("cable",), size=250.0))
    env.run()
    assert ended == [1.0, 2.0, 3.0, 4.0]
    assert rival.value == 4.5
    assert network.instants == 6  # one each second, and never one for the gap between two sends


def test_requests_of_one_instant_are_one_change_whatever_their_order():
    finishes = []
    for order in (range(20), reversed(range(20))):
        env = simpy.Environment()
        network = FlowNetwork(env, CABLE)

        def sender(name, env=env, network=network):
            yield env.timeout(1.0)
            yield network.transfer(Flow(id=name, route=("cable",), size=100.0))

        for name in order:
            env.process(sender(name))
        env.run()
        finishes.append(network.finish)
        assert network.instants == 2
    assert finishes[0] == finishes[1] == dict.fromkeys(range(20), 21.0)


def test_transfers_combine_with_other_events():
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)

    def job():
        both = [network.transfer(Flow(id=i, route=("cable",), size=100.0 * (i + 1))) for i in range(2)]
        yield env.any_of([*both, env.timeout(1.0)])
        assert env.now == 1.0
        yield env.any_of(both)
        assert env.now == 2.0
        yield env.all_of(both)
        return env.now

    assert env.run(env.process(job())) == 3.0


def test_a_transfer_may_follow_others_that_run_or_are_done():
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)
    network.transfer(Flow(id="a", route=("cable",), size=100.0))
    network.transfer(Flow(id="b", route=("cable",), size=100.0, after=("a", "a"), delay=1.0))
    env.run(until=5.0)
    late = network.transfer(Flow(id="c", route=("cable",), size=100.0, after=("a", "b")))
    env.run()
    assert network.finish == {"a": 1.0, "b": 3.0, "c": 6.0}
    assert late.value == 6.0


def test_a_clock_that_does_not_start_at_zero():
    env = simpy.Environment(initial_time=1000.0)
    ended = FlowNetwork(env, CABLE).transfer(Flow(id="a", route=("cable",), size=50.0, delay=0.25))
    env.run()
    assert ended.value == 1000.75


def test_unfinished_transfers_are_named():
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)
    for name, size in (("short", 10.0), ("long", 1000.0)):
        network.transfer(Flow(id=name, route=("cable",), size=size))
    env.run(until=1.0)
    assert network.unfinished() == ["long"]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (Flow(id="known", route=("cable",), size=1), "'known' was asked for before"),
        (Flow(id="f", route=("rope",), size=1), "no link 'rope'"),
        (Flow(id="f", route=("cable",), size=1, after=("g",)), "after 'g', which was not asked for yet"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(flow, message):
    env = simpy.Environment()
    network = FlowNetwork(env, CABLE)
    known = network.transfer(Flow(id="known", route=("cable",), size=100.0))
    with pytest.raises(ValueError, match=message):
        network.transfer(flow)
    env.run()
    assert known.value == 1.0


@settings(max_examples=50)
@given(networks)
def test_processes_and_replay_agree(network):
    """Each flow as a process of its own, which waits for the events of others and for its delay."""
    links, flows = network
    env = simpy.Environment()
    net = FlowNetwork(env, links)
    asked = {flow.id: env.event() for flow in flows}

    def sender(flow):
        for other in flow.after:
            yield asked[other]
        yield env.timeout(flow.delay)
        asked[flow.id].succeed((yield net.transfer(replace(flow, after=(), delay=0.0))))

    for flow in flows:
        env.process(sender(flow))
    env.run()
    same(net.finish, replay(links, flows).finish)
