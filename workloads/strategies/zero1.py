"""Sharded optimizer states: gradients reduce-scattered, updated parameters gathered; Megatron's distributed optimizer.

References
----------
.. [1] Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.1: the volume of an all-reduce.
.. [2] Megatron-LM, docs/source/api-guide/dist_optimizer.md: both halves beside computation.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies._parts import Exchange, Wire, over, update

STATES = "sharded"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the reduce-scatter beside the last backward and the gather beside the first forward."""
    late = over(
        "gradient reduction", "reduce_scatter", held, wire.grad_bytes, layout,
        stream="dp", until="step", when="last",
    )  # fmt: skip
    early = over(
        "parameter gather",
        "all_gather",
        held,
        wire.param_bytes,
        layout,
        stream="dp",
        until="step",
        when="first",
    )
    return Exchange(
        forward=tuple(early) if wire.param_overlap else (),
        backward=tuple(late) if wire.grad_overlap else (),
    )


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:
    """Return what follows the last task: what did not run beside one, and the update of a shard."""
    found: list[Operation] = []
    if not wire.grad_overlap:
        found += over("gradient reduction", "reduce_scatter", held, wire.grad_bytes, layout)
    found.append(update(held, layout, shards="all"))
    if not wire.param_overlap:
        found += over("parameter gather", "all_gather", held, wire.param_bytes, layout)
    return found
