"""Sharded gradients and optimizer states: every microbatch reduce-scatters, parameters are gathered once.

In a pipeline gradients stay whole until the last microbatch, as parameters do (`Wire.gathered`).

Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.2. With one microbatch this is what ``zero1`` exchanges.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies._parts import SHARDED, Exchange, Wire, over, update

STATES = "sharded"


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the reduce-scatter of every backward and the gather of the first forward."""
    late = over(
        "gradient reduction", "reduce_scatter", held, wire.grad_bytes, layout,
        axes=SHARDED, stream="shard", until="step" if wire.gathered else "task",
        when="last" if wire.gathered else "every",
    )  # fmt: skip
    early = over(
        "parameter gather", "all_gather", held, wire.param_bytes, layout,
        axes=SHARDED, stream="shard", until="step", when="first",
    )  # fmt: skip
    return Exchange(forward=tuple(early), backward=tuple(late))


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:  # noqa: ARG001
    """Return the update of a shard."""
    return [update(held, layout, shards="group")]
