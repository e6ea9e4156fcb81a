"""What the strategies share: where a layer's parameters are exchanged, and in how many bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from workloads.layout import Layout
from workloads.parallelism.data import Held
from workloads.step_graph import Collective, Compute, Operation, Until, When

UPDATED = 1.0  # the law of the optimizer knows the bytes a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How gradients and parameters travel.

    Parameters
    ----------
    grad_bytes, param_bytes : float
        Of an element.
    grad_overlap, param_overlap : bool
        Gradients beside the backward pass, parameters beside the forward pass; else after the last task.
    gathered : bool
        Whether sharded parameters stay gathered for all microbatches of a step.
    """

    grad_bytes: float = 4.0
    param_bytes: float = 2.0
    grad_overlap: bool = True
    param_overlap: bool = True
    gathered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a strategy adds: to each forward and backward of a layer, before it and after it, and to the step."""

    entry: tuple[Operation, ...] = ()
    forward: tuple[Operation, ...] = ()
    backward_before: tuple[Operation, ...] = ()
    backward: tuple[Operation, ...] = ()


AXES = (("dense", "dp_cp"), ("expert", "edp"))
SHARDED = (("dense", "shard"), ("expert", "edp"))


def over(
    name: str,
    op: str,
    held: Held,
    width: float,
    layout: Layout,
    *,
    axes: tuple[tuple[str, str], ...] = AXES,
    stream: str = "",
    until: Until = "block",
    when: When = "every",
    share: float = 1.0,
) -> Iterator[Collective]:
    """Yield one collective for the dense and one for the expert parameters, where there are any to exchange."""
    for kind, axis in axes:
        count = getattr(held, kind) * share
        if count and layout.size(axis) > 1:
            label = name if kind == "dense" else f"expert {name}"
            yield Collective(
                name=label, op=op, axis=axis, size=count * width, stream=stream, until=until, when=when
            )


def update(held: Held, layout: Layout, *, shards: Literal["all", "none", "group"] = "none") -> Compute:
    """Return the optimizer's pass over the parameters that a rank updates."""
    dense = {"all": layout.size("dp_cp"), "none": 1, "group": layout.size("shard")}[shards]
    expert = 1 if shards == "none" else layout.size("edp")
    count = held.dense / dense + held.expert / expert
    return Compute(name="optimizer", law="optimizer", bytes=UPDATED * count)
