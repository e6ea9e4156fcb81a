"""Tensor parallelism: what enters and leaves the two sliced products of a layer.

References
----------
.. [1] Shoeybi et al., arXiv:1909.08053, section 3: an all-reduce after attention and one after the MLP.
.. [2] Korthikanti et al., arXiv:2205.05198, section 4.2.2: with sequence parallelism an all-gather before and a
   reduce-scatter after each, the same bytes.
"""

from workloads.layers import Slice
from workloads.step_graph import Collective, Operation


def enter(cut: Slice, hidden: int, name: str, overlap: str = "") -> list[Operation]:
    """Return what brings the whole sequence to every rank: nothing unless the sequence is sliced.

    Without slices it is the backward that adds: gradients of the input by an all-reduce. Between an entry and an
    exit both ways have one, so that a layer counts the backward of its exit for it; where there is no such pair
    `turned` says which.
    """
    if cut.tp == 1 or not cut.sequence_parallel:
        return []
    return [_over(f"{name} gather", "all_gather", cut, hidden, overlap)]


def leave(cut: Slice, hidden: int, name: str, overlap: str = "") -> list[Operation]:
    """Return what adds the partial results of the ranks."""
    if cut.tp == 1:
        return []
    op = "reduce_scatter" if cut.sequence_parallel else "all_reduce"
    return [_over(f"{name} reduction", op, cut, hidden, overlap)]


def turned(cut: Slice, hidden: int, name: str) -> list[Operation]:
    """Return what an entry takes backward, as the forward operations that it is the backward of."""
    if cut.tp == 1 or cut.sequence_parallel:
        return enter(cut, hidden, name)
    return [_over(f"{name} input", "all_reduce", cut, hidden, "")]


def _over(name: str, op: str, cut: Slice, hidden: int, overlap: str) -> Collective:
    size = cut.element * cut.tokens * hidden
    return Collective(name=name, op=op, axis="tp", size=size, overlap=overlap)


def loss(cut: Slice) -> list[Operation]:
    """Return the three small all-reduces of the loss over a sliced vocabulary, fp32 [1]_."""
    if cut.tp == 1:
        return []
    return [
        Collective(name=f"loss {what}", op="all_reduce", axis="tp", size=4.0 * cut.tokens)
        for what in ("maximum", "target", "sum")
    ]
