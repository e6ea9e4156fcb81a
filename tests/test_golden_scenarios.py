"""Finish times that SimGrid computed (see data/scenarios/README.md), and cases anyone can work by hand."""

import json
from pathlib import Path

import pytest

from simulator.network.flows import Flow, Link, replay
from simulator.network.scenario import read, replay_scenario

SHIPPED = sorted((Path(__file__).parent / "data" / "scenarios").glob("*.json"))
ALL = Path(__file__).parents[2] / "shared" / "data" / "scenarios"


def check(path):
    expected = json.loads(path.read_text(encoding="utf-8"))
    scenario = read(path)
    for how in ({"solver": "plain"}, {"solver": "compiled"}, {"solver": "compiled", "fold": "on"}):
        result = replay(scenario.links, scenario.flows, **how)
        assert result.finish == pytest.approx(expected["finish_s"], rel=1e-9, abs=1e-15)
        assert result.makespan == pytest.approx(expected["makespan_s"], rel=1e-9, abs=1e-15)


def test_shipped_scenarios_are_there():
    assert len(SHIPPED) >= 12


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenario(path):
    check(path)


def test_all_scenarios_beside_the_checkout():
    paths = sorted(ALL.glob("*.json"))
    if not paths:
        pytest.skip(
            f"THE FULL SET OF 50 GOLDEN SCENARIOS IS NOT AT {ALL}; only the shipped ones were checked"
        )
    assert len(paths) == 50
    for path in paths:
        check(path)


@pytest.mark.parametrize("fold", ["on", "off", "auto"])
def test_fold_never_changes_a_result(fold):
    path = SHIPPED[0]
    found = replay_scenario(read(path), fold=fold).finish
    assert found == pytest.approx(replay_scenario(read(path)).finish, rel=1e-12)


def test_fold_must_be_known():
    with pytest.raises(ValueError, match="fold must be auto, on or off, got 'maybe'"):
        replay_scenario(read(SHIPPED[0]), fold="maybe")


def test_two_cable_directions_do_not_disturb_each_other():
    links = {"there": Link(1e9), "back": Link(1e9)}
    flows = [Flow(id="a", route=("there",), size=1e9), Flow(id="b", route=("back",), size=1e9)]
    assert replay(links, flows).finish == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("ranks", [2, 3, 16, 64])
def test_ring_all_reduce_takes_one_event_a_step(ranks):
    """2(p-1) steps of n/(pB): Thakur, Rabenseifner, Gropp 2005; all ranks act at one instant."""
    links = {("up", r): Link(50e9) for r in range(ranks)} | {("down", r): Link(50e9) for r in range(ranks)}
    flows = [
        Flow(
            id=(step, r),
            route=(("up", r), ("down", (r + 1) % ranks)),
            size=1e6,
            after=((step - 1, r), (step - 1, (r - 1) % ranks)) if step else (),
        )
        for step in range(2 * (ranks - 1))
        for r in range(ranks)
    ]
    result = replay(links, flows)
    assert result.makespan == pytest.approx(2 * (ranks - 1) * 20e-6, rel=1e-12)
    assert result.events == 2 * (ranks - 1) + 1  # the last one finds the network empty
