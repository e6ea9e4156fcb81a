"""Money and energy of a step: worked values, the pick of a price, what is said of it, what is refused."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.accounting.cost import STALE, Rate, rate, step_cost, token_cost
from simulator.accounting.energy import JOULES_PER_KWH, Watts, gpu_power, link_power, step_energy, watts
from topologies._catalogue import gpus, links, prices, switches

TODAY = date(2026, 11, 25)
LAMBDA = Rate(usd_per_gpu_hour=3.99, source="test", note="")


def test_worked_cost_per_million_tokens():
    """formulas.md 15.3: 8 GPUs at 3.99 USD/h and 20,000 tokens/s."""
    assert token_cost(8, 20_000, LAMBDA, tokens=1e6).usd == pytest.approx(0.4433333333)


@given(
    gpu_count=st.integers(1, 100_000),
    step_s=st.floats(1e-3, 1e3),
    tokens=st.floats(1e3, 1e9),
    price=st.floats(0.1, 50),
)
def test_steps_add_up_to_tokens(gpu_count, step_s, tokens, price):
    asked = rate("h100-sxm5", today=TODAY, price=price)
    steps = 1e12 / tokens
    trillion = token_cost(gpu_count, tokens / step_s, asked)
    assert trillion.usd == pytest.approx(steps * step_cost(gpu_count, step_s, asked).usd)
    assert asked.source == "--price"


@pytest.mark.parametrize("gpu", sorted({row.gpu for row in prices().values()}))
def test_price_is_the_newest_on_demand(gpu):
    found = rate(gpu, today=TODAY)
    rows = [row for row in prices().values() if row.gpu == gpu]
    asked = [row for row in rows if row.terms.startswith("on-demand")] or rows
    newest = max(row.date for row in asked)
    same_day = [row.gpu_hour_USD for row in asked if row.date == newest]
    assert found.usd_per_gpu_hour == min(same_day)
    assert found.source in {row.source for row in rows}
    assert (newest or "day not printed") in found.note


def test_old_price_says_its_age():
    fresh = rate("h100-sxm5", today=TODAY)
    assert "days old" not in fresh.note
    late = TODAY + timedelta(days=STALE + 20)
    assert "days old" in rate("h100-sxm5", today=late).note
    assert "others ask" in fresh.note


@pytest.mark.parametrize(
    ("gpu", "price", "words"),
    [
        ("h100-sxm", None, "h100-sxm5"),
        ("gb300", None, "--price 2.10"),
        ("h100-sxm5", 0.0, "--price 0"),
        ("h100-sxm5", float("nan"), "--price nan"),
        ("h100-sxm5", float("inf"), "--price inf"),
    ],
)
def test_no_price_is_refused(gpu, price, words):
    with pytest.raises(ValueError, match=words):
        rate(gpu, today=TODAY, price=price)


def test_no_tokens_cost_nothing_that_can_be_said():
    with pytest.raises(ValueError, match="must be positive"):
        token_cost(8, 0.0, LAMBDA)


def test_gpt3_energy():
    """formulas.md 15.1, arXiv:2104.10350: 10,000 V100 at 330 W, 14.8 days, PUE 1.1; published 1287 MWh."""
    at = Watts(idle=330, full=330, host=0)
    joules = 10_000 * gpu_power(at, 1.0) * 14.8 * 86_400 * 1.1
    assert joules / JOULES_PER_KWH / 1e3 == pytest.approx(1289.376)
    assert joules / JOULES_PER_KWH / 1e3 == pytest.approx(1287, rel=0.005)


def test_llama31_energy():
    """formulas.md 15.2, the model card: 39.3e6 GPU hours at 700 W, no PUE, no hosts."""
    found = step_energy("h100-sxm5", 1, 39.3e6 * 3600, busy=1.0, pue=1.0)
    assert found.gpus / JOULES_PER_KWH / 1e6 == pytest.approx(27.51)
    assert found.hosts > 0  # the card leaves them out


def test_a_machine_draws_what_its_sheet_says():
    """DGX H100: 10.2 kW at most, GPUs and host together."""
    found = step_energy("h100-sxm5", 8, 1.0, busy=1.0, pue=1.0)
    assert found.total == pytest.approx(10_200)


@given(busy=st.floats(0, 1), seconds=st.floats(0, 1e4), count=st.integers(1, 10_000), pue=st.floats(1, 2))
def test_energy_grows_with_everything(busy, seconds, count, pue):
    found = step_energy("a100-sxm4-80gb", count, seconds, busy=busy, pue=pue)
    idle = step_energy("a100-sxm4-80gb", count, seconds, busy=0.0, pue=pue)
    full = step_energy("a100-sxm4-80gb", count, seconds, busy=1.0, pue=pue)
    assert idle.total <= found.total <= full.total
    assert found.total == pytest.approx(
        pue * step_energy("a100-sxm4-80gb", count, seconds, busy=busy, pue=1).total
    )


def test_network_is_ports_and_optics():
    """formulas.md 15: switch W / ports and two transceivers for each link."""
    switch, optic = switches()["quantum2-qm9700"], links()["optic-twin-osfp-2x400g"]
    assert link_power(switch, optic) == pytest.approx(747 / 64 + 2 * 16)
    assert link_power(switch, None, ends=2) == pytest.approx(2 * 747 / 64)
    with_network = step_energy("h100-sxm5", 8, 2.0, busy=0.5, network=1000.0, pue=1.2)
    assert with_network.network == pytest.approx(2 * 1000 * 1.2)


def test_assumptions_are_said():
    words = " ".join(step_energy("h100-sxm5", 8, 1.0, busy=0.4).assumptions)
    assert all(
        part in words for part in ("700 W", "70 W", "40%", "PUE 1.1", "hosts at 575 W", "network not counted")
    )
    assert "hosts not counted" in " ".join(step_energy("mi300x", 8, 1.0, busy=0.4).assumptions)


@pytest.mark.parametrize("gpu", [name for name, row in gpus().items() if row.power_W is not None])
def test_idle_is_below_full(gpu):
    at = watts(gpu)
    assert 0 < at.idle < at.full
    assert at.host >= 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"busy": 1.5}, "busy 1.5"),
        ({"busy": float("nan")}, "busy nan"),
        ({"pue": 0.9}, "PUE 0.9"),
        ({"step_s": -1.0}, "-1 s"),
        ({"gpu": "tpu-v5p"}, "the power of 'tpu-v5p'"),
    ],
)
def test_nonsense_is_refused(changes, words):
    asked = {"gpu": "h100-sxm5", "gpu_count": 8, "step_s": 1.0, "busy": 0.5} | changes
    with pytest.raises(ValueError, match=words):
        step_energy(**asked)
