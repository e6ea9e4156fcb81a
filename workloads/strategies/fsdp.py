"""Fully sharded: parameters of a layer are gathered before it forward and again backward, gradients scattered.

Gathers run one layer ahead, so only the first layer of a pass waits in full. In a pipeline parameters and
gradients stay whole for all microbatches (`Wire.gathered`), which is what ``zero2`` does.

References
----------
.. [1] Zhao et al., PyTorch FSDP, arXiv:2304.11277, sections 3.2 and 3.3.
.. [2] Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.3: one and a half times the volume of an all-reduce.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies import zero2
from workloads.strategies._parts import SHARDED, Exchange, Wire, over, update

STATES = "fully sharded"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the two gathers and the reduce-scatter of a layer, all beside its neighbours."""
    if wire.gathered:
        return zero2.layer(held, layout, wire)

    def gather(stream: str) -> tuple[Operation, ...]:
        return tuple(
            over(
                "parameter gather", "all_gather", held, wire.param_bytes, layout, axes=SHARDED, stream=stream
            )
        )

    scatter = over(
        "gradient reduction", "reduce_scatter", held, wire.grad_bytes, layout,
        axes=SHARDED, stream="shard", until="task",
    )  # fmt: skip
    return Exchange(
        entry=gather(""), forward=gather("shard"), backward_before=gather("shard"), backward=tuple(scatter)
    )


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:  # noqa: ARG001
    """Return the update of a shard."""
    return [update(held, layout, shards="group")]
