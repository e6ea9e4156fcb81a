"""``commsim demo``: the main job once through, its facts true to what they claim."""

import pytest

from simulator.calibration.corpus import shipped_rows, splits
from simulator.calibration.fitted import BASES
from simulator.calibration.referee import accuracy_line
from simulator.cli import _main
from simulator.planning.demonstration import SERIES

PICTURE = "demo/demo.png"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_facts(commsim, here):
    outcome = commsim("demo", "--json")
    assert outcome.status == 0
    found = outcome.result
    assert found["picture"] == PICTURE
    assert (here / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert found["fabric"]["gpus"] == 64
    assert found["fabric"]["cables"] == 64 + 4 * 64  # a cable a NIC; 8 leaves with 32 to the spines each
    _check_replays(found["replays"])
    _check_calibration(found["calibration"])
    assert [row["gpus"] for row in found["rows"]] == [8, 16, 32, 64, 128, 256, 512, 1024]
    for row in [*found["rows"], *found["choices"]]:
        assert 0 < row["low_s"] < row["time_s"] < row["high_s"]
    assert [row["basis"] for row in found["rows"][:3]] == ["calibrated", "calibrated", "scaled"]
    assert set(found["accuracy"]) == set(BASES)


def _check_replays(replays):
    assert [row["fidelity"] for row in replays] == ["formula", "fluid", "messages"]
    formula, *events = [row["time_s"] for row in replays]
    assert events == pytest.approx([formula] * 2, rel=1e-9)
    gpus = replays[0]["gpus"]
    assert replays[2]["flows"] == 8 * 2 * (gpus - 1) * gpus  # rings x steps x ranks


def _check_calibration(series):
    measured = {row.size_bytes: row for row in shipped_rows() if row.series_id == SERIES}
    held = set(splits()["sizes"][SERIES])
    assert {point["size_bytes"] for point in series["points"] if point["held_out"]} == held
    for point in series["points"]:
        assert point["measured_s"] == measured[point["size_bytes"]].time_s
    assert series["licence"] == "MIT-0"
    one, pieces, predictor = series["models"]
    assert predictor["fitted_error"] is None
    for row, name in ((one, "alpha_beta_s"), (pieces, "pieces_s"), (predictor, "time_s")):
        unseen = [point for point in series["points"] if point["held_out"]]
        errors = [abs(point[name] / point["measured_s"] - 1) for point in unseen]
        assert row["held_out_error"] == pytest.approx(sum(errors) / len(errors))
        assert row["worst_error"] == pytest.approx(max(errors))
    assert pieces["held_out_error"] < one["held_out_error"] / 2  # what the demo is there to show
    assert len(series["pieces"]) > 1


def test_the_text_says_what_was_done_and_what_to_do_next(commsim, here):
    outcome = commsim("demo")
    assert (outcome.status, outcome.stderr) == (0, "")
    text = outcome.stdout
    for part in (
        "dgx-h100-ib400",
        "bisection 1.6 TB/s",
        "formula",
        "messages",
        "rounding",
        "MIT-0",
        "held-out",
    ):
        assert part in text
    for basis in BASES:
        assert accuracy_line(basis) in text
    assert f"picture: {PICTURE}" in text
    steps = [line.removeprefix("next:").strip() for line in text.split("next:")[1].splitlines()]
    assert len(steps) >= 2
    for step in steps:
        _, name, *arguments = step.split()
        command = _main.commands.get_command(None, name)
        with command.make_context(name, arguments):
            pass


def test_a_folder_that_cannot_be_made_is_said_before_any_work(commsim, here):
    (here / "demo").write_text("")
    outcome = commsim("demo")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ./demo: cannot be made")
