"""The longest way through a schedule for many layouts at once, compiled: what `closed_form` walks for one."""

import numpy as np
from numpy.typing import NDArray

from simulator.engine._task_order import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ends(
    plan: Plan, begin: Floats, lengths: Floats, price: Floats, wanted: Ints, *, blocking: bool
) -> Floats:
    """Return when nodes of a plan end.

    Parameters
    ----------
    plan : Plan
        The schedule.
    begin : array of float
        When stages start, s, shape (lanes,).
    lengths : array of float
        Seconds of each variant, shape (lanes, variants).
    price : array of float
        Seconds between the stages of each pair, shape (lanes, pairs).
    wanted : array of int
        The nodes.
    blocking : bool
        Whether a stage does nothing else while it sends.

    Returns
    -------
    array of float
        s, shape (lanes, wanted).
    """
    from simulator.planning.search.kernel import walk

    count = len(plan.before)
    nodes = (plan.before, plan.need, plan.hop, plan.sent, plan.group, plan.variant)
    out = np.empty((len(begin), len(wanted)))
    walk(plan.stages, nodes, begin, lengths, price, wanted, blocking, np.empty(count), np.zeros(count), out)
    return out
