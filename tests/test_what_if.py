"""Tests of ``what-if``: no change changes nothing, faster is never slower, broken is never faster, savings add up."""

import io
import json

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration.setting import Setting
from simulator.cli._main import main
from simulator.errors import InfeasibleError, UsageError
from simulator.planning._estimate_options import made
from simulator.planning._what_if_changes import applied, parse, parse_all
from simulator.planning._what_if_machine import Changed, Machine, machine_of
from simulator.planning._what_if_prices import factor
from simulator.planning.estimate import Desk, estimate
from simulator.planning.place import Fabric
from simulator.planning.what_if import changed_estimate, what_if

ASKED = {
    "model": "llama3-8b",
    "fabric": "dgx-h100-ib400",
    "gpus": 32,
    "gbs": 64,
    "seq_len": 4096,
    "tp": 4,
    "pp": 2,
}
FAST = ASKED | {"fidelity": "formula"}
LINE = [word for name, value in FAST.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(Fabric("dgx-h100-ib400"))


def step(desk: Desk, *texts: str, **options: object) -> float:
    """Return the seconds of the step with some changes."""
    changes = [parse(text) for text in texts]
    asked = made(applied(FAST | options, changes))
    return changed_estimate(asked, changes, desk).row["step_s"]


@pytest.mark.parametrize("fidelity", ["formula", "fluid"])
def test_no_change_is_the_estimate_to_a_bit(desk, fidelity):
    options = made(ASKED | {"fidelity": fidelity})
    plain = estimate(options, Desk(Fabric(options.fabric))).row
    for text in ("fabric.inter.bandwidth=x1", "gpu.slow=1@rank0", "pp=2", "fabric.inter.bandwidth=400Gbps"):
        changes = [parse(text)]
        assert (
            changed_estimate(made(applied(ASKED | {"fidelity": fidelity}, changes)), changes, desk).row
            == plain
        )


def test_an_option_is_changed_as_if_it_had_been_typed():
    answer = what_if(FAST, parse_all(["pp=4", "gbs=x2"]))
    assert [row["change"] for row in answer.rows] == ["base", "pp=4", "gbs=x2", "all together"]
    for row, more in zip(answer.rows, ({}, {"pp": 4}, {"gbs": 128}, {"pp": 4, "gbs": 128}), strict=True):
        alone = estimate(made(FAST | more)).row
        assert {name: row[name] for name in alone} == alone


@settings(max_examples=12, deadline=None)
@given(st.floats(0.1, 10), st.floats(1, 4), st.sampled_from(["inter", "intra", "core"]))
def test_more_bandwidth_is_never_slower(low, more, role):
    desk = Desk(Fabric("dgx-h100-ib400"))
    some, twice = (step(desk, f"fabric.{role}.bandwidth=x{by:.6f}") for by in (low, low * more))
    assert twice <= some * (1 + 1e-9)


def test_more_bandwidth_is_never_slower_with_events(desk):
    found = [step(desk, f"fabric.inter.bandwidth=x{by}", fidelity="fluid", tp=8) for by in (0.1, 0.5, 1, 2)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.2 * found[2]


@pytest.mark.parametrize("fidelity", ["formula", "fluid"])
@pytest.mark.parametrize("link", ["nic0-0->leaf0-0", "gpu0->nvswitch0", "leaf0-0->spine0"])
def test_a_failed_link_is_never_faster(desk, fidelity, link):
    base = step(desk, fidelity=fidelity)
    assert step(desk, f"fabric.fail={link}", fidelity=fidelity) >= base * (1 - 1e-9)


def test_ways_that_happen_to_be_better_are_no_gain():
    asked = {
        "fabric": "torus-2d-100g",
        "gpus": 64,
        "seq_len": 2048,
        "gpu": "h100-sxm5",
        "zero": 3,
        "recompute": "full",
    }
    asked |= {"fidelity": "fluid"}
    answer = what_if(ASKED | asked, parse_all(["fabric.fail=gpu0->gpu1", "fabric.fail=gpu9->gpu17"]))
    assert all(row["step_s"] >= answer.rows[0]["step_s"] for row in answer.rows)


def test_a_failed_adapter_sends_its_bytes_through_another_one(desk):
    """Eight groups share eight adapters; with one gone, two groups share one, and the slower sets the pace."""
    assert step(desk, "fabric.fail=nic0-0->leaf0-0") > step(desk)


def test_one_cable_of_several_leaves_the_others():
    graph = Fabric("dgx-h100-ib400").graph(32)
    cables = graph.edges[("leaf", 0, 0), ("spine", 0)]["cables"]
    changed = Changed(
        Fabric("dgx-h100-ib400"), machine_of([parse("fabric.fail=leaf0-0->spine0/1")], graph), whole=True
    )
    before, after = (
        graph.edges[("leaf", 0, 0), ("spine", 0)],
        changed.graph(32).edges[("leaf", 0, 0), ("spine", 0)],
    )
    assert after["bandwidth_Bps"] == pytest.approx(before["bandwidth_Bps"] * (cables - 1) / cables)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.2, 1.0), st.integers(0, 31))
def test_a_slow_gpu_costs_at_most_its_share(speed, rank):
    desk = Desk(Fabric("dgx-h100-ib400"))
    base, slow = step(desk), step(desk, f"gpu.slow={speed:.6f}@rank{rank}")
    assert base <= slow * (1 + 1e-12)
    assert slow <= base / round(speed, 6) * (1 + 1e-9)


def test_the_uplinks_of_a_leaf_carry_what_oversubscription_says():
    place = Fabric("leaf-spine-400g")
    for ratio in (1.0, 3.0):
        graph = Changed(place, Machine(oversubscription=ratio), whole=True).graph(64)
        kind = dict(graph.nodes(data="kind"))
        down: dict[object, float] = {}
        up: dict[object, float] = {}
        for tail, head, edge in graph.edges(data=True):
            if kind[head] == "leaf" and kind[tail] != "spine":
                down[head] = down.get(head, 0.0) + edge["bandwidth_Bps"]
            if kind[tail] == "leaf" and kind[head] == "spine":
                up[tail] = up.get(tail, 0.0) + edge["bandwidth_Bps"]
        assert up
        assert all(down[leaf] / up[leaf] == pytest.approx(ratio) for leaf in up)


def test_routers_that_are_joined_to_each_other_have_no_oversubscription():
    with pytest.raises(UsageError, match="oversubscription"):
        Changed(Fabric("dragonfly-100g"), Machine(oversubscription=2.0), whole=True).graph(64)


def test_a_fabric_cut_in_two_is_refused(desk):
    texts = ["fabric.fail=gpu0->nvswitch0", "fabric.fail=gpu0->nic0-0"]
    with pytest.raises(InfeasibleError, match="cut off"):
        step(desk, *texts)


def test_a_ring_between_nodes_is_as_fast_as_the_slower_of_both_links():
    """At a large size a broadcast-like ring is bytes over the slowest port: four times the network stops at NVLink."""
    setting = Setting(
        op="all_gather", gpus=32, domains=4, per_domain=8, gpu="H100", family="hopper", inside="nvswitch",
        inside_rate=450e9, transport="infiniband", outside_rate=400e9,
    )  # fmt: skip
    size = 2.0**40
    quarter, half = (factor(setting, size, {"inter": by}, {}) for by in (0.25, 0.5))
    assert 1 < half < 2 == pytest.approx(quarter / half, rel=0.01)  # NVLink was the slower one to begin with
    assert factor(setting, size, {"inter": 0.5, "intra": 0.5}, {}) == pytest.approx(2.0, rel=0.01)
    both = factor(setting, size, {"inter": 4, "intra": 4}, {})
    assert both == pytest.approx(0.25, rel=0.01)
    assert both < factor(setting, size, {"inter": 4}, {}) <= 1
    assert factor(setting, 1.0, {}, {"inter": 2.0}) == pytest.approx(2.0, rel=0.01)
    assert factor(setting, size, {}, {"inter": 2.0}) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("fidelity", ["formula", "fluid"])
def test_twice_the_bandwidth_is_the_catalogues_faster_fabric(fidelity):
    """Machines of B200 with 400 Gbit/s a GPU, doubled, against those whose adapters have 800 Gbit/s.

    The faster fabric is predicted as a fabric of its own, the what-if by the ratio of the closed form.
    """
    asked = {
        "model": "llama3-70b",
        "gpu": "b200-hgx",
        "gpus": 64,
        "gbs": 64,
        "seq_len": 8192,
        "tp": 8,
        "pp": 2,
    }
    asked |= {"fabric": "dgx-b200-ib400", "fidelity": fidelity}
    base, faster = what_if(asked, parse_all(["fabric.inter.bandwidth=x2"])).rows
    real = estimate(made(asked | {"fabric": "hgx-b300-ib800"})).row["step_s"]
    assert faster["step_s"] < 0.99 * base["step_s"]
    assert faster["step_s"] == pytest.approx(real, rel=0.01)


def test_savings_are_gpu_hours_times_their_price():
    answer = what_if(
        FAST | {"price": 2.0}, parse_all(["fabric.inter.bandwidth=x4"]), tokens=1e12, upgrade_cost=1e4
    )
    base, changed = answer.rows
    tokens = 64 * 4096
    saved = (base["step_s"] - changed["step_s"]) * 32 * 1e12 / tokens / 3600
    assert changed["saved_gpu_hours"] == pytest.approx(saved)
    assert changed["worth_usd"] == pytest.approx(2 * saved)
    assert changed["worth_low_usd"] < changed["worth_usd"] < changed["worth_high_usd"]
    steps = changed["pays_after_days"] * 86400 / changed["step_s"]
    assert steps * changed["worth_usd_per_step"] == pytest.approx(1e4)
    assert changed["difference_low_s"] < changed["difference_s"] < changed["difference_high_s"]
    assert changed["difference"] == pytest.approx(changed["step_s"] / base["step_s"] - 1)
    assert changed["difference_per_token"] == pytest.approx(changed["difference"])


def test_what_does_not_fit_has_no_numbers_and_says_why():
    answer = what_if(FAST, parse_all(["model=llama3.1-405b", "pp=4"]))
    assert answer.rows[1]["step_s"] is None
    assert any("does not fit" in text for text in answer.warnings)
    assert answer.rows[2]["step_s"]


@pytest.mark.parametrize(
    "text",
    [
        "pp", "pp=", "=4", "pq=4", "pp=0", "pp=x0.3", "model=x2", "fabric.ib.bandwidth=800", "fabric.ib.latency=0us",
        "fabric.tin.bandwidth=x2", "fabric.oversubscription=-1", "fabric.fail=here", "fabric.fail=a->b",
        "gpu.slow=2@rank0", "gpu.slow=0.5@rank99", "gpu.slow=0.5", "fidelity=fluid", "fabric.core.latency=x2", "",
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_a_usage_error_that_names_it(text):
    with pytest.raises(UsageError) as caught:
        what_if(FAST, parse_all([text]))
    assert "--set" in caught.value.message
    assert text in caught.value.message


def test_a_network_that_one_machine_has_not_is_refused(desk):
    with pytest.raises(UsageError):
        step(Desk(Fabric("dgx-h100")), "fabric.inter.bandwidth=x2", fabric="dgx-h100", gpus=8, tp=4, pp=1)


def test_a_fabric_from_a_file_that_says_nothing_of_its_machines(tmp_path):
    graph = Fabric("leaf-spine-400g").graph(32)
    data = nx.node_link_data(graph, edges="edges")
    data["nodes"] = [one | {"id": "-".join(map(str, one["id"]))} for one in data["nodes"]]
    for edge in data["edges"]:
        edge |= {end: "-".join(map(str, edge[end])) for end in ("source", "target")}
    data["graph"] = {}
    path = tmp_path / "own.json"
    path.write_text(json.dumps(data))
    asked = FAST | {"fabric": str(path), "gpu": "h100-sxm5"}
    place = Desk(Fabric(str(path)))
    found = [step(place, f"fabric.inter.bandwidth=x{by}", **asked) for by in (0.25, 0.5, 1, 2)]
    assert found == sorted(found, reverse=True)


def test_the_command_prints_columns_and_json(tmp_path, capsys):
    texts = ["--set", "fabric.ib.bandwidth=800Gbps", "--set", "pp=4", "--plot", str(tmp_path / "w.png")]
    assert main(["what-if", *LINE, *texts]) == 0
    assert "all together" in capsys.readouterr().out
    assert (tmp_path / "w.png").stat().st_size > 1000
    assert main(["what-if", *LINE, *texts[:2], "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"change", "difference_s", "difference_low_s", "difference_high_s", "difference", "step_s"} <= set(
        rows[1]
    )


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([], 2), (["--set", "pp=3"], 2), (["--set", "model=llama3.1-405b"], 3),
        (["--set", "fabric.fail=gpu0->nvswitch0 fabric.fail=gpu0->nic0-0"], 3),
        (["--set", "pp=4", "--tokens", "many"], 2), (["--set", "pp=4", "--upgrade-cost", "-1"], 2),
        (["--set", "fabric=none.json"], 5),
    ],
)  # fmt: skip
def test_the_command_refuses_by_the_contract(more, status, capsys):
    assert main(["what-if", *LINE, *more]) == status
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("error:")


def test_the_picture_of_columns_shows_what_cannot_be():
    from simulator.reports.tornado_plot import columns

    rows = [
        {"change": "base", "step_s": 2.0, "low_s": 1.8, "high_s": 2.3, "difference": None},
        {"change": "pp=4", "step_s": None, "low_s": None, "high_s": None, "difference": None},
    ]
    figure = columns(rows)
    figure.savefig(io.BytesIO(), format="png")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["base", "pp=4"]
