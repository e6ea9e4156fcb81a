"""From an operation and an algorithm's short name to its file, without importing any."""

from simulator.collectives import COLLECTIVES
from simulator.errors import unknown
from simulator.operations import OPERATIONS as TIMED

OPERATIONS = (*TIMED, "barrier")
"""What algorithms are there for: what nccl-tests times, and the barrier, which moves no bytes."""


def operation(name: str) -> str:
    """Return the operation that a file is for: the longest one that its name ends with."""
    return max((op for op in OPERATIONS if name.endswith(f"_{op}")), key=len)


def algorithms(op: str) -> dict[str, str]:
    """Return the files for an operation by the short name of the algorithm, e.g. ``ring``.

    Raises
    ------
    UsageError
        An operation that there is not.
    """
    if op not in OPERATIONS:
        raise unknown("operation", op, OPERATIONS)
    return {name.removesuffix(f"_{op}"): name for name in COLLECTIVES if operation(name) == op}


def resolve(op: str, name: str) -> str:
    """Return the file of an algorithm, named as ``ring`` or as ``ring_all_reduce``.

    Raises
    ------
    UsageError
        An operation or an algorithm that there is not.
    """
    known = algorithms(op)
    if name in known:
        return known[name]
    if name in known.values():
        return name
    raise unknown(f"algorithm for {op}", name, list(known), listing="commsim list collectives")
