"""Carbon, utilisation, and what a token takes: published figures, and rows that add up."""

import numpy as np
import pytest

from simulator.accounting import carbon
from simulator.accounting.energy import step_energy
from simulator.planning._estimate_options import made

ASKED = (
    "estimate", "--model", "llama3-8b", "--fabric", "dgx-h100-ib400", "--gpus", "16", "--gbs", "64", "--seq-len",
    "4096", "--recompute", "full", "--fidelity", "formula",
)  # fmt: skip


def test_published_carbon():
    """Patterson et al., arXiv:2104.10350: GPT-3, 1287 MWh, 552 t at 0.429 kg/kWh (formulas.md 15.1)."""
    joules = 10_000 * 330 * 14.8 * 86_400 * 1.1
    grid = carbon.grid(intensity=429)
    assert joules / carbon.JOULES_PER_KWH / 1000 == pytest.approx(1289.376)
    assert joules * grid.grams_per_joule / 1e6 == pytest.approx(553.142304)


def test_the_card_of_llama_implies_the_intensity_of_its_grid():
    """Llama 3.1 model card: 39.3e6 GPU hours at 700 W, 11,390 t (formulas.md 15.2)."""
    joules = 39.3e6 * 3600 * 700
    assert joules / carbon.JOULES_PER_KWH / 1e6 == pytest.approx(27.51)
    assert carbon.grid(intensity=414.0312614).grams_per_joule * joules / 1e6 == pytest.approx(11_390)


def test_every_grid_has_a_figure_and_a_source():
    for name, grid in carbon.grids().items():
        assert 0 < grid.grams_per_joule * carbon.JOULES_PER_KWH < 1500
        assert "https://" in grid.note
        assert carbon.grid(name) == grid
    assert carbon.grid() is None
    with pytest.raises(ValueError, match="wanted one of"):
        carbon.grid("atlantis")


def test_energy_takes_arrays():
    step, busy = np.array([1.0, 2.0]), np.array([0.2, 0.9])
    each = [step_energy("h100-sxm5", 64, s, busy=b, network=500.0) for s, b in zip(step, busy, strict=True)]
    whole = step_energy("h100-sxm5", 64, step, busy=busy, network=500.0)
    for name in ("gpus", "hosts", "network"):
        assert getattr(whole, name).tolist() == pytest.approx([getattr(one, name) for one in each], rel=1e-12)
    assert sum(each[0].parts().values()) == pytest.approx(each[0].total)


def test_paid_time_without_work_costs_its_price_and_idle_power():
    full = step_energy("h100-sxm5", 8, 1.0, busy=0.5, network=100.0)
    half = step_energy("h100-sxm5", 8, 1.0, busy=0.5, network=100.0, utilisation=0.5)
    idle = step_energy("h100-sxm5", 8, 1.0, busy=0.0, network=100.0)
    assert half.total == pytest.approx(full.total + idle.total)
    with pytest.raises(ValueError, match="utilisation"):
        step_energy("h100-sxm5", 8, 1.0, busy=0.5, utilisation=0.0)


def test_a_row_adds_up(commsim):
    row = commsim(*ASKED, "--region", "france", "--price", "2", "--pue", "1.3", "--json").result["rows"][0]
    tokens = 64 * 4096
    assert sum(row["energy_breakdown_J"].values()) == pytest.approx(row["energy_J"])
    assert row["joules_per_token"] == pytest.approx(row["energy_J"] / tokens)
    assert row["power_W"] == pytest.approx(row["energy_J"] / row["step_s"])
    assert row["carbon_kg"] == pytest.approx(row["energy_J"] / 3.6e6 * 0.056)
    assert row["grams_per_token"] == pytest.approx(row["carbon_kg"] * 1000 / tokens)
    assert row["cost_usd"] == pytest.approx(16 * 2 * row["step_s"] / 3600)
    assert row["usd_per_1M_tokens"] == pytest.approx(row["cost_usd"] / tokens * 1e6)
    assert 0 < row["network_energy_share"] < 0.5
    half = commsim(*ASKED, "--price", "2", "--utilisation", "0.5", "--json").result["rows"][0]
    assert half["cost_usd"] == pytest.approx(2 * row["cost_usd"])
    assert half["carbon_kg"] is None


@pytest.mark.parametrize("written", ["400g/kWh", "0.4kg/kWh", "400kg/MWh", "0.4t/MWh"])
def test_an_intensity_of_ones_own(commsim, written):
    found = commsim(*ASKED, "--region", "france", "--carbon-intensity", written, "--json")
    row = found.result["rows"][0]
    assert row["carbon_kg"] == pytest.approx(row["energy_J"] / 3.6e6 * 0.4)


def test_options_that_were_read_may_be_read_again():
    text = {
        "model": "llama3-8b", "fabric": "dgx-h100-ib400", "gpus": "16", "gbs": "64", "seq_len": "4096",
        "region": "france", "carbon_intensity": "400g/kWh", "pue": "1.2", "utilisation": "0.9", "price": "2",
    }  # fmt: skip
    once = made(text)
    assert made({name: getattr(once, name) for name in text}) == once


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--region", "frnce"), "unknown region 'frnce'"),
        (("--carbon-intensity", "400"), "--carbon-intensity: '400' has no unit"),
        (("--pue", "0.9"), "--pue: '0.9': must be 1 or more"),
        (("--utilisation", "0"), "--utilisation"),
        (("--utilisation", "1.1"), "--utilisation"),
    ],
)
def test_what_cannot_be(commsim, more, said):
    found = commsim(*ASKED, *more)
    assert (found.status, found.stdout) == (2, "")
    assert said in found.stderr.splitlines()[0]
