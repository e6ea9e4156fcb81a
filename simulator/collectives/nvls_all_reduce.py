"""All-reduce in the switch: it adds on the way to the rank that owns a part, and copies on the way back."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import SWITCH, AlphaBeta, Message

OP = "all_reduce"


def steps(ranks: int, size: float) -> Iterator[list[Message]]:
    """Yield the messages of each step, all streamed; a chunk is the part of the buffer that one rank owns."""
    if ranks == 1:
        return
    everyone, part = tuple(range(ranks)), size / ranks

    def step(messages: list[tuple[int, int, float, tuple[int, ...], bool]]) -> list[Message]:
        return [Message(*message, streamed=True, startups=2) for message in messages]

    yield step([(rank, SWITCH, size, everyone, True) for rank in range(ranks)])
    yield step([(SWITCH, rank, part, (rank,), False) for rank in range(ranks)])
    yield step([(rank, SWITCH, part, (rank,), False) for rank in range(ranks)])
    yield step([(SWITCH, rank, size, everyone, False) for rank in range(ranks)])


def cost(ranks: int, size: float, link: AlphaBeta) -> float:
    r"""Return seconds on an idle network: :math:`2\alpha + (1 + 1/p)n/B`; no rank adds anything.

    References
    ----------
    .. [1] Klenk et al., An in-network architecture for accelerating shared-memory multiprocessor collectives,
       ISCA 2020. The bytes follow from `steps`: up the buffer and the sum of a part, down that sum and the
       buffer.
    """
    return 2 * link.alpha + (1 + 1 / ranks) * size / link.bandwidth if ranks > 1 else 0.0
