"""All-to-all in two levels: inside each node by the receiver's place, then among ranks of one place."""

from collections.abc import Iterator, Sequence

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.collectives._rounds import check_levels, two_levels

OP = "all_to_all"


def steps(ranks: int, size: float, *, shape: tuple[int, ...] | None = None) -> Iterator[list[Message]]:
    """Yield the messages of each step; ``size`` is a rank's send buffer, chunk s p + d goes from s to d.

    Parameters
    ----------
    shape : tuple of int, optional
        Ranks of a node and nodes; by default the two factors of ``ranks`` closest to each other.
    """
    local, nodes = two_levels(ranks, shape)
    for step in range(1, local):
        messages = []
        for rank in range(ranks):
            node, place = divmod(rank, local)
            to = (place + step) % local
            chunks = tuple(rank * ranks + other * local + to for other in range(nodes))
            messages.append(Message(rank, node * local + to, size / local, chunks))
        yield messages
    for step in range(1, nodes):
        messages = []
        for rank in range(ranks):
            node, place = divmod(rank, local)
            dst = (node + step) % nodes * local + place
            chunks = tuple((node * local + source) * ranks + dst for source in range(local))
            messages.append(Message(rank, dst, size / nodes, chunks))
        yield messages


def cost(
    ranks: int,
    size: float,
    link: AlphaBeta,
    *,
    shape: tuple[int, ...] | None = None,
    levels: Sequence[AlphaBeta] | None = None,
) -> float:
    r"""Return seconds on an idle network: :math:`(g-1)(\alpha_l + n/(gB_l)) + (m-1)(\alpha_r + n/(mB_r))`.

    g ranks in each of m nodes.

    Parameters
    ----------
    shape : tuple of int, optional
        g and m; by default the two factors of ``ranks`` closest to each other.
    levels : sequence of AlphaBeta, optional
        The links inside a node and between nodes; by default both are ``link``.

    References
    ----------
    .. [1] Rajbhandari et al., DeepSpeed-MoE, arXiv:2201.05596
    """
    local, nodes = two_levels(ranks, shape)
    inside, between = check_levels(link, levels, 2)
    return (local - 1) * inside.message(size / local) + (nodes - 1) * between.message(size / nodes)
