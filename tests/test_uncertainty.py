"""Scaling laws, failures, deadlines and ties: worked values, limits, and what measured pairs say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.accounting import resilience, scaling_law
from simulator.calibration.steps.pairs import as_toml, counted, pairs
from simulator.errors import InfeasibleError, UsageError
from simulator.planning.budget import Budget, in_time, tokens_of
from simulator.planning.deadline import DAY, Risks, duration
from simulator.planning.ties import LIKELY, TIE, against_best, mark, ranks

M = 54 * 24 / 419 * 3600  # s between interruptions of Llama 3, arXiv:2407.21783


def test_published_losses_and_batches():  # worked values 13.1 to 13.3
    assert scaling_law.loss(7e10, 1.4e12) == pytest.approx(1.936645471)
    assert scaling_law.loss(7e10, 1.4e12, law="besiroglu2024") == pytest.approx(1.973881863)
    assert scaling_law.steps(1e5, 1e6, 2e6) == 300_000
    assert scaling_law.examples(1e5 * 2e6, 1e6, 2e6) == pytest.approx(3e11)
    best = scaling_law.best_batch(0.5, 4e-7, 2e6)
    assert best == pytest.approx(1581138.83)
    assert scaling_law.steps(1e5, best, 2e6) * (0.5 + 4e-7 * best) == pytest.approx(256491.1064)


@given(st.floats(1e8, 1e12), st.floats(1e9, 1e14), st.sampled_from(sorted(scaling_law.LAWS)))
def test_tokens_to_a_loss_undo_the_loss(parameters, tokens, law):
    target = scaling_law.loss(parameters, tokens, law=law)
    assert scaling_law.tokens_to(parameters, target, law=law) == pytest.approx(tokens, rel=1e-4)


def test_a_loss_below_what_a_model_reaches_is_refused():
    with pytest.raises(ValueError, match="stay above"):
        scaling_law.tokens_to(1e9, 1.7)
    with pytest.raises(InfeasibleError, match="stay above"):
        tokens_of(1e9, None, 1.7, "hoffmann2022")
    with pytest.raises(UsageError, match="wanted one of"):
        tokens_of(1e9, None, 2.9, "kaplan")


def test_published_failures():  # worked values 14.1 to 14.5
    fleets = resilience.fleets()
    assert fleets["llama3"].mtbf(16384) / 3600 == pytest.approx(3.093078759)
    assert fleets["rsc1"].mtbf(2048 * 8) / 3600 == pytest.approx(1.802884615)
    assert resilience.young(60, M) == pytest.approx(1155.945511)
    assert resilience.daly(60, M) == pytest.approx(1116.291548)
    assert resilience.first_order(M, 60, 300, resilience.daly(60, M)) == pytest.approx(0.8692312036)
    assert resilience.goodput(M, 60, 300, 1116) == pytest.approx(0.8758323115)


@given(st.floats(1e3, 1e7), st.floats(1, 300), st.floats(0, 3000))
def test_no_other_interval_beats_daly_by_much(mtbf, checkpoint, restart):
    best = resilience.goodput(mtbf, checkpoint, restart)
    for factor in (0.5, 0.9, 1.1, 2.0):
        other = resilience.goodput(mtbf, checkpoint, restart, factor * resilience.daly(checkpoint, mtbf))
        assert other <= best * 1.02
    assert 0 <= best <= 1


def test_a_run_takes_what_a_simulation_of_its_failures_takes():
    risks = Risks(mtbf_s=M, checkpoint_s=60, restart_s=300)
    chance, work, totals = np.random.default_rng(1), 3e5, []
    for _ in range(400):
        now = done = 0.0
        fails = chance.exponential(M)
        while done < work:
            end = now + risks.interval_s + 60
            if end <= fails:
                now, done = end, done + risks.interval_s
                continue
            now = fails
            while (free := chance.exponential(M)) < 300:  # fails again while it restarts
                now += free
            now, fails = now + 300, now + free
        totals.append(now)
    found = duration(1, 1, 1, work, risks)
    assert found.median_s == pytest.approx(np.mean(totals), rel=0.01)
    assert found.high_s - found.low_s == pytest.approx(3.29 * np.std(totals), rel=0.2)


@given(st.floats(0.5, 1.0), st.floats(1.0, 2.0), st.floats(1e3, 1e9))
@settings(max_examples=40)
def test_the_ends_of_a_run_without_failures_are_those_of_its_step(low, high, steps):
    found = duration(1.0, low, high, steps, Risks())
    assert found.low_s == pytest.approx(low * steps, rel=0.02)
    assert found.high_s == pytest.approx(high * steps, rel=0.02)
    assert found.median_s == pytest.approx(steps, rel=0.01)


def test_the_chance_to_be_in_time_grows_with_the_time_and_is_a_step_where_all_is_known():
    risks = Risks(mtbf_s=M, checkpoint_s=60, restart_s=300)
    chances = [duration(1, 0.8, 1.3, 1e5, risks, limit).in_time for limit in np.linspace(5e4, 3e5, 30)]
    assert chances == sorted(chances)
    assert chances[0] < 0.01 < 0.99 < chances[-1]
    sure = [duration(1, 1, 1, 1e5, Risks(), limit).in_time for limit in (99_999, 100_001)]
    assert sure == [0, 1]


def test_what_never_ends_or_is_out_of_order_is_refused():
    with pytest.raises(ValueError, match="never ends"):
        duration(1, 1, 1, 10, Risks(mtbf_s=1.0, checkpoint_s=600, restart_s=6000))
    with pytest.raises(ValueError, match="in this order"):
        duration(1, 1.2, 1.3, 10, Risks())


def test_a_budget_tells_days_and_money_and_leaves_out_what_is_late():
    row = {"gbs": 1000, "seq_len": 1000, "step_s": 1.0, "low_s": 1.0, "high_s": 1.0, "gpus": 8, "cost_usd": 2.0,
           "energy_J": 3.0, "plan": "dp8"}  # fmt: skip
    budget = Budget(tokens=86400e6, days=2, fleet="none")
    found = budget.of(row)
    assert (found["steps"], found["goodput"], found["in_time"]) == (86400, 1, 1)
    assert found["days"] == pytest.approx(1)
    assert found["total_usd"] == pytest.approx(2 * 86400)
    late = row | Budget(tokens=864000e6, days=2, fleet="none").of(row)
    with pytest.raises(InfeasibleError, match=r"dp8 on 8 GPUs takes 10\.0 days"):
        in_time([late], budget)
    assert in_time([row | found, late], budget) == [row | found]
    with pytest.raises(UsageError, match="unknown fleet"):
        Budget(tokens=1, fleet="lama3").risks(8)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 1), st.floats(1, 3)), min_size=1, max_size=8))
def test_a_rank_counts_those_that_are_better_for_certain(rows):
    lows, highs = [v * a for v, a, _ in rows], [v * b for v, _, b in rows]
    found = ranks(lows, highs)
    assert min(found) == 1
    for place, rank in enumerate(found):
        assert rank == 1 + sum(high < lows[place] for high in highs)


def test_ties_are_marked_and_a_clear_loser_of_the_same_machine_is_likely():
    base = {"model": "m", "fabric": "f", "gpu": "g", "gpus": 8}
    rows = [base | {"step_s": v, "low_s": 0.8 * v, "high_s": 1.3 * v} for v in (1.0, 1.01, 1.2, 2.0)]
    mark(rows)
    assert [row["rank"] for row in rows] == [1, 1, 1, 4]
    assert [row["against_best"] for row in rows] == [TIE, TIE, LIKELY, "slower"]
    other = rows[2] | {"fabric": "h"}
    assert against_best(other, rows[0]) == TIE


def test_the_stored_pairs_are_what_the_runs_say():
    found = counted()
    assert found == pairs()
    assert as_toml(found).startswith("# Made by")
    assert found.count > 10_000
    assert 0.5 < found.ordered < found.clear[1.1] < found.clear[1.2] < 1
    assert 1 < found.apart < found.factor
    assert math.isfinite(DAY)
