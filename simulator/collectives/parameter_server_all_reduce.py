"""All-reduce by servers, each of which sums its share of the buffer: workers push, then pull."""

from collections.abc import Iterator

from simulator.collectives._alpha_beta import AlphaBeta, Message
from simulator.errors import UsageError

OP = "all_reduce"


def endpoints(ranks: int, *, servers: int | None = None) -> int:
    """Return how many machines take part: the workers, and behind them the servers if they are separate."""
    return ranks + (servers or 0)


def steps(
    ranks: int, size: float, *, servers: int | None = None, pipelined: bool = False
) -> Iterator[list[Message]]:
    """Yield the messages of push and pull; a chunk is the share of one server.

    Parameters
    ----------
    servers : int, optional
        Separate servers, numbered behind the workers; by default each worker is a server too.
    pipelined : bool
        Whether what is summed is pulled while the rest is still pushed.
    """
    if ranks == 1:
        return
    homes = range(ranks) if servers is None else range(ranks, endpoints(ranks, servers=_checked(servers)))
    share = size / len(homes)
    startups = 2 if pipelined else 1
    pairs = [(worker, home, i) for i, home in enumerate(homes) for worker in range(ranks) if worker != home]
    yield [
        # the first push to a separate server finds an empty buffer: nothing to add to
        Message(worker, home, share, (i,), servers is None or worker > 0, startups=startups)
        for worker, home, i in pairs
    ]
    yield [
        Message(home, worker, share, (i,), streamed=pipelined, startups=startups) for worker, home, i in pairs
    ]


def cost(
    ranks: int, size: float, link: AlphaBeta, *, servers: int | None = None, pipelined: bool = False
) -> float:
    r"""Return seconds on an idle network, w workers: :math:`2\alpha + 2\max(1, w/s)n/B + (w-1)n\gamma/s`.

    Pipelined, the bytes go both ways at once: half the second term. With a server on each worker
    :math:`2\alpha + (w-1)/w\,(2n/B + n\gamma)` either way, the ports being full.

    Parameters
    ----------
    servers : int, optional
        s; by default each worker is a server too.
    pipelined : bool
        Whether what is summed is pulled while the rest is still pushed.

    References
    ----------
    .. [1] Li et al., Scaling distributed machine learning with the parameter server, OSDI 2014. [2] Jiang et
       al., BytePS, OSDI 2020
    """
    if ranks == 1:
        return 0.0
    homes = ranks if servers is None else _checked(servers)
    summed = (ranks - 1) * size / homes
    one_way = summed if servers is None else max(size, ranks * size / homes)
    both_at_once = pipelined and servers is not None  # a worker that serves pushes and pulls by the same port
    moving = one_way if both_at_once else 2 * one_way
    return 2 * link.alpha + moving / link.bandwidth + link.reduction(summed)


def _checked(servers: int) -> int:
    if servers < 1:
        raise UsageError(f"need at least 1 server, got {servers}")
    return servers
