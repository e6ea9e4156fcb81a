"""One training step or request as work and messages: what the engine and the closed form both eat.

A step graph holds no seconds. It names, for each rank class (all ranks of one pipeline stage are alike), the
tasks of the schedule in order, and for each task the blocks of operations that it runs. A block that repeats,
a layer, is written once. `tasks` and `Chunk.work` expand it.

Operations of a block run one after another on the compute stream. An operation with a `stream` of its own runs
beside: it starts when the operations before it are done and its stream is free, and what waits for it is said
by `until`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

When = Literal["every", "first", "last"]
Until = Literal["block", "task", "step"]
Kind = Literal["F", "B", "W"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Work of one device.

    Parameters
    ----------
    name : str
        What it is to a person: ``qkv``, ``attention core``, ``mlp up``.
    law : str
        Which law of the device prices it: ``gemm``, ``grouped_gemm``, ``attention``, ``elementwise``,
        ``activation``, ``scores``, ``cast``, ``logits``, ``permute``, ``scan``, ``optimizer``, ``host``,
        ``step``.
    flops : float
        Operations, counted as 2 m n k.
    bytes : float
        Device memory read and written, bytes.
    shape : tuple of int
        (m, n, k) of one matrix product after slicing; (0, 0, 0) if it is none.
    count : float
        Products of that shape, or how many things a ``host`` law is asked for.
    precision : str
        Of the product: ``bf16 fp16 fp32 fp8 fp8row mxfp8 nvfp4``; ``fp8row`` scales each row.
    variant : str
        Which of several ways a law knows: an attention kernel, how far elementwise work is fused.
    stream : str
        As of a collective; ``host`` for the launching of kernels, which runs beside what was launched before.
    until, when : str
        As of a collective.
    """

    name: str
    law: str
    flops: float = 0.0
    bytes: float = 0.0
    shape: tuple[int, int, int] = (0, 0, 0)
    count: float = 1.0
    precision: str = "bf16"
    variant: str = ""
    stream: str = ""
    until: Until = "block"
    when: When = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """Bytes that a group of ranks exchanges.

    Parameters
    ----------
    name : str
        What it is to a person: ``attention output reduce-scatter``.
    op : str
        An operation of `simulator.operations`.
    axis : str
        Which groups: an axis of `workloads.layout.Layout`.
    size : float
        Bytes in the nccl-tests convention: the total array of an all-gather, reduce-scatter, all-to-all.
    stream : str
        Empty: the compute stream waits for it. Else it runs on that stream, beside the computation.
    until : str
        What an own stream is waited for by: the end of the ``block``, of the ``task`` or of the ``step``.
    when : str
        In which microbatches it happens: all, the first one forward, the last one to give gradients.
    overlap : str
        Empty, or the name of a mechanism that cuts it and its neighbour into pieces, so that only a share of it
        is exposed (``tp``, ``cp``, ``ep``); the rest runs beside, until the end of the block.
    """

    name: str
    op: str
    axis: str
    size: float
    stream: str = ""
    until: Until = "block"
    when: When = "every"
    overlap: str = ""


Operation = Compute | Collective


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Operations in order, that many times: a layer, the embedding, the head."""

    name: str
    operations: tuple[Operation, ...]
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one virtual stage runs for one microbatch.

    Parameters
    ----------
    layers : int
        Layers it holds.
    work : mapping of str to tuple of Block
        By kind of task: ``F`` forward, ``B`` backward (of the inputs alone where the schedule has ``W``), ``W``
        gradients of the weights.
    """

    layers: int
    work: Mapping[Kind, tuple[Block, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One microbatch through one chunk of a stage.

    ``beside`` says that it runs together with the task before it (a forward under a backward in DualPipe).
    """

    kind: Kind
    microbatch: int
    chunk: int = 0
    beside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A rank class: what each rank of one pipeline stage does, in order.

    Parameters
    ----------
    chunks : tuple of Chunk
        Its virtual stages.
    tasks : tuple of Task
        In the order of the schedule.
    before, after : tuple of Operation
        Once a step, before the first task and after the last one.
    """

    chunks: tuple[Chunk, ...]
    tasks: tuple[Task, ...]
    before: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What passes between two neighbouring virtual stages, forward and backward alike.

    Parameters
    ----------
    size : float
        Bytes that one rank sends to its peer of the next stage.
    blocking : bool
        Whether the sender's compute stream waits until they are sent.
    """

    size: float
    blocking: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGraph:
    """One training step.

    Parameters
    ----------
    stages : tuple of Stage
        By pipeline rank.
    routes : tuple of tuple of (int, int)
        The way of a microbatch: (stage, chunk) one after another; DualPipe has two, one from each end.
    boundary : Boundary
        Between neighbours on a way that are on different stages.
    microbatches : int
        Of one data-parallel rank.
    tokens : float
        Of the whole step, over all ranks.
    model_flops : float
        Of the whole step: forward and backward without what is computed again, causal attention counted half.
    facts : mapping
        What else a report may want to say.
    """

    stages: tuple[Stage, ...]
    routes: tuple[tuple[tuple[int, int], ...], ...]
    boundary: Boundary
    microbatches: int
    tokens: float
    model_flops: float
    facts: Mapping[str, float] = field(default_factory=dict, hash=False)

    def happens(self, operation: Operation, task: Task) -> bool:
        """Tell whether an operation takes place in a task: some do so in the first or last microbatch only."""
        if operation.when == "every":
            return True
        first, last = self.ends[task.chunk]
        return task.microbatch == (first if operation.when == "first" else last)

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """Return, alike on all stages, each chunk's first microbatch forward and the last one to give gradients."""
        found = []
        for chunk in range(len(self.stages[0].chunks)):
            tasks = [task for task in self.stages[0].tasks if task.chunk == chunk]
            kinds = {task.kind for task in tasks}
            late = next(kind for kind in ("W", "B", "F") if kind in kinds)  # GPipe: first in, last out
            forward, back = ([t.microbatch for t in tasks if t.kind == kind] for kind in ("F", late))
            found.append((forward[0], back[-1]))
        return tuple(found)

    def operations(self) -> Iterator[tuple[int, str, Block | None, Operation]]:
        """Yield every operation once with its stage and place: ``before``, ``F``, ``B``, ``W``, ``after``."""
        for number, stage in enumerate(self.stages):
            for place, once in (("before", stage.before), ("after", stage.after)):
                yield from ((number, place, None, operation) for operation in once)
            for chunk in stage.chunks:
                for kind, blocks in chunk.work.items():
                    for block in blocks:
                        yield from ((number, kind, block, operation) for operation in block.operations)
