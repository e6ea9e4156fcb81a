"""What is computed a second time before the backward of a layer.

References
----------
.. [1] Chen et al., arXiv:1604.06174: full recomputation keeps the input of a layer only.
.. [2] Korthikanti et al., arXiv:2205.05198, section 5: selective one, by default of the core of attention.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from workloads.step_graph import Compute, Operation
from workloads.training import Training

_PRODUCTS = ("gemm", "grouped_gemm")
_UP = ("attention latent gather", "q up", "kv up", "latent norms, rope")
_OF_MOE = ("router", "shared_experts")
_LIGHT = ("elementwise", "activation", "scores", "cast")


def policies(training: Training, shares: Sequence[int]) -> list[list[str]]:
    """Return how each layer of a stage is recomputed, chunk by chunk: ``none``, ``selective`` or ``full``.

    Parameters
    ----------
    training : Training
        With `Training.recompute_layers`, which are dealt to the chunks as evenly as can be; more than the stage
        has are all.
    shares : sequence of int
        Layers of each chunk of the stage.

    Notes
    -----
    Every second layer is counted through the chunks of a stage, the first one computed again: counted in each
    chunk anew, chunks of one layer would repeat them all.
    """
    kind = training.recompute
    if kind == "selective" and "half_blocks" in training.recompute_modules:
        starts = accumulate(shares, initial=0)
        return [
            ["none" if place % 2 else "full" for place in range(start, start + layers)]
            for start, layers in zip(starts, shares, strict=False)
        ]
    if kind == "full" and training.recompute_layers:
        dealt = _dealt(training.recompute_layers, shares)
        return [
            ["full" if place < some else "none" for place in range(layers)]
            for some, layers in zip(dealt, shares, strict=True)
        ]
    return [[kind] * layers for layers in shares]


def _dealt(wanted: int, shares: Sequence[int]) -> list[int]:
    """Return how many layers of each chunk run again: one a round from each that still has some."""
    found = [0] * len(shares)
    for _ in range(min(wanted, sum(shares))):
        chunk = min((c for c, has in enumerate(shares) if found[c] < has), key=found.__getitem__)
        found[chunk] += 1
    return found


def again(
    training: Training, recompute: str, found: Sequence[tuple[str, Sequence[Operation]]]
) -> list[Operation]:
    """Return the operations of a layer that run again.

    Parameters
    ----------
    training : Training
        With the modules that selective recomputation repeats.
    recompute : str
        Of this layer.
    found : sequence of (str, sequence of Operation)
        Its forward by module.
    """
    pairs = [(module, operation) for module, operations in found for operation in operations]
    if recompute == "none":
        return []
    if recompute == "full":
        return _named(operation for _, operation in pairs)
    chosen: list[Operation] = []
    halved = "half_products" in training.recompute_modules
    for module, operation in pairs:
        if halved and isinstance(operation, Compute) and operation.law in _PRODUCTS:
            chosen.append(replace(operation, flops=operation.flops / 2, bytes=operation.bytes / 2))
        elif _selected(training, module, operation):
            chosen.append(operation)
    return _named(chosen)


def _selected(training: Training, module: str, operation: Operation) -> bool:
    """Tell whether selective recomputation repeats an operation of a module."""
    modules = training.recompute_modules
    if not modules:  # a fused kernel repeats the core by itself, inside its backward
        return module == "core_attn" and training.software.attention == "unfused"
    law = operation.law if isinstance(operation, Compute) else ""
    return (
        module in modules
        or ("moe" in modules and module in _OF_MOE)
        or ("elementwise" in modules and law in _LIGHT)
        or ("moe_act" in modules and law == "activation" and module == "moe")
        or ("mla_up_proj" in modules and operation.name in _UP)
    )


def _named(operations: Iterable[Operation]) -> list[Operation]:
    return [replace(one, name=f"{one.name} again") for one in operations]
