"""Tests of growth: sizes follow the families, the wall is the first, its name is right."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cli._main import main
from simulator.errors import InfeasibleError, UsageError
from simulator.models import resolve
from simulator.planning._amounts import number_of, watts_of
from simulator.planning._estimate_options import made
from simulator.planning._growth_model import as_files, grown, sizes
from simulator.planning.estimate import estimate
from simulator.planning.growth import Limits, grow
from workloads.model import find

ASKED = {
    "model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": 16, "gbs": 64, "seq_len": 4096, "tp": 4, "pp": 2,
    "fidelity": "formula",
}  # fmt: skip
LINE = [word for name, value in ASKED.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_llama_3_grown_from_8_billion_is_like_its_larger_siblings():
    """Grattafiori et al., arXiv:2407.21783, table 3: 80 x 8192 has 70 billion, 126 x 16384 has 405 billion."""
    for name in ("llama3-70b", "llama3.1-405b"):
        sibling = find(name)
        like = grown(find("llama3-8b"), sizes(sibling)[0] / sizes(find("llama3-8b"))[0], layers=2, heads=8)
        assert like.hidden == pytest.approx(sibling.hidden, rel=0.2)
        assert like.layers == pytest.approx(sibling.layers, rel=0.3)
        assert sizes(like)[0] == pytest.approx(sizes(sibling)[0], rel=0.15)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["llama3-8b", "llama3-70b", "mixtral-8x7b", "gpt3-175b"]), st.floats(1.2, 60))
def test_a_grown_model_has_the_size_and_divides(name, times):
    start = find(name)
    model = grown(start, times, layers=4, heads=8)
    assert model.layers % 4 == 0
    assert model.heads % 8 == 0
    assert sizes(model)[0] == pytest.approx(times * sizes(start)[0], rel=0.2)


def test_a_grown_model_comes_back_from_its_file():
    for name in ("llama3-8b", "mixtral-8x7b"):
        model = grown(find(name), 2.0, heads=8)
        with as_files() as write:
            again = resolve(write(model))
        assert sizes(again) == sizes(model)
        assert (again.name, again.layers, again.kv_heads) == (model.name, model.layers, model.kv_heads)


def test_what_nobody_says_how_it_grows_is_refused():
    with pytest.raises(UsageError):
        grown(find("t5-11b"), 2.0)


def test_the_start_is_the_estimate_and_memory_is_the_wall():
    answer = grow(made(ASKED), Limits(most_exposed=1.0), fixed=True)
    assert answer.walls == ("memory",)
    assert answer.rows[0]["step_s"] == estimate(made(ASKED)).row["step_s"]
    assert answer.rows[-1]["step_s"] is None
    assert "does not fit" in answer.reason
    assert answer.rows[-1]["parameters"] > answer.rows[-2]["parameters"]
    needed = [row["memory_bytes_per_gpu"] for row in answer.rows[:-1]]
    assert needed == sorted(needed)


def test_a_layout_anew_goes_at_least_as_far_as_a_fixed_one():
    fixed, free = (grow(made(ASKED), Limits(), step=2.0, fixed=kept) for kept in (True, False))
    assert free.walls == ("memory",)
    assert free.rows[-1]["parameters"] >= fixed.rows[-1]["parameters"]
    assert {1, 2, 4, 8} <= set(free.tried["tp"])
    assert free.rows[0]["step_s"] <= fixed.rows[0]["step_s"]


@pytest.mark.parametrize(
    ("limits", "wall"),
    [
        (Limits(most_exposed=0.0001), "network"),
        (Limits(power=100.0), "power"),
        (Limits(days=20.0), "time"),
        (Limits(days=20.0, tokens=1e12), "time"),
    ],
)
def test_each_wall_is_named_by_what_it_is(limits, wall):
    answer = grow(made(ASKED), limits, fixed=True)
    assert answer.walls[0] == wall
    last = answer.rows[-1]
    assert last["tokens"] == limits.tokens or last["tokens"] == 20 * last["active_parameters"]
    if wall == "time":
        assert last["days"] > 20
        assert all(row["days"] <= 20 for row in answer.rows[:-1])
    if wall == "power":
        assert last["power_W"] == pytest.approx(last["energy_J"] / last["step_s"])


def test_a_start_that_does_not_fit_is_infeasible():
    with pytest.raises(InfeasibleError):
        grow(made(ASKED | {"model": "llama3-70b", "tp": 1, "pp": 1}), Limits(), fixed=True)


def test_amounts_are_read_with_their_units():
    assert (number_of("15T", "--tokens"), number_of("2e12", "--tokens")) == (15e12, 2e12)
    assert watts_of("5MW", "--power-limit") == 5e6
    for text in ("5", "x", "0W", "5VA", ""):
        with pytest.raises(UsageError):
            watts_of(text, "--power-limit")


def test_the_command_names_the_wall(capsys):
    assert main(["grow", *LINE, "--fixed-layout", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["wall"] == "memory"
    assert {"parameters", "tokens", "exposed", "power_W", "days", "loss", "step_s"} <= set(answer["rows"][0])
    assert main(["grow", *LINE, "--fixed-layout", "--steps", "1"]) == 0
    assert "no wall in 1 steps" in capsys.readouterr().out
    assert main(["grow", *LINE, "--step", "1"]) == 2
    assert main(["grow", *LINE, "--power-limit", "5"]) == 2
