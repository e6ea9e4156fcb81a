"""All-reduce in a tree of switches that add on the way up and copy on the way down."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import SWITCH, AlphaBeta, Message

OP = "all_reduce"


def steps(ranks: int, size: float, *, switch_levels: int = 1) -> Iterator[list[Message]]:
    """Yield the messages of both steps, streamed; the one chunk is the whole buffer.

    Parameters
    ----------
    switch_levels : int
        Levels of switches between a rank and the root of the tree.
    """
    if ranks == 1:
        return
    startups = 2 * switch_levels
    up = [(rank, SWITCH, size, (0,), True) for rank in range(ranks)]
    down = [(SWITCH, rank, size, (0,), False) for rank in range(ranks)]
    yield [Message(*message, streamed=True, startups=startups) for message in up]
    yield [Message(*message, streamed=True, startups=startups) for message in down]


def cost(ranks: int, size: float, link: AlphaBeta, *, switch_levels: int = 1) -> float:
    r"""Return seconds on an idle network: :math:`2h\alpha + n/B`, h levels of switches; no rank adds.

    Parameters
    ----------
    switch_levels : int
        h.

    References
    ----------
    .. [1] Graham et al., Scalable hierarchical aggregation protocol (SHArP), COMHPC 2016.
    """
    return 2 * switch_levels * link.alpha + size / link.bandwidth if ranks > 1 else 0.0
