"""What README.md says of itself: its numbers are those of the referee, what it names exists."""

import re

import pytest

from simulator.calibration.corpus import shipped_rows, sources
from simulator.calibration.referee import accuracy
from simulator.reports.accuracy import BEGIN, COVERED, END, GOALS, markdown, replaced, rewrite
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_the_accuracy_in_the_readme_is_that_of_the_referee():
    part = README.partition(BEGIN)[2].partition(END)[0]
    assert part.strip() == markdown().strip(), "run: python -m simulator.reports.accuracy README.md"


def test_every_missed_goal_is_said():
    missed = next(line for line in markdown().splitlines() if line.startswith("Missed: "))
    met = next(line for line in markdown().splitlines() if line.startswith("Met: "))
    summaries = [(basis, found) for family in accuracy().values() for basis, found in family.items()]
    errors = [found["mean_error"] > GOALS[basis] for basis, found in summaries]
    intervals = [not COVERED[0] <= found["coverage"] <= COVERED[1] for _, found in summaries]
    assert len(missed.split("; ")) * ("none" not in missed) == sum(errors) + sum(intervals)
    assert len(met.split("; ")) * ("none" not in met) == len(errors) - sum(errors)


def test_every_fabric_and_every_regime_is_listed():
    rows = [line.split(" | ")[0].strip("| `") for line in markdown().splitlines() if line.startswith("| `")]
    for family in accuracy().values():
        for found in family.values():
            assert {name.removeprefix("-") for name in found["by_fabric"]} <= {
                row.removeprefix("unstated-") for row in rows
            }
            assert found["worst"][0]["series"] in rows
    regimes = sum(len(found["by_regime"]) for family in accuracy().values() for found in family.values())
    sizes = sum("node" in line.split("|")[3] for line in markdown().splitlines() if line.count("|") == 12)
    assert sizes == regimes


def test_a_file_is_rewritten_between_its_marks_only(tmp_path):
    path = tmp_path / "file.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(path)
    once = path.read_text()
    assert once == f"before\n{BEGIN}\n\n{markdown()}\n{END}\nafter\n"
    rewrite(path)
    assert path.read_text() == once
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}", f"{END}{BEGIN}{END}"]
)
def test_marks_that_are_not_there_once_each_are_refused(text):
    with pytest.raises(ValueError, match="once each"):
        replaced(text, "part")


def test_files_that_the_readme_names_exist():
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target}
    named = set(re.findall(r"\b(?:tests/data|notebooks|simulator|topologies)/[\w./-]+\w", README))
    assert linked | named
    for name in linked | named:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
def test_what_the_readme_does_in_python_works(block: str):
    exec(compile(block, "README.md", "exec"), {})


def test_the_readme_counts_the_measurements_and_their_sources_right():
    counted = {f"{len(shipped_rows()):,} published measurements", f"from {len(sources())} sources"}
    assert {words for words in counted if words in " ".join(README.split())} == counted
