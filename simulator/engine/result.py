"""What a step took and where the time went: the one answer that the engine and the closed form both give."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from workloads.step_graph import Collective, Compute, Operation

ACCOUNTS = (
    "compute",
    "exposed_tensor",
    "exposed_pipeline",
    "exposed_data",
    "exposed_context",
    "exposed_expert",
    "bubble",
    "optimizer",
    "other",
)
_BY_AXIS = MappingProxyType(
    {
        "tp": "exposed_tensor",
        "etp": "exposed_tensor",
        "cp": "exposed_context",
        "ep": "exposed_expert",
        "dp": "exposed_data",
        "dp_cp": "exposed_data",
        "edp": "exposed_data",
        "shard": "exposed_data",
        "replicate": "exposed_data",
        "pp": "exposed_pipeline",
        "embedding": "exposed_pipeline",
    }
)
_ROUNDING = 1e-9
_BY_LAW = MappingProxyType({"optimizer": "optimizer", "host": "other", "step": "other"})


def account(operation: Operation) -> str:
    """Return which entry of `ACCOUNTS` the time goes to for which an operation holds the compute stream.

    Raises
    ------
    ValueError
        A collective over an axis that is none.
    """
    if isinstance(operation, Compute):
        return _BY_LAW.get(operation.law, "compute")
    if operation.axis not in _BY_AXIS:
        raise ValueError(f"axis '{operation.axis}' of '{operation.name}': not one of {', '.join(_BY_AXIS)}")
    return _BY_AXIS[operation.axis]


class Prices(Protocol):
    """What everything takes on an idle network: both engines ask nothing else of the machine."""

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of a computation, or of a collective with all groups of its stage at once."""

    def transfer(self, source: int, target: int) -> float:
        """Return the seconds that the bytes of the boundary take from one stage to another one."""

    def exposed(self, operation: Collective) -> float:
        """Return which share, 0 to 1, of a collective with an ``overlap`` or a stream holds the compute stream.

        What runs beside takes processors and memory bandwidth from the computation; 0 if it takes none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One slice of the timeline of one stage.

    Parameters
    ----------
    stage : int
        Rank class.
    stream : str
        ``compute``, or the stream of a collective that runs beside: ``tp dp pp`` and so on.
    name : str
        What it is to a person.
    kind : str
        ``F B W`` for a task, else what an operation is: ``compute``, ``collective``, ``send``, ``wait``.
    microbatch, chunk : int
        Of the task; -1 before the first and after the last one.
    start_s, end_s : float
        s from the start of the step.
    """

    stage: int
    stream: str
    name: str
    kind: str
    microbatch: int
    chunk: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one step did.

    Parameters
    ----------
    step_s : float
        From the start until the last stage is done, s.
    breakdown_s : mapping
        Where the time of the busiest stage went, s, by `ACCOUNTS`; adds up to ``step_s``. The busiest stage
        is the one with the smallest bubble, the first of several. While a stage waits for bytes of the
        pipeline that are under way this is ``exposed_pipeline``; all else it waits for, the end of the other
        stages too, is ``bubble``.
    link_busy : mapping of edge to float
        Share of the step that a link would need for its bytes alone; empty for the closed form.
    link_axes : mapping of edge to mapping
        For the busiest link between each two kinds of nodes: the share of the step that each axis used it.
    messages : int
        How many the network replayed: bundles if fluid, messages if message by message, else 0.
    spans : tuple of Span
        The timeline, if it was asked for.
    slowed_s : mapping of str to float
        By axis, ``boundary`` for what passes between stages: s that contention added to collectives of all
        stages, over what they take on an idle network.
    ends_s : tuple of float
        When each stage is done, s.
    """

    step_s: float
    breakdown_s: Mapping[str, float]
    link_busy: Mapping[Hashable, float] = field(default_factory=dict)
    link_axes: Mapping[Hashable, Mapping[str, float]] = field(default_factory=dict)
    messages: int = 0
    spans: tuple[Span, ...] = ()
    slowed_s: Mapping[str, float] = field(default_factory=dict)
    ends_s: tuple[float, ...] = ()


def broken_down(
    accounts: Sequence[Mapping[str, float]], ends: Sequence[float]
) -> tuple[float, dict[str, float]]:
    """Return how long a step takes, s, and where the time of its busiest stage went.

    Parameters
    ----------
    accounts : sequence of mapping
        Seconds of each stage by `ACCOUNTS`, until it was done.
    ends : sequence of float
        When each stage was done, s; what the others end later is its bubble too.
    """
    step = max(ends)
    bubbles = [spent.get("bubble", 0.0) + step - end for spent, end in zip(accounts, ends, strict=True)]
    least = min(bubbles) + _ROUNDING * step  # equal stages stay equal however they were summed up
    busiest = next(number for number, bubble in enumerate(bubbles) if bubble <= least)
    spent = {**accounts[busiest], "bubble": bubbles[busiest]}
    return step, {name: spent.get(name, 0.0) for name in ACCOUNTS}
