"""ZeRO++: 8-bit gathers forward, a second shard inside the node backward, 4-bit gradients: 3 M bytes become 0.75 M.

Wang et al., arXiv:2306.10209, sections 3.1 to 3.3 and table 1. The shard group of the layout is the node's: the
backward gather stays inside it.
"""

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Operation
from workloads.strategies._parts import AXES, SHARDED, Exchange, Wire, over, update

STATES = "fully sharded"
_NARROW = 0.5  # of the bytes of a parameter: int8 for 16 bits
_QUARTER = 0.25  # of those of a gradient: int4 for 16 bits


def layer(held: Held, layout: Layout, wire: Wire) -> Exchange:
    """Return the narrow gather, the gather inside the shard group, and the quantised exchange of gradients."""
    width = wire.param_bytes

    def gather(stream: str) -> tuple[Operation, ...]:
        return tuple(over("parameter gather", "all_gather", held, _NARROW * width, layout, stream=stream))

    inside = over("secondary gather", "all_gather", held, width, layout, axes=SHARDED, stream="shard")
    scatter = over(
        "gradient exchange",
        "all_to_all",
        held,
        _QUARTER * width,
        layout,
        axes=AXES,
        stream="dp",
        until="task",
    )
    return Exchange(
        entry=gather(""), forward=gather("dp"), backward_before=tuple(inside), backward=tuple(scatter)
    )


def step(held: Held, layout: Layout, wire: Wire) -> list[Operation]:  # noqa: ARG001
    """Return the update of a shard over all replicas."""
    return [update(held, layout, shards="all")]
