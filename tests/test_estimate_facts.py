"""What ``commsim estimate`` says is held to what is known otherwise: papers, the referee, closed forms, the fabric."""

import json
import os
import resource
from dataclasses import replace

import pytest

from simulator.calibration.steps import fitted
from simulator.calibration.steps.referee import predict
from simulator.calibration.steps.rows import read_case
from simulator.calibration.steps.runs import shipped
from simulator.planning.estimate import Desk, estimate, made, prepared, run
from simulator.planning.place import Fabric
from simulator.planning.presets import names, preset
from tests.conftest import in_a_process
from workloads.model import find
from workloads.transformer import parameters

SMALL = {
    "model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": 32, "gbs": 64, "seq_len": 4096, "fidelity": "formula",
}  # fmt: skip
MEASURED = {  # preset: the measured run that it is, and what was printed
    "megatron-175b-a100": "korth-175B-selective+SP",
    "qwen3-30b-h100": "mbridge-26.04-Qwen3_30B_a3B-DGX-H100-FP8-16g-tp1pp1cp1-146",
}
DESKS: dict[str, Desk] = {}
NUMBERS = {"numpy", "pandas", "scipy", "matplotlib", "networkx", "simpy", "rich"}


def answer(**options):
    asked = made(SMALL | options)
    return estimate(asked, DESKS.setdefault(asked.fabric, Desk(Fabric(asked.fabric))))


@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_run_is_predicted_as_by_the_referee(name):
    """The same question through the command and through the table of runs has the same answer."""
    row = next(row for row in shipped("runs") if row["case_id"] == MEASURED[name])
    (verdict,) = predict([read_case(row)], shipped=False)
    found = answer(**preset(name)).row
    assert found["step_s"] == pytest.approx(verdict.predicted_s, rel=1e-9)
    assert found["basis"] == verdict.basis == "calibrated"


def test_published_steps_lie_inside_the_interval():
    """Korthikanti et al., arXiv:2205.05198, table 5: 13.75 s; Llama 3, arXiv:2407.21783, table 4: 400 TFLOP/s."""
    megatron = answer(**preset("megatron-175b-a100")).row
    assert megatron["low_s"] < 13.75 < megatron["high_s"]
    llama = answer(**preset("llama3-405b-16k")).row
    measured = llama["mfu"] * llama["step_s"] * 989.4 / 400
    assert llama["low_s"] < measured < llama["high_s"]


@pytest.mark.parametrize("name", names())
def test_every_preset_is_answered(name):
    row = answer(**preset(name)).row
    assert row["fits"]
    assert row["step_s"] > 0


def test_megatrons_bytes():
    """Korthikanti et al., section 4.2.2: 4 gathers or scatters of sbh forward and as many backward in each layer.

    Of what is gathered only the slice is kept: for the gradients of weights two more gathers.

    Narayanan et al., SC21, section 4.1: with tensor parallelism a rank sends its 1/t of the activations on.
    """
    model, tp, pp, m = find("llama3-8b"), 4, 2, 16
    moved = answer(tp=tp, pp=pp).row["communication_bytes"]
    tensor = 10 * 2 * 4096 * model.hidden * (tp - 1) / tp * model.layers / pp * m
    assert tensor < moved["tensor"] < 1.05 * tensor
    assert moved["pipeline"] == pytest.approx(2 * (pp - 1) / pp * m * 2 * 4096 * model.hidden / tp)
    held = parameters(model) / tp / pp
    assert moved["data"] == pytest.approx(3 / 4 * held * (4 + 2), rel=1e-2)
    assert moved["context"] == moved["expert"] == 0


def test_full_recomputation_does_a_forward_more():
    """Chen et al., arXiv:1604.06174: 4/3 of the work, less what the head and the embedding are."""
    none, full = answer(tp=4).row, answer(tp=4, recompute="full").row
    assert none["mfu"] == none["hfu"]
    assert 1.25 < full["hfu"] / full["mfu"] < 4 / 3
    assert full["step_s"] > none["step_s"]
    assert full["memory_bytes_per_gpu"] < none["memory_bytes_per_gpu"]


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_an_own_schedule_of_the_same_order_is_the_same_schedule(tmp_path, recompute):
    own = tmp_path / "own.toml"
    own.write_text('stages = ["F F F (F B)* B B B", "F F (F B)* B B", "F (F B)* B", "(F B)*"]\n')
    options = {"tp": 2, "pp": 4, "recompute": recompute}
    ours, theirs = answer(**options).row, answer(**options, schedule=str(own)).row
    assert theirs.pop("schedule") == str(own)
    assert ours.pop("schedule") == "1f1b"
    assert flat(theirs) == pytest.approx(flat(ours), rel=1e-9)


def flat(row):
    """Return the numbers of a row, those of its parts too."""
    parts = [
        (name, whole.items() if isinstance(whole, dict) else [("", whole)]) for name, whole in row.items()
    ]
    return {
        f"{name}.{inner}": value for name, part in parts for inner, value in part if isinstance(value, float)
    }


def test_gpipe_written_down_is_gpipe(tmp_path):
    """Its memory too, which is that of all microbatches and their logits at once."""
    order = " ".join(["F*32", *(f"B{number}" for number in reversed(range(32)))])
    own = tmp_path / "own.toml"
    own.write_text(f'stages = ["{order}", "{order}"]\n')
    options = {"tp": 2, "pp": 2, "recompute": "full", "gbs": 256}
    usual, ours, theirs = (answer(**options, schedule=one).row for one in ("1f1b", str(own), "gpipe"))
    assert usual["memory_bytes_per_gpu"] < 0.7 * ours["memory_bytes_per_gpu"]
    assert ours["memory_bytes_per_gpu"] == pytest.approx(theirs["memory_bytes_per_gpu"], rel=0.01)
    assert ours["step_s"] == pytest.approx(theirs["step_s"], rel=1e-9)


@pytest.mark.parametrize(
    "fabric", ["ring-100g", "fat-tree-100g", "wide-area-10g", "torus-2d-100g", "star-100g"]
)
@pytest.mark.parametrize("options", [{}, {"pp": 2}, {"pp": 4, "mbs": 2}, {"strategy": "fsdp"}])
def test_no_link_of_a_fabric_that_nobody_measured_carries_more_than_it_can(fabric, options):
    asked = made(
        {"model": "gpt2-xl", "fabric": fabric, "gpu": "h100-sxm5", "gpus": 16, "gbs": 64, "seq_len": 1024}
        | options
    )
    desk = DESKS.setdefault(fabric, Desk(Fabric(fabric)))
    step = prepared(asked, desk)
    fluid = run(step, desk)
    assert max(fluid.link_busy.values()) <= 1 + 1e-9
    formula = run(replace(step, options=replace(asked, fidelity="formula")), desk)
    assert formula.step_s <= fluid.step_s * (1 + 1e-9)


def test_a_narrow_core_slows_the_step():
    """Ten Gb/s between two halves: gradients of 1.6e9 parameters in 4 bytes take 5 s and more."""
    options = {"model": "gpt2-xl", "gpu": "h100-sxm5", "gpus": 16, "gbs": 64, "seq_len": 1024}
    wide = answer(**options, fabric="star-100g").row["step_s"]
    narrow = answer(**options, fabric="wide-area-10g").row["step_s"]
    least = (4 + 2) * parameters(find("gpt2-xl")) * 15 / 16 / (10e9 / 8)
    assert wide < 2
    assert narrow > least * 0.8


def test_own_measurements_of_a_fabric_count(commsim, tmp_path):
    """A log with collectives three times as slow as ours makes tensor parallelism slower."""
    sizes = [2**power for power in range(16, 31, 2)]
    rows = ["op,gpus,size_bytes,time_us"]
    for op in ("all_gather", "reduce_scatter"):
        for size in sizes:
            outcome = commsim("collective", op, "--size", size, "--gpus", 8, "--fabric", "dgx-h100", "--json")
            rows.append(f"{op},8,{size},{3e6 * outcome.result['rows'][0]['time_s']:.3f}")
    log, mine = tmp_path / "log.csv", tmp_path / "mine.toml"
    log.write_text("\n".join(rows) + "\n")
    assert commsim("calibrate", log, "--fabric", "dgx-h100", "-o", mine).status == 0
    options = {"gpus": 8, "gbs": 8, "tp": 8}
    usual = answer(**options, fabric="dgx-h100").row["breakdown_s"]["exposed_tensor"]
    slow = answer(**options, fabric=str(mine)).row["breakdown_s"]["exposed_tensor"]
    assert slow == pytest.approx(3 * usual, rel=0.2)


def test_a_graph_that_tells_of_no_machines_is_said_to_be_one():
    plain = answer(model="gpt2-xl", seq_len=1024, fabric="star-100g", gpu="h100-sxm5")
    usual = answer(model="gpt2-xl", seq_len=1024)
    assert any("read off its links" in text for text in plain.warnings)
    assert not any("read off" in text for text in usual.warnings)


def test_the_interval_is_that_of_sources_that_no_fit_saw():
    """A user's cluster is no shipped source, however well its stack is known."""
    row = answer().row
    low, high = fitted.band("dense", False)
    assert row["basis"] == "calibrated"
    assert (row["low_s"] / row["step_s"], row["high_s"] / row["step_s"]) == pytest.approx((low, high))


def test_ranks_without_a_trace_are_refused(commsim):
    outcome = commsim("estimate", "--preset", "demo", "--ranks", 0)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: --ranks is for --trace")


def test_money_and_power():
    row = answer(tp=4, price=2.0).row
    assert row["cost_usd"] == pytest.approx(32 * 2.0 * row["step_s"] / 3600)
    assert 32 * 70 * row["step_s"] < row["energy_J"] < 1.2 * 32 * 1300 * row["step_s"]


def test_what_cannot_be_given_is_null_with_a_warning(commsim):
    outcome = commsim(
        "estimate", "--model", "llama3-8b", "--fabric", "trn2", "--gpus", 16, "--gbs", 16, "--seq-len", 2048, "--json",
    )  # fmt: skip
    (row,) = outcome.result["rows"]
    assert row["cost_usd"] is None
    assert row["energy_J"] is None
    assert {text.split()[0] for text in outcome.result["warnings"]} >= {"cost_usd", "energy_J"}
    assert row["basis"] == "catalogue"


def test_of_a_sweep_what_does_not_fit_has_no_numbers(commsim):
    line = "estimate --model llama3-70b --fabric dgx-h100-ib400 --gpus 64 --pp 2 --gbs 64 --seq-len 4096"
    outcome = commsim(*line.split(), "--tp", "2,8", "--fidelity", "formula", "--json")
    assert outcome.status == 0
    thin, wide = outcome.result["rows"]
    assert (thin["tp"], thin["fits"], thin["step_s"], thin["mfu"]) == (2, False, None, None)
    assert wide["fits"]
    assert any("does not fit" in text for text in outcome.result["warnings"])
    table = commsim(*line.split(), "--tp", "2,8", "--fidelity", "formula").stdout
    assert "does not fit" in table


def test_a_model_from_a_hugging_face_file_is_the_one_of_the_catalogue(tmp_path):
    """meta-llama/Meta-Llama-3-8B, config.json."""
    config = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "tie_word_embeddings": False,
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert answer(model=str(path)).row["step_s"] == pytest.approx(answer().row["step_s"], rel=1e-9)


def test_the_release_of_the_software_counts():
    old, new = (
        answer(**preset("qwen3-30b-h100") | {"stack_version": one}).row["step_s"]
        for one in ("25.09", "26.04")
    )
    assert new < old


WRONG = [
    "estimate --preset demo --tp 3",
    "estimate --preset demo --model llama3-7",
    "estimate --preset demo --fabric dgx-h1000",
    "estimate --preset demo --gpu h1000",
    "explain --preset demo --schedule 1f1c",
]


@pytest.mark.parametrize("line", WRONG)
def test_what_is_typed_wrong_is_said_before_any_numbers_are_imported(line):
    done = in_a_process(*line.split(), env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 2
    imported = {
        row.rsplit("|", 1)[-1].strip() for row in done.stderr.splitlines() if row.startswith("import time:")
    }
    assert "click" in imported
    assert not NUMBERS & imported


@pytest.mark.slow  # a benchmark: how long it takes depends on the machine
@pytest.mark.parametrize(("fidelity", "most"), [("formula", 1.0), ("fluid", 3.0)])
def test_an_answer_for_512_gpus_is_there_in_time(fidelity, most):
    """Seconds of work, start-up included, not of waiting: other tests run beside this one."""
    spans = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = in_a_process("estimate", "--preset", "demo", "--fidelity", fidelity, "--json")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0
        spans.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spans) < most
