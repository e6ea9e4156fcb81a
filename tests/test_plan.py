"""``commsim plan``: rows that estimate agrees with, objectives, fronts, what is settled, what cannot be."""

import csv
import json
import tomllib
from itertools import pairwise

import pytest

ASKED = (
    "plan", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", "16", "--gbs", "64", "--seq-len", "4096",
    "--tp", "1,2,4", "--mbs", "1,2", "--cp", "1", "--context", "ring",
)  # fmt: skip


@pytest.fixture(scope="module")
def answer(commsim_module):
    return commsim_module(*ASKED, "--top", "5", "--rejected", "--json").result


@pytest.fixture(scope="module")
def commsim_module(request):
    from tests.conftest import in_a_process

    class Done:
        def __init__(self, process):
            self.status, self.stdout, self.stderr = process.returncode, process.stdout, process.stderr

        @property
        def result(self):
            return json.loads(self.stdout)

    return lambda *words: Done(in_a_process(*map(str, words)))


def test_the_keys_of_the_contract_are_there(answer):
    assert {"evaluated", "feasible", "search_s", "rows", "schema", "manifest", "warnings"} <= answer.keys()
    keys = {"tp", "pp", "vpp", "cp", "ep", "dp", "mbs", "sp", "schedule", "strategy", "zero", "recompute", "precision",
            "why", "step_s", "low_s", "high_s", "fits", "breakdown_s", "fidelity", "messages"}  # fmt: skip
    assert all(keys <= row.keys() for row in answer["rows"])
    assert answer["evaluated"] >= answer["feasible"] >= len(answer["rows"]) == 5


def test_rows_come_best_first_and_each_is_what_estimate_says(answer, commsim):
    times = [row["step_s"] for row in answer["rows"]]
    assert times == sorted(times)
    for row in answer["rows"][:2]:
        flags = {
            name: row[name]
            for name in ("tp", "pp", "cp", "mbs", "schedule", "strategy", "recompute", "precision")
        }
        flags |= {"vpp": row["vpp"]} if row["vpp"] > 1 else {}
        flags |= {
            name.replace("_", "-"): row[name]
            for name in ("recompute_modules", "recompute_layers", "stage_layers")
            if row[name]
        }
        words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
        sp = ["--sp" if row["sp"] else "--no-sp"]
        one = commsim("estimate", *ASKED[1:11], *words, *sp, "--json").result["rows"][0]
        assert one["step_s"] == row["step_s"]


def test_what_became_of_the_others_adds_up(answer):
    for axis in {row["axis"] for row in answer["rejected"]}:
        some = [row for row in answer["rejected"] if row["axis"] == axis]
        assert sum(row["evaluated"] for row in some) == answer["evaluated"]
        assert sum(row["fit"] for row in some) == answer["feasible"]
        fastest = min(row["at_least_s"] for row in some if row["at_least_s"] is not None)
        assert fastest <= answer["rows"][0]["formula_s"] * (1 + 1e-9)


def test_what_is_settled_stays(commsim):
    rows = commsim(*ASKED, "--pp", "2", "--schedule", "1f1b", "--zero", "1", "--recompute", "none", "--no-sp",
                   "--fidelity", "formula", "--json").result["rows"]  # fmt: skip
    assert rows
    for row in rows:
        assert (row["pp"], row["schedule"], row["strategy"], row["recompute"], row["sp"]) == (
            2,
            "1f1b",
            "zero1",
            "none",
            False,
        )
        assert row["step_s"] == pytest.approx(row["formula_s"], rel=1e-9)


def test_gpu_counts_and_fabrics_are_compared_per_token(commsim, tmp_path):
    done = commsim(*ASKED[:5], "--gpus", "8,16", *ASKED[7:], "--objective", "cost", "--pareto", "time,cost",
                   "--pp", "1",
                   "--runnable", "--fidelity", "formula", "-o", tmp_path / "r", "--json")  # fmt: skip
    assert done.status == 0, done.stderr
    result = done.result
    costs = [row["cost_usd"] for row in result["rows"]]
    assert costs == sorted(costs)
    assert all(row["stack_has_it"] for row in result["rows"])
    front = [(row["step_s"], row["cost_usd"]) for row in result["pareto"]]
    assert front == sorted(front)
    assert all(one[1] > other[1] for one, other in pairwise(front))
    with (tmp_path / "r" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(result["rows"])
    assert tomllib.loads((tmp_path / "r" / "manifest.toml").read_text())["command"][1] == "plan"


def test_a_person_reads_ranks_reasons_and_counts(commsim):
    said = commsim(*ASKED, "--top", "3", "--rejected", "--fidelity", "formula").stdout
    assert "best layouts by formula" in said
    assert "1: best: " in said
    assert "do not fit in memory" in said
    assert "accuracy:" in said
    assert all(len(line) <= 120 for line in said.splitlines())


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (("--objective", "speed"), 2, "--objective speed: wanted one of time, cost, energy"),
        (("--pareto", "time"), 2, "--pareto time: wanted two objectives"),
        (("--pareto", "time,fame"), 2, "fame"),
        (("--order", "tp-dp-cp-pp"), 2, "--order is not for a plan"),
        (("--gbs", "63", "--dp", "2"), 2, "no degrees of parallelism are legal"),
        (("--tp", "3"), 2, "no degrees of parallelism are legal"),
        (("--schedule", "gpip"), 2, "unknown schedule"),
        (("--model", "llama3.1-405b"), 3, "fits in no layout on 16 h100-sxm5"),
        (("--gpus", "8..8+0"), 2, "--gpus"),
        (("--top", "0"), 2, "--top"),
        (("--runnable", "--schedule", "zb_v"), 2, "--runnable"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned(commsim, more, status, said):
    found = commsim(*ASKED, *more)
    assert (found.status, found.stdout) == (status, ""), found.stderr
    assert said in found.stderr.splitlines()[0]
