"""Sharded optimizer states: gradients reduce-scattered, updated parameters gathered; Megatron's distributed optimizer.

References
----------
.. [1] Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.1: the volume of an all-reduce.
.. [2] Megatron-LM, docs/source/api-guide/dist_optimizer.md: both halves beside computation.
.. [3] Megatron-LM, megatron/core/distributed/distributed_data_parallel_config.py,
   num_distributed_optimizer_instances: shards inside an instance, copies between them.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Collective, Operation, Until, When
from workloads.strategies._parts import AXES, SHARDED, Exchange, Wire, over, update

STATES = "sharded"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the reduce-scatter beside the last backward and the gather beside the first forward."""
    early = over(
        "parameter gather", "all_gather", held, wire.param_bytes, layout,
        axes=_axes(layout), stream="dp", until="step", when="first",
    )  # fmt: skip
    return Exchange(
        forward=tuple(early) if wire.param_overlap else (),
        backward=_reduced(held, layout, wire, stream="dp", until="step", when="last")
        if wire.grad_overlap
        else (),
    )


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:
    """Return what follows the last task: what did not run beside one, and the update of a shard."""
    found: list[Operation] = []
    if not wire.grad_overlap:
        found += _reduced(held, layout, wire)
    found.append(update(held, layout, shards="group"))
    if not wire.param_overlap:
        found += over("parameter gather", "all_gather", held, wire.param_bytes, layout, axes=_axes(layout))
    return found


def _axes(layout: Layout) -> tuple[tuple[str, str], ...]:
    return SHARDED if layout.size("replicate") > 1 else AXES


def _reduced(
    held: Held,
    layout: Layout,
    wire: Wire,
    *,
    stream: str = "",
    until: Until = "block",
    when: When = "every",
) -> tuple[Collective, ...]:
    """Return the reduce-scatter inside a shard group and, of what is then left, the all-reduce between groups [3]_."""
    inside = over(
        "gradient reduction", "reduce_scatter", held, wire.grad_bytes, layout,
        axes=_axes(layout), stream=stream, until=until, when=when,
    )  # fmt: skip
    between = over(
        "replica reduction", "all_reduce", Held(dense=held.dense), wire.grad_bytes, layout,
        axes=(("dense", "replicate"),), stream=stream, until=until, when=when, share=1 / layout.size("shard"),
    )  # fmt: skip
    return (*inside, *between)
