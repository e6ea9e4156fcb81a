"""What each layer does, as plain rows: operations of a step graph with their work, bytes and places."""

from typing import Any

from workloads.step_graph import Block, Collective, Operation, StepGraph


def rows(graph: StepGraph) -> list[dict[str, Any]]:
    """Return one row for every operation of every block of every stage, in order.

    Parameters
    ----------
    graph : StepGraph
        One training step.

    Returns
    -------
    list of dict
        ``stage``; ``task``: ``before F B W after``; ``block`` and its ``repeat``; ``operation``: its name; ``kind``:
        the law of a computation, the operation of a collective; ``axis``, empty for a computation; ``flops``, None for
        a collective; ``bytes``: of device memory, or the size of a collective; ``stream``; ``when``. All of one rank,
        once a task.
    """
    return [_row(*place) for place in graph.operations()]


def _row(stage: int, task: str, block: Block | None, operation: Operation) -> dict[str, Any]:
    beside = operation.stream
    if isinstance(operation, Collective) and operation.overlap:
        beside = operation.stream or operation.axis
    return {
        "stage": stage,
        "task": task,
        "block": "" if block is None else block.name,
        "repeat": 1 if block is None else block.repeat,
        "operation": operation.name,
        "kind": operation.op if isinstance(operation, Collective) else operation.law,
        "axis": operation.axis if isinstance(operation, Collective) else "",
        "flops": None if isinstance(operation, Collective) else operation.flops,
        "bytes": operation.size if isinstance(operation, Collective) else operation.bytes,
        "stream": beside or "compute",
        "when": operation.when,
    }
