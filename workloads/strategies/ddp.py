"""Plain data parallelism: every rank holds all, gradients are all-reduced in buckets as they come.

References
----------
.. [1] Li et al., PyTorch Distributed, VLDB 2020, arXiv:2006.15704.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies._parts import Exchange, Wire, over, update

STATES = "replicated"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the all-reduce of a layer's gradients, beside the backward of the last microbatch."""
    if not wire.grad_overlap:
        return Exchange()
    reduce = over(
        "gradient reduction",
        "all_reduce",
        held,
        wire.grad_bytes,
        layout,
        stream="dp",
        until="step",
        when="last",
    )
    return Exchange(backward=tuple(reduce))


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:
    """Return what follows the last task: the exchange if it did not run beside it, then the update."""
    late = (
        [] if wire.grad_overlap else over("gradient reduction", "all_reduce", held, wire.grad_bytes, layout)
    )
    return [*late, update(held, layout)]
