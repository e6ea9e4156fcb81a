"""``commsim explain``: what it says adds up, its choices are NCCL's, what it calls sensitive is."""

import re

import pytest

from simulator.planning._estimate_explain import explained
from simulator.planning.estimate import Desk, made, prepared, run
from simulator.planning.place import Fabric
from simulator.planning.sensitivity import TENTH, sensitivities
from workloads.transformer import parameters

SMALL = {"model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": 32, "gbs": 64, "seq_len": 4096}
MEETING = SMALL | {  # tensor and data parallel rings both leave the machines
    "seq_len": 8192, "tp": 2, "strategy": "fsdp", "order": "dp-tp-cp-pp", "recompute": "full",
}  # fmt: skip
DESK = Desk(Fabric("dgx-h100-ib400"))


def flags(options) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def asked(**options):
    step = prepared(made(SMALL | options), DESK)
    return step, run(step, DESK)


@pytest.mark.parametrize("options", [{}, {"tp": 4, "pp": 2}, {"pp": 4, "vpp": 2}, {"strategy": "fsdp"}])
def test_the_longest_way_adds_up_to_the_step_by_formula(options):
    step, result = asked(**options, fidelity="formula")
    why = explained(step, result, DESK)
    assert sum(row["seconds_s"] for row in why.path) == pytest.approx(result.step_s, rel=1e-9)
    assert sum(row["share"] for row in why.path) == pytest.approx(1)


def test_the_gradients_of_a_model_are_exchanged_once():
    """ZeRO, arXiv:1910.02054, section 5.1: reduce-scatter and gather of all parameters, (n - 1)/n of each."""
    step, result = asked(gpus=8, gbs=8, recompute="full", fidelity="formula")
    why = explained(step, result, DESK)
    count = parameters(step.training.model)
    sent = {row["op"]: row for row in why.talk if row["axis"] == "dp_cp"}
    assert sent["reduce_scatter"]["sent_bytes"] == pytest.approx(7 / 8 * count * 4, rel=1e-3)
    assert sent["all_gather"]["sent_bytes"] == pytest.approx(7 / 8 * count * 2, rel=1e-3)
    assert {row["ranks"] for row in why.talk} == {8}


def test_the_algorithm_is_the_one_that_collective_names(commsim):
    """Inside of one machine a group of explain is what ``commsim collective`` asks about."""
    found = commsim("explain", *flags(SMALL | {"tp": 8, "fidelity": "formula"}), "--json").result
    row = next(one for one in found["communication"] if (one["axis"], one["op"]) == ("tp", "all_gather"))
    outcome = commsim(
        "collective", "all_gather", "--size", int(row["size_bytes"]), "--gpus", 8, "--fabric", "dgx-h100-ib400",
        "--json",
    )  # fmt: skip
    alone = outcome.result
    assert (row["algorithm"], row["protocol"]) == tuple(
        alone["rows"][0][key] for key in ("algorithm", "protocol")
    )
    others = [one for one in alone["candidates"] if one["algorithm"] != row["algorithm"]]
    ratio = others[0]["time_s"] / alone["candidates"][0]["time_s"]
    assert row["next"] == others[0]["algorithm"]
    assert row["next_slower"] == pytest.approx(ratio, rel=1e-6)


def test_contention_is_named_by_the_events_and_unknown_to_the_formula(commsim):
    events = commsim("explain", *flags(MEETING), "--json").result
    formula = commsim("explain", *flags(MEETING | {"fidelity": "formula"}), "--json").result
    assert set(events["contention_s"]) == {"tp", "shard"}
    assert events["rows"][0]["step_s"] > formula["rows"][0]["step_s"]
    assert formula["contention_s"] == {}
    assert formula["links"] == []
    text = commsim("explain", *flags(MEETING)).stdout
    assert "contention on shared links" in text


def test_no_link_carries_more_than_it_can_and_its_users_share_it(commsim):
    found = commsim("explain", *flags(MEETING), "--json").result
    assert found["links"]
    busy = [link["busy"] for link in found["links"]]
    assert busy == sorted(busy, reverse=True)
    for link in found["links"]:
        assert 0 < link["busy"] <= 1 + 1e-9
        assert sum(link["axes"].values()) == pytest.approx(link["busy"], rel=1e-6)
    assert set(found["links"][0]["axes"]) >= {"tp", "shard"}


def test_on_one_gpu_a_rate_moves_the_step_by_its_share():
    """T(r) = T - t + t/r where t is all that goes by the rate and nothing else runs beside."""
    step, result = asked(
        model="llama3.2-1b", gpus=1, gbs=2, seq_len=8192, recompute="full", fidelity="formula"
    )
    shares = {"gemm": 0.0, "attention": 0.0}
    for row in explained(step, result, DESK).path:
        if row["kind"] in shares:
            shares[row["kind"]] += row["share"]
    found = {one.input: one for one in sensitivities(step, DESK)}
    for law, share in shares.items():
        one = found[f"MFU of {law}"]
        assert one.up == pytest.approx(-share * TENTH / (1 + TENTH), rel=1e-6)
        assert one.down == pytest.approx(share * TENTH / (1 - TENTH), rel=1e-6)
    assert not {name for name in found if "bandwidth" in name} - {"memory bandwidth"}


@pytest.mark.parametrize(
    "options", [{"tp": 8, "pp": 2}, {"strategy": "fsdp"}, {"gpus": 64, "tp": 16, "pp": 2}]
)
def test_more_of_a_rate_never_harms_and_more_latency_never_helps(options):
    step, _ = asked(**options, fidelity="formula")
    found = sensitivities(step, DESK)
    sizes = [one.size for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert {one.input for one in found} >= {"MFU of gemm", "memory bandwidth", "ib bandwidth"}
    for one in found:
        worse = one.up if "latency" in one.input else one.down
        better = one.down if "latency" in one.input else one.up
        if worse is not None:
            assert worse >= -1e-12
        if better is not None:
            assert better <= 1e-12


def test_a_bandwidth_counts_more_the_wider_the_group_of_a_rank_is_spread():
    """Tensor parallelism over two machines hangs on the network, inside of one on NVLink."""
    inside = {one.input: one.size for one in sensitivities(asked(gpus=64, tp=8, fidelity="formula")[0], DESK)}
    across = {
        one.input: one.size for one in sensitivities(asked(gpus=64, tp=16, fidelity="formula")[0], DESK)
    }
    assert across["ib bandwidth"] > 1.5 * inside["ib bandwidth"]


def test_what_a_person_reads(commsim):
    outcome = commsim("explain", "--preset", "demo")
    assert outcome.status == 0
    text = outcome.stdout
    assert max(map(len, text.splitlines())) <= 100
    head, total = text.splitlines()[:2]
    assert "llama3-70b on 512 h100-sxm5" in head
    step, parts = re.sub(r"\(.*?\)", "", total).removeprefix("step ").split(" s = ")
    assert sum(map(float, re.findall(r"[\d.]+", parts))) == pytest.approx(float(step), abs=0.08)
    for words in ("= compute", "exposed", "bubble", "ring/Simple chosen over", "slowest link", "% busy"):
        assert words in text
    assert "what moves the answer most (+10 %): MFU of gemm -" in text
    assert "accuracy: " in text
