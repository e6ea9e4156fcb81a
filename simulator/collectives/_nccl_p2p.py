"""Send and receive: how NCCL cuts a message over channels, and our price for it, as NCCL has none."""

import math

from simulator.collectives._nccl_case import Candidate, Case
from simulator.collectives._nccl_graphs import Node, node_of
from simulator.collectives._nccl_tables import PROTOCOLS

OPERATIONS = ("all_to_all", "send_recv", "gather", "scatter")
_KIB = 1024
_LL_LIMIT = 16 * _KIB  # bytes a channel, NCCL_P2P_LL_THRESHOLD
_CONCURRENT = 8  # sends or receives that one channel works on together
_CARD_SHARE = 14e9  # bytes/s of a card that one channel is trusted to drive, 2.29+


def channels_per_peer(case: Case) -> tuple[int, int]:
    """Return the channels that one peer may use and those that all peers share.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/graph/paths.cc, src/init.cc.
    """
    machine, table = case.machine, case.table
    shared: int = 2 ** math.ceil(math.log2(case.graphs.channels))
    node = node_of(machine, table)
    counts = []
    if machine.gpus_per_node > 1:
        link = table.nvlink[case.architecture]
        counts.append(2 if machine.intra == "pcie" else 2 * round(node.path / link))
    if machine.nodes > 1:
        counts.append(_network_channels(case, node, shared))
    most = min(2 ** math.ceil(math.log2(min(counts))), shared)
    while machine.nodes > 1 and most > 1 and most * math.ceil(machine.ranks / 8) > shared:
        most //= 2
    return most, shared


def _network_channels(case: Case, node: Node, shared: int) -> int:
    local = max(1, case.machine.nics_per_node // case.machine.gpus_per_node)
    crowded = 2 * case.machine.ranks > 4 * shared
    rules = {
        "two": max(local, 2),
        "local_cards": local if crowded else max(local, 2),
        "card_speed": max(local, math.ceil(node.card / _CARD_SHARE)),
    }
    return rules[case.table.p2p_network_channels]


def message(case: Case, size: float) -> tuple[int, str]:
    """Return the channels and the protocol of one message.

    Parameters
    ----------
    case : Case
        What is run.
    size : float
        Bytes between one pair.
    """
    machine = case.machine
    most, shared = channels_per_peer(case)
    one_node = machine.nodes == 1 and machine.intra != "pcie"
    arm_blackwell = machine.nodes > 1 and machine.host_cpu == "arm" and machine.compute_capability >= 100
    chunk = (512 if one_node else 256 if arm_blackwell else 128) * _KIB
    least_part, most_part = (chunk / 8, 32 * chunk) if machine.nodes == 1 else (chunk / 2, chunk)
    start = most
    while start > 1 and start * machine.ranks > shared:
        start //= 2
    channels = max(1, min(start, math.ceil(size / least_part)))
    while channels < most and size / channels > most_part:
        channels *= 2
    return channels, "LL" if size <= _LL_LIMIT * channels else "Simple"


def _busiest(case: Case, node: Node) -> float:
    """Return the seconds that the busiest link needs for each byte of the operation's size."""
    ranks, local, nodes = case.machine.ranks, case.machine.gpus_per_node, case.machine.nodes
    card = node.card if nodes > 1 else math.inf
    if case.op == "send_recv":  # everyone to the next: one pair a node crosses the network
        return max(1 / node.gpu if local > 1 else 0.0, 1 / card)
    # all_to_all: every rank its share of the cards; gather and scatter: the root's own card
    share = node.cards * card / local if case.op == "all_to_all" and nodes > 1 else card
    return max((local - 1) / node.gpu, (ranks - local) / share) / ranks


def choose(case: Case, size: float, protocols: frozenset[str]) -> Candidate:
    """Return how NCCL would send, priced by us.

    NCCL has no cost model for send and receive: the channels and the protocol are its rules, the time is an
    alpha-beta price from the same tables. Latency is the ring's base plus one hop for every round of eight
    works a channel; bandwidth is that of the busiest of GPU links and cards at the rates that NCCL assumes,
    half of it with LL.

    Parameters
    ----------
    case : Case
        What is run.
    size : float
        Bytes as nccl-tests counts them: of one message for ``send_recv``, over all peers for the others.
    protocols : frozenset of str
        What ``NCCL_PROTO`` leaves; messages only know LL and Simple.

    References
    ----------
    .. [1] NVIDIA/nccl v2.30.7-1, src/enqueue.cc.
    """
    table, machine = case.table, case.machine
    peers = 1 if case.op == "send_recv" else machine.ranks - 1
    channels, protocol = message(case, size if peers == 1 else size / machine.ranks)
    if protocol not in protocols:
        protocol = "Simple"
    p = PROTOCOLS.index(protocol)
    rate = (0.5 if protocol == "LL" else 1.0) / _busiest(case, node_of(machine, table))
    rounds = math.ceil(peers * channels / (_CONCURRENT * channels_per_peer(case)[1]))
    delay = table.base_latency["ring"][p] + rounds * case.hops()["ring"][p]
    return Candidate(
        algorithm="p2p",
        protocol=protocol,
        channels=channels,
        latency_s=delay,
        bandwidth_Bps=rate,
        time_s=delay + size / rate,
    )
