"""A way found in one machine holds in those wired like it, and in no other."""

import numpy as np
import pytest

from simulator.engine._replay_alike import Alike
from simulator.engine._replay_ways import Ways
from topologies import _fabrics


def inside(ways, per_node):
    """Return all ordered pairs of GPUs that share a machine."""
    pairs = [
        (src, dst)
        for src in range(len(ways.gpus))
        for dst in range(src // per_node * per_node, (src // per_node + 1) * per_node)
        if src != dst
    ]
    return np.array(pairs).T


@pytest.mark.parametrize("name", ["dgx-h100-ib400", "aws-p4d", "abci-v", "gcp-a3-high"])
@pytest.mark.parametrize("broken", [False, True])
def test_every_machine_carries_what_its_own_ways_say(name, broken):
    graph = _fabrics.build(name, 32)
    if broken:  # the cable from the last GPU to its first neighbour in the machine
        gpu = ("gpu", 31)
        other = next(head for head in graph[gpu] if head[0] not in ("nic", "leaf"))
        graph.remove_edge(gpu, other)
        graph.remove_edge(other, gpu)
    per_node = graph.graph["gpus_per_node"]
    ways = Ways(graph, "spread")
    src, dst = inside(ways, per_node)
    amounts = np.linspace(1, 2, len(src))
    wanted = np.zeros(len(ways.edges))
    for one, other, amount in zip(src.tolist(), dst.tolist(), amounts.tolist(), strict=True):
        for edge, share in ways.shares(one, other).items():
            wanted[edge] += amount * share
    assert Ways(graph, "spread").loads(src, dst, amounts) == pytest.approx(wanted, rel=1e-12)


def test_a_slower_cable_makes_another_kind_of_machine():
    graph = _fabrics.build("dgx-h100-ib400", 32)
    assert len(set(Alike(Ways(graph)).kind.tolist())) == 1
    graph["gpu", 8]["nvswitch", 1]["bandwidth_Bps"] /= 2
    kind = Alike(Ways(graph)).kind.tolist()
    assert kind[0] == kind[2] == kind[3] != kind[1]
