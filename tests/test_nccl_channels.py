"""What NCCL's search finds on common nodes, and how one operation is cut over channels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.collectives._nccl import columns, graphs, release
from simulator.collectives._nccl_case import Case
from simulator.collectives._nccl_channels import launch, plan
from tests._nccl_machines import GB, GIB, H800, KIB, MIB, NVL72, SIZES, h100, machine


@pytest.mark.parametrize(
    ("where", "version", "ring", "tree", "nvls", "executed"),
    [
        (machine(1, "v100", intra="nvlink_mesh"), "2.30", "6x20/20", "6x20/20 balanced", None, 12),
        (machine(4, "v100", 4, 12.5, intra="nvlink_mesh"), "2.30", "4x12/12", "4x12/12 balanced", None, 8),
        (machine(1, "a100"), "2.30", "12x20/20", "12x20/20 balanced", None, 24),
        (machine(4, "a100", 8, 25), "2.30", "8x24/24", "8x30/24 balanced", None, 16),
        (machine(4, "a100", 4, 25), "2.30", "4x24/24", "4x48/24 balanced", None, 8),
        (h100(1), "2.30", "12x30/30", "12x30/30 balanced", "8x40/60", 24),
        (h100(1), "2.18", "12x30/30", "12x30/30 balanced", "8x40/40", 24),
        (h100(4), "2.30", "8x48/48", "8x48/48 simple", "8x40/48", 16),
        (h100(4), "2.18", "8x48/48", "8x48/48 simple", "8x40/40", 16),
        (h100(4, 4), "2.30", "8x24/24", "8x48/24 balanced", "4x48/48", 16),
        (h100(4, 4, nic_near_every_gpu=False), "2.30", "8x24/24", "8x45/24 simple", "4x48/48", 16),
        (H800, "2.30", "8x22/22", "8x22/22 simple", "8x17.5/40", 16),
        (machine(1, "b200"), "2.30", "16x45/45", "16x45/45 balanced", "8x80/90", 32),
        (machine(4, "b200", 8, 50), "2.30", "8x48/48", "8x96/48 simple", "8x48/48", 16),
        (NVL72, "2.30", "16x45/45", "16x45/45 balanced", "32x20/40", 32),
        (machine(1, "a100", intra="pcie", host_cpu="amd"), "2.30", "1x15/15", "1x15/15 balanced", None, 2),
    ],
)
def test_search(where, version, ring, tree, nvls, executed):
    def shape(g):
        return None if g is None else f"{g.channels}x{g.intra / GB:g}/{g.inter / GB:g}"

    found = graphs(where, version)
    assert shape(found.ring) == ring
    assert f"{shape(found.tree)} {found.tree.pattern}" == tree
    assert shape(found.nvls) == nvls
    assert found.channels == executed


def case(where, op="all_reduce", version="2.30"):
    return Case(op=op, machine=where, table=release(version)[0], graphs=graphs(where, version))


LARGE = round(42.7 * MIB)  # printed to a tenth of a MiB


@pytest.mark.parametrize(
    ("nodes", "algorithm", "protocol", "cells"),
    [
        (1, "ring", "LL", [(2, 32 * KIB, 4 * KIB, 1), (24, 44 * KIB, 5632, 1),
                           (24, 2732 * KIB, 32 * KIB, 11), (24, LARGE, 32 * KIB, 171)]),
        (1, "ring", "LL128", [(4, 16 * KIB, 2 * KIB, 1), (22, 48 * KIB, 6 * KIB, 1),
                              (24, 2736 * KIB, 342 * KIB, 1), (24, LARGE, 576_000, 10)]),
        (1, "ring", "Simple", [(2, 32 * KIB, 4 * KIB, 1), (22, 48 * KIB, 6 * KIB, 1),
                               (24, 2736 * KIB, 342 * KIB, 1), (24, LARGE, 2 * MIB, 3)]),
        (1, "nvls", "Simple", [(4, 16 * KIB, 2 * KIB, 1), (16, 64 * KIB, 8 * KIB, 1),
                               (16, 4 * MIB, 64 * KIB, 8), (16, 64 * MIB, 128 * KIB, 64)]),
        (16, "tree", "LL", [(16, 4 * KIB, 4 * KIB, 1), (16, 64 * KIB, 32 * KIB, 2),
                            (16, 4 * MIB, 32 * KIB, 128), (16, 64 * MIB, 32 * KIB, 2048)]),
        (16, "tree", "LL128", [(4, 16 * KIB, 16 * KIB, 1), (16, 64 * KIB, 17_280, 4),
                               (16, 4 * MIB, 71_040, 60), (16, 64 * MIB, 576_000, 117)]),
        (16, "tree", "Simple", [(2, 32 * KIB, 32 * KIB, 1), (16, 64 * KIB, 64 * KIB, 1),
                                (16, 4 * MIB, 512 * KIB, 8), (16, 64 * MIB, 512 * KIB, 128)]),
        (16, "ring", "Simple", [(2, 32 * KIB, 256, 1), (16, 64 * KIB, 512, 1),
                                (16, 4 * MIB, 32 * KIB, 1), (16, 64 * MIB, 512 * KIB, 1)]),
        (16, "nvls_tree", "Simple", [(4, 16 * KIB, 2 * KIB, 1), (16, 64 * KIB, 8 * KIB, 1),
                                     (16, 4 * MIB, 64 * KIB, 8), (16, 64 * MIB, 64 * KIB, 128)]),
    ],
)  # fmt: skip
def test_effective_values(nodes, algorithm, protocol, cells):
    for size, (channels, share, chunk, loops) in zip(SIZES[1:], cells, strict=True):
        got = plan(case(h100(nodes)), algorithm, protocol, size)
        assert (got.channels, got.chunk, got.loops) == (channels, chunk, loops), size
        exact = share if share != LARGE else pytest.approx(LARGE, abs=0.05 * MIB)
        assert got.bytes_per_channel == exact, size


@pytest.mark.parametrize(
    ("nodes", "algorithm", "protocol", "least"),
    [
        (16, "tree", "LL", 4 * KIB),
        (1, "ring", "LL", 4 * 8 * KIB),
        (16, "ring", "LL", 4 * 128 * KIB),
        (16, "tree", "LL128", 5 * KIB),
        (1, "ring", "LL128", 5 * KIB),
        (1, "ring", "Simple", 32 * KIB),
    ],
)
def test_least_bytes_of_a_channel(nodes, algorithm, protocol, least):
    there = case(h100(nodes))
    most = there.graphs.channels
    for channels in range(1, most + 1):
        assert launch(there, algorithm, protocol, channels * least)[0] == channels
    assert launch(there, algorithm, protocol, 2 * most * least)[0] == most
    assert launch(there, algorithm, protocol, 2 * least - 1)[0] == 1


@pytest.mark.parametrize(
    ("protocol", "full", "least"), [("LL", 512, 64), ("LL128", 640, 320), ("Simple", 512, 64)]
)
def test_threads(protocol, full, least):
    there = case(h100(16))
    assert launch(there, "tree", protocol, GIB)[1] == full
    assert launch(there, "tree", protocol, 64)[1] == least


@given(
    where=st.sampled_from([h100(1), h100(2), h100(16), NVL72]),
    op=st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce"]),
    size=st.integers(1, 2**33),
    version=st.sampled_from(columns()),
)
def test_plan_covers_the_data(where, op, size, version):
    there = case(where, op, version)
    for algorithm, protocol in [("ring", "LL"), ("ring", "LL128"), ("ring", "Simple")]:
        got = plan(there, algorithm, protocol, size)
        region = -(-size // where.ranks) if there.moves else size
        assert 1 <= got.channels <= there.graphs.channels
        assert got.channels * got.bytes_per_channel >= region
        parts = where.ranks if op == "all_reduce" else 1
        assert got.loops * got.chunk * parts >= got.bytes_per_channel
        assert (got.loops - 1) * got.chunk * parts < got.bytes_per_channel


def test_tree_chunk_by_depth():
    """2.18 halves the chunk of a tree until the pipeline fills; from 2.20 it stays whole."""
    size = 64 * MIB
    depth = 7 + 4
    assert plan(case(h100(16)), "tree", "Simple", size).chunk == 512 * KIB
    old = plan(case(h100(16), version="2.18"), "tree", "Simple", size)
    share = size / 16
    # < 8 depths of chunks: down to 128 KiB; then < 4 depths: to 64 KiB; then not below one depth
    assert share / (128 * KIB) < 4 * depth
    assert share / (64 * KIB) >= depth
    assert old.chunk == 64 * KIB


@pytest.mark.parametrize(("op", "factor"), [("all_gather", 32), ("reduce_scatter", 16)])
def test_pat_chunk(op, factor):
    there = case(machine(64, "h100", 1, 50, gpus=1), op)
    channels = there.graphs.channels
    edge = factor * 512 * KIB * channels
    assert plan(there, "pat", "Simple", edge).chunk == min(512 * KIB, edge // 64 // channels)
    assert plan(there, "pat", "Simple", 64 * edge).chunk == 512 * KIB
    assert plan(there, "pat", "Simple", edge - 1).chunk <= 256 * KIB


def test_even_distribution_before_cells():
    assert plan(case(h100(16), version="2.21"), "ring", "Simple", MIB).bytes_per_channel == MIB // 16


def test_no_plan_without_bytes_or_for_collnet():
    with pytest.raises(ValueError, match="0 bytes"):
        plan(case(h100(2)), "ring", "LL", 0)
    with pytest.raises(ValueError, match="collnet"):
        plan(case(h100(2)), "collnet_chain", "Simple", KIB)


def test_channel_limits():
    assert graphs(h100(4), max_channels=4).channels == 4
    assert graphs(h100(4), min_channels=24).channels == 24
    assert graphs(h100(4), "2.24", min_channels=64).channels == 32
    assert graphs(h100(4), min_channels=100).channels == 64
    assert graphs(h100(1), max_channels=8).nvls_channels == 8
    assert graphs(machine(2, "h100", 2, 50)).ring.channels == 4


def test_links_slower_than_the_ladder():
    with pytest.raises(ValueError, match="no ring fits"):
        graphs(machine(2, "h100", 1, 0.01))
