"""The backward of a block from its forward: gradients of inputs and of weights, collectives turned around."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from workloads.step_graph import Block, Collective, Compute, Operation

TURNED = {
    "all_gather": "reduce_scatter",
    "reduce_scatter": "all_gather",
    "all_reduce": "all_reduce",
    "all_to_all": "all_to_all",
    "send_recv": "send_recv",
}
_ATTENTION = 2.5  # five products backward for two forward, Dao et al., arXiv:2205.14135
_TWICE = ("elementwise", "activation", "scores", "scan")  # reads the gradient and what was saved
_SAME = ("cast", "permute")
_ONCE = ("logits", "host")  # their law already counts forward and backward
_PRODUCTS = ("gemm", "grouped_gemm")


def inputs(forward: Iterable[Operation]) -> list[Operation]:
    """Return what the gradient of the inputs takes, in the opposite order."""
    found: list[Operation] = []
    for operation in reversed(list(forward)):
        found += _input(operation)
    return found


def _input(operation: Operation) -> list[Operation]:
    if isinstance(operation, Collective):
        if operation.when != "every":  # gathers weights, whose gradients go by the strategy
            return []
        return [replace(operation, op=TURNED[operation.op], name=f"{operation.name} backward")]
    name, law = f"{operation.name} backward", operation.law
    if law in _PRODUCTS:
        m, n, k = operation.shape
        return [replace(operation, name=f"{operation.name} input gradient", shape=(m, k, n))]
    if law == "attention":
        return [replace(operation, name=name, flops=_ATTENTION * operation.flops, bytes=2 * operation.bytes)]
    if law in _TWICE:
        return [replace(operation, name=name, bytes=2 * operation.bytes, flops=2 * operation.flops)]
    return [replace(operation, name=name)] if law in _SAME else []


def weights(forward: Iterable[Operation]) -> list[Operation]:
    """Return the products that give the gradients of the weights."""
    found: list[Operation] = []
    for operation in reversed(list(forward)):
        if isinstance(operation, Compute) and operation.law in _PRODUCTS:
            m, n, k = operation.shape
            found.append(replace(operation, name=f"{operation.name} weight gradient", shape=(n, k, m)))
    return found


def interleaved(forward: Iterable[Operation], *, frozen: bool = False) -> list[Operation]:
    """Return the whole backward: each weight gradient right after its input gradient.

    Parameters
    ----------
    forward : iterable of operation
        As it ran forward.
    frozen : bool
        Whether the weights are frozen, so that no weight gradients are wanted.
    """
    found: list[Operation] = []
    for operation in reversed(list(forward)):
        found += _input(operation)
        if not frozen:
            found += weights([operation])
    return found


def again(blocks: Sequence[Block]) -> list[Operation]:
    """Return all operations of some blocks once more, as recomputation does."""
    return [
        replace(operation, name=f"{operation.name} again")
        for block in blocks
        for operation in block.operations
        if operation.stream != "host"
    ]
