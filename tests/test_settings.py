"""Where the defaults of options come from."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fold_of(outcome) -> tuple[str, str]:
    rows = outcome.result["rows"]
    return next((row["value"], row["source"]) for row in rows if row["option"] == "--fold")


def test_flag_before_variable_before_file_before_default(commsim, folder: Path, monkeypatch, scenario: Path):
    assert fold_of(commsim("config", "--show", "--json")) == ("auto", "default")
    (folder / "commsim.toml").write_text('[flows]\nfold = "off"\n')
    assert fold_of(commsim("config", "--show", "--json")) == ("off", "commsim.toml")
    (folder / "other.toml").write_text('[flows]\nfold = "on"\n')
    assert fold_of(commsim("--config", "other.toml", "config", "--show", "--json")) == ("on", "other.toml")
    monkeypatch.setenv("COMMSIM_FLOWS_FOLD", "zebra")
    assert fold_of(commsim("config", "--show", "--json")) == ("zebra", "COMMSIM_FLOWS_FOLD")
    assert commsim("flows", scenario).status == 2  # the variable counts
    assert commsim("flows", scenario, "--fold", "on").status == 0  # but less than the flag


def test_settings_behind_the_command_count_and_stand_in_the_manifest(commsim, folder: Path, scenario: Path):
    (folder / "mine.toml").write_text("[flows]\njson = true\n")
    result = commsim("flows", scenario, "--config", "mine.toml").result
    assert set(result["manifest"]["inputs"]) == {str(scenario), "mine.toml"}


def test_all_faults_of_the_settings_are_told_together(commsim, folder: Path):
    (folder / "commsim.toml").write_text(
        'no_color = "yes"\nfold = "on"\n[flows]\nfold = "of"\nfld = 1\njson = 1\n'
        "[flwos]\n[list]\ncsv = [true]\n"
    )
    outcome = commsim("list")
    assert outcome.status == 5
    first, *others = outcome.stderr.splitlines()
    assert first == "error: commsim.toml: no_color: wanted true or false (and 6 more faults)"
    assert "  fold  unknown key 'fold'" in others
    assert "  flows.fold  unknown fold 'of'; try off, on" in others
    assert "  flows.fld  unknown key 'fld', did you mean 'fold'?" in others
    assert "  flwos  unknown key 'flwos', did you mean 'flows'?" in others


def test_a_command_is_a_table_of_the_settings(commsim, folder: Path):
    (folder / "commsim.toml").write_text("collective = 1\n")
    first = commsim("list").stderr.splitlines()[0]
    assert first == "error: commsim.toml: collective: 1; wanted a table [collective]"


@pytest.mark.parametrize(
    "content", ["a = ", "[flows", "x" * 100, "flows = 1", "[flows]\nfold = nan", "verbose = -1.5"]
)
def test_broken_settings(commsim, folder: Path, content: str):
    (folder / "commsim.toml").write_text(content)
    outcome = commsim("list")
    assert (outcome.status, outcome.stdout) == (5, "")
    assert outcome.stderr.startswith("error: commsim.toml: ")
    assert commsim("list", "--config", "nowhere.toml").status == 5
