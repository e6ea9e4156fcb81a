"""NCCL's choice against tables worked by hand from its source, to the digit they were printed with."""

import math

import pytest

from simulator.collectives._nccl import candidates, choose
from simulator.collectives._nccl_graphs import Graph, Graphs
from tests._nccl_machines import GB, GIB, H800, KIB, MIB, NVL72, SIZES, h100, machine


def printed(value, text):
    """Tell whether ``value`` rounds to ``text`` at its digits, ties either way."""
    digits = len(text.partition(".")[2])
    return abs(value - float(text)) <= 0.5 * 10**-digits * (1 + 1e-6)


ALL_REDUCE = {
    h100(1): """
        tree LL              15.20  43.579   15.23  17.71   63.32  1555.14  24654.20
        tree LL128           31.50 128.800   31.51  32.35   45.07   610.42   8368.00
        tree Simple          64.40 165.600   64.41  65.06   77.06   570.96   6548.35
        ring LL              15.00  80.571  *15.01 *15.81  *28.01   847.91  13341.58
        ring LL128           40.60 189.257   40.61  40.95   46.14   395.19   5714.05
        ring Simple          56.00 205.714   56.00  56.32   61.10   382.22   5275.58
        nvls Simple          25.00 272.000   25.00  25.24   28.86  *271.72  *3972.58""",
    h100(16): """
        tree LL              55.20   8.670  *55.33 *67.80  297.09  7795.55 123900.85
        tree LL128           99.50  98.600   99.51 100.61 *117.22   855.74  10989.38
        tree Simple         176.40 122.400  176.41 177.29  193.53   861.74   8948.80
        ring LL             311.60  10.280  311.70 317.97  413.60  6839.50 104757.99
        ring LL128          559.60 147.956  559.61 560.04  566.69  1013.17   7816.77
        ring Simple        1190.00 193.512 1190.01 1190.34 1671.42 2012.79   7214.71
        nvls_tree Simple    192.20 183.433  192.21 192.56  197.92  *558.05  *6045.79""",
    h100(16, 4): """
        tree LL              55.20  10.200  *55.31 *65.91  260.80  6634.50 105324.01
        tree LL128           99.50  82.800   99.51 100.82 *120.61  1000.05  13067.40
        tree Simple         176.40  88.320  176.41 177.64  200.14  1126.20  12333.80
        ring LL             311.60  10.280  311.70 317.97  413.60  6839.50 104757.99
        ring LL128          559.60  89.015  559.61 560.34  571.38  1313.50  12622.02
        ring Simple        1190.00  96.756 1190.01 1190.68 1676.84 2359.59  12763.43
        nvls_tree Simple    192.20  91.717  192.21 192.91  203.63  *923.90 *11899.38""",
    h100(2): """
        tree LL              25.20  16.575  *25.27 *31.79  151.73  4074.00  64806.00
        tree LL128           48.50 124.780   48.51  49.38  *62.51   646.07   8653.58
        tree Simple          92.40 140.760   92.41  93.18  107.30   688.35   7720.57
        ring LL              40.00  20.800   40.05  43.15   90.41  3266.39  51662.20
        ring LL128           75.20 156.587   75.21  75.62   81.90   503.77   6932.37
        ring Simple         131.60 204.800  131.60 184.56  189.36   511.92   5427.12
        nvls_tree Simple     66.80 246.187   66.80  67.07   71.06  *339.39  *4428.29""",
}
ALL_GATHER = {
    h100(1): """
        ring LL              10.80 161.143  *10.81 *11.21  *17.31   427.26   6674.09
        ring LL128           27.30 378.514   27.30  27.47   30.07   204.60   2864.03
        ring Simple          32.20 411.429   32.20  32.36   34.75  *195.31  *2641.99
        nvls Simple          25.00 208.250   25.00  25.31   30.04   347.25   5181.02""",
    h100(16): """
        ring LL             159.10  20.561 *159.15 *162.29 *210.10  3423.05  52382.30
        ring LL128          286.80 295.912  286.80 287.02  290.34  *513.59   3915.39
        ring Simple         599.20 387.024  599.20 599.37  601.91   772.60  *3373.56""",
}


def rows(op, tables):
    for where, table in tables.items():
        for line in table.strip().splitlines():
            algorithm, protocol, *cells = line.split()
            name = f"{op}-{where.nodes}x{where.gpus_per_node}-{where.nics_per_node}-{algorithm}-{protocol}"
            yield pytest.param(op, where, algorithm, protocol, cells, id=name)


@pytest.mark.parametrize(
    ("op", "where", "algorithm", "protocol", "cells"),
    [*rows("all_reduce", ALL_REDUCE), *rows("all_gather", ALL_GATHER)],
)
def test_row(op, where, algorithm, protocol, cells):
    latency, bandwidth, *times = cells

    def priced(size):
        return next(
            c for c in candidates(op, size, where) if (c.algorithm, c.protocol) == (algorithm, protocol)
        )

    assert printed(priced(0).latency_s * 1e6, latency)
    assert printed(priced(0).bandwidth_Bps / GB, bandwidth)
    for size, text in zip(SIZES, times, strict=True):
        assert printed(priced(size).time_s * 1e6, text.lstrip("*")), size
        chosen = choose(op, size, where)
        assert ((chosen.algorithm, chosen.protocol) == (algorithm, protocol)) == text.startswith("*"), size


@pytest.mark.parametrize(("op", "tables"), [("all_reduce", ALL_REDUCE), ("all_gather", ALL_GATHER)])
def test_tables_are_whole(op, tables):
    for where, table in tables.items():
        named = [tuple(line.split()[:2]) for line in table.strip().splitlines()]
        assert [(c.algorithm, c.protocol) for c in candidates(op, 1, where)] == named


def winners(where, version="2.30", last=8 * GIB):
    """Return the winner of each stretch of powers of two from 1 KiB, with where it begins."""
    changes = []
    for exponent in range(10, int(math.log2(last)) + 1):
        best = choose("all_reduce", 2**exponent, where, version)
        name = f"{best.algorithm} {best.protocol}"
        if not changes or changes[-1][1] != name:
            changes.append((2**exponent, name))
    return changes


T, T128, NT, N, RS = "tree LL", "tree LL128", "nvls_tree Simple", "nvls Simple", "ring Simple"


@pytest.mark.parametrize(
    ("where", "version", "stretches"),
    [
        (h100(1), "2.30", [(KIB, "ring LL"), (2 * MIB, "nvls Simple")]),
        (h100(16), "2.30", [(KIB, T), (256 * KIB, T128), (16 * MIB, NT), (8 * GIB, RS)]),
        (h100(16, host_cpu="amd"), "2.30", [(KIB, T), (256 * KIB, T128), (16 * MIB, NT), (8 * GIB, RS)]),
        (h100(16, 4), "2.30", [(KIB, T), (256 * KIB, T128), (64 * MIB, NT), (4 * GIB, RS)]),
        (h100(2), "2.30", [(KIB, T), (256 * KIB, T128), (2 * MIB, NT)]),
        (h100(1), "2.22", [(KIB, "ring LL"), (2 * MIB, "nvls Simple")]),
        (h100(2), "2.22", [(KIB, T), (256 * KIB, T128), (512 * KIB, NT)]),
        (h100(16), "2.22", [(KIB, T), (256 * KIB, T128), (8 * MIB, NT), (2 * GIB, RS)]),
        (h100(1), "2.18", [(KIB, "ring LL"), (512 * KIB, "nvls Simple")]),
        (h100(2), "2.18", [(KIB, T), (256 * KIB, T128), (2 * MIB, NT)]),
        (
            h100(16),
            "2.18",
            [(KIB, T), (256 * KIB, T128), (64 * MIB, "tree Simple"), (256 * MIB, "ring LL128"), (GIB, RS)],
        ),
    ],
)
def test_winner_by_size(where, version, stretches):
    assert winners(where, version) == stretches


A100_HDR = machine(16, "a100", 8, 25, host_cpu="amd")


@pytest.mark.parametrize(
    ("where", "wins"),
    [
        (machine(1, "a100"), f"ring LL 15.02, ring LL 16.31, ring LL 35.92, {RS} 545.34, {RS} 7885.37"),
        (A100_HDR, f"{T} 55.32, {T} 66.70, {T128} 125.68, {T128} 1216.58, {RS} 13578.79"),
        (
            machine(1, "b200"),
            "ring LL 15.01, ring LL 15.41, ring LL 21.51, nvls Simple 188.11, nvls Simple 2634.79",
        ),
        (
            NVL72,
            f"{N} 25.00, {N} 25.14, {N} 27.25, {N} 169.24, {N} 2332.82",
        ),
        (h100(4), f"{T} 35.33, {T} 47.80, {T128} 83.22, {NT} 465.81, {RS} 5813.56"),
        (h100(128), f"{T} 85.33, {T} 97.80, {T128} 168.22, {NT} 685.97, {NT} 6211.52"),
    ],
)
def test_other_systems(where, wins):
    for size, win in zip(SIZES, wins.split(", "), strict=True):
        best = choose("all_reduce", size, where)
        name, _, time = win.rpartition(" ")
        assert f"{best.algorithm} {best.protocol}" == name, size
        assert printed(best.time_s * 1e6, time), (size, best)


@pytest.mark.parametrize(
    ("version", "nodes", "times"),
    [
        ("2.22", 1, "15.0 15.8 28.0 276.7 4051.5"),
        ("2.22", 2, "25.3 31.8 56.9 304.7 4079.5"),
        ("2.22", 16, "55.3 67.8 117.2 556.4 6847.9"),
        ("2.18", 1, "15.0 16.3 26.9 274.7 4049.5"),
        ("2.18", 2, "25.3 31.8 62.5 360.6 4854.5"),
        ("2.18", 16, "55.3 67.8 117.2 853.3 7244.4"),
    ],
)
def test_older_releases(version, nodes, times):
    for size, time in zip(SIZES, times.split(), strict=True):
        best = choose("all_reduce", size, h100(nodes), version)
        assert printed(best.time_s * 1e6, time), (size, best)


def test_amd_host():
    small = {(c.algorithm, c.protocol): c for c in candidates("all_reduce", 0, h100(16, host_cpu="amd"))}
    for protocol, latency in (("LL", "535.6"), ("LL128", "582.0"), ("Simple", "1772.4")):
        assert printed(small["ring", protocol].latency_s * 1e6, latency)
    assert printed(small["tree", "LL"].bandwidth_Bps / GB, "8.075")
    assert printed(small["ring", "LL"].bandwidth_Bps / GB, "9.575")


def graph(channels, intra, inter=None, pattern="ring", alike=False):
    return Graph(
        channels=channels, intra=intra * GB, inter=(inter or intra) * GB, pattern=pattern, alike=alike
    )


def one_graph(ring, tree, nvls=None, channels=16):
    return Graphs(ring=ring, tree=tree, nvls=nvls, collnet=None, channels=channels, nvls_channels=16)


def pick(found, algorithm, protocol):
    return next(c for c in found if (c.algorithm, c.protocol) == (algorithm, protocol))


def test_log_of_three_nodes():
    """https://github.com/NVIDIA/nccl/issues/1453: 3 x 8 H100 with 8 rings of 24 GB/s, release 2.2x."""
    logged = one_graph(graph(8, 24), graph(8, 48, 24, "simple"))
    small = choose("all_reduce", 8, h100(3), "2.22", graphs=logged)
    assert (small.algorithm, small.protocol) == ("tree", "LL")
    assert small.time_s * 1e6 == pytest.approx(25.200924, rel=1e-7)  # the library computes in float32
    assert small.bandwidth_Bps == pytest.approx(8.67e9)
    large = choose("all_reduce", 8 * GIB, h100(3), "2.22", graphs=logged)
    assert (large.algorithm, large.protocol) == ("ring", "Simple")
    assert large.time_s * 1e6 == pytest.approx(86069.968750, rel=1e-7)


def test_log_of_two_nodes():
    """2 x 8 H100 whose one ring carries 20 GB/s, release 2.2x."""
    logged = one_graph(graph(1, 20, alike=True), graph(1, 20, pattern="simple", alike=True), channels=2)

    def latencies(op, algorithm):
        found = candidates(op, 0, h100(2), "2.22", graphs=logged)
        return [f"{c.latency_s * 1e6:.1f}" for c in found if c.algorithm == algorithm]

    assert latencies("broadcast", "ring") == ["9.3", "18.0", "22.4"]
    assert latencies("all_gather", "ring") == ["23.3", "44.6", "70.0"]
    assert latencies("all_reduce", "tree") == ["25.2", "48.5", "448.0"]
    assert latencies("all_reduce", "ring")[0] == "43.4"
    gather = pick(candidates("all_gather", 0, h100(2), "2.22", graphs=logged), "ring", "Simple")
    assert printed(gather.bandwidth_Bps / GB, "21.3")


def test_log_of_h800():
    """https://github.com/NVIDIA/nccl/issues/1154."""
    assert printed(pick(candidates("all_reduce", 0, H800), "tree", "Simple").bandwidth_Bps / GB, "68.8")


@pytest.mark.parametrize(("ranks", "bandwidth"), [(2, 640), (3, 480)])
def test_log_of_b200(ranks, bandwidth):
    """https://github.com/NVIDIA/nccl/issues/2343."""
    found = candidates("all_reduce", 0, machine(1, "b200", gpus=ranks))
    assert pick(found, "ring", "LL128").bandwidth_Bps == pytest.approx(bandwidth * GB)


def test_worked_values():
    raw = one_graph(graph(8, 40), graph(8, 40, pattern="balanced"), channels=16)
    a = pick(candidates("all_reduce", 67108864, h100(1), graphs=raw), "ring", "Simple")
    assert a.latency_s * 1e6 == pytest.approx(56, rel=1e-6)
    assert a.bandwidth_Bps / GB == pytest.approx(182.8571429, rel=1e-6)
    assert a.time_s * 1e6 == pytest.approx(423.0016, rel=1e-6)

    raw = one_graph(graph(8, 24), graph(8, 24, pattern="balanced"))
    b = pick(candidates("all_reduce", 1048576, h100(4), graphs=raw), "tree", "LL128")
    assert b.latency_s * 1e6 == pytest.approx(65.5, rel=1e-6)
    assert 0.6 * b.bandwidth_Bps / GB == pytest.approx(49.68, rel=1e-6)  # at this size
    assert b.time_s * 1e6 == pytest.approx(86.60660225, rel=1e-6)

    c = pick(candidates("all_reduce", 268435456, h100(4, host_cpu="amd"), graphs=raw), "ring", "Simple")
    assert c.latency_s * 1e6 == pytest.approx(599.76, rel=1e-6)
    assert c.time_s * 1e6 == pytest.approx(3308.581333, rel=1e-6)
