"""``commsim estimate``: the contract, two engines with one answer, flags of others, the timeline, the comparison."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import Fabric, estimate
from simulator.engine.result import ACCOUNTS
from simulator.planning.estimate import Desk, made
from simulator.planning.estimate import estimate as one
from tests.conftest import in_a_process

KEYS = {
    "step_s", "low_s", "high_s", "tokens_per_s_per_gpu", "mfu", "hfu", "memory_bytes_per_gpu", "fits", "breakdown_s",
    "communication_bytes", "cost_usd", "energy_J", "fidelity", "messages", "basis",
}  # fmt: skip
SMALL = [
    "--model",
    "llama3-8b",
    "--fabric",
    "dgx-h100-ib400",
    "--gpus",
    "32",
    "--gbs",
    "64",
    "--seq-len",
    "4096",
]
STEP = {"model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": 32, "gbs": 64, "seq_len": 4096}
DESK = Desk(Fabric("dgx-h100-ib400"))


def rows(*arguments: str) -> list[dict]:
    done = in_a_process(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


def test_a_row_holds_the_contract_and_adds_up():
    (row,) = rows("estimate", *SMALL, "--tp", "2", "--pp", "2")
    assert set(row) >= KEYS
    assert set(row["breakdown_s"]) == set(ACCOUNTS)
    assert sum(row["breakdown_s"].values()) == pytest.approx(row["step_s"], rel=1e-9)
    assert row["low_s"] < row["step_s"] < row["high_s"]
    assert row["fidelity"] == "fluid"
    assert row["tokens_per_s_per_gpu"] * row["step_s"] * 32 == pytest.approx(64 * 4096)
    assert 0 < row["mfu"] <= row["hfu"] < 1


def test_megatrons_flags_are_understood():
    ours = rows("estimate", *SMALL, "--tp", "2", "--pp", "2", "--fidelity", "formula")
    theirs = rows(
        "estimate", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", "32", "--fidelity", "formula",
        "--global-batch-size", "64", "--seq-length", "4096", "--tensor-model-parallel-size", "2",
        "--pipeline-model-parallel-size", "2",
    )  # fmt: skip
    assert ours[0]["step_s"] == theirs[0]["step_s"]


@settings(max_examples=25, deadline=None)
@given(
    tp=st.sampled_from([1, 2, 4, 8]),
    pp=st.sampled_from([1, 2, 4]),
    mbs=st.sampled_from([1, 2]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    strategy=st.sampled_from(["ddp", "zero1", "fsdp"]),
)
def test_formula_and_events_agree_where_nothing_contends(tp, pp, mbs, recompute, strategy):
    """Replayed without a network nothing can contend: both must say the same to rounding."""
    from simulator.engine.closed_form import solve
    from simulator.engine.replay import replay
    from simulator.planning.estimate import prepared

    asked = STEP | {
        "tp": tp,
        "pp": pp,
        "mbs": mbs,
        "recompute": recompute,
        "strategy": strategy,
        "fidelity": "formula",
    }
    options = made(asked | {"model": "llama3.2-1b", "gpus": 32})
    step = prepared(options, DESK)
    formula, events = solve(step.graph, step.prices).result, replay(step.graph, step.prices)
    assert formula.step_s == pytest.approx(events.step_s, rel=1e-9)


@pytest.mark.parametrize(
    "more",
    [{"tp": 8}, {"tp": 4, "pp": 4}, {"tp": 2, "pp": 4, "vpp": 4}, {"strategy": "fsdp"}, {"tp": 8, "pp": 2}],
)
def test_events_on_the_fabric_are_never_faster_and_stay_near_the_formula(more):
    """On a fabric of full bisection with an adapter a GPU axes hardly meet: the issue asks for 2 %."""
    formula = one(made(STEP | more | {"fidelity": "formula"}), DESK).row["step_s"]
    fluid = one(made(STEP | more), DESK).row["step_s"]
    assert formula * (1 - 1e-9) <= fluid <= 1.02 * formula


def test_messages_stay_near_the_bundles():
    asked = STEP | {"model": "gpt2-small", "seq_len": 1024, "gpus": 16, "gbs": 16, "tp": 4, "pp": 2}
    fluid, messages = one(made(asked), DESK).row, one(made(asked | {"fidelity": "messages"}), DESK).row
    assert messages["step_s"] == pytest.approx(fluid["step_s"], rel=0.05)
    assert messages["messages"] > fluid["messages"] > 0


def test_more_gpus_are_faster_and_a_faster_network_never_slower():
    frame = estimate(**STEP | {"gpus": [8, 16, 32, 64]}, fidelity="formula")
    assert frame.step_s.is_monotonic_decreasing


def test_the_same_question_has_the_same_answer():
    first, second = (rows("estimate", *SMALL, "--tp", "4") for _ in range(2))
    assert first == second


def test_the_timeline_nests_and_ends_with_the_step(tmp_path):
    file = tmp_path / "step.json.gz"
    done = in_a_process("estimate", *SMALL, "--tp", "2", "--pp", "4", "--trace", str(file), "--json")
    assert done.returncode == 0, done.stderr
    step = json.loads(done.stdout)["rows"][0]["step_s"]
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert max(event["ts"] + event["dur"] for event in slices) == pytest.approx(step * 1e6, rel=1e-6)
    tracks: dict = {}
    for event in slices:
        tracks.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    assert len({pid for pid, _ in tracks}) == 4
    for found in tracks.values():
        opened: list[float] = []
        for start, end in sorted(found, key=lambda pair: (pair[0], -pair[1])):
            while opened and opened[-1] <= start + 1e-3:
                opened.pop()
            assert not opened or end <= opened[-1] + 1e-3
            opened.append(end)


def test_layers_list_operations_bytes_and_where_they_run():
    done = in_a_process("estimate", *SMALL, "--tp", "2", "--layers", "--fidelity", "formula", "--json")
    listed = json.loads(done.stdout)["layers"]
    assert {"stage", "task", "block", "repeat", "operation", "kind", "bytes", "stream"} <= set(listed[0])
    assert {row["task"] for row in listed} == {"before", "F", "B", "after"}


def test_explain_names_links_algorithms_and_what_moves_the_answer():
    done = in_a_process("explain", *SMALL, "--tp", "2", "--pp", "2")
    assert done.returncode == 0, done.stderr
    for word in ("compute", "slowest link", "chosen over", "what moves the answer most"):
        assert word in done.stdout


def test_compare_sets_two_files_side_by_side(tmp_path):
    base = 'model = "llama3-8b"\nfabric = "dgx-h100-ib400"\ngpus = 32\ngbs = 64\nseq_len = 4096\nfidelity = "formula"\n'
    (tmp_path / "a.toml").write_text(base + "tp = 1\n")
    (tmp_path / "b.toml").write_text(base + "tp = 8\n")
    done = in_a_process("compare", str(tmp_path / "a.toml"), str(tmp_path / "b.toml"), "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["rows"][:2]
    assert first["step_s"] < second["step_s"]


def test_what_does_not_fit_is_refused_with_ways_out():
    done = in_a_process(
        "estimate", "--model", "llama3.1-405b", "--fabric", "dgx-h100-ib400", "--gpus", "64", "--gbs", "64",
        "--seq-len", "8192", "--tp", "8",
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: llama3.1-405b does not fit")
    assert "try:" in done.stderr
