"""Laws of device work: worked by hand, and what holds for any work on any device."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.compute import LAWS, Device, Work, lookup
from workloads.step_graph import Compute

DEVICE = Device(
    name="thing", generation="hopper", rates={"bf16": 1e15, "fp8": 2e15, "fp32": 5e14}, memory_rate=4e12
)
PROFILE = {  # round numbers, so that times can be worked out by hand
    "memory.share": 0.8,
    "gemm.share": 0.5,
    "gemm.cap": 1.0,
    "gemm.device": 1.0,
    "gemm.era": 1.0,
    "gemm.depth": 0.0,
    "gemm.waves": 0.0,
    "gemm.bytes": 1.0,
    "gemm.unaligned.64": 1.5,
    "gemm.unaligned.128": 1.2,
    "device.processors": 128.0,
    "grouped.gain": 1.0,
    "grouped.share": 0.5,
    "grouped.width": 0.0,
    "grouped.rows": 0.0,
    "grouped.era": 1.0,
    "attention.share": 0.4,
    "attention.odd_head": 2.0,
    "attention.short": 0.0,
    "elementwise.passes": 2.0,
    "activation.passes": 1.5,
    "scores.passes": 1.0,
    "cast.bytes": 1.0,
    "logits.bytes": 1.0,
    "permute.passes": 3.0,
    "optimizer.bytes": 1.0,
    "scan.share": 0.1,
    "scan.passes": 1.0,
    "host.layer": 1e-3,
    "host.jitter": 0.0,
    "step": 2e-3,
}
IN_MEMORY = {
    "elementwise": 2.0,
    "activation": 1.5,
    "scores": 1.0,
    "cast": 1.0,
    "logits": 1.0,
    "permute": 3.0,
    "optimizer": 1.0,
}


def product(m: int, n: int, k: int, law: str = "gemm", **more) -> Compute:
    size = 2.0 * (m * k + k * n + m * n)
    return Compute(name="product", law=law, flops=2.0 * m * n * k, bytes=size, shape=(m, n, k), **more)


def seconds(*pieces: Compute, device: Device = DEVICE, **values: float) -> list[float]:
    profile = PROFILE | {name.replace("__", "."): value for name, value in values.items()}
    return Work([(one, device) for one in pieces]).seconds(profile).tolist()


def test_a_product_takes_its_operations_and_its_bytes():
    one = product(4096, 8192, 2048)
    memory = one.bytes / (4e12 * 0.8)
    whole = one.flops / (1e15 * 0.5) + memory
    assert seconds(one) == pytest.approx([whole])
    assert seconds(one, gemm__bytes=0.0) == pytest.approx([whole - memory])
    assert seconds(one, gemm__depth=256.0, gemm__bytes=0.0) == pytest.approx(
        [(whole - memory) * (1 + 256 / 2048)]
    )
    assert seconds(replace(one, precision="fp8"), gemm__bytes=0.0) == pytest.approx([(whole - memory) / 2])


def test_sides_that_are_no_multiples_slow_a_product():
    fast, coarse, odd = seconds(
        product(4096, 8192, 2048),
        product(4096, 8192 + 64, 2048),
        product(4096, 8192 + 1, 2048),
        gemm__bytes=0.0,
    )
    assert coarse / fast == pytest.approx(1.2 * (8192 + 64) / 8192)
    assert odd / fast == pytest.approx(1.5 * (8192 + 1) / 8192)
    one_side, two_sides = product(4096, 8193, 2048, "grouped_gemm"), product(4096, 8193, 2049, "grouped_gemm")
    plain, slow = seconds(one_side, two_sides, gemm__bytes=0.0)
    assert slow / plain == pytest.approx(1.5 * 2049 / 2048)  # experts' rows are never a multiple


def test_a_last_wave_that_is_not_full_costs_as_much_as_a_full_one():
    full = product(128 * 128, 256, 1024)  # 128 tiles on 128 processors
    more = product(128 * 128 + 128, 256, 1024)  # one tile more: as long as two waves
    first, second = seconds(full, more, gemm__waves=1.0, gemm__bytes=0.0)
    assert first == pytest.approx(full.flops / 5e14)
    assert second == pytest.approx(2 * first)
    assert seconds(full, gemm__bytes=0.0) == [pytest.approx(first)]
    tiny = product(128, 256, 1024)
    assert seconds(tiny, gemm__waves=1.0, gemm__bytes=0.0)[0] <= 20 * tiny.flops / 5e14 * (1 + 1e-9)


def test_grouped_products_gain_from_narrow_numbers_as_far_as_they_say():
    one = product(4096, 4096, 4096, "grouped_gemm")
    narrow = replace(one, precision="fp8")
    for gain in (0.0, 0.5, 1.0):
        half, short = seconds(one, narrow, gemm__bytes=0.0, grouped__gain=gain)
        assert half / short == pytest.approx(2**gain)
    wide, small = seconds(
        one, product(4096, 512, 4096, "grouped_gemm"), gemm__bytes=0.0, grouped__width=512.0
    )
    assert small / wide == pytest.approx((1 + 1) / (1 + 512 / 4096) / 8)


def test_attention_computes_in_half_precision_whatever_the_products_do():
    one = Compute(name="core", law="attention", flops=1e12, bytes=1e9, shape=(0, 4096, 128), variant="flash")
    expected = 1e12 / (1e15 * 0.4) + 1e9 / 3.2e12
    assert seconds(one, replace(one, precision="fp8")) == pytest.approx([expected, expected])
    odd = replace(one, shape=(0, 4096, 127), bytes=0.0)
    assert seconds(odd) == pytest.approx([2 * 1e12 / 4e14])
    assert seconds(replace(one, bytes=0.0), attention__short=4096.0) == pytest.approx([2 * 1e12 / 4e14])


@pytest.mark.parametrize("law", IN_MEMORY)
def test_work_in_memory_takes_its_bytes_so_many_times(law):
    one = Compute(name="pass", law=law, bytes=3.2e9)
    assert seconds(one) == pytest.approx([1e-3 * IN_MEMORY[law]])


def test_what_a_host_does_knows_nothing_of_the_device():
    slow = replace(DEVICE, rates={"bf16": 1.0}, memory_rate=1.0)
    host = Compute(name="launch", law="host", count=3.0, shape=(8, 0, 0))
    fixed = Compute(name="step", law="step")
    assert seconds(host, fixed, device=slow) == pytest.approx([3e-3, 2e-3])
    assert seconds(host, host__jitter=0.5) == pytest.approx([3e-3 * (1 + 0.5 * 3)])  # log2 of 8 hosts


works = st.builds(
    Compute,
    name=st.just("w"),
    law=st.sampled_from(sorted(LAWS)),
    flops=st.floats(1, 1e15),
    bytes=st.floats(1, 1e11),
    shape=st.tuples(*[st.integers(1, 20000)] * 3),
    precision=st.sampled_from(["bf16", "fp16", "fp8", "fp8row", "mxfp8", "fp32"]),
    variant=st.sampled_from(["", "flash", "fused"]),
)
profiles = st.fixed_dictionaries(
    {
        name: st.floats(0.5, 2).map(lambda factor, value=value: factor * (value or 1.0))
        for name, value in PROFILE.items()
    }
)


@given(pieces=st.lists(works, min_size=1, max_size=6), profile=profiles)
def test_many_pieces_at_once_are_each_alone(pieces, profile):
    together = Work([(one, DEVICE) for one in pieces]).seconds(profile)
    alone = [Work([(one, DEVICE)]).seconds(profile)[0] for one in pieces]
    assert together.tolist() == pytest.approx(alone)
    assert (together > 0).all()
    assert np.isfinite(together).all()


@given(piece=works, profile=profiles, factor=st.floats(1, 10))
def test_a_device_that_is_so_many_times_faster_takes_that_part(piece, profile, factor):
    fast = replace(
        DEVICE,
        rates={name: rate * factor for name, rate in DEVICE.rates.items()},
        memory_rate=DEVICE.memory_rate * factor,
    )
    slow, quick = (Work([(piece, device)]).seconds(profile)[0] for device in (DEVICE, fast))
    assert quick == pytest.approx(slow if piece.law in ("host", "step") else slow / factor)


@given(
    piece=works, profile=profiles, factor=st.floats(1, 10), what=st.sampled_from(["flops", "bytes", "count"])
)
def test_more_work_never_takes_less(piece, profile, factor, what):
    more = replace(piece, **{what: getattr(piece, what) * factor})
    less, longer = Work([(piece, DEVICE), (more, DEVICE)]).seconds(profile)
    assert longer >= less * (1 - 1e-12)


def test_a_name_stands_for_all_that_go_on_from_it():
    profile = {"gemm": 1.0, "gemm.share": 2.0, "gemm.share.hopper.fp8": 3.0}
    assert lookup(profile, "gemm.share.hopper.fp8") == 3.0
    assert lookup(profile, "gemm.share.hopper.bf16") == 2.0
    assert lookup(profile, "gemm.bytes") == 1.0
    with pytest.raises(KeyError, match=r"memory\.share"):
        lookup(profile, "memory.share")


def test_devices_of_one_profile_go_by_their_own_values():
    other = replace(DEVICE, name="other", generation="blackwell", variant="700 W")
    one = product(4096, 8192, 2048)
    work = Work([(one, DEVICE), (one, other)])
    first, second = work.seconds(
        PROFILE | {"gemm.share.blackwell": 0.25, "gemm.cap.700 W": 0.5, "gemm.bytes": 0.0}
    )
    assert second / first == pytest.approx(4)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no law for 'magic'; there are activation"):
        Work([(Compute(name="w", law="magic"), DEVICE)])
    with pytest.raises(ValueError, match="thing multiplies in bf16, fp32, fp8"):
        DEVICE.rate("nvfp4")
    with pytest.raises(ValueError, match="nvfp4"):
        seconds(product(128, 128, 128, precision="nvfp4"))
