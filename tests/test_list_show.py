"""What `list` and `show` print of the catalogue, sources included."""

import pytest

from simulator.cli._kinds import kinds
from simulator.reports.tables import WIDTH


def listed() -> list[str]:

    return kinds()


@pytest.mark.parametrize("kind", listed())
def test_every_kind_is_listed_with_sources_inside_100_columns(commsim, kind: str):
    result = commsim("list", kind, "--json").result
    names = [row["name"] for row in result["rows"]]
    assert names
    assert len(set(names)) == len(names)
    assert all(row.get("source") or row.get("about") for row in result["rows"])
    lines = commsim("list", kind).stdout.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert {line.split()[0] for line in lines[1:] if not line.startswith(" ")} == set(names)
    unverified = [row["name"] for row in result["rows"] if row.get("checked", "read") != "read"]
    marked = [line.split()[0] for line in lines if " unverified" in line]
    assert marked == unverified


@pytest.mark.parametrize("kind", listed())
def test_one_of_every_kind_is_shown_with_its_source(commsim, kind: str):
    row = commsim("list", kind, "--json").result["rows"][0]
    outcome = commsim("show", kind, row["name"])
    assert outcome.status == 0
    words = "".join(outcome.stdout.split())
    assert all(part in words for part in row.get("source", "").split() if part != ";")
    shown = commsim("show", kind, row["name"], "--json").result["rows"][0]
    assert row.items() <= shown.items()


def test_kinds_may_be_singular_and_every_registry_of_plugins_is_one(commsim):
    for singular, plural in (("gpu", "gpus"), ("switch", "switches"), ("topology", "topologies")):
        assert commsim("list", singular).stdout == commsim("list", plural).stdout
    assert {row["name"] for row in commsim("list", "--json").result["rows"]} == set(listed())
