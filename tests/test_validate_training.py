"""``commsim validate training``: the contract, limits, refusals, tables that are wrong in themselves."""

import csv
import io

import pytest

from simulator.calibration.steps.runs import shipped

KEYS = {"case_id", "status", "reason", "measured_s", "predicted_s", "low_s", "high_s", "basis"}
SUMMARY = {"rows", "predicted", "refused", "mean_error", "median_error", "coverage"}
ROWS = [*shipped("runs")[:12], *shipped("runs")[400:406], *shipped("vtrain")[:6]]
LEAST = "model,gpu,gpus,seq_len,global_batch,tp,pp"
ONE = "Llama 3.1 8B,H100-80GB,64,8192,256,2,2"


def table(rows, **changes) -> str:
    """Return rows as a CSV; changes stand in for the cells of a column."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [key for key in rows[0] if key], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | changes for row in rows)
    return out.getvalue()


@pytest.fixture
def file(tmp_path):
    """A writer of tables: returns the path of the text."""

    def write(text: str):
        path = tmp_path / "rows.csv"
        path.write_text(text)
        return path

    return write


def test_every_row_is_answered_in_order_and_the_summary_follows(commsim, file):
    found = commsim("validate", "training", file(table(ROWS)), "--json").result
    assert [row["case_id"] for row in found["rows"]] == [row["case_id"] for row in ROWS]
    assert all(set(row) >= KEYS for row in found["rows"])
    assert set(found["summary"]) == SUMMARY
    scored = [row for row in found["rows"] if row["status"] == "predicted"]
    errors = [abs(row["predicted_s"] / row["measured_s"] - 1) for row in scored]
    inside = [row["low_s"] <= row["measured_s"] <= row["high_s"] for row in scored]
    assert found["summary"]["mean_error"] == pytest.approx(sum(errors) / len(errors))
    assert found["summary"]["coverage"] == pytest.approx(sum(inside) / len(inside))
    assert found["summary"]["rows"] == len(ROWS) == len(scored) + found["summary"]["refused"]
    assert found["summary"]["refused"] > 0  # models whose widths nobody printed are among the first


def test_no_measured_column_moves_a_prediction(commsim, file):
    lies = {"step_time_s": "7", "tokens_per_s_per_gpu": "9", "tflops_per_gpu": "3", "mfu": "99"}
    tables = [table(ROWS), table(ROWS, **lies), table(ROWS, **dict.fromkeys(lies, ""))]
    read = [commsim("validate", "training", file(text), "--json").result["rows"] for text in tables]
    keys = ("status", "reason", "predicted_s", "low_s", "high_s", "basis")
    told = [[tuple(row[key] for key in keys) for row in rows] for rows in read]
    assert told[0] == told[1] == told[2]
    assert {row["measured_s"] for row in read[1] if row["status"] == "predicted"} == {7.0}


def test_blank_results_are_predicted_and_not_scored(commsim, file):
    path = file(f"{LEAST}\n{ONE}\n")
    found = commsim("validate", "training", path, "--json").result
    (row,) = found["rows"]
    assert row["predicted_s"] > 0
    assert row["measured_s"] is found["summary"]["mean_error"] is None
    assert commsim("validate", "training", path, "--limit", "50%").status == 4
    assert "none measured" in commsim("validate", "training", path).stdout


def test_step_times_follow_from_token_rates(commsim, file):
    text = f"{LEAST},tokens_per_s_per_gpu\n{ONE},8192\n"
    (row,) = commsim("validate", "training", file(text), "--json").result["rows"]
    assert row["measured_s"] == pytest.approx(256 / 64)
    assert row["case_id"] == "line 2"


@pytest.mark.parametrize(("limit", "status"), [("90%", 0), ("0.1%", 4)])
def test_a_limit_is_kept_or_not(commsim, file, limit, status):
    outcome = commsim("validate", "training", file(table(ROWS)), "--limit", limit)
    assert outcome.status == status
    assert ("PASS" in outcome.stdout) == (status == 0)
    assert ("FAIL" in outcome.stderr) == (status == 4)
    assert "worst" in outcome.stdout


def test_refusals_say_why_and_are_counted(commsim, file):
    rows = f"{LEAST}\n{ONE}\nLlama 3.1 8B,H100-80GB,,8192,256,2,2\nLlama 3.1 8B,H100-80GB,64,8192,256,3,2\n"
    outcome = commsim("validate", "training", file(rows))
    assert "refused 1: gpus is blank" in outcome.stdout
    assert "1 rows predicted, 2 refused" in outcome.stdout


def test_known_software_is_calibrated_and_has_the_narrower_band(commsim, file):
    text = f"{LEAST},notes\n{ONE},NeMo\n{ONE},\n"
    known, unknown = commsim("validate", "training", file(text), "--json").result["rows"]
    assert (known["basis"], unknown["basis"]) == ("calibrated", "catalogue")
    assert any("software not named" in what for what in unknown["assumed"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (f"{LEAST}\n", "no rows"),
        ("model,gpu\na,b\n", "no column 'gpus'"),
        (f"{LEAST.replace(',pp', '')}\n{ONE[:-2]}\n", "no column 'pp'"),
        (f"{LEAST},gpu\n{ONE},x\n", "'gpu' appears twice"),
        (f"{LEAST}\n{ONE},x\n", "(line 2)"),
        (f"{LEAST},step_time_s\n{ONE},1\n{ONE},soon\n", "step_time_s 'soon' is no number (line 3)"),
        (f"{LEAST},step_time_s\n{ONE},-1\n", "step_time_s -1 must be a positive number (line 2)"),
        (f'{LEAST}\n"{ONE}\n', "not a valid CSV"),
    ],
)
def test_a_table_that_is_wrong_in_itself_is_refused_with_line_and_column(commsim, file, text, words):
    path = file(text)
    outcome = commsim("validate", "training", path, "--json")
    assert outcome.status == 5
    assert words in outcome.error["message"]
    assert str(path) in outcome.error["message"]
    plain = commsim("validate", "training", path)
    assert plain.stdout == ""
    assert plain.stderr.startswith("error:")


def test_a_missing_file_is_exit_5(commsim, tmp_path):
    assert commsim("validate", "training", tmp_path / "none.csv").status == 5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows"), [("training.csv", 696), ("vtrain.csv", 790)])
def test_the_public_tables_run_whole(commsim, shared_data, name, rows):
    found = commsim("validate", "training", shared_data / name, "--json").result
    assert found["summary"]["rows"] == rows == len(found["rows"])
    assert found["summary"]["mean_error"] < 0.13
    assert {row["basis"] for row in found["rows"]} <= {"calibrated", None}
