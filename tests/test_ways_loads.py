"""What many pairs put on the edges together is the sum of what each of them does alone."""

import random

import numpy as np
import pytest

from simulator.engine._replay_ways import Ways
from simulator.engine.bundles import Traffic
from tests.test_bundles import FABRICS, grown
from topologies import _fabrics
from workloads.layout import Layout


@pytest.mark.parametrize("policy", ["spread", "ecmp"])
@pytest.mark.parametrize("name", FABRICS)
def test_pairs_load_the_edges_as_one_after_another(name, policy):
    ways, chance = Ways(grown(name), policy), random.Random(2)
    pairs = [chance.sample(range(len(ways.gpus)), 2) for _ in range(200)]
    pairs += pairs[:20]  # some twice
    amounts = [chance.uniform(0.1, 2.0) for _ in pairs]
    wanted = np.zeros(len(ways.edges))
    for (src, dst), amount in zip(pairs, amounts, strict=True):
        for edge, share in ways.shares(src, dst).items():
            wanted[edge] += amount * share
    src, dst = np.array(pairs).T
    assert Ways(grown(name), policy).loads(src, dst, np.array(amounts)) == pytest.approx(wanted, rel=1e-12)


def test_no_pairs_load_nothing():
    ways = Ways(_fabrics.build("dgx-h100-ib400", 16))
    nobody = np.zeros(0, dtype=np.int64)
    assert not ways.loads(nobody, nobody, np.zeros(0)).any()


@pytest.mark.parametrize("op", ["all_gather", "all_to_all", "gather", "scatter"])
def test_what_was_asked_before_is_not_worked_out_again(op):
    traffic = Traffic(_fabrics.build("dgx-h100-ib400", 32), Layout(tp=8, dp=4))
    assert traffic.load(0, "dp", op) is traffic.load(0, "dp", op)


def test_leaves_of_three_tiers_reach_each_other_over_cores():
    ways = Ways(_fabrics.build("dgx-h100-ib400", 4096), "spread")  # two pods and more
    far = ways.shares(0, 4088)
    kinds = {(ways.edges[edge][0][0], ways.edges[edge][1][0]) for edge in far}
    assert {("spine", "core"), ("core", "spine")} <= kinds
    left = dict.fromkeys(ways.graph, 0.0)
    for edge, share in far.items():
        tail, head = ways.edges[edge]
        left[tail] += share
        left[head] -= share
    wanted = dict.fromkeys(ways.graph, 0.0) | {ways.gpus[0]: 1.0, ways.gpus[4088]: -1.0}
    assert left == pytest.approx(wanted, abs=1e-9)
