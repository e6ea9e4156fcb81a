"""``commsim compare``: what differs between two scenario files, and nothing else."""

import pytest

BASE = 'model = "llama3-8b"\nfabric = "dgx-h100-ib400"\ngpus = 32\ngbs = 64\nseq_len = 4096\nfidelity = "formula"\n'


@pytest.fixture
def files(tmp_path):
    """Write scenarios that differ in what is given."""

    def write(first="", second=""):
        paths = tmp_path / "a.toml", tmp_path / "b.toml"
        for path, more in zip(paths, (first, second), strict=True):
            path.write_text(BASE + more)
        return paths

    return write


def test_each_row_is_what_estimate_says(commsim, files):
    found = commsim("compare", *files("tp = 2\n", "tp = 8\n"), "--json").result
    for row, tp in zip(found["rows"], (2, 8), strict=True):
        alone = commsim(
            "estimate", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", 32, "--gbs", 64,
            "--seq-len", 4096, "--fidelity", "formula", "--tp", tp, "--json",
        ).result["rows"][0]  # fmt: skip
        assert alone.items() <= row.items()


def test_differences_are_complete_and_ratios_right(commsim, files):
    found = commsim("compare", *files("tp = 2\n", "tp = 8\npp = 2\n"), "--json").result
    first, second = found["rows"]
    said = {one["key"]: one for one in found["differences"]}
    for key in ("tp", "pp", "dp", "plan"):
        assert (said[key]["a"], said[key]["b"]) == (first[key], second[key])
    for key in ("step_s", "mfu", "memory_bytes_per_gpu"):
        assert said[key]["ratio"] == pytest.approx(second[key] / first[key])
    parts = [one for key, one in said.items() if key.startswith("breakdown_s.")]
    change = sum(one["b"] - one["a"] for one in parts)
    assert change == pytest.approx(second["step_s"] - first["step_s"], rel=1e-9)
    assert "model" not in said
    assert "gbs" not in said


def test_the_same_twice_differs_in_nothing(commsim, files):
    paths = files()
    assert commsim("compare", *paths, "--json").result["differences"] == []
    assert commsim("compare", *paths).stdout.startswith("nothing differs\n")


def test_options_hold_for_both_files_and_over_them(commsim, files):
    found = commsim(
        "compare", *files("tp = 2\n", "tp = 2\npp = 2\n"), "--tp", 4, "--gpus", 16, "--json"
    ).result
    assert [(row["tp"], row["gpus"]) for row in found["rows"]] == [(4, 16), (4, 16)]


def test_a_preset_stands_for_its_options_and_keys_may_have_hyphens(commsim, tmp_path):
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('preset = "demo"\nfidelity = "formula"\n')
    other.write_text('preset = "demo"\nseq-len = 4096\nfidelity = "formula"\nabout = "shorter"\n')
    found = commsim("compare", one, other, "--json").result
    assert [row["seq_len"] for row in found["rows"]] == [8192, 4096]
    assert found["rows"][0]["model"] == "llama3-70b"
    assert set(found["manifest"]["inputs"]) == {str(one), str(other)}


def test_what_a_person_reads(commsim, files):
    text = commsim("compare", *files("tp = 2\n", "tp = 4\n")).stdout
    head, *lines = text.splitlines()
    assert "a.toml" in head
    assert "b.toml" in head
    step = next(line for line in lines if line.startswith("step s"))
    assert step.endswith("%")
    assert any(line.startswith("accuracy: ") for line in lines)
