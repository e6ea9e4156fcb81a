"""The longest way through a schedule, as machine code."""

from typing import Any

from simulator.network._compiled import compiled

Plan = tuple[Any, Any, Any, Any, Any, Any]  # before, need, hop, sent, group, variant: see `_task_order.Plan`


@compiled
def walk(
    stages: int,
    plan: Plan,
    begin: Any,
    lengths: Any,
    price: Any,
    wanted: Any,
    blocking: bool,
    end: Any,
    sends: Any,
    out: Any,
) -> None:  # fmt: skip
    """Follow every lane: a task starts when the one before it and what it needs are there.

    Parameters
    ----------
    stages : int
        How many.
    plan : tuple of arrays
        The nodes; the first ones start the stages, one more is never waited for.
    begin, lengths, price, wanted, blocking
        As in `simulator.planning.search.walk.ends`.
    end, sends : array of float
        To work in, shape (nodes,).
    out : array of float
        Where the ends go, shape (lanes, wanted).
    """
    before, need, hop, sent, group, variant = plan
    for lane in range(len(begin)):
        if blocking:
            for node in range(len(before)):
                sends[node] = 0.0
            for node in range(len(before)):
                sends[group[node]] = max(sends[group[node]], price[lane, sent[node]])
        for node in range(stages):
            end[node] = begin[lane]
        end[stages] = -1e300
        for node in range(stages + 1, len(before)):
            start = end[before[node]]
            if blocking:
                start += sends[before[node]]
            there = end[need[node]] + price[lane, hop[node]]
            end[node] = max(start, there) + lengths[lane, variant[node]]
        for place in range(len(wanted)):
            out[lane, place] = end[wanted[place]]
