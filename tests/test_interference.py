"""Several jobs on one network: what they must not change, closed forms of shared links, who is to blame."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine._replay_ways import Ways
from simulator.engine.bundles import Traffic
from simulator.engine.jobs import Job, JobResult, replay_jobs, together
from simulator.engine.replay import replay
from simulator.errors import CheckError, InfeasibleError, UsageError
from simulator.planning._interference_place import in_machines, machines, seated
from simulator.planning._interference_read import Asked
from simulator.planning.interference import NOISE, interference, read
from tests.test_replay import Lasting, Prices, alone, chunk, operations, step, steps, talk, tasks, work
from topologies import _fabrics
from topologies._graph import Cable, add, connect, start
from workloads.layout import Layout
from workloads.step_graph import Stage, StepGraph

FIDELITIES = pytest.mark.parametrize("fidelity", ["fluid", "messages"])


def leaves(gpus: int, uplink: float, count: int = 2) -> nx.DiGraph:
    """So many GPUs on each of some leaves below one spine; a GPU's cable carries 1 byte/s."""
    graph = start("by hand")
    add(graph, ("spine", 0))
    for leaf in range(count):
        connect(graph, add(graph, ("leaf", leaf)), ("spine", 0), Cable(bandwidth_Bps=uplink))
    for gpu in range(count * gpus):
        connect(graph, add(graph, ("gpu", gpu), host=gpu), ("leaf", gpu // gpus), Cable(bandwidth_Bps=1.0))
    return graph


UPLINK = (("leaf", 0), ("spine", 0))


def exchange(seconds: float = 1.0, late: float = 0.0) -> tuple[StepGraph, Prices]:
    """Return gradients of 1 byte a GPU between two GPUs after some work, and what they last alone."""
    parts = chunk(F=[work(late)] * bool(late))
    stage = Stage(chunks=(parts,), tasks=tasks("F0"), after=(talk(2.0, "dp"),))
    return step(stage), Lasting(of=(("dp", seconds),))


def rings(lasts: list[float], uplink: float = 1.0, **more: list[float]) -> list[Job]:
    """Return jobs of two GPUs, each with one below either leaf: they all meet on the uplinks."""
    graph = leaves(len(lasts), uplink)
    ways = Ways(graph)
    jobs = []
    for at, seconds in enumerate(lasts):
        work_, prices = exchange(seconds)
        traffic = Traffic(graph, Layout(dp=2), (at, len(lasts) + at), ways=ways)
        given_ = {name: values[at] for name, values in more.items()}
        jobs.append(Job(graph=work_, prices=prices, traffic=traffic, **given_))
    return jobs


def seconds(results: tuple[JobResult, ...]) -> list[float]:
    return [result.step.step_s for result in results]


# What must not change anything


@settings(max_examples=15, deadline=None)
@given(graph=steps(), hop=st.sampled_from([0.0, 0.25, 1.5]), fidelity=st.sampled_from(["fluid", "messages"]))
def test_a_job_without_a_neighbour_is_what_replay_says_to_the_last_bit(graph, hop, fidelity):
    prices = Prices(hop=hop, share=0.5)
    stages = len(graph.stages)
    machine = leaves(2 * stages, 1e3)
    ways = Ways(machine)
    traffic = Traffic(machine, Layout(pp=stages, dp=2), ways=ways)
    expected = replay(graph, prices, network=traffic, fidelity=fidelity, spans=True)
    job = Job(graph=graph, prices=prices, traffic=traffic)
    (single,) = replay_jobs([job], fidelity=fidelity, spans=True)
    assert single.step == expected
    idle = Job(
        graph=alone("F0 F1", F=[work(1)]),
        prices=Prices(),
        traffic=Traffic(machine, Layout(), (4 * stages - 1,), ways=ways),
        start_s=0.5,
        steps=3,
    )
    for order in ((job, idle), (idle, job)):
        found = replay_jobs(order, fidelity=fidelity, spans=True)
        assert found[order.index(job)].step == expected
        assert found[order.index(idle)].starts_s == (0.5, 2.5, 4.5)


@FIDELITIES
def test_jobs_on_leaves_of_their_own_do_not_meet(fidelity):
    graph = leaves(2, 1.0)
    ways = Ways(graph)
    jobs = []
    for at, lasts in enumerate((1.0, 1.25)):
        work_, prices = exchange(lasts)
        traffic = Traffic(graph, Layout(dp=2), (2 * at, 2 * at + 1), ways=ways)
        jobs.append(Job(graph=work_, prices=prices, traffic=traffic))
    results = replay_jobs(jobs, fidelity=fidelity)
    for job, result in zip(jobs, results, strict=True):
        assert result.step == replay(job.graph, job.prices, network=job.traffic, fidelity=fidelity)
    assert together(jobs).contested == {}


@FIDELITIES
def test_steps_follow_each_other(fidelity):
    (job,) = rings([1.0], steps=[4], start_s=[10.0])
    (result,) = replay_jobs([job], fidelity=fidelity)
    assert result.starts_s == pytest.approx((10.0, 11.0, 12.0, 13.0))
    assert (result.end_s, result.step.step_s) == pytest.approx((14.0, 1.0))
    assert sum(result.step.breakdown_s.values()) == pytest.approx(1.0)


@settings(max_examples=15, deadline=None)
@given(
    lasts=st.lists(st.floats(0.5, 4), min_size=2, max_size=4),
    uplink=st.floats(0.3, 2),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_jobs_does_not_matter(lasts, uplink, order):
    count = len(lasts)
    jobs = rings(lasts, uplink, start_s=[0.25 * at for at in range(count)], steps=[2] * count)
    shuffled = list(range(count))
    order.shuffle(shuffled)
    first, second = together(jobs), together([jobs[at] for at in shuffled])
    assert seconds(second.jobs) == pytest.approx([seconds(first.jobs)[at] for at in shuffled], rel=1e-9)
    for (one, other), links in second.contested.items():
        pair = tuple(sorted((shuffled[one], shuffled[other])))
        assert links == pytest.approx(first.contested[pair], rel=1e-6, abs=1e-9)


# What shared links do


@FIDELITIES
@pytest.mark.parametrize(
    ("lasts", "expected"),
    [
        ([1.0, 1.0], [2.0, 2.0]),  # half each
        ([1.0, 1.0, 1.0], [3.0, 3.0, 3.0]),
        # a quarter is all that the last one wants; 3/8 of the uplink for each of the others
        ([1.0, 1.0, 4.0], [8 / 3, 8 / 3, 4.0]),
        ([2.0, 2.0], [2.0, 2.0]),  # room for both
        ([4 / 3, 4 / 3], [2.0, 2.0]),
        # 2/3 and 1/2 of the uplink wanted: half each, so 3/2 times as long as the first one alone
        ([1.5, 2.0], [2.0, 2.0]),
    ],
)
def test_rings_on_one_uplink_get_their_max_min_share(fidelity, lasts, expected):
    results = replay_jobs(rings(lasts), fidelity=fidelity)
    assert seconds(results) == pytest.approx(expected)
    for alone_s, shared_s, result in zip(lasts, expected, results, strict=True):
        assert result.step.slowed_s == pytest.approx({"dp": shared_s - alone_s}, abs=1e-9)
        assert result.step.link_busy[UPLINK] == pytest.approx(1 / shared_s)  # its own byte


@FIDELITIES
def test_who_starts_later_shares_only_from_then_on(fidelity):
    # alone to 0.5, then half the rate: the first ends at 1.5, the second has half left and ends at 2
    results = replay_jobs(rings([1.0, 1.0], start_s=[0.0, 0.5]), fidelity=fidelity)
    assert [result.end_s for result in results] == pytest.approx([1.5, 2.0])
    assert seconds(results) == pytest.approx([1.5, 1.5])
    # the first one's second step meets what is left of the other: 0-1.5, then 1.5-2.5 shared, 2.5-3 alone
    results = replay_jobs(rings([1.0, 1.0], start_s=[0.0, 0.5], steps=[2, 1]), fidelity=fidelity)
    assert [result.end_s for result in results] == pytest.approx([3.0, 2.5])
    assert results[0].starts_s == pytest.approx((0.0, 1.5))


@FIDELITIES
@pytest.mark.parametrize("many", [0, 10**9], ids=["compiled", "plain"])
def test_messages_of_jobs_share_a_link_alike_not_the_jobs(fidelity, many, monkeypatch):
    # the first job has 2 messages on the uplink and the second one 1: each gets a third. The first ends at 1.5;
    # the second is then half through and ends at 2.
    if not many:
        pytest.importorskip("numba")
    monkeypatch.setattr("simulator.engine._replay_wire.MANY", many)
    graph = leaves(3, 1.0)
    ways = Ways(graph)
    jobs = [
        Job(
            graph=step(Stage(chunks=(chunk(F=[]),), tasks=tasks("F0"), after=(talk(size, "dp"),))),
            prices=Lasting(of=(("dp", 1.0),)),
            traffic=Traffic(graph, layout, seats, ways=ways),
        )
        for size, layout, seats in (
            (1.0, Layout(tp=2, dp=2), (0, 1, 3, 4)),
            (2.0, Layout(dp=2), (2, 5)),
        )
    ]
    assert seconds(replay_jobs(jobs, fidelity=fidelity)) == pytest.approx([1.5, 2.0])


@FIDELITIES
def test_equal_jobs_are_slowed_alike(fidelity):
    results = replay_jobs(rings([1.0] * 4, steps=[3] * 4), fidelity=fidelity)
    assert seconds(results) == pytest.approx([4.0] * 4, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    lasts=st.lists(st.floats(0.5, 4), min_size=2, max_size=4),
    uplink=st.floats(0.3, 2),
    starts=st.lists(st.floats(0, 3), min_size=4, max_size=4),
    count=st.integers(1, 3),
)
def test_no_link_carries_more_than_it_can_and_all_bytes_arrive(lasts, uplink, starts, count):
    many = len(lasts)
    real = [max(length, 1 / uplink) for length in lasts]  # as `Carried`: no price below what links take
    results = replay_jobs(rings(real, uplink, start_s=starts[:many], steps=[count] * many))
    assert all(found >= own * (1 - 1e-9) for found, own in zip(seconds(results), real, strict=True))
    sent = [count * result.step.link_busy[UPLINK] * result.step.step_s * uplink for result in results]
    assert sent == pytest.approx([count] * many)  # a byte of each in every step
    last, first = max(result.end_s for result in results), min(starts[:many])
    assert sum(sent) <= uplink * (last - first) * (1 + 1e-9)


def test_a_contested_link_is_named_with_how_much_was_too_much():
    ((pair, links),) = together(rings([1.0, 1.0])).contested.items()
    assert pair == (0, 1)
    assert links == pytest.approx({(("spine", 0), ("leaf", 0)): 2.0})  # both want all of it, for 2 s
    assert together(rings([2.0, 2.0])).contested == {}


@settings(max_examples=30, deadline=None)
@given(
    both=st.lists(st.lists(operations, min_size=1, max_size=4), min_size=2, max_size=2),
    after=st.lists(st.sampled_from([(), (talk(2.0, "dp"),)]), min_size=2, max_size=2),
    fidelity=st.sampled_from(["fluid", "messages"]),
)
def test_two_jobs_are_two_stages_that_know_nothing_of_each_other(both, after, fidelity):
    graph = leaves(2, 0.6)
    ways, prices = Ways(graph), Prices(share=0.5)
    stages = [
        Stage(chunks=(chunk(F=some),), tasks=tasks("F0 F1"), after=more)
        for some, more in zip(both, after, strict=True)
    ]
    one = step(*stages, routes=(((0, 0),), ((1, 0),)))
    expected = replay(
        one, prices, network=Traffic(graph, Layout(dp=2, pp=2), (0, 2, 1, 3)), fidelity=fidelity
    )
    jobs = [
        Job(graph=step(stage), prices=prices, traffic=Traffic(graph, Layout(dp=2), (at, 2 + at), ways=ways))
        for at, stage in enumerate(stages)
    ]
    assert seconds(replay_jobs(jobs, fidelity=fidelity)) == pytest.approx(expected.ends_s, rel=1e-11)


# What cannot be


def test_jobs_that_cannot_be_are_refused():
    one, other = rings([1.0, 1.0])
    for wrong, words in (({"start_s": -1.0}, "from 0 s on"), ({"steps": 0}, "one step")):
        with pytest.raises(ValueError, match=words):
            replace(one, **wrong)
    with pytest.raises(ValueError, match="all of them share"):
        replay_jobs([one, replace(other, traffic=None)])
    with pytest.raises(ValueError, match="ways of one fabric"):
        replay_jobs([one, rings([1.0, 1.0])[1]])
    with pytest.raises(ValueError, match="sit on GPU 0"):
        replay_jobs([one, one])
    with pytest.raises(UsageError, match="formula"):
        replay_jobs([one], fidelity="formula")


def test_a_job_that_blocks_itself_is_named():
    parts = chunk(F=[work(2)], B=[work(4)])
    order = ("F0 B1 B0 F1", "F0 F1 B1 B0")
    graph = step(*[Stage(chunks=(parts,), tasks=tasks(text)) for text in order])
    machine = leaves(2, 1.0)
    ways = Ways(machine)
    work_, prices = exchange()
    jobs = [
        Job(graph=work_, prices=prices, traffic=Traffic(machine, Layout(dp=2), (2, 3), ways=ways)),
        Job(graph=graph, prices=Prices(), traffic=Traffic(machine, Layout(pp=2), ways=ways)),
    ]
    with pytest.raises(CheckError, match="job 1: stage 0 waits for B of microbatch 1"):
        replay_jobs(jobs)


# Where jobs sit


def asked(name: str, gpus: int, **more) -> Asked:
    return Asked(name=name, gpus=gpus, **more)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 24), min_size=1, max_size=5),
    placements=st.lists(st.sampled_from(["packed", "striped"]), min_size=5, max_size=5),
)
def test_jobs_sit_apart_and_fill_machines(sizes, placements):
    graph = _fabrics.build("aws-p4d", 128)
    jobs = [asked(f"j{at}", size, placement=placements[at]) for at, size in enumerate(sizes)]
    found = seated(jobs, graph)
    whole = [gpu for seats in found.values() for gpu in seats]
    assert len(set(whole)) == len(whole) == sum(sizes)
    rooms = machines(graph)
    assert all(in_machines(seats, rooms.values(), 8) for seats in found.values())
    assert found == seated(jobs[::-1], graph)


def test_striped_jobs_lie_on_as_many_leaves_as_there_are():
    graph = leaves(4, 1.0)
    both = seated([asked("a", 4, placement="striped"), asked("b", 4, placement="striped")], graph)
    assert both == {"a": (0, 4, 1, 5), "b": (2, 6, 3, 7)}
    packed = seated([asked("a", 4), asked("b", 2, first=4), asked("c", 2)], graph)
    assert packed == {"a": (0, 1, 2, 3), "b": (4, 5), "c": (6, 7)}


def test_places_that_cannot_be_are_refused():
    graph = leaves(4, 1.0)
    with pytest.raises(UsageError, match="jobs 'a' and 'b' both sit on GPU 3"):
        seated([asked("a", 4, first=0), asked("b", 2, seats=(3, 5))], graph)
    with pytest.raises(UsageError, match="'a' sits on GPU 8, the fabric has 0 to 7"):
        seated([asked("a", 2, seats=(8, 1))], graph)
    with pytest.raises(InfeasibleError, match="'b' needs 5 GPUs"):
        seated([asked("a", 4), asked("b", 5)], graph)
    assert not in_machines((0, 1, 8, 9), [range(8), range(8, 16)], 4)


# The command

FABRIC = """[fabric]
family = "leaf_spine"
link_bandwidth_GBps = 1
link_latency_ns = 0
switch_ports = 16
switch_bandwidth_GBps = 1
switch_latency_ns = 0
per_leaf = 4
spines = 1
"""
RING = 'op = "all_gather"\nsize = 2000000000\ngpus = 2\n'  # 1 GB each way over 1 GB/s: 1 s
PAIR = f"""[[job]]
name = "a"
{RING}gpus_at = "0,4"
[[job]]
name = "b"
{RING}gpus_at = [1, 5]
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fabric.toml").write_text(FABRIC)

    def write(jobs: str, top: str = 'fabric = "fabric.toml"\n') -> Path:
        (tmp_path / "jobs.toml").write_text(top + jobs)
        return Path("jobs.toml")

    return write


def test_two_rings_on_one_uplink_lose_half_to_each_other(commsim, written):
    outcome = commsim("interference", written(PAIR), "--json")
    result = outcome.result
    assert (outcome.status, result["warnings"]) == (0, [])
    assert [row["name"] for row in result["jobs"]] == ["a", "b"]
    for row in result["jobs"]:
        assert set(row) == {
            "name", "alone_s", "together_s", "slowdown", "start_s", "gpus", "steps", "end_s",
        }  # fmt: skip
        assert (row["alone_s"], row["together_s"], row["slowdown"]) == pytest.approx((1.0, 2.0, 2.0))
        assert (row["start_s"], row["gpus"], row["steps"]) == (0.0, 2, 3)
    assert [(row["victim"], row["culprit"]) for row in result["interference"]] == [("a", "b"), ("b", "a")]
    for row in result["interference"]:
        assert row["lost_s"] == pytest.approx(1.0)
        assert row["link"] == "leaf0 -> spine0"
    first = result["links"][0]
    assert set(first) == {"link", "busy", "by_job", "alike"}
    assert first["busy"] == pytest.approx(1.0)
    assert first["by_job"] == pytest.approx({"a": 0.5, "b": 0.5})
    assert sum(row["alike"] for row in result["links"]) == 4  # both ways of both uplinks


def test_what_is_left_out_decides_whom_to_blame(written):
    jobs = PAIR + f'[[job]]\nname = "c"\n{RING}gpus_at = "2-3"\n'  # below one leaf
    found = interference(read(str(written(jobs))))
    lost = {(row["victim"], row["culprit"]): row["lost_s"] for row in found.interference}
    assert len(lost) == 6
    assert lost.pop(("a", "b")) == pytest.approx(1.0)
    assert lost.pop(("b", "a")) == pytest.approx(1.0)
    assert set(lost.values()) == {0.0}
    third = PAIR + f'[[job]]\nname = "c"\n{RING}gpus_at = "2,6"\n'
    found = interference(read(str(written(third))))
    assert [row["lost_s"] for row in found.interference] == pytest.approx(
        [1.0] * 6
    )  # 3 s with all, 2 without one


def test_the_order_of_the_file_changes_nothing(written):
    blocks = PAIR.split("[[job]]")[1:]
    blocks.append('\nname = "c"\nop = "all_reduce"\nsize = "100MB"\ngpus = 4\nplacement = "striped"\n')
    answers = []
    for order in permutations(blocks):
        found = interference(read(str(written("".join("[[job]]" + block for block in order)))))
        jobs = sorted(found.jobs, key=lambda row: row["name"])
        answers.append(json.dumps([jobs, found.interference, found.links]))
    assert len(set(answers)) == 1


def test_jobs_that_say_nothing_last_as_long_as_the_others(written):
    jobs = PAIR.replace("2000000000", "200000000", 1)  # a round of a takes 0.1 s alone
    found = {row["name"]: row for row in interference(read(str(written(jobs)))).jobs}
    assert found["b"]["steps"] == 3
    assert found["b"]["together_s"] == pytest.approx(2.0)
    assert found["a"]["together_s"] == pytest.approx(0.2)
    assert found["a"]["end_s"] == pytest.approx(found["b"]["end_s"], abs=0.5)
    exact = interference(read(str(written(jobs.replace('name = "a"', 'name = "a"\nrepeat = 5')))))
    assert [row["steps"] for row in exact.jobs] == [5, 3]


def test_training_jobs_take_the_options_of_estimate(commsim, written, tmp_path):
    jobs = "".join(
        f'[[job]]\nname = "{name}"\nmodel = "gpt2-xl"\ngpus = 16\ngbs = 32\nseq-len = 1024\nplacement = "striped"\n'
        for name in ("one", "two")
    )
    noise = (
        '[[job]]\nname = "noise"\nop = "all_to_all"\nsize = "1GiB"\ngpus = 16\nstart_s = 0.01\nrepeat = 2\n'
    )
    path = written(jobs + noise, 'fabric = "abci-v"\n')
    result = commsim("interference", path, "--json").result
    one, two, noisy = result["jobs"]
    assert one["alone_s"] == pytest.approx(two["alone_s"], rel=0.2)
    assert all(row["slowdown"] >= 1 - NOISE for row in result["jobs"])
    assert (noisy["steps"], noisy["start_s"]) == (2, 0.01)
    outcome = commsim("interference", path, "-o", tmp_path / "picture.png")
    assert outcome.status == 0
    assert "accuracy: " in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == f"wrote {tmp_path / 'picture.png'}"
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert commsim("interference", path, "--csv").stdout.startswith("name,alone_s,together_s")


BAD = [  # what stands in the file, what is said, exit status
    ("[[job]\n", "jobs.toml: not valid TOML", 5),
    ("job = 3\n", "has no jobs", 5),
    ('[[job]]\nname = "a"\nop = "all_gather"\nsize = 8\ngpus = 2\nrepaet = 2\n', "line 7: unknown key 'repaet'", 5),
    (PAIR.replace('"b"', '"a"'), "line 8: a second job is called 'a'", 5),
    (PAIR.replace("[1, 5]", "[1, 1]"), "gpus_at: names GPU 1 twice", 5),
    (PAIR.replace("[1, 5]", "[1, 2, 5]"), "names 3 GPUs, gpus is 2", 5),
    (PAIR.replace("[1, 5]", '"5-1"'), "'5-1' is no range", 5),
    (PAIR.replace("[1, 5]", '"4-5"'), "jobs 'a' and 'b' both sit on GPU 4", 2),
    (PAIR.replace("[1, 5]", '"40-41"'), "", 0),  # the fabric grows
    (PAIR.replace("all_gather", "all_gatter"), "unknown operation 'all_gatter'", 5),
    (PAIR.replace("2000000000", '"2 bananas"'), "size: ", 5),
    (PAIR + "start_s = -1\n", "start_s: -1: wanted seconds from 0 on", 5),
    ('[[job]]\nname = "a"\nmodel = "gpt2-xl"\ngpus = 8\ngbs = 8\nseq_len = 64\ntp = 3\n', "job 'a': 8 GPUs cannot", 5),
    ('[[job]]\nname = "a"\nmodel = "gpt2-xl"\ngpus = 8\n', "job 'a': --gbs is missing", 5),
    ('[[job]]\nname = "a"\nmodel = "gpt2-xl"\ngpus = 8\nfidelity = "fluid"\n', "fidelity: all jobs share one", 5),
    ('[[job]]\nname = "a"\npreset = "dmeo"\ngpus = 8\n', "unknown preset 'dmeo'", 5),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said", "status"), BAD, ids=[said or "grows" for _, said, _ in BAD])
def test_bad_files_are_said_in_one_sentence(commsim, written, text, said, status):
    outcome = commsim("interference", written(text))
    assert outcome.status == status, outcome.stderr
    assert said in outcome.stderr.partition("\n")[0]


def test_a_fabric_is_a_fault_of_who_named_it(commsim, written):
    path = written(PAIR, 'fabric = "dgx-h100-ib40"\n')
    assert commsim("interference", path).status == 5
    assert commsim("interference", path, "--fabric", "dgx-h100-ib40").status == 2
    assert commsim("interference", path, "--fabric", "leaf-spine-400g").status == 0
    outcome = commsim("interference", written(PAIR), "--gpus", "4")
    assert (outcome.status, outcome.stderr.splitlines()[0]) == (
        2,
        "error: job 'a' sits on GPU 4, the fabric has 0 to 3",
    )


def test_a_training_job_fills_machines(commsim, written):
    job = (
        '[[job]]\nname = "a"\nmodel = "gpt2-xl"\ngpus = 8\ngbs = 8\nseq_len = 64\ngpus_at = "0-1,4-5,8-11"\n'
    )
    outcome = commsim("interference", written(job, 'fabric = "abci-v"\n'))
    assert (outcome.status, "fills one machine of 4 GPUs after another" in outcome.stderr) == (2, True)
