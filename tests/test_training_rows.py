"""Rows of measured training runs: read to cases without a look at results, or refused with the input's name."""

import random
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files
from math import inf, isfinite
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.calibration.steps.case import Case, Refusal
from simulator.calibration.steps.degrees import from_megatron
from simulator.calibration.steps.measured import MEASURED, measured, nemo, sc21, six_n
from simulator.calibration.steps.rows import read_case
from simulator.calibration.steps.runs import FOLDS, assign, corpus_hash, shipped, sources, splits
from simulator.calibration.steps.words import UnusableError
from topologies._catalogue import gpus
from workloads.model import find
from workloads.transformer import parameters

RUNS, VTRAIN = shipped("runs"), shipped("vtrain")
ROWS = RUNS + VTRAIN

USERS = {  # what somebody who measured a run of his own may know of it
    "case_id": "mine",
    "model": "Llama 3.1 8B",
    "gpu": "H100-80GB",
    "gpus": "64",
    "seq_len": "8192",
    "global_batch": "256",
    "micro_batch": "1",
    "tp": "2",
    "pp": "2",
    "tokens_per_s_per_gpu": "9000",
}


@cache
def read(name: str) -> tuple[Case | Refusal, ...]:
    return tuple(read_case(row) for row in shipped(name))


def cases(name: str = "runs") -> list[tuple[dict[str, str], Case]]:
    return [
        (row, case) for row, case in zip(shipped(name), read(name), strict=True) if isinstance(case, Case)
    ]


def case_of(**changes: str) -> Case:
    found = read_case(USERS | changes)
    assert isinstance(found, Case), found.reason
    return found


def reason(**changes: str) -> str:
    found = read_case(USERS | changes)
    assert isinstance(found, Refusal), f"not refused: {changes}"
    return found.reason


def named(case_id: str) -> Case:
    return next(case for name in ("runs", "vtrain") for _, case in cases(name) if case.case_id == case_id)


def table(name: str) -> dict[str, Any]:
    folder = files("simulator.calibration") / "data" / "training"
    return tomllib.loads((folder / name).read_text("utf-8"))


# --- results stay out of the case ---


def test_blanked_and_permuted_results_change_no_case():
    shuffled = list(range(len(RUNS)))
    random.Random(4).shuffle(shuffled)
    for row, other, case in zip(RUNS, (RUNS[i] for i in shuffled), read("runs"), strict=True):
        assert read_case(row | dict.fromkeys(MEASURED, "")) == case
        assert read_case(row | {column: other[column] for column in MEASURED}) == case
        assert read_case({key: value for key, value in row.items() if key not in MEASURED}) == case


@given(
    row=st.sampled_from(ROWS),
    results=st.dictionaries(st.sampled_from(MEASURED), st.text(max_size=8) | st.floats().map(str)),
)
def test_no_result_however_odd_changes_a_case(row: dict[str, str], results: dict[str, str]):
    assert read_case(row | results) == read_case(row)


def test_results_are_in_no_other_column_that_is_read():
    """The last digits of a printed result appear nowhere else in its row, so nothing can leak by another way."""
    for row in RUNS:
        for column in MEASURED:
            if len(result := row.get(column, "")) > 4:
                assert all(result not in text for key, text in row.items() if key not in MEASURED), row


# --- every row is a case or a refusal ---


def test_nearly_all_shipped_rows_can_be_predicted():
    assert len(RUNS) == 696
    assert len(VTRAIN) == 790
    assert len(cases("runs")) >= 676
    assert len(cases("vtrain")) == 790
    assert len({row["case_id"] for row in ROWS}) == len(ROWS)


def test_refused_are_the_rows_that_lack_a_layout_or_a_model_or_contradict_themselves():
    left = Counter(
        found.reason.split(" is ")[-1].split(":")[0]
        if "blank" in found.reason
        else found.reason.split(" ")[0]
        for found in read("runs")
        if isinstance(found, Refusal)
    )
    assert left == {"blank": 11, "tp": 6, "model": 3}
    ids = {found.case_id for found in read("runs") if isinstance(found, Refusal)}
    assert {"bloom-prequel-L648", "gopher-280b-4096", "llama31-405b-gpuh"} <= ids


def test_every_case_agrees_with_itself():
    for name in ("runs", "vtrain"):
        for _, case in cases(name):
            at = case.layout
            assert at.tp * at.cp * at.dp * at.pp == case.system.gpus
            assert case.microbatches * case.micro_batch * at.dp == case.global_batch
            assert sum(case.chunk_layers) == case.model.layers
            assert len(case.chunk_layers) == at.pp * at.vpp
            assert min(case.chunk_layers) >= 0
            assert case.system.gpu in gpus()
            assert case.system.nic_bandwidth > 0 or case.system.gpus <= case.system.gpus_per_node
            assert case.sequence_parallel <= (at.tp > 1)
            assert (case.schedule == "interleaved") == (at.vpp > 1)
            assert bool(case.recompute_modules) <= (case.recompute == "selective")
            assert bool(case.stack.dispatcher) == (case.model.experts > 0)
            assert 2018 < case.stack.released < 2027


def test_every_case_was_measured_in_a_credible_time():
    for name in ("runs", "vtrain"):
        for row, case in cases(name):
            found = measured(row, case)
            assert found is not None, case.case_id
            assert 1e-2 < found.seconds < 1e3, case.case_id


def test_printed_sizes_are_those_of_the_dimensions():
    """Where a model's name is its size; labels such as BLOOM's 20B are rounder than that."""
    off = []
    for row, case in cases():
        if row["params_B"] and case.model.family not in ("BLOOM", "GPT"):
            off.append(parameters(case.model) / 1e9 / float(row["params_B"]) - 1)
    assert len(off) > 200
    assert sorted(map(abs, off))[int(0.95 * len(off))] < 0.05


@settings(max_examples=200)
@given(
    row=st.sampled_from(ROWS),
    cells=st.dictionaries(
        st.sampled_from([column for column in RUNS[0] if column not in MEASURED]),
        st.text(max_size=12)
        | st.sampled_from(["", "0", "-1", "1.5", "nan", "inf", "1e400", "1e12", "1099511627776", "x"])
        | st.integers(1, 2**50).map(str),
        min_size=1,
        max_size=3,
    ),
)
def test_no_cell_makes_reading_fail(row: dict[str, str], cells: dict[str, str]):
    found = read_case(row | cells)
    if isinstance(found, Refusal):
        assert found.reason
        assert "\n" not in found.reason.replace(cells.get("model", "-"), "")
    else:
        assert found.layout.tp * found.layout.cp * found.layout.dp * found.layout.pp == found.system.gpus


def test_an_empty_row_is_refused():
    assert isinstance(read_case({}), Refusal)


# --- refusals name the input ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tp": ""}, ["tp is blank"]),
        ({"pp": ""}, ["pp is blank"]),
        ({"gpus": ""}, ["gpus is blank"]),
        ({"gpu": ""}, ["gpu is blank"]),
        ({"model": ""}, ["model is blank"]),
        ({"seq_len": ""}, ["seq_len is blank"]),
        ({"global_batch": ""}, ["global_batch is blank"]),
        ({"dp": "8"}, ["dp 8", "gpus is 64"]),
        ({"tp": "3"}, ["tp 3", "gpus 64"]),
        ({"global_batch": "100"}, ["global_batch 100", "dp 16"]),
        ({"micro_batch": "3"}, ["global_batch 256", "micro_batch 3"]),
        ({"gpu": "H1000"}, ["gpu 'H1000' is unknown", "nearest", "h100"]),
        ({"model": "Lama 3.1 9B"}, ["model 'Lama 3.1 9B' is unknown", "nearest", "llama3"]),
        ({"tp": "two"}, ["tp 'two' is no number"]),
        ({"tp": "-2"}, ["tp -2"]),
        ({"tp": "1.5"}, ["tp 1.5", "whole"]),
        ({"params_B": "70"}, ["params_B 70", "8.03"]),
        ({"ep": "2"}, ["ep 2", "no experts"]),
        ({"model": "Mixtral 8x7B", "ep": "3", "gpus": "48", "global_batch": "240"}, ["ep 3", "8 experts"]),
        ({"precision": "int7"}, ["precision 'int7'"]),
        ({"recompute": "sometimes"}, ["recompute 'sometimes'"]),
        ({"zero_or_fsdp": "ZeRO-9"}, ["zero_or_fsdp 'zero-9'"]),
        ({"gpus": "60", "pp": "1", "global_batch": "240"}, ["gpus 60", "gpus_per_node 8"]),
        ({"pp": "32", "tp": "2", "vp": "2"}, ["layers 32", "vp"]),
        ({"heads": "7"}, ["heads"]),
        ({"notes": "schedule dualpipe"}, ["schedule 'dualpipe'"]),
        ({"notes": "GradAccum=3"}, ["GradAccum=3", "16"]),
        ({"layers": "1e9"}, ["layers 1e9"]),
    ],
)
def test_a_refusal_names_what_is_missing_or_contradicted(changes: dict[str, str], words: list[str]):
    said = reason(**changes)
    for word in words:
        assert word in said
    assert len(said) < 300


def test_a_bad_result_is_refused_when_it_is_read():
    row = USERS | {"tokens_per_s_per_gpu": "fast"}
    with pytest.raises(UnusableError, match="tokens_per_s_per_gpu 'fast' is no number"):
        measured(row, case_of())


def test_a_row_without_a_result_has_none():
    assert measured({**USERS, "tokens_per_s_per_gpu": "", "tflops_per_gpu": "400"}, case_of()) is None


# --- what a user's row leaves out is said ---


def test_a_users_row_is_predicted_with_its_assumptions_said():
    case = case_of()
    said = "; ".join(case.assumed)
    for word in (
        "precision",
        "vp is blank",
        "dp is blank: 16",
        "software not named",
        "recompute",
        "network rate",
    ):
        assert word in said
    assert case.group == "unnamed"
    assert case.model.layers == 32
    assert (case.layout.dp, case.system.gpus_per_node, case.system.nic_bandwidth) == (16, 8, 50e9)


def test_what_a_user_prints_is_not_assumed():
    given = {"precision": "fp8", "vp": "4", "dp": "16", "recompute": "full", "gpus_per_node": "4"}
    given |= {"zero_or_fsdp": "ZeRO-1", "interconnect": "8x200Gb/s RoCE", "source": "torchtitan of mine"}
    case = case_of(**given)
    said = "; ".join(case.assumed)
    for word in ("precision", "vp is", "dp is", "recompute", "network", "gpus_per_node", "zero_or_fsdp"):
        assert word not in said
    assert (case.precision, case.layout.vpp, case.recompute) == ("fp8", 4, "full")
    assert (case.system.transport, case.system.gpus_per_node) == ("roce", 4)
    assert case.stack.family == "torchtitan"


def test_an_unknown_model_with_dimensions_is_a_gpt_and_that_is_said():
    case = case_of(model="Zebra", layers="16", hidden="2048", heads="16", vocab="32000")
    assert (case.model.layers, case.model.hidden, case.model.ffn) == (16, 2048, 8192)
    assert any("'Zebra' is in no catalogue" in one for one in case.assumed)


def test_columns_of_the_row_win_over_the_catalogue():
    case = case_of(layers="16")
    assert case.model.layers == 16
    assert case.model.kv_heads == find("llama3-8b").kv_heads
    assert sum(case.chunk_layers) == 16


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("H100", "h100-sxm5"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm5"),
        ("H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("A100 80GB PCIe", "a100-pcie-80gb"),
        ("GB200 NVL72", "gb200"),
        ("mi300x", "mi300x"),
    ],
)
def test_names_of_gpus_are_compared_as_a_whole(printed: str, name: str):
    assert case_of(gpu=printed, gpus="8", interconnect="400 Gb/s IB").system.gpu == name


def test_a_gpu_without_a_standard_network_needs_one_between_nodes():
    assert "interconnect names no network rate" in reason(gpu="H100 PCIe")
    assert case_of(gpu="H100 PCIe", interconnect="200Gb/s RoCE").system.nic_bandwidth == 25e9
    assert "a100-sxm4-40gb, a100-sxm4-80gb" in reason(gpu="A100")


@pytest.mark.parametrize(
    ("printed", "layers"), [("meta-llama/Llama-3.1-8B", 32), ("Llama-2-70b-chat-hf", 80), ("GPT3-5B", 24)]
)
def test_names_of_models_with_and_without_separators(printed: str, layers: int):
    assert case_of(model=printed, vp="1").model.layers == layers


def test_a_size_is_not_read_as_a_version():
    """A GPT of 35 billion parameters is not the GPT-3 of 5 billion."""
    assert "hidden is blank" in reason(model="GPT 35B")


# --- the sources' own corrections and habits ---


def test_errata_and_blanks_of_the_sources():
    assert named("bloom-prequel-L658").global_batch == 512
    blank = [
        case
        for row, case in cases()
        if "340B" in row["model"] and not row["vp"] and case.layout.pp > 1 and row["gpu"].startswith("H100")
    ]
    assert blank
    for case in blank:
        assert case.layout.vpp == 12
        assert any("vp is blank: 12" in one and "http" in one for one in case.assumed)


def test_interleaving_of_the_giants_of_2021_is_that_of_their_scripts():
    """Table 1 prints no interleaving; its scripts say chunks of two layers or more."""
    giants = [case for row, case in cases() if row["source"].startswith("Narayanan")]
    assert {case.layout.vpp for case in giants if case.layout.pp == 1} == {1}
    for case in giants:
        assert len(set(case.chunk_layers)) == 1


def test_first_and_last_stage_of_zero_bubble_hold_one_layer_less():
    rows = [case for row, case in cases() if row["source"].startswith("Zero Bubble")]
    assert Counter(case.schedule for case in rows).keys() == {"1f1b", "interleaved", "zb_h1", "zb_h2"}
    for case in rows:
        first, *middle, last = case.chunk_layers
        assert set(middle) == {first + 1} == {last + 1}


def test_variants_and_networks_of_the_machines():
    titan = [case.system for _, case in cases() if case.system.power == 500]
    assert titan
    assert all(one.memory_bandwidth == 2.4e12 for one in titan)
    jean_zay = named("bloom-prequel-L658").system
    assert (jean_zay.transport, jean_zay.nic_bandwidth * jean_zay.gpus_per_node) == ("omnipath", 50e9)
    assert {case.system.gpus_per_node for row, case in cases() if row["gpu"] in ("GB200", "GB300")} == {
        64,
        72,
    }


def test_reshaped_pipelines_in_megatrons_notation():
    assert from_megatron("Et*2|(tt|)*2tmL") == (2, 2, 2, 1)
    deepseek = "Et*3|(tt|)*29m|L"
    assert sum(from_megatron(deepseek)) == 61


def test_fine_tuning_is_told_from_its_words():
    tasks = Counter(case.task for _, case in cases())
    assert tasks["pretrain"] > 600
    assert tasks["sft"] > 0
    assert tasks["lora"] > 0
    assert all(case.packed == (case.task != "pretrain") for _, case in cases())


# --- conventions of printed FLOP rates ---


def test_gpt3_in_34_days():
    """SC21 section 5.1: 300e9 tokens at 140 TFLOP/s on 1024 A100 take 34 days."""
    model = find("gpt3-175b").replace(vocab=51200)
    days = sc21(model, 2048) * 300e9 / (1024 * 140e12) / 86400
    assert days == pytest.approx(34, rel=0.03)


def test_llama3_took_38e24_operations():
    """Dubey et al. section 3: 3.8e25 FLOPs for 15.6e12 tokens."""
    assert six_n(find("llama3.1-405b"), 8192) * 15.6e12 == pytest.approx(3.8e25, rel=0.01)


def rates(source: str, convention: Any) -> list[float]:
    """Return FLOP rates by a convention over those printed, of rows that print a time or token rate as well."""
    found = []
    for row, case in cases():
        if row["source"].startswith(source) and row["tflops_per_gpu"] and case.task == "pretrain":
            result = measured(row, case)
            assert result is not None
            rate = case.tokens / result.seconds / case.system.gpus
            found.append(convention(case.model, case.seq_len) * rate / float(row["tflops_per_gpu"]) / 1e12)
    return found


@pytest.mark.parametrize(
    ("source", "convention", "rows", "within"),
    [
        ("BigScience", sc21, 80, 0.01),
        ("MosaicML", nemo, 100, 0.02),
        ("NeMo 24.07", nemo, 9, 0.005),
        ("Megatron-LM examples", nemo, 1, 0.005),
    ],
)
def test_rows_that_print_both_agree_with_the_convention(
    source: str, convention: Any, rows: int, within: float
):
    """Wrong layers, batches, vocabularies or GPUs would show here."""
    found = rates(source, convention)
    assert len(found) >= rows
    assert median(found) == pytest.approx(1, abs=within)
    if (
        source == "BigScience"
    ):  # its first tables print rates of an estimator that its log calls about 3 % low
        late, early = (sum(abs(one - centre) < 0.005 for one in found) for centre in (1, 1.037))
        assert (late, early, len(found)) == (66, 18, 85)
        return
    near = sum(abs(one - 1) < 0.035 for one in found)
    assert near >= 0.9 * len(found)


def test_step_time_and_token_rate_of_a_row_agree():
    off = []
    for row, case in cases():
        if row["step_time_s"] and row["tokens_per_s_per_gpu"]:
            rate = case.tokens / float(row["step_time_s"]) / case.system.gpus
            off.append(abs(rate / float(row["tokens_per_s_per_gpu"]) - 1))
    assert len(off) > 200
    assert median(off) < 0.005
    assert sum(one < 0.02 for one in off) > 0.95 * len(off)


# --- what is held out ---


def test_folds_are_dealt_by_the_salted_hash_and_cover_everything():
    for name in ("runs", "vtrain"):
        wanted = assign((case.group, case.configuration_key) for _, case in cases(name))
        written = {key: int(fold) for fold, keys in splits()[name].items() for key in keys}
        assert written == wanted
        assert sum(len(keys) for keys in splits()[name].values()) == len(written)
        sizes = Counter(written[case.configuration_key] for _, case in cases(name))
        assert set(sizes) == set(range(FOLDS))
        assert max(sizes.values()) < 1.3 * min(sizes.values())


@given(st.sets(st.tuples(st.sampled_from("abc"), st.text(max_size=4)), max_size=40), st.randoms())
def test_dealing_depends_on_no_order_and_is_even(keys: set[tuple[str, str]], chance: random.Random):
    order = sorted(keys)
    chance.shuffle(order)
    folds = assign(order)
    assert folds == assign(keys)
    assert folds.keys() == {key for _, key in keys}
    home = {key: min(stratum for stratum, other in keys if other == key) for _, key in keys}
    for stratum in "abc":
        sizes = Counter(folds[key] for key, own in home.items() if own == stratum)
        counts = [sizes[fold] for fold in range(FOLDS)]
        assert max(counts) - min(counts) <= 1


def test_equal_runs_share_a_fold_and_versions_of_one_recipe_do():
    def key(**changes: str) -> str:
        return case_of(**changes).configuration_key

    assert key() == key(notes="README v25.01..v25.02") == key(vp="4") == key(recompute="full")
    changes = (
        {"gpus": "128"},
        {"tp": "4"},
        {"micro_batch": "2"},
        {"precision": "fp8"},
        {"model": "Llama2-7B"},
    )
    assert len({key(), *(key(**one) for one in changes)}) == 1 + len(changes)


def test_sources_that_are_one_are_left_out_together():
    groups = splits()["groups"]
    assert len(groups["Megatron-Bridge"]) == 2
    assert len(groups["BigScience"]) == 2
    assert len(groups["Megatron tables 2021"]) == 2
    said = {case.source: case.group for name in ("runs", "vtrain") for _, case in cases(name)}
    assert said == {source: group for group, members in groups.items() for source in members}


# --- where it all comes from ---


def test_sources_name_address_and_licence():
    for one in sources().values():
        assert one["base"].startswith("https://")
        assert one["licence"]
    assert {row["source"] for row in ROWS} == {one["name"] for one in sources().values()}
    assert all(row["source_url"].startswith("https://") for row in ROWS)


def test_vtrains_licence_is_kept():
    text = (files("simulator.calibration") / "data" / "training" / "LICENCE-vtrain.txt").read_text("utf-8")
    assert "Copyright (c) 2024, VIA Research Group at KAIST" in text
    assert "Permission is hereby granted, free of charge" in text
    assert "THE SOFTWARE IS PROVIDED" in text


def test_every_stack_and_recipe_names_its_source_and_every_recipe_is_used():
    known = table("stacks.toml")
    for one in [*known["stack"], *known["rule"]]:
        assert len(one["source"]) > 15, one
    said = "; ".join(
        sentence for name in ("runs", "vtrain") for _, case in cases(name) for sentence in case.assumed
    )
    assert said.count("http") > 100
    grads = {case.stack.grad_bytes for _, case in cases()}
    assert grads == {2.0, 4.0}
    assert all(isfinite(case.stack.bucket) or case.stack.bucket == inf for _, case in cases())


def test_remarks_name_rows_that_exist():
    ids = {row["case_id"] for row in ROWS}
    remarks = table("remarks.toml")
    for one in [*remarks["erratum"], *remarks["doubt"]]:
        assert set(one["case_id"]) <= ids
        assert one["why"]
    doubted = {case.case_id for name in ("runs", "vtrain") for _, case in cases(name) if case.doubts}
    assert doubted == {name for one in remarks["doubt"] for name in one["case_id"]}


def test_the_hash_is_that_of_the_rows():
    assert len(corpus_hash()) == 64
    with pytest.raises(ValueError, match="no table 'mine'"):
        shipped("mine")
