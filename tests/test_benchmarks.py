"""The benchmarks measure what they say: workloads by count, networks by their links, ends by closed forms."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulator.network import core
from tests.benchmarks.__main__ import main
from tests.benchmarks.graphs import FatTree, LeafSpine, Star, mix, smallest_fat_tree
from tests.benchmarks.measure import difference
from tests.benchmarks.peers import plain, simgrid_process, simpy_alone
from tests.benchmarks.readme import MEASURED, written
from tests.benchmarks.ring import ring, ring_routes, ring_seconds
from tests.benchmarks.rows import ROWS
from tests.benchmarks.traffic import all_to_all, permutation, random_pairs
from tests.conftest import ROOT

WIRE = 50e9  # bytes/s


def test_mix_is_splitmix64():
    """The first outputs for seed 1234567, from https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + turn * golden) % 2**64 for turn in range(5)], np.uint64)
    assert mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


# ends of links, decoded from their numbers independently of the routes


def ends_in_star(graph, link):
    host = ("host", link % graph.hosts)
    return (host, "switch") if link < graph.hosts else ("switch", host)


def ends_in_leaf_spine(graph, link):
    hosts, between = graph.hosts, graph.hosts // 2
    if link < 2 * hosts:
        host, leaf = ("host", link % hosts), ("leaf", link % hosts // 16)
        return (host, leaf) if link < hosts else (leaf, host)
    up, number = divmod(link - 2 * hosts, between)
    leaf, spine = ("leaf", number // 8), ("spine", number % 8)
    return (spine, leaf) if up else (leaf, spine)


def ends_in_fat_tree(graph, link):
    m = graph.ports // 2
    kind, number = divmod(link, graph.hosts)
    switch, port = divmod(number, m)
    aggregation = ("aggregation", switch // m * m + port)
    core_switch = ("core", switch % m, port)
    lower, upper = (
        (("host", number), ("edge", switch)),
        (("edge", switch), aggregation),
        (("aggregation", switch), core_switch),
    )[kind // 2]
    return (upper, lower) if kind in (1, 3, 5) else (lower, upper)


NETWORKS = [
    (Star(8), ends_in_star),
    (LeafSpine(64), ends_in_leaf_spine),
    (LeafSpine(64, "dmodk"), ends_in_leaf_spine),
    (FatTree(6), ends_in_fat_tree),
]


@pytest.mark.parametrize(("graph", "ends"), NETWORKS, ids=lambda part: repr(part)[:30])
def test_routes_lead_from_source_to_target(graph, ends):
    source, target = np.divmod(np.arange(graph.hosts**2), graph.hosts)
    apart = source != target
    routes = graph.routes(source[apart], target[apart])
    for route in range(len(routes.source)):
        links = routes.links[routes.start[route] : routes.start[route + 1]].tolist()
        here = ("host", routes.source[route])
        for link in links:
            assert 0 <= link < len(routes.bandwidth)
            start, here = ends(graph, link)[0], ends(graph, link)[1] if ends(graph, link)[0] == here else None
            assert start is not None
        assert here == ("host", routes.target[route])


def test_the_smallest_fat_trees():
    assert [smallest_fat_tree(hosts).ports for hosts in (16, 17, 64, 256, 1024)] == [4, 6, 8, 12, 16]


# workloads ii, iii and iv: counts that were published with their definition


@pytest.mark.parametrize(
    ("hosts", "flows", "links", "hashed", "by_target"),
    [
        (64, 4032, 14208, 0.00238, 0.00192),
        (128, 16256, 61184, 0.00516, 0.00448),
        (256, 65280, 253440, 0.0109, 0.0096),
    ],
)
def test_all_to_all(hosts, flows, links, hashed, by_target):
    for spine, bound in (("ecmp", hashed), ("dmodk", by_target)):
        traffic = all_to_all(hosts, spine)
        assert (
            len(traffic.size)
            == flows
            == len({*zip(traffic.routes.source, traffic.routes.target, strict=True)})
        )
        assert len(traffic.routes.links) == links
        assert traffic.bound == pytest.approx(bound)


def test_permutation():
    traffic = permutation()
    assert sorted(traffic.routes.target.tolist()) == list(range(1024))
    assert np.all(traffic.routes.source != traffic.routes.target)
    assert len(traffic.routes.links) == 6012
    assert traffic.bound == pytest.approx(0.00012)


def test_random_pairs():
    traffic = random_pairs()
    pairs = list(zip(traffic.routes.source.tolist(), traffic.routes.target.tolist(), strict=True))
    assert pairs[:3] == [(431, 20), (1005, 802), (0, 91)]
    assert all(source != target for source, target in pairs)
    assert len(traffic.routes.links) == 58554
    assert {*(traffic.size / 1e6).tolist()} == set(range(1, 101))
    assert traffic.bound == pytest.approx(0.02454)


def distinct(ends):
    """Return how many different instants there are, rounding aside."""
    ends = np.sort(ends)
    return 1 + int(np.sum(np.diff(ends) > 1e-10 * ends[-1]))


@pytest.mark.parametrize(
    ("make", "times"),
    [
        (lambda: all_to_all(64), 170),
        (lambda: all_to_all(64, "dmodk"), 2),
        (lambda: all_to_all(256), 733),
        (permutation, 23),
        (random_pairs, 9719),
    ],
)
def test_ends_of_flows(make, times):
    """As many distinct finish times as published, the last one when the fullest link is done."""
    traffic = make()
    ran = core.run(traffic.lanes)
    assert distinct(ran.finish) == times
    assert ran.makespan == pytest.approx(traffic.bound, rel=1e-11)
    assert ran.instants == times + 1  # and the start
    assert ran.messages == len(traffic.size)
    assert ran.changes <= 2.3e6  # of random pairs 2.2 M, engine.md; others start and end


@pytest.mark.parametrize("network_", ["star", "fat tree"])
@pytest.mark.parametrize("ranks", [2, 64, 100])
def test_ring(ranks, network_):
    lanes = ring(ring_routes(ranks, network_))
    ran = core.run(lanes)
    assert ran.messages == lanes.messages == 2 * (ranks - 1) * ranks
    assert np.ptp(ran.finish) == 0
    assert ran.makespan == pytest.approx(ring_seconds(ranks, WIRE), rel=1e-12)
    assert ran.solves == 0  # everybody is alone
    assert ran.changes <= ranks


# peers and the table


def test_peers_agree():
    traffic = all_to_all(32)
    ends = core.run(traffic.lanes).finish
    assert difference(np.array(plain.flows(traffic).finish), ends) < 1e-11
    assert difference(np.array(simpy_alone.flows(traffic).finish), ends) < 1e-11
    assert simpy_alone.ring(8, WIRE).finish == pytest.approx([ring_seconds(8, WIRE)] * 8, rel=1e-12)


def test_simgrid_agrees_if_it_is_there():
    pythons = simgrid_process.pythons()
    if not pythons:
        pytest.skip("no Python here has simgrid")
    traffic = all_to_all(32)
    there = simgrid_process.flows(traffic, pythons[0])
    assert difference(np.array(there.finish), core.run(traffic.lanes).finish) < 1e-9
    there = simgrid_process.ring(8, WIRE)
    if there is not None:
        assert there.finish == pytest.approx([ring_seconds(8, WIRE)] * 8, rel=1e-9)


def test_a_row_is_measured_and_written(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["ring-64", "--repeat", "1", "--no-peers", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    assert {"machine", "versions", "date", "rows"} == set(written)
    assert written["versions"]["numpy"] == np.__version__
    (row,) = written["rows"]
    assert row["runs"][0]["messages"] == 2 * 63 * 64
    assert all(run["differs"] <= 1e-12 and run["own"] for run in row["runs"])
    assert "ring-64" in capsys.readouterr().out


@pytest.mark.parametrize("bad", [["nothing"], ["--repeat", "0"], ["--simgrid-python", "nowhere"]])
def test_what_cannot_be_measured_is_refused(bad, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(bad)
    assert stopped.value.code == 2
    assert bad[-1] in capsys.readouterr().err


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(row in done.stdout for row in ROWS)


def test_the_table_of_the_readme_is_what_was_measured():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert written(text, json.loads(MEASURED.read_text())) == text


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="where shall the table go"):
        written("# no marks\n", {"rows": []})
