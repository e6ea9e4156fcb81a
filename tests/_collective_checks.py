"""What the tests of collectives share: where data is, who waits for whom, which options are tried."""

from collections import defaultdict

import networkx as nx

from simulator.collectives import COLLECTIVES
from topologies import star
from topologies._graph import Cable

# every file is tried as it is, these with further options too
VARIANTS = {
    "chain_broadcast": [{"packets": 5}],
    "chain_reduce": [{"packets": 5}],
    "double_binary_tree_all_reduce": [{"packets": 4}, {"packets": 7}],
    "double_binary_tree_broadcast": [{"packets": 4}, {"packets": 7}],
    "double_binary_tree_reduce": [{"packets": 4}, {"packets": 7}],
    "nvls_tree_all_reduce": [{"packets": 4}],
    "parameter_server_all_reduce": [
        {"pipelined": True},
        {"servers": 1},
        {"servers": 3},
        {"servers": 3, "pipelined": True},
    ],
    "pat_all_gather": [{"aggregation": 1}, {"aggregation": 3}],
    "pat_reduce_scatter": [{"aggregation": 1}, {"aggregation": 3}],
    "sharp_all_reduce": [{"switch_levels": 3}],
}
PIPELINED = ("chain_", "double_binary_tree_", "nvls_tree_")
CASES = [
    (name, options)
    for name in COLLECTIVES
    for options in [{"packets": 1} if name.startswith(PIPELINED) else {}, *VARIANTS.get(name, [])]
]


def steps(name, ranks, size, options):
    module = COLLECTIVES[name]
    known = module.steps.__kwdefaults__ or {}
    return list(module.steps(ranks, size, **{key: options[key] for key in options if key in known}))


def cost(name, ranks, size, link, options):
    return COLLECTIVES[name].cost(ranks, size, link, **options)


class Holdings:
    """Which contributions to each chunk each rank (or switch) holds, as bits of a number."""

    def __init__(self, op, ranks, chunks):
        self.op, self.ranks, self.everyone = op, ranks, (1 << ranks) - 1
        self.held = defaultdict(dict)
        for rank in range(ranks):
            self.held[rank] = {chunk: bits for chunk in chunks if (bits := self.start(rank, chunk))}

    def start(self, rank, chunk):
        if self.op in ("all_reduce", "reduce", "reduce_scatter"):
            return 1 << rank
        owner = {"all_to_all": chunk // self.ranks, "broadcast": 0, "scatter": 0}.get(self.op, chunk)
        return 1 if rank == owner else 0

    def promised(self, rank, chunk):
        """Return the bits that a rank must hold of a chunk in the end; None: whatever it likes."""
        if self.op in ("all_reduce", "reduce", "reduce_scatter"):
            gets = {"all_reduce": True, "reduce": rank == 0, "reduce_scatter": rank == chunk}[self.op]
            return self.everyone if gets else None
        gets = {
            "all_to_all": rank == chunk % self.ranks,
            "gather": rank == 0,
            "scatter": rank == chunk,
            "send_recv": (rank - 1) % self.ranks == chunk,
        }.get(self.op, True)
        return 1 if gets else None

    def follow(self, step):
        moving = [{chunk: self.held[m.src][chunk] for chunk in m.chunks} for m in step]
        for message, brought in zip(step, moving, strict=True):
            mine = self.held[message.dst]
            for chunk, bits in brought.items():
                if message.reduces:
                    assert not mine.get(chunk, 0) & bits, f"{message} adds what was added before"
                    mine[chunk] = mine.get(chunk, 0) | bits
                else:
                    mine[chunk] = bits


def finish(all_steps, alpha, bandwidth, gamma):
    """Return when the last rank is done behind a switch with a port a rank: the rule, read once more."""
    phases = []
    for step in all_steps:
        phases.append([*phases.pop(), *step] if phases and step[0].streamed else list(step))
    sent, received = defaultdict(float), defaultdict(float)
    for phase in phases:
        leaving, coming, adding = defaultdict(float), defaultdict(float), defaultdict(float)
        for m in phase:
            leaving[m.src] += m.size if m.src >= 0 else 0.0
            coming[m.dst] += m.size if m.dst >= 0 else 0.0
            adding[m.dst] += m.size if m.dst >= 0 and m.reduces else 0.0
        begun = dict(sent), dict(received)
        for m in phase:
            waits = [begun[0].get(m.src, 0.0), begun[1].get(m.src, 0.0), begun[1].get(m.dst, 0.0)]
            if m.src < 0:
                waits += [moments.get(n.src, 0.0) for n in phase if n.dst == m.src for moments in begun]
            end = max(waits) + m.startups * alpha + max(leaving[m.src], coming[m.dst]) / bandwidth
            sent[m.src] = max(sent[m.src], end)
            received[m.dst] = max(received[m.dst], end + gamma * adding[m.dst])
    return max([*sent.values(), *received.values()], default=0.0)


def idle_switch(ranks, bandwidth=50e9, latency=1e-6):
    link = Cable(bandwidth_Bps=bandwidth, latency_s=latency)
    return star.build(ranks + 3, link=link, switch_latency_s=latency / 2)  # three more ports, for servers


def two_levels(local, nodes, inside, between):
    """Return nodes of GPUs on a switch of their own, and for every GPU a port to the switch of all nodes."""
    graph = nx.DiGraph(gpus_per_node=local)
    graph.add_node(("spine", 0), kind="spine")
    for rank in range(local * nodes):
        graph.add_node(("gpu", rank), kind="gpu")
        graph.add_node(("nic", rank), kind="nic")
        graph.add_node(("nvswitch", rank // local), kind="nvswitch")
        wires = [(("gpu", rank), ("nvswitch", rank // local), inside), (("nic", rank), ("spine", 0), between)]
        for one, other, link in [*wires, (("gpu", rank), ("nic", rank), Cable(bandwidth_Bps=1e15))]:
            attributes = {"bandwidth_Bps": link.bandwidth_Bps, "latency_s": link.latency_s}
            graph.add_edge(one, other, **attributes)
            graph.add_edge(other, one, **attributes)
    return graph
