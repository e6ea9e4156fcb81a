"""NCCL's choice: releases, overrides, what may run where, and what must hold for every price."""

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.collectives import COLLECTIVES
from simulator.collectives._nccl import (
    ALGORITHMS,
    PROTOCOLS,
    candidates,
    choose,
    columns,
    release,
)
from simulator.collectives._nccl_tables import table
from tests._nccl_machines import BOX, FLAT, GB, MACHINES, MIB, NVL72, SHARP, h100, machine

PRICED = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce")
# releases


def test_every_column_loads_and_names_its_source():
    assert columns() == tuple(f"2.{minor}" for minor in range(18, 31))
    for column in columns():
        assert table(column).release == column
    for entry in (files("simulator.collectives") / "nccl").iterdir():
        assert tomllib.loads(entry.read_text("utf-8"))["source"], entry.name


def test_the_folder_of_tables_is_no_collective():
    assert not [name for name in COLLECTIVES if "nccl" in name]


@pytest.mark.parametrize(
    ("version", "column", "warning"),
    [
        ("2.30", "2.30", None),
        ("v2.27.3-1", "2.27", None),
        ("2.22.3+cuda12.5", "2.22", None),
        ("2.12.10", "2.18", "older than every table"),
        ("1.3", "2.18", "older than every table"),
        ("2.31.2", "2.30", "newer than every table"),
        ("3.0", "2.30", "newer than every table"),
    ],
)
def test_release_lookup(version, column, warning):
    found, said = release(version)
    assert found.release == column
    if warning is None:
        assert said is None
    else:
        assert warning in said
        assert version in said
        assert column in said


def test_release_between_two_tables_takes_the_older(monkeypatch):
    monkeypatch.setattr("simulator.collectives._nccl_tables.columns", lambda: ("2.18", "2.22", "2.30"))
    found, said = release("2.25")
    assert found.release == "2.22"
    assert "older one of 2.22" in said


@pytest.mark.parametrize("version", ["", "newest", "2", "two.30"])
def test_no_release(version):
    with pytest.raises(ValueError, match="no version"):
        release(version)


def test_unknown_column():
    with pytest.raises(ValueError, match=r"2\.18, 2\.19"):
        table("2.17")


# what may run


def names(op, where, version="2.30", **more):
    return [f"{c.algorithm} {c.protocol}" for c in candidates(op, MIB, where, version, **more)]


@pytest.mark.parametrize(
    ("op", "where", "version", "algorithms"),
    [
        ("all_reduce", h100(1), "2.18", "tree ring nvls"),
        ("all_reduce", h100(2), "2.30", "tree ring nvls_tree"),
        ("all_reduce", SHARP, "2.30", "tree ring collnet_direct collnet_chain nvls nvls_tree"),
        ("all_gather", h100(1), "2.18", "ring"),
        ("all_gather", h100(1), "2.19", "ring nvls"),
        ("all_gather", NVL72, "2.30", "ring"),  # more than 32 ranks on one switch
        ("all_gather", SHARP, "2.19", "ring nvls"),
        ("all_gather", SHARP, "2.20", "ring collnet_direct nvls"),
        ("all_gather", FLAT, "2.22", "ring"),
        ("reduce_scatter", FLAT, "2.23", "ring pat"),
        ("broadcast", SHARP, "2.30", "ring"),
        ("reduce", h100(1), "2.30", "ring"),
        ("all_reduce", machine(1, "a100"), "2.30", "tree ring"),
        ("all_reduce", h100(1, multicast=False), "2.30", "tree ring"),
        ("all_reduce", machine(1, "a100", multicast=True), "2.30", "tree ring"),
    ],
)
def test_algorithms(op, where, version, algorithms):
    assert list(dict.fromkeys(name.split()[0] for name in names(op, where, version))) == algorithms.split()


def test_ll128_needs_nvlink_and_a_near_card():
    assert "ring LL128" in names("all_reduce", h100(2, network_path="PXN"))
    assert "ring LL128" not in names("all_reduce", h100(2, network_path="PHB"))
    assert "ring LL128" not in names("all_reduce", machine(2, "a100", 8, 25, network_path="PXN"))
    assert "ring LL128" not in names("all_reduce", BOX)


def test_pat_price():
    """Latency 8 + log2(16) * 14 / 3.5 + 2.8 * 16 us; three quarters of the tree's channels, 0.85 in 2.23."""
    newest, first = (
        next(c for c in candidates("all_gather", 0, FLAT, version) if c.algorithm == "pat")
        for version in ("2.30", "2.23")
    )
    assert newest.latency_s == pytest.approx(68.8e-6)
    assert first.bandwidth_Bps / newest.bandwidth_Bps == pytest.approx(0.85 / 0.75)


def test_collnet_price():
    """All eight GPUs are heads: f = 1; latency 2 * (3.7 + 7 * 0.4) + 31 and 2 * 7 * 2.8 + 30 us."""
    found = {c.algorithm: c for c in candidates("all_reduce", 0, SHARP)}
    assert found["collnet_direct"].latency_s == pytest.approx(44e-6)
    assert found["collnet_chain"].latency_s == pytest.approx(69.2e-6)
    assert found["collnet_direct"].bandwidth_Bps == pytest.approx(0.85 * 8 * 48 * GB / 2)
    assert found["collnet_chain"].bandwidth_Bps == pytest.approx(8 * 48 * GB / 2)


def test_nvls_tree_is_corrected_on_blackwell_with_an_x86_host():
    def time(host, version):
        found = candidates("all_reduce", MIB, machine(4, "b200", 8, 50, host_cpu=host), version)
        return next(c for c in found if c.algorithm == "nvls_tree")

    bent, straight = time("intel", "2.30"), time("arm", "2.30")
    assert bent.bandwidth_Bps == straight.bandwidth_Bps
    moving = straight.time_s - straight.latency_s
    assert bent.time_s - bent.latency_s == pytest.approx(moving / 0.5)
    assert time("intel", "2.28").time_s == time("arm", "2.28").time_s


def test_network_plugin_latency_counts_twice_with_simple():
    plain, slow = (
        {(c.algorithm, c.protocol): c for c in candidates("all_gather", 0, h100(4, network_latency=extra))}
        for extra in (0.0, 1e-6)
    )
    for protocol, times in (("LL", 1), ("LL128", 1), ("Simple", 2)):
        more = slow["ring", protocol].latency_s - plain["ring", protocol].latency_s
        assert more == pytest.approx(3 * times * 1e-6)


def test_grouped_operations_and_fp8():
    one, nine, narrow = (
        {(c.algorithm, c.protocol): c for c in candidates("all_reduce", 0, h100(2), **how)}
        for how in ({}, {"operations": 9}, {"fp8": True})
    )
    assert nine["ring", "LL"].time_s == pytest.approx(9 * one["ring", "LL"].time_s)
    assert nine["tree", "LL"].time_s == pytest.approx(2 * one["tree", "LL"].time_s)
    assert narrow["ring", "LL"].time_s == pytest.approx(1024 * one["ring", "LL"].time_s)
    assert narrow["tree", "LL"].time_s == one["tree", "LL"].time_s


# overrides


@pytest.mark.parametrize(
    ("algorithm", "protocol", "left"),
    [
        ("ring", None, ["ring LL", "ring LL128", "ring Simple"]),
        ("RING,NVLSTree", "Simple", ["ring Simple", "nvls_tree Simple"]),
        ("^ring,tree", None, ["nvls_tree Simple"]),
        (None, "^LL,LL128", ["tree Simple", "ring Simple", "nvls_tree Simple"]),
        ("ring;allreduce:^ring,nvlstree", "simple", ["tree Simple"]),
        ("ring;allgather:tree", "LL", ["ring LL"]),
    ],
)
def test_overrides(algorithm, protocol, left):
    assert names("all_reduce", h100(2), algorithm=algorithm, protocol=protocol) == left


@pytest.mark.parametrize("wrong", ["rings", "ring,", "^", "gather:ring", "tree,^ring"])
def test_override_of_unknown_words(wrong):
    with pytest.raises(ValueError, match=r"not one of|no collective"):
        choose("all_reduce", MIB, h100(2), algorithm=wrong)


def test_prefixes_are_unknown_before_they_came():
    with pytest.raises(ValueError, match=r"2\.23"):
        choose("all_reduce", MIB, h100(2), "2.23", algorithm="allreduce:ring")


def test_impossible_override():
    with pytest.raises(ValueError, match="possible: ring/LL, ring/LL128, ring/Simple"):
        choose("broadcast", MIB, h100(2), "2.24", algorithm="tree")
    assert choose("broadcast", MIB, h100(2), "2.23", algorithm="tree").algorithm == "ring"
    assert candidates("broadcast", MIB, h100(2), algorithm="tree") == []


def test_ring_could_not_be_switched_off_outside_all_reduce():
    assert "ring LL" in names("all_gather", h100(1), "2.18", algorithm="^ring")
    assert names("all_gather", h100(1), "2.19", algorithm="^ring") == ["nvls Simple"]
    assert "ring LL" not in names("all_reduce", h100(1), "2.18", algorithm="^ring")


# every price

operations = st.sampled_from(PRICED)
places = st.sampled_from(MACHINES)
versions = st.sampled_from(columns())


@given(op=operations, where=places, version=versions, size=st.integers(0, 2**36))
def test_the_choice_is_the_least_and_the_first_of_equals(op, where, version, size):
    found = candidates(op, size, where, version)
    order = [(ALGORITHMS.index(c.algorithm), PROTOCOLS.index(c.protocol)) for c in found]
    assert order == sorted(set(order))
    best = choose(op, size, where, version)
    assert best.time_s == min(c.time_s for c in found)
    assert best == next(c for c in found if c.time_s == best.time_s)
    assert 0 < best.time_s < float("inf")
    assert 1 <= best.channels <= 64


@given(op=operations, where=places, version=versions, small=st.integers(0, 2**36), more=st.integers(1, 2**30))
def test_price_grows_with_size_but_for_corrections_by_size(op, where, version, small, more):
    """A correction may step down at an octave, so trees are compared inside one."""
    large = small + more
    for a, b in zip(
        candidates(op, small, where, version), candidates(op, large, where, version), strict=True
    ):
        same_octave = (small // 64).bit_length() == (large // 64).bit_length()
        if "tree" not in a.algorithm or same_octave:
            assert a.time_s <= b.time_s


@given(where=places, version=versions, size=st.integers(0, 2**34), pair=st.sampled_from(["ring", "^ring"]))
def test_an_override_never_makes_it_faster(where, version, size, pair):
    free = choose("all_reduce", size, where, version)
    assert choose("all_reduce", size, where, version, algorithm=pair).time_s >= free.time_s


def test_no_bytes_cost_latency_only():
    for op in PRICED:
        for found in candidates(op, 0, h100(4)):
            assert found.time_s == found.latency_s > 0


@pytest.mark.parametrize(
    ("op", "size", "where", "message"),
    [
        ("all_reduce_twice", MIB, h100(1), "all_reduce_twice"),
        ("all_reduce", -1, h100(1), "-1"),
        ("all_reduce", float("nan"), h100(1), "nan"),
        ("all_reduce", MIB, machine(1, "h100", gpus=1), "one GPU"),
    ],
)
def test_nonsense(op, size, where, message):
    with pytest.raises(ValueError, match=message):
        choose(op, size, where)
