"""One step in events: times worked out by hand, what holds for any step, and what only contention does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.bundles import Traffic
from simulator.engine.replay import replay
from simulator.engine.result import ACCOUNTS, Result
from simulator.errors import CheckError, UsageError
from topologies import _fabrics
from topologies._graph import Cable, add, connect, start
from workloads.layout import Layout
from workloads.schedules import SCHEDULES
from workloads.schedules import _clock as clock
from workloads.step_graph import (
    Block,
    Boundary,
    Chunk,
    Collective,
    Compute,
    Operation,
    Stage,
    StepGraph,
    Task,
)


@dataclass(frozen=True)
class Prices:
    """A computation lasts its FLOPs, a collective its bytes, in seconds."""

    hop: float = 0.0
    share: float = 1.0  # exposed of what is cut into pieces
    held: float = 0.0  # exposed of what runs on a stream of its own
    per_byte: float = 1.0

    def seconds(self, operation: Operation, stage: int) -> float:
        if isinstance(operation, Compute):
            return operation.flops
        return operation.size * self.per_byte

    def transfer(self, source: int, target: int) -> float:
        return self.hop

    def exposed(self, operation: Collective) -> float:
        return self.share if operation.overlap else self.held


def work(seconds: float, law: str = "gemm", **more) -> Compute:
    return Compute(name=f"work {seconds}", law=law, flops=seconds, **more)


def talk(seconds: float, axis: str = "tp", op: str = "all_gather", **more) -> Collective:
    return Collective(name=f"{axis} {seconds}", op=op, axis=axis, size=seconds, **more)


def chunk(**kinds: Sequence[Operation] | tuple[Block, ...]) -> Chunk:
    blocks = {
        kind: found if found and isinstance(found[0], Block) else (Block(name="b", operations=tuple(found)),)
        for kind, found in kinds.items()
    }
    return Chunk(layers=1, work=blocks)


def tasks(text: str) -> tuple[Task, ...]:
    """Return tasks written ``F0 F1 B0`` ; ``+`` before one: beside the one before; ``F1.2``: chunk 2."""
    found = []
    for word in text.split():
        kind, rest = word.strip("+")[0], word.strip("+")[1:]
        number, _, part = rest.partition(".")
        found.append(Task(kind=kind, microbatch=int(number), chunk=int(part or 0), beside=word[0] == "+"))
    return tuple(found)


def step(*stages: Stage, routes=None, blocking: bool = False) -> StepGraph:
    routes = routes or (tuple((number, 0) for number in range(len(stages))),)
    return StepGraph(
        stages=stages,
        routes=routes,
        boundary=Boundary(size=1.0, blocking=blocking),
        microbatches=1 + max(task.microbatch for stage in stages for task in stage.tasks),
        tokens=1.0,
        model_flops=1.0,
    )


def alone(order: str, before=(), after=(), **kinds) -> StepGraph:
    return step(Stage(chunks=(chunk(**kinds),), tasks=tasks(order), before=before, after=after))


def seconds(graph: StepGraph, **prices: float) -> float:
    return replay(graph, Prices(**prices)).step_s


def test_operations_without_a_stream_follow_each_other():
    graph = alone(
        "F0 F1 B0 B1", (work(0.5),), (work(0.25),), F=[work(1), talk(2)], B=[work(3), talk(4, "cp")]
    )
    result = replay(graph, Prices())
    assert result.step_s == 0.75 + 2 * 3 + 2 * 7
    assert result.breakdown_s["compute"] == 0.75 + 8
    assert result.breakdown_s["exposed_tensor"] == 4
    assert result.breakdown_s["exposed_context"] == 8


def test_a_block_repeats_and_some_operations_come_in_one_microbatch_only():
    block = Block(
        name="layer", operations=(work(1), work(10, when="first"), work(100, when="last")), repeat=3
    )
    assert seconds(alone("F0 F1 F2 B0", F=(block,))) == 3 * (3 * 1 + 10 + 100)


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("block", 2 * 2 * 3 + 1),  # every layer lasts as long as its collective
        ("task", 2 * (2 * 3) + 1),  # two of 3 s on one stream hide 2 layers of 1 s
        ("step", 4 * 3 + 1),  # four in a row on the stream, from the first layer on
    ],
)
def test_a_stream_of_its_own_runs_beside_until_it_is_waited_for(until, expected):
    layer = Block(name="layer", operations=(talk(3, "dp", stream="dp", until=until), work(1)), repeat=2)
    assert seconds(alone("F0 F1", after=(work(1, "optimizer"),), F=(layer,))) == expected


def test_a_stream_is_busy_from_one_task_to_the_next():
    # F0: starts the collective at 1, ends at 1. F1: its collective waits for the first one, 1 + 5 + 5.
    order = [work(1), talk(5, "dp", stream="dp", until="step")]
    result = replay(alone("F0 F1", F=order), Prices())
    assert result.step_s == 1 + 5 + 5
    assert result.breakdown_s["exposed_data"] == 11 - 2


def test_gradients_that_are_sent_under_a_longer_backward_cost_nothing():
    with_them = [work(5), talk(4, "dp_cp", "reduce_scatter", stream="dp", until="step", when="last"), work(5)]
    assert seconds(alone("F0 F1 B0 B1", F=[work(1)], B=with_them)) == 2 * 1 + 2 * 10


def test_only_the_exposed_share_of_an_overlapped_collective_blocks():
    operations = [talk(4, overlap="tp"), work(10)]
    assert seconds(alone("F0", F=operations), share=0.25) == 1 + 10  # 3 s hide under 10
    assert seconds(alone("F0", F=operations), share=1.0) == 4 + 10
    assert seconds(alone("F0", F=[talk(4, overlap="tp"), work(1)]), share=0.25) == 1 + 3
    with pytest.raises(ValueError, match="0 to 1"):
        seconds(alone("F0", F=operations), share=1.5)


def test_a_collective_beside_takes_its_share_of_the_device_first():
    operations = [work(1), talk(4, "dp", stream="dp", until="step"), work(10)]
    assert seconds(alone("F0", F=operations), held=0.25) == 1 + 1 + 10  # 3 s hide under 10
    assert seconds(alone("F0", F=operations), held=1.0) == 1 + 4 + 10
    assert seconds(alone("F0", F=operations[:2]), held=0.25) == 1 + 1 + 3
    result = replay(alone("F0", F=[talk(4, "dp", stream="dp", until="task"), work(1)]), Prices(held=0.25))
    assert (result.step_s, result.breakdown_s["exposed_data"]) == (1 + 3, 3)


def test_a_host_launches_beside_what_the_device_does():
    launch = work(3, "host", stream="host")
    layer = Block(name="layer", operations=(launch, work(1)), repeat=2)
    result = replay(alone("F0", F=(layer,)), Prices(), spans=True)
    assert (result.step_s, result.breakdown_s["other"]) == (2 * 3, 2 * (3 - 1))
    assert {span.kind for span in result.spans if span.stream == "host"} == {"compute"}
    assert seconds(alone("F0", F=[launch, work(5)])) == 5
    assert seconds(alone("F0 F1 +B0", F=[launch, work(1)], B=[launch, work(1)])) == 3 + 2  # not beside tasks
    assert seconds(alone("F0", F=[work(2, "step")])) == 2
    assert replay(alone("F0", F=[work(2, "step")]), Prices()).breakdown_s["other"] == 2


def two_stages(order: str, other: str, *, blocking: bool) -> StepGraph:
    parts = chunk(F=[work(2)], B=[work(4)])
    return step(
        Stage(chunks=(parts,), tasks=tasks(order)),
        Stage(chunks=(parts,), tasks=tasks(other)),
        blocking=blocking,
    )


def test_bytes_between_stages_take_their_time():
    # stage 0: F0 0-2, F1 2-4; stage 1: F0 3-5, B0 5-9, F1 9-11, B1 11-15; stage 0: B0 10-14, B1 16-20
    graph = two_stages("F0 F1 B0 B1", "F0 B0 F1 B1", blocking=False)
    result = replay(graph, Prices(hop=1))
    assert result.ends_s == (20, 15)
    # stage 0 idles 6 s + 2 s, 1 s of each while bytes are under way; stage 1 idles 3 s + 5 s, 1 s under way
    assert result.breakdown_s == dict.fromkeys(ACCOUNTS, 0.0) | {
        "compute": 12,
        "exposed_pipeline": 2,
        "bubble": 6,
    }


def test_a_blocking_sender_waits_for_its_bytes():
    # stage 0: F0 0-2, sends to 3, F1 3-5, sends to 6; stage 1: F0 3-5, B0 5-9, sends to 10, F1 10-12,
    # B1 12-16, sends to 17; stage 0: B0 10-14, B1 17-21
    graph = two_stages("F0 F1 B0 B1", "F0 B0 F1 B1", blocking=True)
    assert replay(graph, Prices(hop=1)).ends_s == (21, 17)


def test_virtual_stages_of_one_stage_send_nothing():
    parts = (chunk(F=[work(1)], B=[work(1)]), chunk(F=[work(1)], B=[work(1)]))
    graph = step(
        Stage(chunks=parts, tasks=tasks("F0 F0.1 B0.1 B0")), routes=(((0, 0), (0, 1)),), blocking=True
    )
    result = replay(graph, Prices(hop=100))
    assert (result.step_s, result.messages) == (4, 0)


@pytest.mark.parametrize(("compute", "sends", "expected"), [(3, 1, 2 * 3), (1, 3, 2 * 3), (2, 2, 4)])
def test_a_pair_takes_the_longer_of_what_it_computes_and_sends(compute, sends, expected):
    operations = [work(compute), talk(sends, "ep", "all_to_all")]
    graph = alone("F0 F1 +B0 B1", F=operations, B=operations)
    result = replay(graph, Prices())
    assert result.step_s == 2 * (compute + sends) + expected
    assert result.breakdown_s["exposed_expert"] == 2 * sends + max(0, 2 * sends - 2 * compute)


def test_what_only_the_step_waits_for_starts_when_its_pair_ends():
    dp = talk(7, "dp", "reduce_scatter", stream="dp", until="step")
    assert seconds(alone("F0 F1 +B0", F=[work(1)], B=[work(2), dp])) == 1 + 3 + 7


def test_weight_gradients_come_after_their_own_backward():
    parts = {"F": [work(1)], "B": [work(2)], "W": [work(3)]}
    assert seconds(alone("F0 B0 W0", **parts)) == 6
    assert seconds(alone("F0 B0 +W0", **parts)) == 6
    with pytest.raises(CheckError, match="before its B"):
        seconds(alone("F0 W0 B0", **parts))
    with pytest.raises(CheckError, match="before its F"):
        seconds(alone("B0 F0", **parts))


def test_stages_that_wait_for_each_other_are_named():
    graph = two_stages("F0 B1 B0 F1", "F0 F1 B1 B0", blocking=False)
    with pytest.raises(CheckError, match="stage 0 waits for B of microbatch 1"):
        seconds(graph)


def test_a_graph_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="first task"):
        seconds(alone("+F0", F=[work(1)]))
    with pytest.raises(ValueError, match="a number from 0 on"):
        seconds(alone("F0", F=[work(-1)]))
    with pytest.raises(ValueError, match="not one of"):
        seconds(alone("F0", F=[talk(1, "nowhere")]))
    parts = (chunk(F=[work(1)]),)
    with pytest.raises(ValueError, match="twice"):
        seconds(step(Stage(chunks=parts, tasks=tasks("F0")), routes=(((0, 0),), ((0, 0),))))
    with pytest.raises(ValueError, match="lies on no way"):
        seconds(step(*[Stage(chunks=parts, tasks=tasks("F0"))] * 2, routes=(((0, 0),),)))
    with pytest.raises(UsageError, match="formula"):
        replay(alone("F0", F=[work(1)]), Prices(), fidelity="formula")
    with pytest.raises(UsageError, match="network"):
        replay(alone("F0", F=[work(1)]), Prices(), fidelity="messages")


# Schedules


def scheduled(name: str, stages: int, microbatches: int, chunks: int, times: dict[str, float]) -> StepGraph:
    """Return a schedule on equal stages; a chunk is what a microbatch passes of its stage at a time."""
    module = SCHEDULES[name]
    routes = module.routes(stages, chunks)
    visits = max(sum(place[0] == 0 for place in route) for route in routes)
    parts = chunk(**{kind: [work(length / visits)] for kind, length in times.items()})
    orders = module.order(stages, microbatches, chunks)
    return step(
        *[Stage(chunks=(parts,) * chunks, tasks=order) for order in orders],
        routes=routes,
    )


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_has_the_bubble_of_its_closed_form(name):
    module = SCHEDULES[name]
    chunks = module.CHUNKS[0]
    forward, backward, weight = 3.0, 3.0, 3.0
    times = {"F": forward, "B": backward, "W": weight} if module.SPLIT else {"F": forward, "B": 6.0}
    for stages, microbatches in ((2, 4), (4, 8), (4, 16)):
        graph = scheduled(name, stages, microbatches, chunks, times)
        result = replay(graph, Prices(), spans=True)
        busy = microbatches * (forward + backward + weight)
        lengths = []
        for stage in range(stages):
            own = [span for span in result.spans if span.stage == stage and span.kind in "FBW"]
            lengths.append(max(s.end_s for s in own) - min(s.start_s for s in own))
        whole = max(lengths) if module.STAGGERED else result.step_s
        assert whole - busy == pytest.approx(
            module.bubble(stages, microbatches, chunks, forward, backward, weight)
        )


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    size=st.sampled_from([(2, 4), (4, 8), (4, 12), (6, 12)]),
    times=st.tuples(*[st.floats(0.1, 9)] * 3),
    hop=st.floats(0, 3),
)
def test_a_replay_keeps_the_times_of_the_schedules_own_clock(name, size, times, hop):
    module = SCHEDULES[name]
    graph = scheduled(name, *size, module.CHUNKS[0], dict(zip("FBW", times, strict=True)))
    parts = {kind: blocks[0].operations[0].flops for kind, blocks in graph.stages[0].chunks[0].work.items()}
    orders = tuple(stage.tasks for stage in graph.stages)
    expected = clock.run(orders, graph.routes, clock.usual(parts["F"], parts["B"], parts["W"]), hop)
    assert replay(graph, Prices(hop=hop)).step_s == pytest.approx(expected.makespan, rel=1e-12)


# What holds for any step

whens = st.sampled_from(["every", "first", "last"])
operations = st.one_of(
    st.builds(
        work,
        st.floats(0.1, 3),
        law=st.sampled_from(["gemm", "host", "optimizer"]),
        stream=st.sampled_from(["", "", "a", "host"]),
        until=st.sampled_from(["block", "task", "step"]),
        when=whens,
    ),
    st.builds(
        talk,
        st.floats(0.1, 3),
        axis=st.sampled_from(["tp", "cp", "ep", "dp"]),
        stream=st.sampled_from(["", "", "a", "b"]),
        until=st.sampled_from(["block", "task", "step"]),
        when=whens,
        overlap=st.sampled_from(["", "", "tp"]),
    ),
)


@st.composite
def steps(draw) -> StepGraph:
    stages, microbatches = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    order = SCHEDULES["1f1b"].order(stages, microbatches)
    blocks = st.lists(
        st.builds(
            Block,
            name=st.just("b"),
            operations=st.lists(operations, max_size=5).map(tuple),
            repeat=st.integers(1, 3),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple)
    once = st.lists(operations, max_size=2).map(tuple)
    return step(
        *[
            Stage(
                chunks=(chunk(F=draw(blocks), B=draw(blocks)),),
                tasks=tasks,
                before=draw(once),
                after=draw(once),
            )
            for tasks in order
        ],
        blocking=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(graph=steps(), hop=st.floats(0, 2), share=st.floats(0, 1), held=st.floats(0, 1))
def test_accounts_add_up_and_the_timeline_is_one_after_another(graph, hop, share, held):
    prices = Prices(hop=hop, share=share, held=held)
    result, traced = replay(graph, prices), replay(graph, prices, spans=True)
    assert sum(result.breakdown_s.values()) == pytest.approx(result.step_s)
    assert min(result.breakdown_s.values()) >= -1e-9
    assert traced.step_s == pytest.approx(result.step_s, rel=1e-12)  # merging steps changes nothing
    assert traced.breakdown_s == pytest.approx(result.breakdown_s)
    for stage in range(len(graph.stages)):
        for stream in {span.stream for span in traced.spans} - {"pp"}:
            own = [s for s in traced.spans if s.stage == stage and s.stream == stream and s.kind not in "FBW"]
            for one, other in pairwise(sorted(own, key=lambda span: (span.start_s, span.end_s))):
                assert one.end_s <= other.start_s + 1e-9
    assert max((span.end_s for span in traced.spans), default=0) <= result.step_s + 1e-9


@settings(max_examples=30, deadline=None)
@given(graph=steps(), more=st.floats(1, 2))
def test_a_slower_machine_is_never_faster(graph, more):
    quick = replay(graph, Prices(hop=1, share=0.5))
    slow = replay(graph, Prices(hop=more, share=0.5, per_byte=more))
    assert slow.step_s >= quick.step_s * (1 - 1e-12)


def test_stages_that_have_nothing_to_do_with_each_other_may_change_places():
    one, other = chunk(F=[work(1), talk(2)]), chunk(F=[work(4), talk(1, "dp", stream="dp")])
    graphs = [
        step(
            *[Stage(chunks=(parts,), tasks=tasks("F0 F1")) for parts in order],
            routes=(((0, 0),), ((1, 0),)),
        )
        for order in ((one, other), (other, one))
    ]
    first, second = (replay(graph, Prices()) for graph in graphs)
    assert first.ends_s == second.ends_s[::-1] == (6, 10)


# Contention


@dataclass(frozen=True)
class Lasting(Prices):
    """What lasts how long by the name of its axis; all else as `Prices`."""

    of: tuple[tuple[str, float], ...] = ()

    def seconds(self, operation: Operation, stage: int) -> float:
        given = dict(self.of)
        axis = getattr(operation, "axis", "")
        return given[axis] if axis in given else Prices.seconds(self, operation, stage)


def two_leaves(uplink: float) -> nx.DiGraph:
    """Two GPUs on each of two leaves below one spine; a GPU's cable carries 1 byte/s."""
    graph = start("by hand")
    add(graph, ("spine", 0))
    for leaf in range(2):
        connect(graph, add(graph, ("leaf", leaf)), ("spine", 0), Cable(bandwidth_Bps=uplink))
    for gpu in range(4):
        connect(graph, add(graph, ("gpu", gpu), host=gpu), ("leaf", gpu // 2), Cable(bandwidth_Bps=1.0))
    return graph


def both_send(late: float = 0.0) -> StepGraph:
    """Two stages that know nothing of each other exchange gradients, the second one later."""
    gradients = talk(2.0, "dp")
    stages = [
        Stage(chunks=(chunk(F=[work(wait)] * bool(wait)),), tasks=tasks("F0"), after=(gradients,))
        for wait in (0.0, late)
    ]
    return step(*stages, routes=(((0, 0),), ((1, 0),)))


ACROSS = Traffic(two_leaves(1.0), Layout(dp=2, pp=2), (0, 2, 1, 3))  # each stage on both leaves
FIDELITIES = pytest.mark.parametrize("fidelity", ["fluid", "messages"])


@FIDELITIES
@pytest.mark.parametrize(
    ("lasts", "expected"),
    [
        (1.0, 2.0),  # each fills the uplink: half the rate
        (4 / 3, 2.0),  # each fills 3/4 of it: 2/3 of the rate
        (2.0, 2.0),  # each fills half of it: none waits
        (3.0, 3.0),
    ],
)
def test_gradients_of_two_stages_share_an_uplink(fidelity, lasts, expected):
    result = replay(both_send(), Lasting(of=(("dp", lasts),)), network=ACROSS, fidelity=fidelity)
    assert result.ends_s == pytest.approx((expected, expected))
    assert result.slowed_s == pytest.approx({"dp": 2 * (expected - lasts)}, abs=1e-9)
    assert result.messages == (2 if fidelity == "fluid" else 4)
    uplink = (("leaf", 0), ("spine", 0))
    assert result.link_busy[uplink] == pytest.approx(2 / expected)  # 1 byte of each stage at 1 byte/s
    assert result.link_axes[uplink] == pytest.approx({"dp": 2 / expected})


@FIDELITIES
def test_who_comes_later_shares_only_from_then_on(fidelity):
    # alone to 0.5, then half the rate: the first ends at 1.5, the second has half left and ends at 2
    result = replay(both_send(0.5), Lasting(of=(("dp", 1.0),)), network=ACROSS, fidelity=fidelity)
    assert result.ends_s == pytest.approx((1.5, 2.0))


def test_nobody_waits_where_there_is_room_or_another_place():
    prices = Lasting(of=(("dp", 1.0),))
    roomy = Traffic(two_leaves(2.0), Layout(dp=2, pp=2), (0, 2, 1, 3))
    inside = Traffic(two_leaves(1.0), Layout(dp=2, pp=2))  # each stage below its own leaf
    for network in (roomy, inside, None):
        assert replay(both_send(), prices, network=network).step_s == 1.0


@FIDELITIES
def test_messages_share_a_link_alike_not_collectives(fidelity):
    # "dp" has 2 messages on the uplink and "dp_cp" one: each gets a third, so 2/3 and 1/3 of what it needs.
    # "dp" ends at 1.5; "dp_cp" is then half through and ends at 2.
    network = Traffic(two_leaves(1.0), Layout(cp=2, dp=2))
    sent = [talk(1.0, "dp", stream="a"), talk(4 / 3, "dp_cp", stream="b")]
    prices = Lasting(of=(("dp", 1.0), ("dp_cp", 1.0)))
    result = replay(alone("F0", F=sent), prices, network=network, fidelity=fidelity)
    assert result.step_s == pytest.approx(2.0)
    assert result.slowed_s == pytest.approx({"dp": 0.5, "dp_cp": 1.0})


@FIDELITIES
def test_the_pipeline_and_gradients_meet_on_an_adapter(fidelity):
    # stage 1 sends B0 back while the gradients of its own last microbatch go: both want its one cable
    parts = chunk(F=[work(1)], B=[talk(2.0, "dp", stream="dp", until="step"), work(1)])
    graph = step(Stage(chunks=(parts,), tasks=tasks("F0 B0")), Stage(chunks=(parts,), tasks=tasks("F0 B0")))
    prices = Lasting(hop=1.0, of=(("dp", 2.0),))
    network = Traffic(two_leaves(8.0), Layout(dp=2, pp=2), (0, 2, 1, 3))
    assert replay(graph, prices).ends_s == (7.0, 5.0)
    # stage 1: F0 2-3, B0 3-4 and gradients 3-5, which fill half of the cable. From 4 on B0 is sent, at the
    # half that is left until 5, then alone until 5.5. Stage 0 is done at 5.5 + max(1, 2).
    result = replay(graph, prices, network=network, fidelity=fidelity)
    assert result.ends_s == pytest.approx((7.5, 5.0))


def everything_decides(monkeypatch) -> None:
    """Let all that is sent go through the network, over all links."""

    def used(self, *, each):
        lanes, _ = self._filled(set())
        return lanes > 0

    monkeypatch.setattr("simulator.engine._replay_sharing.Sharing._deciding", used)
    monkeypatch.setattr("simulator.engine._replay_sharing._COMPARED", 0)


def priced(network: Traffic, slower: float) -> Prices:
    """Return prices in which a collective lasts so many times as long as its busiest link needs."""

    class Linked(Prices):
        def seconds(self, operation, stage):
            if isinstance(operation, Compute):
                return operation.flops
            busy = network.load(stage, operation.axis, operation.op).busy
            return slower * operation.size * float(max(busy, default=0.0))

        def transfer(self, source, target):
            return slower * float(max(network.boundary(source, target).busy))

    return Linked(share=0.5)


NETWORKS = [
    Traffic(_fabrics.build(name, 32), layout)
    for name in ("dgx-h100-ib400", "aws-p4d", "fat-tree-100g")
    for layout in (Layout(tp=8, pp=2, dp=2), Layout(tp=2, cp=2, pp=2, dp=4, ep=4), Layout(pp=2, dp=16, ep=16))
]


@st.composite
def networks(draw) -> tuple[Traffic, StepGraph]:
    """Return where a random step of two stages runs, and it; its bytes take about as long as its work."""
    network = draw(st.sampled_from(NETWORKS))
    bytes_ = st.builds(
        talk,
        st.floats(1e9, 5e10),
        axis=st.sampled_from(["tp", "cp", "ep", "dp_cp"]),
        op=st.sampled_from(["all_gather", "all_reduce", "send_recv"]),
        stream=st.sampled_from(["", "a", "b"]),
        until=st.sampled_from(["block", "task", "step"]),
    )
    operations = st.lists(st.one_of(bytes_, st.builds(work, st.floats(0.1, 1))), min_size=1, max_size=4)
    order = SCHEDULES["1f1b"].order(2, draw(st.integers(1, 3)))
    parts = [chunk(F=draw(operations), B=draw(operations)) for _ in range(2)]
    graph = step(
        *[Stage(chunks=(part,), tasks=own) for part, own in zip(parts, order, strict=True)],
        blocking=draw(st.booleans()),
    )
    return network, replace(graph, boundary=replace(graph.boundary, size=draw(st.floats(1e8, 1e10))))


def at_size(graph: StepGraph, prices: Prices) -> Prices:
    """Return the prices with the transfers of a boundary of that many bytes."""
    size = graph.boundary.size

    class Sized(Prices):
        seconds = staticmethod(prices.seconds)
        exposed = staticmethod(prices.exposed)

        def transfer(self, source, target):
            return prices.transfer(source, target) * size

    return Sized()


def run(case: tuple[Traffic, StepGraph], slower: float, *, shared: bool = True, **more: str) -> Result:
    network, graph = case
    return replay(graph, at_size(graph, priced(network, slower)), network=network if shared else None, **more)


@settings(max_examples=15, deadline=None)
@given(case=networks())
def test_what_fills_links_little_never_meets_anybody(case):
    alone_there, shared = run(case, 16.0, shared=False), run(case, 16.0)
    assert shared.step_s == pytest.approx(alone_there.step_s, rel=1e-12)
    assert shared.breakdown_s == pytest.approx(alone_there.breakdown_s)
    assert not any(shared.slowed_s.values())
    assert run(case, 16.0, fidelity="messages").step_s == pytest.approx(shared.step_s, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(case=networks())
def test_few_links_decide_as_all_links_would(case):
    few = run(case, 1.2)
    with pytest.MonkeyPatch.context() as patch:
        everything_decides(patch)
        everything = run(case, 1.2)
    assert everything.step_s == pytest.approx(few.step_s, rel=1e-9)
    assert everything.slowed_s == pytest.approx(few.slowed_s, rel=1e-6, abs=1e-6)
    assert few.step_s >= run(case, 1.2, shared=False).step_s * (1 - 1e-12)
    assert max(few.link_busy.values(), default=0.0) <= 1 + 1e-9  # no link carries more than it can


@pytest.mark.parametrize(
    "network", [*NETWORKS[:2], *NETWORKS[3:5], *NETWORKS[7:]], ids=lambda network: str(network.layout)[7:50]
)
def test_messages_agree_with_bundles_within_five_per_cent(network):
    part = chunk(
        F=[talk(4e9, "dp_cp", stream="dp"), talk(1e9), work(0.3), talk(1e9, "ep", "all_to_all"), work(0.3)],
        B=[talk(4e9, "dp_cp", stream="dp"), work(0.6), talk(8e9, "dp_cp", stream="dp", until="step")],
    )
    order = SCHEDULES["1f1b"].order(2, 3)
    graph = step(*[Stage(chunks=(part,), tasks=own) for own in order], blocking=True)
    case = network, replace(graph, boundary=Boundary(size=2e9, blocking=True))
    fluid, messages = run(case, 1.1), run(case, 1.1, fidelity="messages")
    assert messages.step_s == pytest.approx(fluid.step_s, rel=0.05)
    assert messages.link_busy == pytest.approx(fluid.link_busy, rel=0.05)


def test_links_carry_the_bytes_of_a_step_and_no_more():
    network = NETWORKS[
        0
    ]  # 2 stages of 2 machines, gradients of each GPU with the same one of the other machine
    graph = both_send()
    size = 4e9
    gradients = talk(size, "dp_cp", "reduce_scatter")
    graph = replace(graph, stages=tuple(replace(stage, after=(gradients,) * 3) for stage in graph.stages))
    result = run((network, graph), 1.5)
    sent = {
        edge: busy * result.step_s * 50e9
        for edge, busy in result.link_busy.items()
        if (edge[0][0], edge[1][0]) == ("nic", "leaf")
    }
    assert len(sent) == 32
    assert list(sent.values()) == pytest.approx([3 * size / 2] * 32)  # (n - 1)/n of the size, three times


@FIDELITIES
def test_work_beside_keeps_off_the_network_but_waits_for_its_stream(fidelity):
    # the gradients of both stages share an uplink until 2; work on the same stream comes after them
    gradients, launch = talk(2.0, "dp", stream="x"), work(3, "host", stream="x")
    stage = Stage(chunks=(chunk(F=[gradients, launch]),), tasks=tasks("F0"))
    graph = step(stage, stage, routes=(((0, 0),), ((1, 0),)))
    result = replay(graph, Lasting(of=(("dp", 1.0),)), network=ACROSS, fidelity=fidelity)
    assert result.ends_s == pytest.approx((5.0, 5.0))
    assert result.slowed_s == pytest.approx({"dp": 2.0})
    assert result.messages == (2 if fidelity == "fluid" else 4)


def sending(ranks: int, times: int) -> tuple[Traffic, StepGraph]:
    """Return two stages, a machine of each on both leaves, that exchange gradients and send to each other."""
    layout = Layout(dp=ranks, pp=2)
    network = Traffic(_fabrics.build("leaf-spine-400g", 2 * ranks), layout)
    graph = both_send()
    part = chunk(F=[talk(1e9, "dp", stream="dp")] * times)
    stages = tuple(replace(stage, chunks=(part,)) for stage in graph.stages)
    return network, replace(graph, stages=stages, routes=(((0, 0), (1, 0)),), boundary=Boundary(size=1e9))


def test_too_many_messages_are_refused(monkeypatch):
    monkeypatch.setattr("simulator.engine._replay_lanes.MOST", 1000)
    with pytest.raises(UsageError, match="at most 1,000 are followed"):
        run(sending(64, 50), 1.0, fidelity="messages")


def test_messages_without_a_compiler_are_refused_and_bundles_go_on(monkeypatch):
    monkeypatch.setattr("simulator.engine._replay_wire.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package numba"):
        run(sending(4, 3), 1.0, fidelity="messages")
    monkeypatch.setattr("simulator.engine._replay_wire.MANY", 0)
    assert run(sending(4, 3), 1.0).step_s > 0


@settings(max_examples=15, deadline=None)
@given(case=networks())
def test_links_that_are_left_out_hold_no_message_up(case):
    few = run(case, 1.1, fidelity="messages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "simulator.engine._replay_lanes.deciding",
            lambda bandwidth, *_: (np.arange(len(bandwidth)), bandwidth),
        )
        everything = run(case, 1.1, fidelity="messages")
    assert everything.ends_s == pytest.approx(few.ends_s, rel=1e-9)
    assert everything.slowed_s == pytest.approx(few.slowed_s, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_both_networks_give_bundles_the_same_rates(compiled, monkeypatch):
    case = sending(16, 4)
    plain = run(case, 1.0)
    monkeypatch.setattr("simulator.engine._replay_wire.MANY", 0 if compiled else 10**9)
    assert run(case, 1.0).ends_s == pytest.approx(plain.ends_s, rel=1e-12)


@pytest.mark.parametrize("ranks", [4, 64])
def test_folded_messages_end_when_all_do(ranks, monkeypatch):
    case = sending(ranks, 3)
    whole = run(case, 1.0, fidelity="messages")
    monkeypatch.setattr("simulator.engine._replay_lanes.PAYS", 0)
    folded = run(case, 1.0, fidelity="messages")
    assert folded.messages == whole.messages
    assert folded.ends_s == pytest.approx(whole.ends_s, rel=1e-12)
    assert folded.slowed_s == pytest.approx(whole.slowed_s, rel=1e-9, abs=1e-12)


def test_a_network_for_other_stages_is_refused():
    with pytest.raises(ValueError, match="2 stages on a layout of 1"):
        replay(both_send(), Prices(), network=Traffic(two_leaves(1.0), Layout(dp=4)))


def test_the_same_step_gives_the_same_bits():
    network, graph = NETWORKS[1], both_send(0.1)
    first, second = (run((network, graph), 1.0, fidelity="messages") for _ in range(2))
    assert first == second
