"""Hybrid sharding: fully sharded inside a group, gradients of the shards all-reduced between the groups.

Zhao et al., PyTorch FSDP, arXiv:2304.11277, section 3.2.2: 3 (s-1)/s M inside, 2 (r-1)/r M/s between.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies import fsdp
from workloads.strategies._parts import Exchange, Wire, over, update

STATES = "fully sharded"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return what `fsdp` exchanges inside a group, and the all-reduce of the last microbatch between them."""
    inside = fsdp.layer(held, layout, wire)
    between = over(
        "replica reduction", "all_reduce", Held(dense=held.dense), wire.grad_bytes, layout,
        axes=(("dense", "replicate"),), stream="dp", until="step", when="last", share=1 / layout.size("shard"),
    )  # fmt: skip
    return Exchange(
        entry=inside.entry,
        forward=inside.forward,
        backward_before=inside.backward_before,
        backward=(*inside.backward, *between),
    )


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:  # noqa: ARG001
    """Return the update of a shard."""
    return [update(held, layout, shards="group")]
