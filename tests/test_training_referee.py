"""The referee of training steps: nothing measured leaks, every row has a verdict, errors stay as measured."""

import json
import random

import pytest

from simulator.calibration.steps import fitted
from simulator.calibration.steps.corpus import corpus
from simulator.calibration.steps.measured import MEASURED
from simulator.calibration.steps.referee import judge, summary
from simulator.calibration.steps.runs import corpus_hash, shipped
from simulator.reports.training_accuracy import GOALS, at, markdown
from tests.conftest import ROOT, in_a_process

SAMPLE = [dict(row) for row in random.Random(4).sample(list(shipped("runs")), 40)]


@pytest.fixture(scope="module")
def verdicts():
    return judge(SAMPLE)


def test_the_fit_belongs_to_the_shipped_rows():
    assert fitted.corpus() == corpus_hash() == fitted.scores()["corpus"]


def test_every_row_has_one_verdict(verdicts):
    assert [one.case_id for one in verdicts] == [row["case_id"] for row in SAMPLE]
    for one in verdicts:
        assert (one.reason is None) == (one.status == "predicted")
        if one.status == "predicted":
            assert 0 < one.low_s < one.predicted_s < one.high_s


def test_measured_columns_change_no_prediction(verdicts):
    blank = judge([row | dict.fromkeys(MEASURED, "") for row in SAMPLE])
    lied = judge([row | {"step_time_s": "7.5"} for row in SAMPLE])
    for one, two, three in zip(verdicts, blank, lied, strict=True):
        assert one.predicted_s == two.predicted_s == three.predicted_s
        assert (one.low_s, one.high_s) == (two.low_s, two.high_s)


def test_a_shipped_row_under_another_name_is_predicted_by_the_fit_without_it(verdicts):
    renamed = judge([row | {"case_id": f"mine-{number}"} for number, row in enumerate(SAMPLE)])
    assert [one.predicted_s for one in renamed] == [one.predicted_s for one in verdicts]


def test_values_of_a_fold_differ_from_those_of_all_rows():
    assert len({fitted.values(fold)["gemm.share.hopper.bf16"] for fold in (None, 0, 1, 2, 3, 4)}) > 3


def test_folds_keep_equal_configurations_together():
    runs = corpus()
    keys = {}
    for table, case, fold in zip(runs.tables, runs.cases, runs.folds, strict=True):
        assert keys.setdefault((table, case.configuration_key), fold) == fold


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        (("sources", "all", "mean"), 0.125),
        (("folds", "all", "mean"), 0.08),
        (("folds", "dense", "mean"), 0.07),
        (("folds", "moe", "mean"), 0.135),
        (("vtrain", "multi", "folds", "mean"), 0.11),
        (("vtrain", "single", "folds", "mean"), 0.125),
    ],
)
def test_errors_stay_near_what_was_measured(path, bound):
    """Regression guards a little above the measured figures; the goals stand in the README beside them."""
    assert at(path) < bound


def test_the_bands_hold_what_they_promise():
    known, unknown = at(("bands", "known")), at(("bands", "unknown"))
    assert 0.87 <= known["coverage"] <= 0.94
    assert unknown["coverage"] >= 0.83


def test_the_readme_holds_the_generated_table():
    assert markdown() in (ROOT / "README.md").read_text("utf-8")
    assert len(GOALS) == 10


def test_summary_counts_what_is_scored(verdicts):
    found = summary(verdicts)
    assert found["rows"] == len(SAMPLE) == found["predicted"] + found["refused"]
    assert found["mean_error"] < 0.25


def test_command_prints_the_contract(tmp_path):
    file = tmp_path / "rows.csv"
    keys = [key for key in SAMPLE[0] if key]
    lines = [",".join(keys)]
    lines += [",".join('"' + row[key].replace('"', '""') + '"' for key in keys) for row in SAMPLE[:3]]
    file.write_text("\n".join(lines) + "\n")
    done = in_a_process("validate", "training", str(file), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {"case_id", "status", "reason", "measured_s", "predicted_s", "low_s", "high_s", "basis"} <= set(
        answer["rows"][0]
    )
    assert set(answer["summary"]) == {
        "rows",
        "predicted",
        "refused",
        "mean_error",
        "median_error",
        "coverage",
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "case_id"),
        ("case_id,model\na,b\n", "gpu"),
        ("case_id,model,gpu,gpus,seq_len,global_batch\n", "no rows"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, text, word):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    done = in_a_process("validate", "training", str(file))
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.startswith("error:")
    assert word in done.stderr
