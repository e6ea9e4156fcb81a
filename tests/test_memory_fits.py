"""What is said of a plan that does not fit in memory, and that what is proposed fits."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.accounting.fits import Capacity, capacity, check, fits, nearest_fixes, usable
from simulator.accounting.memory import account
from simulator.accounting.plan import Plan
from simulator.errors import InfeasibleError
from workloads.layout import Layout
from workloads.model import Model, find, gpt

A100 = capacity("a100-sxm4-80gb")
GPT3 = gpt("gpt3", layers=96, hidden=12288, heads=96, vocab=51200, context=2048)


def plan(model: Model, layout: Layout, **changes) -> Plan:
    usual = {"microbatch": 1, "seq_len": 2048, "microbatches": 8}
    return Plan(model=model, layout=layout, **(usual | changes))


def test_too_large_names_stage_parts_and_ways_out():
    layout = Layout(tp=8, pp=4, dp=4)
    at = plan(find("llama3-70b"), layout, microbatch=2, seq_len=8192, sequence_parallel=True, strategy="ddp")
    with pytest.raises(InfeasibleError) as caught:
        check(at, capacity("h100-sxm5"))
    error = caught.value
    assert error.status == 3
    first = r"llama3-70b does not fit: stage \d needs \d+\.\d GiB, h100-sxm5 has 79\.1 GiB \(7\d\.\d usable\)"
    assert re.fullmatch(first, error.message)
    assert all(word in error.details[0] for word in ("weights", "gradients", "optimizer", "activations"))
    assert re.fullmatch(r"--zero 1 \(\d+\.\d GiB\)(, --\w+ \w+ \(\d+\.\d GiB\)){0,2}", error.hint)


@settings(max_examples=25, deadline=None)
@given(
    tp=st.sampled_from([1, 2, 8]),
    pp=st.sampled_from([1, 2, 5]),
    microbatch=st.sampled_from([1, 4]),
    strategy=st.sampled_from(["ddp", "zero1"]),
    recompute=st.sampled_from(["none", "full"]),
)
def test_every_fix_fits_and_keeps_the_batch(tp, pp, microbatch, strategy, recompute):
    at = plan(
        find("llama3-70b"),
        Layout(tp=tp, pp=pp, dp=16),
        microbatch=microbatch,
        seq_len=8192,
        strategy=strategy,
        recompute=recompute,
    )
    for fix in nearest_fixes(at, A100.visible):
        changed = fix.plan
        assert fits(changed, A100.visible)
        assert fix.needed <= usable(changed, A100.visible)
        assert changed.layout.world == at.layout.world
        batch = [p.microbatch * p.microbatches * p.layout.dp for p in (changed, at)]
        assert batch[0] == batch[1]


def test_no_way_out_is_said():
    tiny = Capacity(gpu="tiny", nominal=1e9, visible=1e9, source="test")
    with pytest.raises(InfeasibleError, match=r"tiny has 0\.9 GiB") as caught:
        check(plan(GPT3, Layout(), strategy="ddp"), tiny)
    assert "more GPUs" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"microbatch": 0}, "--mbs 0"),
        ({"stage_layers": (1, 2)}, "--stage-layers 1,2: wanted 1 numbers that add up to 96"),
        ({"strategy": "zero9"}, "--strategy zero9"),
        ({"recompute": "some"}, "--recompute some"),
        ({"recompute": "selective", "recompute_modules": ("core",)}, "recompute module 'core'"),
        ({"schedule": "2f2b"}, "--schedule 2f2b"),
        ({"optimizer": "adan"}, "optimizer adan"),
        ({"layout": Layout(pp=7)}, "96 layers do not divide over 7 stages"),
    ],
)
def test_nonsense_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        account(plan(GPT3, Layout()).replace(**changes))


def test_unknown_gpu_names_the_nearest():
    with pytest.raises(ValueError, match="h100-sxm5"):
        capacity("h100-sxm")
