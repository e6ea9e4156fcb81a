"""The search over layouts: its arrays against the estimate of one layout at a time, its choice against brute force."""

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from simulator.accounting import fits
from simulator.accounting.memory import account, fullest
from simulator.accounting.plan import of
from simulator.errors import InfeasibleError
from simulator.planning.estimate import Desk, made, prepared, run
from simulator.planning.place import Fabric
from simulator.planning.search.basis import Basis
from simulator.planning.search.best import Hunt
from simulator.planning.search.bounds import Bounds
from simulator.planning.search.classes import flat
from simulator.planning.search.space import Space, layouts
from simulator.planning.search.survey import Survey

CASES = [  # dense with tied ends; grouped heads, layers that do not divide; experts; latent attention and prediction
    ("gpt3-13b", "dgx-a100-ib200", 64, 64, 2048),
    ("llama3-8b", "dgx-h100-ib400", 24, 48, 4096),
    ("mixtral-8x7b", "dgx-h100-ib400", 32, 64, 4096),
    ("deepseek-v2-lite", "dgx-h100-ib400", 16, 32, 4096),
    ("deepseek-v3", "h800-ib400", 256, 512, 4096),
]
SPACES = {
    "llama3-8b": Space(precisions=("bf16", "fp8")),
    "deepseek-v3": Space(tp=(1, 2), pp=(8, 16), cp=(1,), ep=(16, 32), mbs=(1, 2), contexts=("ring",)),
}


@cache
def desk(fabric):
    return Desk(Fabric(fabric))


@cache
def surveyed(model, fabric, gpus, gbs, seq_len):
    options = made({"model": model, "fabric": fabric, "gpus": gpus, "gbs": gbs, "seq_len": seq_len})
    found = Survey(Basis(replace(options, fidelity="formula"), desk(fabric)), SPACES.get(model, Space()))
    found.run(fits.capacity(found.basis.site.device.name).visible)
    bounds = Bounds(found)
    bounds.outline()
    rough = [group.least.copy() for group in bounds.alive]
    bounds.detail()
    assert all((one <= group.least).all() for one, group in zip(rough, bounds.alive, strict=True))
    return found


def drawn(survey, count, seed):
    """Return candidates that fit, each class as likely as any other."""
    chance = random.Random(seed)
    groups = [group for group in survey.groups if group.clock is not None]
    for _ in range(count):
        group = chance.choice(groups)
        place = chance.choice(np.flatnonzero(group.fits).tolist())
        lanes = flat(group, [place])
        member = group.members[lanes.cell[0]]
        strategy = survey.space.strategies[lanes.strategy[0]]
        again = group.again[lanes.again[0]]
        yield group, place, survey.at(group, member), survey.recipe(group, member, strategy, again)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_arrays_equal_the_estimate_of_each_layout(case):
    survey, walked = surveyed(*case), 0
    for group, place, at, recipe in drawn(survey, 40, seed=1):
        step = prepared(survey.basis.asked(at, recipe), desk(case[1]))
        truth = run(step, desk(case[1])).step_s
        assert group.room.ravel()[place] == pytest.approx(step.fullest.allocated, rel=1e-9)
        assert group.least.ravel()[place] <= truth * (1 + 1e-9)
        (seconds,) = survey.exact(group, flat(group, [place]))
        if not np.isnan(seconds):
            assert seconds == pytest.approx(truth, rel=1e-9)
            walked += 1
    assert walked >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_what_does_not_fit_is_what_the_estimate_refuses(case):
    survey = surveyed(*case)
    chance, refused = random.Random(2), 0
    for group in chance.sample(survey.groups, min(60, len(survey.groups))):
        places = np.flatnonzero(~group.fits)
        if not len(places):
            continue
        lanes = flat(group, [chance.choice(places.tolist())])
        member = group.members[lanes.cell[0]]
        recipe = survey.recipe(
            group, member, survey.space.strategies[lanes.strategy[0]], group.again[lanes.again[0]]
        )
        with pytest.raises(InfeasibleError):
            prepared(survey.basis.asked(survey.at(group, member), recipe), desk(case[1]))
        refused += 1
    assert refused


@pytest.mark.parametrize("many", [0, 10**9])  # priced roughly first, or in full at once
def test_the_best_of_a_small_space_is_the_best_of_all_estimates(many, monkeypatch):
    case = CASES[0]
    space = Space(mbs=(1, 2), sp=(True, False), strategies=("ddp", "zero1", "zero2", "fsdp"), contexts=("ring",),
                  cp=(1,), recompute=("none", "full"), layers=(0,), vpp=(1, 2), tp=(4, 8),
                  pp=(1, 2, 4), schedules=("1f1b", "interleaved", "zb_v"))  # fmt: skip
    options = made({"model": case[0], "fabric": case[1], "gpus": 64, "gbs": 64, "seq_len": 2048})
    survey = Survey(Basis(replace(options, fidelity="formula"), desk(case[1])), space)
    survey.run(fits.capacity(survey.basis.site.device.name).visible)

    def alone(at, recipe):
        return run(prepared(survey.basis.asked(at, recipe), desk(case[1])), desk(case[1])).step_s

    monkeypatch.setattr("simulator.planning.search.best._MANY", many)
    found = Hunt(survey, 5, alone).narrowed(Bounds(survey))
    every = {}
    for group in survey.groups:
        for place in np.flatnonzero(group.fits):
            lanes = flat(group, [place])
            member = group.members[lanes.cell[0]]
            at = survey.at(group, member)
            recipe = survey.recipe(
                group, member, space.strategies[lanes.strategy[0]], group.again[lanes.again[0]]
            )
            key = (at.tp, at.pp, at.cp, at.ep, at.dp, recipe.schedule)
            every[key] = min(every.get(key, np.inf), alone(at, recipe))
    assert [one.step_s for one in found] == pytest.approx(sorted(every.values())[:5], rel=1e-9)


@pytest.mark.parametrize("stack", ["torchtitan", "fms-fsdp", "megatron-bridge"])
def test_software_with_recipes_of_its_own_is_searched_as_it_is_estimated(stack):
    asked = {
        "model": "llama3-8b",
        "fabric": "dgx-h100-ib400",
        "gpus": 16,
        "gbs": 32,
        "seq_len": 4096,
        "stack": stack,
    }
    survey = Survey(Basis(replace(made(asked), fidelity="formula"), desk("dgx-h100-ib400")), Space(cp=(1,)))
    survey.run(fits.capacity(survey.basis.site.device.name).visible)
    Bounds(survey).detail()
    for group, place, at, recipe in drawn(survey, 25, seed=5):
        step = prepared(survey.basis.asked(at, recipe), desk("dgx-h100-ib400"))
        (seconds,) = survey.exact(group, flat(group, [place]))
        assert group.room.ravel()[place] == pytest.approx(step.fullest.allocated, rel=1e-9)
        if not np.isnan(seconds):
            assert seconds == pytest.approx(run(step, desk("dgx-h100-ib400")).step_s, rel=1e-9)


def test_every_layout_multiplies_to_the_gpus():
    survey = surveyed(*CASES[2])
    found = list(layouts(Space(), survey.basis.model, 32, 4096))
    assert len(found) == len(set(found))
    assert all(at.world == 32 and (at.cp * at.dp) % at.ep == 0 for at in found)
    assert {at.ep for at in found} == {1, 2, 4, 8}


def test_memory_of_a_layout_is_that_of_the_account():
    survey = surveyed(*CASES[1])
    for group, place, at, recipe in drawn(survey, 10, seed=3):
        training = survey.basis.training(at, recipe)
        assert group.room.ravel()[place] == pytest.approx(fullest(account(of(training))).allocated, rel=1e-9)
