"""Max-min fair rates: raise all flows together, freeze those whose link is full."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import repeat
from typing import TypeVar

FlowId = TypeVar("FlowId", bound=Hashable)
LinkId = TypeVar("LinkId", bound=Hashable)

_SAME = 1 + 1e-14  # shares this close differ by rounding only


def fair_rates(
    routes: Mapping[FlowId, Sequence[LinkId]],
    bandwidth: Mapping[LinkId, float],
    weights: Mapping[FlowId, Sequence[float]] | None = None,
) -> dict[FlowId, float]:
    r"""Return the max-min fair rate of each flow by progressive filling.

    No flow can get more without a flow that has no more than it getting less; there is exactly one such
    allocation. The share of a link is what its frozen flows leave, divided among the others,

    .. math:: s_l = \frac{B_l - \sum_{f\ \text{frozen}} w_{fl} r_f}{\sum_{f\ \text{open}} w_{fl}},

    and the link with the least share freezes its open flows at that rate. Shares only grow as flows freeze,
    so a heap of old shares is right once the one on top has been brought up to date.

    Parameters
    ----------
    routes : mapping of flow to sequence of link
        The links each flow crosses, at least one, each once.
    bandwidth : mapping of link to float
        Bytes/s of each link.
    weights : mapping of flow to sequence of float, optional
        Bytes on each link of its route per byte of the flow, above 0; flows left out have 1 everywhere.

    Returns
    -------
    dict
        Bytes/s of each flow.

    Raises
    ------
    ValueError
        For a flow without a link: nothing limits its rate.

    References
    ----------
    .. [1] Bertsekas, Gallager, Data Networks, 2nd ed., 1992, section 6.5.2.

    Examples
    --------
    >>> fair_rates({"f": ["a", "b"], "g": ["a"], "h": ["b"]}, {"a": 1.0, "b": 2.0})
    {'f': 0.5, 'g': 0.5, 'h': 1.5}
    """
    weights = weights or {}
    waiting: dict[LinkId, list[tuple[FlowId, float]]] = defaultdict(list)  # of each link, as last looked at
    for flow, route in routes.items():
        if not route:
            raise ValueError(f"flow {flow!r} crosses no link")
        for link, weight in zip(route, weights.get(flow, repeat(1.0)), strict=False):
            waiting[link].append((flow, weight))
    free = {link: bandwidth[link] for link in waiting}
    shares = [
        (free[link] / sum(weight for _, weight in flows), order, link)
        for order, (link, flows) in enumerate(waiting.items())
    ]
    heapify(shares)
    rates: dict[FlowId, float] = {}
    while len(rates) < len(routes):
        old, order, link = heappop(shares)
        still, pull = [], 0.0
        for flow, weight in waiting[link]:
            if flow in rates:
                free[link] -= weight * rates[flow]
            else:
                still.append((flow, weight))
                pull += weight
        if not still:
            continue
        waiting[link] = still
        share = max(old, free[link] / pull)  # shares never fall, but the subtraction can round one below
        if share > old * _SAME:
            heappush(shares, (share, order, link))
        else:
            rates.update((flow, share) for flow, _ in still)
    return {flow: rates[flow] for flow in routes}
