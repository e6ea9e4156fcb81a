"""``commsim collective``: the contract's keys, what must hold of any answer, and what is refused how."""

import json

import pytest

from simulator.api import collective
from simulator.planning.place import Fabric

KEYS = {
    "op", "gpus", "size_bytes", "time_s", "low_s", "high_s", "algbw_Bps", "busbw_Bps", "algorithm",
    "protocol", "channels", "steps", "volume_bytes_per_rank", "bottleneck", "basis",
}  # fmt: skip
OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "send_recv", "gather",
    "scatter",
)  # fmt: skip


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("fabric", ["dgx-h100-ib400", "mi300x-roce400", "star-100g"])
def test_every_operation_on_nvidia_amd_and_a_plain_switch(commsim, op, fabric):
    found = commsim("collective", op, "--size", "1MiB", "--gpus", 16, "--fabric", fabric, "--json").result
    (row,) = found["rows"]
    assert set(row) == KEYS
    assert row["time_s"] > 0
    assert row["algbw_Bps"] == pytest.approx(2**20 / row["time_s"])
    assert row["steps"] >= 1
    assert row["volume_bytes_per_rank"] > 0
    assert row["bottleneck"]["busy"] > 0
    if fabric == "star-100g":
        assert row["low_s"] is None
        assert any("no library" in text for text in found["warnings"])
    else:
        assert row["low_s"] < row["time_s"] < row["high_s"]
        assert row["basis"] in ("calibrated", "scaled", "catalogue")
    if found["candidates"]:
        times = [one["time_s"] for one in found["candidates"]]
        assert times == sorted(times)


def test_one_gpu_costs_nothing_and_no_bytes_cost_latency_only(commsim):
    alone = commsim("collective", "all_reduce", "--size", 0, "--gpus", 1, "--fabric", "dgx-h100", "--json")
    assert alone.result["rows"][0]["time_s"] == 0
    none = commsim("collective", "all_reduce", "--size", 0, "--gpus", 8, "--fabric", "dgx-h100", "--json")
    few = commsim("collective", "all_reduce", "--size", 64, "--gpus", 8, "--fabric", "dgx-h100", "--json")
    assert 0 < none.result["rows"][0]["time_s"] <= few.result["rows"][0]["time_s"] * 1.2


@pytest.mark.parametrize("size", [2**13, 2**30])
def test_the_three_fidelities_agree_where_nothing_contends(size):
    """Rings on rails, and two-shot on a non-blocking switch: formula = bundle = messages."""
    rails = collective("all_reduce", size=size, gpus=16, fabric="dgx-h100-ib400", algorithm="ring")
    for fidelity in ("fluid", "messages"):
        other = collective(
            "all_reduce", size=size, gpus=16, fabric="dgx-h100-ib400", algorithm="ring", fidelity=fidelity
        )
        assert other.time_s[0] == pytest.approx(rails.time_s[0], rel=1e-9)
    star = collective("all_reduce", size=size, gpus=8, fabric="star-100g", algorithm="ring")
    for fidelity in ("fluid", "messages"):
        other = collective(
            "all_reduce", size=size, gpus=8, fabric="star-100g", algorithm="ring", fidelity=fidelity
        )
        assert other.time_s[0] == pytest.approx(star.time_s[0], rel=1e-9)


def test_contention_appears_in_the_events_only():
    """An all-to-all over a 2:1 oversubscribed leaf-spine is slower than its closed form."""
    place = Fabric("fat-tree-100g")
    formula = collective("all_to_all", size=2**26, gpus=16, fabric=place, algorithm="direct")
    events = collective(
        "all_to_all", size=2**26, gpus=16, fabric=place, algorithm="direct", fidelity="messages"
    )
    assert events.time_s[0] >= formula.time_s[0] * (1 - 1e-9)


def test_a_forced_algorithm_is_never_better_priced_than_nccls_own_choice(commsim):
    arguments = ("collective", "all_reduce", "--size", "64MiB", "--gpus", 64, "--fabric", "dgx-h100-ib400")
    free = commsim(*arguments, "--json").result["rows"][0]
    for algorithm in ("ring", "tree", "nvls_tree", "ring,tree", "^nvls_tree"):
        forced = commsim(*arguments, "--algorithm", algorithm, "--json").result["rows"][0]
        assert forced["time_s"] >= free["time_s"] * (1 - 1e-12)
    only = commsim(*arguments, "--algorithm", "ring", "--protocol", "LL", "--json").result["rows"][0]
    assert (only["algorithm"], only["protocol"]) == ("ring", "LL")


def test_one_of_ours_is_priced_against_the_librarys_choice(commsim):
    outcome = commsim(
        "collective", "all_reduce", "--size", "1MiB", "--gpus", 16, "--fabric", "dgx-h100-ib400",
        "--algorithm", "rabenseifner", "--json",
    )  # fmt: skip
    assert outcome.result["rows"][0]["algorithm"] == "rabenseifner"
    assert any("not what the library runs" in text for text in outcome.result["warnings"])


def test_thousands_of_gpus_answer_at_once(commsim):
    arguments = ("--size", "1GiB", "--gpus", 2048, "--fabric", "dgx-h100-ib400", "--json")
    row = commsim("collective", "all_reduce", *arguments, "--algorithm", "ring").result["rows"][0]
    assert row["steps"] == 2 * 2047
    assert row["volume_bytes_per_rank"] == pytest.approx(2 * 2047 / 2048 * 2**30)


@pytest.mark.parametrize(
    ("arguments", "first", "status"),
    [
        (("all_reduc", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100"), "unknown operation", 2),
        (("all_reduce", "--size", "1MiB", "--gpus", 63, "--fabric", "dgx-h100-ib400"), "--gpus", 2),
        (("all_reduce", "--size", "-1", "--gpus", 8, "--fabric", "dgx-h100"), "--size", 2),
        (("all_reduce", "--size", "nan", "--gpus", 8, "--fabric", "dgx-h100"), "--size", 2),
        (("all_reduce", "--size", "1MiB", "--gpus", 0, "--fabric", "dgx-h100"), "--gpus", 2),
        (("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h10"), "unknown fabric", 2),
        (("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "absent.toml"), "absent.toml", 5),
        (
            ("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--algorithm", "rign"),
            "rign",
            2,
        ),
        (
            ("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--algorithm", "pat"),
            "--algorithm",
            2,
        ),
        (
            ("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--protocol", "LL256"),
            "--protocol",
            2,
        ),
        (
            ("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "star-100g", "--protocol", "LL"),
            "--protocol",
            2,
        ),
        (("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--nccl", "foo"), "--nccl", 2),
        (
            ("all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--fidelity", "exact"),
            "fidelity",
            2,
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(commsim, arguments, first, status):
    outcome = commsim("collective", *arguments)
    assert outcome.status == status
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert first in outcome.stderr.splitlines()[0]


def test_an_old_or_unknown_release_is_said(commsim):
    arguments = ("collective", "all_reduce", "--size", "1MiB", "--gpus", 8, "--fabric", "dgx-h100", "--json")
    assert commsim(*arguments, "--nccl", "2.10").result["warnings"]
    assert commsim(*arguments, "--nccl", "9.9").result["warnings"]


def test_a_calibrated_log_serves_as_a_fabric(commsim, tmp_path):
    """A log in, a fabric out: the profile predicts its own sizes, and the machine at other counts."""
    lines = ["op,gpus,nodes,gpus_per_node,size_bytes,time_us"]
    lines += [f"all_reduce,16,2,8,{2**k},{30 + 2**k / 2e5:.4f}" for k in range(10, 31)]
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    profile = tmp_path / "mine.toml"
    made = commsim("calibrate", tmp_path / "runs.csv", "--fabric", "dgx-h100-ib400", "-o", profile, "--json")
    assert made.status == 0
    arguments = ("--size", 3 * 2**20, "--fabric", profile, "--json")
    row = commsim("collective", "all_reduce", "--gpus", 16, *arguments).result["rows"][0]
    assert row["basis"] == "calibrated"
    assert row["time_s"] == pytest.approx((30 + 3 * 2**20 / 2e5) * 1e-6, rel=0.15)
    assert row["low_s"] < row["time_s"] < row["high_s"]
    larger = commsim("collective", "all_reduce", "--gpus", 64, *arguments).result["rows"][0]
    assert larger["basis"] == "scaled"
    checked = commsim("validate", "collectives", tmp_path / "runs.csv", "--fabric", profile, "--json").result
    assert checked["summary"]["mean_error"] < 0.1
    assert {row["basis"] for row in checked["rows"]} == {"calibrated"}


def test_a_graph_file_is_priced_by_its_closed_form(commsim, tmp_path):
    nodes = [{"id": f"g{i}", "kind": "gpu"} for i in range(4)] + [{"id": "s", "kind": "switch"}]
    edges = [{"source": f"g{i}", "target": "s", "bandwidth_Bps": 1e10, "latency_s": 1e-6} for i in range(4)]
    path = tmp_path / "four.json"
    path.write_text(json.dumps({"directed": False, "nodes": nodes, "edges": edges}))
    row = commsim(
        "collective",
        "all_reduce",
        "--size",
        10**9,
        "--gpus",
        4,
        "--fabric",
        path,
        "--algorithm",
        "ring",
        "--json",
    ).result["rows"][0]
    assert row["time_s"] == pytest.approx(6 * 2e-6 + 1.5e9 / 1e10)
    assert commsim("collective", "all_reduce", "--size", 1, "--gpus", 5, "--fabric", path).status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--fabric", "star-100g"),
        ("--fabric", "dgx-h100-ib400", "--algorithm", "ring", "--fidelity", "messages"),
    ],
)
def test_what_would_take_hours_is_refused_before_it_starts(commsim, arguments):
    outcome = commsim("collective", "all_reduce", "--size", "1MiB", "--gpus", 8192, *arguments)
    assert outcome.status == 3
    assert outcome.stderr.startswith("error: ")
    assert "8,192" in outcome.stderr.splitlines()[0]


def test_all_pairs_of_a_long_ring_are_not_followed_in_passing(commsim):
    found = commsim(
        "collective", "all_to_all", "--size", "1MiB", "--gpus", 200, "--fabric", "ring-100g", "--json"
    )
    assert found.result["rows"][0]["time_s"] > 0
    names = {one["algorithm"] for one in found.result["candidates"]}
    assert names
    assert not names & {"direct", "pairwise"}
    assert any("pairwise" in warning for warning in found.result["warnings"])


@pytest.mark.parametrize("fabric", ["tree-100g", "ring-100g", "torus-2d-100g"])
@pytest.mark.parametrize("op", ["all_reduce", "all_to_all", "send_recv"])
def test_no_link_carries_more_than_it_can(commsim, fabric, op):
    """A closed form that takes shared links for idle ones is held to what the busiest one can carry."""
    where = ("--size", "64MiB", "--gpus", 32, "--fabric", fabric, "--json")
    found = commsim("collective", op, *where).result
    row = found["rows"][0]
    assert row["bottleneck"]["busy"] <= 1 + 1e-9
    assert all(one["time_s"] >= row["time_s"] * (1 - 1e-9) for one in found["candidates"])
    fluid = commsim("collective", op, *where, "--algorithm", row["algorithm"], "--fidelity", "fluid").result
    assert row["time_s"] <= fluid["rows"][0]["time_s"] * (1 + 1e-9)
