"""All-reduce in the switch of each node, and among nodes on a double binary tree for each part."""

from collections.abc import Iterator, Sequence

from simulator.collectives import double_binary_tree_all_reduce
from simulator.collectives._alpha_beta import SWITCH, AlphaBeta, Message
from simulator.collectives._double_tree import broadcast_steps, reduce_steps
from simulator.collectives._exchanges import together
from simulator.collectives._packets import check_packets
from simulator.collectives._rounds import check_levels, two_levels

OP = "all_reduce"


def packet_count(
    ranks: int,
    size: float,
    link: AlphaBeta,
    *,
    shape: tuple[int, ...] | None = None,
    levels: Sequence[AlphaBeta] | None = None,
) -> int:
    """Return the best number of packets of the trees, which carry one rank's part each."""
    local, nodes = two_levels(ranks, shape)
    return double_binary_tree_all_reduce.packet_count(nodes, size / local, check_levels(link, levels, 2)[1])


def steps(
    ranks: int, size: float, *, shape: tuple[int, ...] | None = None, packets: int = 1
) -> Iterator[list[Message]]:
    """Yield the messages of each step; chunk i K + j is packet j of the part that rank i of each node owns.

    Parameters
    ----------
    shape : tuple of int, optional
        Ranks of a node and nodes; by default the two factors of ``ranks`` closest to each other.
    packets : int
        K, packets of a part.
    """
    local, nodes = two_levels(ranks, shape)
    unit = size / local / check_packets(packets)
    parts = [range(place * packets, (place + 1) * packets) for place in range(local)]
    yield from _in_the_switch(local, nodes, parts, unit, back=False)
    rails = [(range(place, ranks, local), parts[place]) for place in range(local)]
    yield from together(reduce_steps(rail, part, unit) for rail, part in rails)
    yield from together(broadcast_steps(rail, part, unit) for rail, part in rails)
    yield from _in_the_switch(local, nodes, parts, unit, back=True)


def _in_the_switch(
    local: int, nodes: int, parts: Sequence[range], unit: float, *, back: bool
) -> Iterator[list[Message]]:
    """Yield the sums going to the parts' owners, or the owners' parts to all; up and down streamed."""
    if local == 1:
        return
    whole = tuple(chunk for part in parts for chunk in part)
    up, down = [], []
    for rank in range(local * nodes):
        node, place = divmod(rank, local)
        own = tuple(parts[place])
        rising, falling = (own, whole) if back else (whole, own)
        up.append(Message(rank, SWITCH - node, unit * len(rising), rising, reduces=not back))
        down.append(Message(SWITCH - node, rank, unit * len(falling), falling, streamed=True))
    yield up
    yield down


def cost(
    ranks: int,
    size: float,
    link: AlphaBeta,
    *,
    shape: tuple[int, ...] | None = None,
    levels: Sequence[AlphaBeta] | None = None,
    packets: int | None = None,
) -> float:
    r"""Return seconds on an idle network: :math:`2(\alpha_l + n/B_l) + T(m, n/g)`.

    g ranks in each of m nodes; T is the double binary tree's all-reduce on the links between nodes. The three
    phases follow each other, which bounds from above an implementation that streams them.

    Parameters
    ----------
    shape : tuple of int, optional
        g and m; by default the two factors of ``ranks`` closest to each other.
    levels : sequence of AlphaBeta, optional
        The links inside a node and between nodes; by default both are ``link``.
    packets : int, optional
        Packets of a part on the trees; by default the best number.

    References
    ----------
    .. [1] Klenk et al., ISCA 2020, for the switch. [2] Sanders, Speck, Träff, Parallel Computing 35(12),
       2009, for the trees. The sum follows from `steps`.
    """
    local, nodes = two_levels(ranks, shape)
    inside, between = check_levels(link, levels, 2)
    count = packet_count(ranks, size, link, shape=shape, levels=levels) if packets is None else packets
    in_switch = 2 * inside.message(size) if local > 1 else 0.0
    return in_switch + double_binary_tree_all_reduce.cost(nodes, size / local, between, packets=count)
