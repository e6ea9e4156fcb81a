"""What NCCL sees of a fabric, and how it cuts messages between pairs."""

import pytest

from simulator.collectives._nccl import candidates, choose, graphs, machine_of, release
from simulator.collectives._nccl_case import Case
from simulator.collectives._nccl_p2p import channels_per_peer, message
from tests._nccl_machines import BOX, GB, GIB, KIB, MACHINES, MIB, h100


def case(where, op, version="2.30"):
    return Case(op=op, machine=where, table=release(version)[0], graphs=graphs(where, version))


@pytest.mark.parametrize(
    ("where", "version", "expected"),
    [
        (h100(1), "2.30", (32, 32)),
        (h100(2), "2.30", (4, 16)),  # a card of 48 GB/s by 14 a channel
        (h100(2), "2.28", (2, 16)),
        (h100(2), "2.18", (2, 16)),
        (h100(16), "2.30", (1, 16)),  # 128 ranks on 16 channels
        (BOX, "2.30", (2, 2)),
    ],
)
def test_channels_of_a_peer(where, version, expected):
    assert channels_per_peer(case(where, "all_to_all", version)) == expected


@pytest.mark.parametrize(
    ("where", "size", "expected"),
    [
        (h100(1), 16 * KIB, (1, "LL")),
        (h100(1), 64 * KIB, (1, "Simple")),
        (h100(1), MIB, (4, "Simple")),  # starts from 4 = 32 shared by 8 ranks
        (h100(1), 256 * MIB, (16, "Simple")),  # doubled to parts of 16 MiB
        (h100(16), 16 * KIB, (1, "LL")),
        (h100(16), 16 * KIB + 1, (1, "Simple")),
    ],
)
def test_message(where, size, expected):
    assert message(case(where, "send_recv"), size) == expected


@pytest.mark.parametrize("op", ["all_to_all", "send_recv", "gather", "scatter"])
@pytest.mark.parametrize("where", MACHINES)
def test_messages_have_a_price_of_ours(op, where):
    assert candidates(op, MIB, where) == []
    small, large, larger = (choose(op, size, where) for size in (0, GIB, 2 * GIB))
    assert (small.algorithm, small.protocol, large.protocol) == ("p2p", "LL", "Simple")
    assert small.time_s == small.latency_s > 0
    assert larger.time_s - large.time_s == pytest.approx(GIB / large.bandwidth_Bps, rel=0.02)
    assert choose(op, 0, where, protocol="Simple").protocol == "Simple"


def test_all_to_all_of_two_nodes_is_bound_by_the_cards():
    """Each rank sends half of its bytes through its own card, which NCCL takes for PCIe 5 x16 at 48 GB/s."""
    assert choose("all_to_all", GIB, h100(2)).bandwidth_Bps == pytest.approx(48 * GB / 0.5)
    assert choose("send_recv", GIB, h100(2)).bandwidth_Bps == pytest.approx(48 * GB)
    assert choose("gather", GIB, h100(2)).bandwidth_Bps == pytest.approx(48 * GB / 0.5)
    assert choose("send_recv", GIB, h100(1)).bandwidth_Bps == pytest.approx(18 * 20.6 * GB)


DGX = {
    "gpu": "h100-sxm5",
    "gpus_per_node": 8,
    "nics_per_node": 8,
    "nic_bandwidth_Bps": 50e9,
    "intra": "nvswitch",
    "intra_bandwidth_Bps": 450e9,
    "host_cpu": "intel",
}


def test_machine_of_a_fabric():
    assert machine_of(DGX, 32) == h100(4)
    assert machine_of(DGX, 8) == h100(1)
    assert machine_of(DGX, 4).gpus_per_node == 4
    assert machine_of({**DGX, "gpu": "gb200", "gpus_per_node": 72}, 72).nodes == 1
    assert machine_of({**DGX, "gpu": "b300-hgx"}, 8).compute_capability == 103
    assert machine_of({**DGX, "collnet": True, "network_path": "PHB"}, 16).collnet


@pytest.mark.parametrize(
    ("change", "gpus", "message"),
    [
        ({"gpu": "mi300x"}, 8, "mi300x"),
        ({}, 12, "12 GPUs do not fill nodes of 8"),
        ({}, 0, "0 GPUs"),
        ({"intra": "token ring"}, 8, "token ring"),
        ({"host_cpu": "mips"}, 8, "mips"),
        ({"nics_per_node": 0}, 16, "network cards"),
        ({"intra_bandwidth_Bps": float("nan")}, 8, "positive intra_bandwidth"),
    ],
)
def test_machine_refused(change, gpus, message):
    with pytest.raises(ValueError, match=message):
        machine_of({**DGX, **change}, gpus)


def test_machine_of_a_fabric_that_says_nothing():
    with pytest.raises(ValueError, match="gpu, gpus_per_node, intra"):
        machine_of({}, 8)
