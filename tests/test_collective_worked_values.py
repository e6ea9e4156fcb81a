"""Published formulas worked out for given numbers."""

from math import isclose

import pytest

from simulator.collectives import COLLECTIVES
from simulator.collectives._alpha_beta import SWITCH, AlphaBeta
from simulator.collectives._bounds import doubling_or_ring, torus_all_to_all
from simulator.collectives._bus_bandwidth import algorithm_bandwidth, bus_bandwidth, bus_factor
from simulator.collectives._byteps import best_split
from simulator.collectives._double_tree import fill
from simulator.collectives._packets import best_count
from simulator.collectives._point_to_point import (
    LogGP,
    best_chunks,
    chunked_path,
    cut_through,
    half_performance_size,
    store_and_forward,
)
from simulator.errors import UsageError


def near(value, expected):
    return isclose(value, expected, rel_tol=1e-6)


def cost(name, ranks, size, alpha, bandwidth, gamma=0.0, **options):
    return COLLECTIVES[name].cost(ranks, size, AlphaBeta(alpha, bandwidth, gamma), **options)


def sent(name, ranks, size, rank=0, **options):
    steps = COLLECTIVES[name].steps(ranks, size, **options)
    return sum(message.size for step in steps for message in step if message.src == rank)


def test_hockney_1_1():
    link = AlphaBeta(5e-6, 25e9)
    assert near(link.message(4194304), 0.00017277216)
    assert near(link.message(half_performance_size(link)), 2 * half_performance_size(link) / link.bandwidth)


def test_loggp_1_2():
    network = LogGP(latency=2e-6, overhead=1e-6, gap=3e-6, gap_per_byte=4e-11)
    assert near(network.message(65536), 6.6214e-06)
    assert near(network.busy(65536), 1e-6 + 65535 * 4e-11)
    # Alexandrov et al. 1995: the gap rules short messages, the bytes rule long ones
    assert near(network.messages(11, 1), 4e-6 + 10 * 3e-6)
    assert near(network.messages(11, 10**6 + 1), 4e-6 + 10 * 41e-6 + 40e-6)
    assert network.alpha_beta() == AlphaBeta(4e-6, 2.5e10)


def test_chunked_path_1_3():
    link = AlphaBeta(1e-6, 12.5e9)
    assert near(chunked_path(1e8, 3, link, 16), 0.009018)
    assert near(best_chunks(1e8, 3, link), 126.4911064)
    best = round(best_chunks(1e8, 3, link))
    assert min(range(1, 400), key=lambda chunks: chunked_path(1e8, 3, link, chunks)) == best


def test_whole_messages_over_a_path():
    path = [AlphaBeta(1e-6, 10e9), AlphaBeta(2e-6, 5e9)]
    assert near(store_and_forward(1e6, path), 3e-6 + 1e-4 + 2e-4)
    assert near(cut_through(1e6, path), 3e-6 + 2e-4)
    assert near(chunked_path(1e6, 4, path[0], 1), store_and_forward(1e6, [path[0]] * 4))


def test_ring_2_1_and_2_2():
    assert near(cost("ring_all_reduce", 8, 1e9, 3e-6, 450e9), 0.003930888889)
    assert sent("ring_all_reduce", 8, 1e9) == 1750000000
    assert near(cost("ring_all_gather", 16, 4e8, 5e-6, 25e9), 0.015075)


def test_recursive_doubling_2_3():
    assert near(cost("recursive_doubling_all_reduce", 64, 32768, 5e-6, 25e9, 2e-12), 3.8257536e-05)
    assert sent("recursive_doubling_all_reduce", 64, 32768) == 196608
    assert near(cost("recursive_doubling_all_reduce", 12, 65536, 5e-6, 25e9), 3.81072e-05)


def test_rabenseifner_2_4():
    assert near(cost("rabenseifner_all_reduce", 64, 1e6, 5e-6, 25e9, 2e-12), 0.00014071875)


def test_binomial_2_5():
    assert near(cost("binomial_broadcast", 100, 1e6, 5e-6, 25e9), 0.000315)
    assert near(cost("binomial_tree_all_reduce", 16, 1e6, 5e-6, 25e9), 0.00036)


def test_scatter_ring_2_6():
    assert near(cost("scatter_ring_broadcast", 64, 1e8, 5e-6, 25e9), 0.00822)


def test_chain_2_7():
    assert near(cost("chain_broadcast", 16, 1e8, 5e-6, 25e9, packets=32), 0.00598)


def test_double_binary_tree_2_8():
    link = AlphaBeta(5e-6, 25e9)
    assert near(best_count(fill(256, 300), 1e9, link), 334.6640106)
    assert COLLECTIVES["double_binary_tree_broadcast"].packet_count(256, 1e9, link) in (334, 335)
    assert near(cost("double_binary_tree_broadcast", 256, 1e9, 5e-6, 25e9), 0.04341664011)
    assert near(cost("double_binary_tree_all_reduce", 256, 1e9, 5e-6, 25e9), 0.08683328021)


def test_bruck_2_9():
    assert near(cost("bruck_all_to_all", 8, 32768, 5e-6, 25e9), 1.696608e-05)
    assert sent("bruck_all_to_all", 8, 32768) == 49152
    assert near(cost("bruck_all_to_all", 6, 24576, 5e-6, 25e9), 1.614688e-05)
    assert sent("bruck_all_to_all", 6, 24576) == 28672


def test_pairwise_2_10():
    assert near(cost("pairwise_all_to_all", 64, 2.56e8, 5e-6, 50e9), 0.005355)


def test_direct_2_11():
    assert near(cost("one_shot_all_reduce", 8, 131072, 2e-6, 450e9), 4.038897778e-06)
    assert near(cost("two_shot_all_reduce", 8, 131072, 2e-6, 450e9), 4.509724444e-06)


def test_nvls_2_12():
    assert near(cost("nvls_all_reduce", 8, 1e9, 2e-6, 450e9), 0.002504)
    assert near(sent("ring_all_reduce", 8, 1e9) / sent("nvls_all_reduce", 8, 1e9), 1.555555556)


def test_hierarchical_2_13():
    shape, levels = (8, 16), [AlphaBeta(3e-6, 450e9), AlphaBeta(6e-6, 50e9)]
    assert near(cost("hierarchical_all_reduce", 128, 2e9, 0, 1, shape=shape, levels=levels), 0.01737477778)
    steps = COLLECTIVES["hierarchical_all_reduce"].steps(128, 2e9, shape=shape)
    leaving = [m.size for step in steps for m in step if m.src == 5 and m.dst // 8 != 0]
    assert near(sum(leaving), 468750000)


def test_blueconnect_2_14():
    levels = [AlphaBeta(3e-6, 450e9), AlphaBeta(5e-6, 50e9), AlphaBeta(8e-6, 25e9)]
    assert near(
        cost("hierarchical_all_reduce", 512, 1e9, 0, 1, shape=(8, 4, 16), levels=levels), 0.01029463889
    )


def test_torus_2_15_and_2_16():
    assert near(cost("torus_all_reduce", 512, 1e9, 1e-6, 50e9, shape=(8, 8, 8), links=6), 0.006695645833)
    assert near(torus_all_to_all(8, 64e6, AlphaBeta(0, 50e9)), 0.00128)


def test_parameter_server_2_17_and_2_18():
    assert near(cost("parameter_server_all_reduce", 32, 4e8, 0, 12.5e9, servers=8), 0.256)
    assert near(cost("parameter_server_all_reduce", 32, 4e8, 0, 12.5e9, servers=8, pipelined=True), 0.128)
    assert near(cost("parameter_server_all_reduce", 32, 4e8, 0, 12.5e9), 0.062)


def test_byteps_2_19():
    best = best_split(8, 4, 5.2e8, 12.5e9)
    assert near(best.seconds, 0.05294545455)
    assert near(best.cpu_machine, 82727272.73)
    assert near(best.gpu_machine, 23636363.64)
    assert near(best_split(8, 0, 5.2e8, 12.5e9).seconds / best.seconds, 1.375)


@pytest.mark.parametrize("gpu_machines", [2, 3, 8, 64])
def test_byteps_limits(gpu_machines):
    """Jiang et al. 2020: no spare machine: a ring; as many as have GPUs: M/B; all bytes summed once."""
    assert near(
        best_split(gpu_machines, 0, 1e9, 1e10).seconds, cost("ring_all_reduce", gpu_machines, 1e9, 0, 1e10)
    )
    assert near(best_split(gpu_machines, gpu_machines, 1e9, 1e10).seconds, 0.1)
    for spare in range(gpu_machines + 1):
        best = best_split(gpu_machines, spare, 1e9, 1e10)
        assert near(gpu_machines * best.gpu_machine + spare * best.cpu_machine, 1e9)
    with pytest.raises(UsageError, match="GPU machines"):
        best_split(gpu_machines, gpu_machines + 1, 1e9, 1e10)


def test_sharp_2_20():
    assert near(cost("sharp_all_reduce", 64, 1e9, 1e-6, 50e9, switch_levels=3), 0.020006)
    assert sent("sharp_all_reduce", 64, 1e9) == 1e9
    steps = COLLECTIVES["sharp_all_reduce"].steps(64, 1e9)
    assert sum(m.size for step in steps for m in step if (m.src, m.dst) == (SWITCH, 7)) == 1e9


def test_bus_bandwidth_2_21():
    assert near(algorithm_bandwidth(1e9, 8e-3), 1.25e11)
    assert near(bus_bandwidth("all_reduce", 16, 1e9, 8e-3), 2.34375e11)


@pytest.mark.parametrize(
    ("op", "factor"),
    [
        ("all_reduce", 1.5),
        ("all_gather", 0.75),
        ("reduce_scatter", 0.75),
        ("all_to_all", 0.75),
        ("gather", 0.75),
        ("scatter", 0.75),
        ("broadcast", 1),
        ("reduce", 1),
        ("send_recv", 1),
    ],
)
def test_bus_factors_of_four_ranks(op, factor):
    """NVIDIA, nccl-tests, doc/PERFORMANCE.md."""
    assert bus_factor(op, 4) == factor


@pytest.mark.parametrize("op", ["all_reduce", "all_gather", "reduce_scatter"])
def test_bus_bandwidth_of_a_ring_is_that_of_its_links(op):
    seconds = cost(f"ring_{op}", 16, 1e9, 0, 5e10)
    assert near(bus_bandwidth(op, 16, 1e9, seconds), 5e10)


def test_there_is_no_bus_bandwidth_of_a_barrier():
    with pytest.raises(UsageError, match="unknown operation 'barrier'"):
        bus_factor("barrier", 4)


@pytest.mark.parametrize("ranks", [4, 16, 256])
def test_ring_and_recursive_doubling_cross(ranks):
    link = AlphaBeta(5e-6, 25e9)
    ring, doubling = COLLECTIVES["ring_all_reduce"], COLLECTIVES["recursive_doubling_all_reduce"]
    crossing = doubling_or_ring(ranks, link)
    assert near(ring.cost(ranks, crossing, link), doubling.cost(ranks, crossing, link))
    assert ring.cost(ranks, 2 * crossing, link) < doubling.cost(ranks, 2 * crossing, link)
    assert ring.cost(ranks, crossing / 2, link) > doubling.cost(ranks, crossing / 2, link)


def test_a_ring_never_wins_between_two():
    assert doubling_or_ring(2, AlphaBeta(5e-6, 25e9)) == float("inf")


def test_hierarchical_all_to_all_two_levels():
    """Rajbhandari et al. 2022: each level's all-to-all on its own links."""
    levels = [AlphaBeta(3e-6, 450e9), AlphaBeta(6e-6, 50e9)]
    expected = 7 * 3e-6 + 7 / 8 * 2e9 / 450e9 + 15 * 6e-6 + 15 / 16 * 2e9 / 50e9
    assert near(cost("hierarchical_all_to_all", 128, 2e9, 0, 1, shape=(8, 16), levels=levels), expected)
