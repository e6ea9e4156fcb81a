"""Memory of a training step, pipeline stage by pipeline stage: what one GPU of it holds at its fullest.

Model states follow ZeRO [1]_ and Megatron's distributed optimizer [2]_, activations the tensors that each
layer keeps (`simulator.accounting.activations`, [3]_) times the microbatches in flight. On top come the
logits, what is alive for a moment, and what is taken outside of tensors: CUDA, communicators, gaps.

References
----------
.. [1] Rajbhandari et al., ZeRO, arXiv:1910.02054, section 3: 16 bytes a parameter, K = 12.
.. [2] Megatron-LM, docs/source/api-guide/dist_optimizer.md: 6 + 12/d bytes, gradients in fp32.
.. [3] Korthikanti et al., arXiv:2205.05198, section 4; full recomputation keeps 2sbh a layer.
.. [4] Zhao et al., PyTorch FSDP, arXiv:2304.11277: shards in single precision, units gathered in half.
.. [5] DeepSeek-V3, arXiv:2412.19437, table 2: DualPipe holds two copies of the parameters.
.. [6] Wang et al., ZeRO++, arXiv:2306.10209, section 3.2: a second shard inside of the node.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

from simulator.accounting import activations, weights
from simulator.accounting._moments import moment
from simulator.accounting.activations import SINGLE
from simulator.accounting.plan import Piece, Plan
from simulator.accounting.weights import Count
from workloads.layers import ELEMENT
from workloads.layout import Layout
from workloads.schedules import SCHEDULES

CONTEXT = 0.5 * 2**30  # CUDA context and libraries, bytes
COMMUNICATOR = 688e6  # of a group of more than two, measured: https://github.com/NVIDIA/nccl/issues/964
GAPS = 0.051  # reserved over allocated - 1, mean of 23 stages on B200 (tests/data/memory_runs.csv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """What a strategy shards over the data-parallel ranks.

    ``single``: the weights are the master copy [4]_. ``second``: they are sharded over all ranks, and again
    over the shard group, which is a node [6]_.
    """

    weights: bool = False
    gradients: bool = False
    optimizer: bool = False
    single: bool = False
    second: bool = False


STRATEGIES = {
    "ddp": Strategy(),
    "zero1": Strategy(optimizer=True),
    "zero2": Strategy(optimizer=True, gradients=True),
    "zero3": Strategy(optimizer=True, gradients=True, weights=True),
    "zeropp": Strategy(optimizer=True, gradients=True, weights=True, second=True),
    "fsdp": Strategy(optimizer=True, gradients=True, weights=True, single=True),
    "hsdp": Strategy(optimizer=True, gradients=True, weights=True, single=True),
}
# bytes a parameter beside a master copy in fp32; "remainders": that copy is the weight and 16 bits more
# (apex, DistributedFusedAdam, store_param_remainders)
MOMENTS = {"adam": 8.0, "adam-bf16": 4.0, "adam-remainders": 6.0, "sgd": 4.0, "muon": 4.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes of one GPU of a pipeline stage, by what they are for.

    Parameters
    ----------
    stage : int
        Pipeline rank.
    weights, gradients, optimizer : float
        Model states.
    activations : float
        Kept for the backward pass, of all microbatches in flight.
    logits : float
        Of the loss, and the inputs of the head.
    temporary : float
        Alive for a moment: gathered weights, gradients inside a layer, a layer computed again, buffers.
    reserved : float
        Not in any tensor: CUDA context, communicators, gaps between blocks.
    """

    stage: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    temporary: float
    reserved: float

    def parts(self) -> dict[str, float]:
        """Return the bytes by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "stage"}

    @property
    def allocated(self) -> float:
        """Return the bytes in tensors, what ``torch.cuda.max_memory_allocated`` counts."""
        return sum(self.parts().values()) - self.reserved

    @property
    def total(self) -> float:
        """Return all bytes."""
        return sum(self.parts().values())


def account(plan: Plan) -> tuple[StageMemory, ...]:
    """Return the memory of one GPU of each pipeline stage.

    Parameters
    ----------
    plan : Plan
        What is asked.

    Returns
    -------
    tuple of StageMemory
        By pipeline rank; bytes.

    Raises
    ------
    ValueError
        A strategy, optimizer, schedule or recomputation that nobody knows.
    """
    if plan.strategy not in STRATEGIES:
        raise ValueError(f"--strategy {plan.strategy}: must be one of {', '.join(STRATEGIES)}")
    if plan.optimizer not in MOMENTS:
        raise ValueError(f"optimizer {plan.optimizer}: must be one of {', '.join(MOMENTS)}")
    return tuple(_stage(plan, stage, pieces) for stage, pieces in enumerate(plan.pieces()))


def in_flight(plan: Plan, stage: int) -> float:
    """Return the activations that a stage holds at its fullest, in those of one microbatch."""
    at = plan.layout
    return float(SCHEDULES[plan.schedule].in_flight(at.pp, plan.microbatches, plan.chunks, stage))


def _stage(plan: Plan, stage: int, pieces: Sequence[Piece]) -> StageMemory:
    flight = in_flight(plan, stage)
    count = _count(plan, pieces)
    model_states = states(plan, count)
    held = sum(_kept(plan, piece) for piece in pieces) / plan.copies * flight
    passing = moment(plan, pieces, count, sharded=STRATEGIES[plan.strategy].weights)
    tensors = sum(model_states) + held + passing.loss + passing.rest
    return StageMemory(
        stage=stage,
        weights=model_states[0],
        gradients=model_states[1],
        optimizer=model_states[2],
        activations=held,
        logits=passing.loss,
        temporary=passing.rest,
        reserved=outside(plan.layout) + GAPS * tensors,
    )


def outside(layout: Layout) -> float:
    """Return the bytes that no allocator sees: CUDA, and a communicator for each group and for the job."""
    axes = ("tp", "cp", "dp_cp", "pp", "ep")
    groups = sum(layout.size(axis) > 1 for axis in axes) + (layout.world > 1)
    return CONTEXT + COMMUNICATOR * groups


def _count(plan: Plan, pieces: Sequence[Piece]) -> Count:
    """Return the parameters of a stage; tied ends that meet on it are one matrix, else each has a copy."""
    model = plan.model
    kinds = Counter(kind for piece in pieces for kind in piece.kinds)
    found = sum((weights.layer(model, kind).times(times) for kind, times in kinds.items()), Count())
    first, last = any(piece.first for piece in pieces), any(piece.last for piece in pieces)
    if first:
        found += weights.embedding(model)
    if last:
        head = weights.head(model)
        found += Count(copied=head.copied) if model.tied and first else head
    if last and plan.prediction:
        found += weights.prediction(model)
    return found


def states(plan: Plan, count: Count) -> tuple[float, float, float]:
    r"""Return the bytes of weights, gradients and optimizer of one rank.

    Psi parameters on p ranks: :math:`16\Psi`, ZeRO-1 :math:`4\Psi + 12\Psi/p`, ZeRO-2
    :math:`2\Psi + 14\Psi/p`, ZeRO-3 and FSDP :math:`16\Psi/p` [1]_ [4]_; with gradients in single precision 2
    bytes more [2]_. Routed experts have fewer replicas than the rest.

    Parameters
    ----------
    plan : Plan
        Its layout, strategy, optimizer and precision.
    count : Count
        Parameters before they are split over ranks.
    """
    at, strategy = plan.layout, STRATEGIES[plan.strategy]
    dense, routed = count.dense(at), count.routed(at)
    group, replicas = at.size("shard"), at.size("dp_cp")
    shard = replicas if strategy.second else group
    whole = dense + routed
    part = dense / shard + routed / min(at.size("edp"), shard)
    full = plan.precision == "fp32" or strategy.single
    weight = SINGLE if full else ELEMENT
    grad = plan.grad_bytes or (ELEMENT if plan.strategy in ("zero3", "zeropp") else SINGLE)
    master = 0.0 if full else SINGLE
    held = weight * (part if strategy.weights else whole)
    if strategy.second:
        held += ELEMENT * (dense / group + routed / min(at.size("edp"), group))
    if plan.frozen:
        return held, 0.0, 0.0
    return (
        held,
        grad * (part if strategy.gradients else whole),
        (master + MOMENTS[plan.optimizer] + plan.step_bytes) * (part if strategy.optimizer else whole),
    )


def _kept(plan: Plan, piece: Piece) -> float:
    """Return what a piece keeps of one microbatch."""
    model, held = plan.model, plan.held
    again = plan.recompute_layers or len(piece.kinds)
    policies = Counter(
        (kind, plan.recompute if plan.recompute != "full" or number < again else "none")
        for number, kind in enumerate(piece.kinds)
        if number >= plan.offload_layers
    )
    total = sum(
        times * activations.kept(model, kind, held, recompute=policy, modules=plan.recompute_modules)
        for (kind, policy), times in policies.items()
    )
    boundary = plan.tokens * model.hidden / held.sequence
    if piece.first:
        total += activations.tower(model, held, plan.microbatch) + (boundary if plan.dropout else 0.0)
    return total + (held.wide * boundary if plan.keeps_outputs else 0.0)


def fullest(stages: Sequence[StageMemory]) -> StageMemory:
    """Return the stage that needs most."""
    return max(stages, key=lambda stage: stage.total)
