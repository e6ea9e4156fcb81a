"""Expert parallelism: token rows to the ranks that hold their experts, and back.

References
----------
.. [1] Lepikhin et al., GShard, arXiv:2006.16668: dispatch and combine by all-to-all.
.. [2] DeepSeek-V3, arXiv:2412.19437, section 3.2.2: one copy of a token for each node that it visits.
"""

from math import comb

from workloads.layers import Slice
from workloads.model import Model
from workloads.step_graph import Collective, Operation

WIDTHS = {"fp8": 1 + 4 / 128, "mxfp8": 1 + 1 / 32, "nvfp4": 2.0}


def copies(model: Model, ep: int, groups: int, limit: int = 0) -> float:
    """Return to how many of some groups of experts a token goes, in the mean, with uniform routing.

    Parameters
    ----------
    model : Model
        With E experts of which a token visits k.
    ep : int
        Ranks that the experts are spread over.
    groups : int
        Groups that receive one copy: the ranks, or the nodes.
    limit : int
        Most groups that routing allows (node-limited routing); 0: no limit.

    Notes
    -----
    :math:`R (1 - C(E - E/R, k) / C(E, k))` for R groups.
    """
    e, k = model.experts, model.topk
    groups = max(1, min(groups, ep))
    here = e // groups
    expected = groups * (1 - comb(e - here, k) / comb(e, k))
    return min(expected, limit) if limit else expected


def exchange(
    model: Model,
    cut: Slice,
    name: str,
    *,
    rows: float,
    width: float = 2.0,
    overlap: str = "",
) -> list[Operation]:
    """Return dispatch or combine of one layer: an all-to-all, and the slices of the experts' own group.

    Parameters
    ----------
    rows : float
        Copies that are sent of each token: k, or fewer where a group receives one copy only.
    width : float
        Bytes of an element on the wire.

    Notes
    -----
    The port of the fullest rank takes as much longer as its rows are over the mean, `Slice.load`. Padded to a
    capacity factor [1]_ all are the fullest: E ceil(cf k T / E) rows whatever the routing.
    """
    tokens = cut.load * cut.tokens / cut.tp  # every tensor rank sends its own part of the sequence
    size = tokens * rows * model.expert_hidden * width
    found: list[Operation] = []
    if cut.ep > 1:
        found.append(Collective(name=name, op="all_to_all", axis="ep", size=size, overlap=overlap))
    if cut.etp > 1:
        op = "all_gather" if name == "dispatch" else "reduce_scatter"
        found.append(Collective(name=f"{name} slices", op=op, axis="etp", size=size * cut.etp))
    return found if name == "dispatch" else found[::-1]
