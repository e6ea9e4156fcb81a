"""Tests of sensitivities: a function with known indices, shares of a step, and the command."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from simulator.cli._main import main
from simulator.errors import InfeasibleError, UsageError
from simulator.planning._estimate_options import made
from simulator.planning._sobol_ranges import Range, chosen, read_ranges
from simulator.planning._what_if_changes import parse_all
from simulator.planning.estimate import Desk, prepared
from simulator.planning.place import Fabric
from simulator.planning.sensitivity import present, sensitivities
from simulator.planning.sobol import indices, shares, step_shares
from simulator.planning.what_if import what_if
from simulator.reports.tornado_plot import picture, tornado

ASKED = {
    "model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": 32, "gbs": 64, "seq_len": 4096, "tp": 4, "pp": 2,
    "fidelity": "formula",
}  # fmt: skip
LINE = [word for name, value in ASKED.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(Fabric("dgx-h100-ib400"))


def test_the_ishigami_function_has_its_published_indices():
    """Ishigami, Homma, ISUMA 1990; for a = 7, b = 0.1 the indices follow from its variance in closed form."""
    a, b = 7.0, 0.1
    first = (0.5 * (1 + b * np.pi**4 / 5) ** 2, a**2 / 8, 0.0)
    third = 8 * b**2 * np.pi**8 / 225
    variance = sum(first) + third
    expected = {
        "one": (first[0] / variance, (first[0] + third) / variance),
        "two": (first[1] / variance, first[1] / variance),
        "three": (0.0, third / variance),
    }
    ranges = [Range(name=name, low=-np.pi, high=np.pi, factor=False) for name in expected]

    def ishigami(points):
        one, two, three = points
        return np.sin(one) + a * np.sin(two) ** 2 + b * three**4 * np.sin(one)

    found = shares(ishigami, ranges, samples=1024, seed=1)
    for share in found:
        known = expected[share.input.name]
        assert (share.first, share.total) == pytest.approx(known, abs=0.03)
        assert share.first_low - 0.02 <= known[0] <= share.first_high + 0.02
        assert share.total_low - 0.02 <= known[1] <= share.total_high + 0.02
    assert [share.input.name for share in found] == ["one", "two", "three"]


def test_the_estimators_are_those_of_scipy():
    from scipy.stats import sobol_indices

    values = np.random.default_rng(2).normal(size=(5, 64))
    whole = {"f_A": values[:1], "f_B": values[1:2], "f_AB": values[2:, None]}
    theirs = sobol_indices(func=whole, n=64)
    assert indices(values)[1] == pytest.approx(theirs.total_order.ravel())
    assert indices(values)[0] == pytest.approx(theirs.first_order.ravel(), abs=0.1)  # they do not centre all


def test_a_product_of_factors_shares_by_the_squares_of_its_powers():
    """The logarithm of x**2 / y over equal ranges is linear: four fifths and one fifth of the variance."""
    ranges = [Range(name=name, low=0.5, high=2.0) for name in ("x", "y", "nothing")]
    found = {
        one.input.name: one
        for one in shares(lambda at: np.log(at[0] ** 2 / at[1]), ranges, samples=512, seed=3)
    }
    assert found["x"].first == pytest.approx(0.8, abs=0.02)
    assert found["y"].total == pytest.approx(0.2, abs=0.02)
    assert found["nothing"].total == found["nothing"].total_low == found["nothing"].total_high == 0.0


def test_the_same_seed_is_the_same_answer_and_nothing_to_share_is_refused():
    ranges = [Range(name="x", low=1.0, high=2.0), Range(name="y", low=1.0, high=2.0)]

    def twice(at):
        return 2 * at[0]

    assert shares(twice, ranges, samples=64, seed=5) == shares(twice, ranges, samples=64, seed=5)
    with pytest.raises(InfeasibleError):
        shares(lambda at: 0 * at[0], ranges, samples=64, seed=5)


def test_a_step_is_moved_most_by_what_it_does_most(desk):
    step = prepared(made(ASKED), desk)
    about = chosen(present(step), read_ranges(["inter.bandwidth=0.5..2"]), cost=True)
    found, variation = step_shares(step, desk, about, samples=32, seed=1, price=2.0)
    assert {share.input.name for share in found[:2]} == {"gemm", "price"}
    assert sum(share.first for share in found) == pytest.approx(1.0, abs=0.25)
    assert 0.02 < variation < 0.5


def test_a_bandwidth_and_a_rate_up_make_a_step_shorter(desk):
    found = {one.input: one for one in sensitivities(prepared(made(ASKED), desk), desk)}
    assert {"MFU of gemm", "ib bandwidth", "nvlink bandwidth", "gbs"} <= set(found)
    assert all(one.up <= 0 <= one.down for name, one in found.items() if "latency" not in name and name != "gbs"
               and "fixed" not in name)  # fmt: skip


def test_a_tenth_more_is_what_a_what_if_says(desk):
    found = {one.input: one for one in sensitivities(prepared(made(ASKED), desk), desk)}
    for text, name in (("inter.bandwidth", "ib bandwidth"), ("intra.latency", "nvlink latency")):
        base, changed = what_if(ASKED, parse_all([f"fabric.{text}=+10%"])).rows
        assert found[name].up == pytest.approx(changed["step_s"] / base["step_s"] - 1)


@pytest.mark.parametrize("text", ["gemm", "gem=0.5..2", "gemm=2..1", "gemm=0..1", "gemm=1..x"])
def test_a_range_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError, match="--range"):
        read_ranges([text])


def test_the_command_tells_both_and_draws_them(tmp_path, capsys):
    more = ["--global", "--samples", "16", "--plot", str(tmp_path / "s.png"), "--json"]
    assert main(["sensitivity", *LINE, *more]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"input", "up", "down"} <= set(answer["rows"][0])
    assert {"input", "first", "first_low", "total", "total_high", "low", "high"} <= set(answer["shares"][0])
    assert answer["manifest"]["seed"] == 1
    assert any("--samples" in text for text in answer["warnings"])
    assert (tmp_path / "s.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "more",
    [["--samples", "100", "--global"], ["--range", "gemm=0.5..2"], ["--of", "cost"],
     ["--global", "--range", "price=0.5..2"], ["--global", "--range", "grouped_gemm=0.5..2"]],
)  # fmt: skip
def test_the_command_refuses_by_the_contract(more, capsys):
    assert main(["sensitivity", *LINE, *more]) == 2
    assert capsys.readouterr().err.startswith("error:")


def test_the_longest_bar_is_on_top():
    frame = pd.DataFrame({"input": ["a", "b"], "down": [0.2, 0.01], "up": [None, -0.01]})
    axes = tornado(frame, Figure().add_subplot())
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b", "a"]
    assert len(picture(frame).axes) == 1
