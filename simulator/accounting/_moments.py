"""What is alive for a moment when the memory of a stage is at its fullest.

Two moments compete: the end of the forward pass, when the loss holds the logits, and the backward pass of one
layer. Beside both stand gathered weights or the buffers of weight gradients. The factors were read off the
memory that Megatron-LM with Transformer Engine allocated on B200 (tests/data/memory_runs.csv).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.accounting import activations, weights
from simulator.accounting.activations import SINGLE
from simulator.accounting.plan import Piece, Plan
from simulator.accounting.weights import Count
from workloads.layers import ELEMENT
from workloads.model import LayerKind

FUSED_LOGIT = 2.0  # bytes of a logit where the loss works in place
LOGIT = {
    "fused": 10.0,
    "eager": 14.0,
    "compiled": 14.0,
}  # half, single, softmax; PyTorch's loss: its gradient too
HEAD_VECTORS = 5.0  # of the hidden width around the head: inputs of norm and head, their gradients
ROW_COPIES = 4.0  # of the rows of experts while they travel back


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Bytes of the loss, and of what else is alive."""

    loss: float
    rest: float


def moment(plan: Plan, pieces: Sequence[Piece], count: Count, *, sharded: bool) -> Moment:
    """Return what comes on top of model states and kept activations.

    Parameters
    ----------
    plan : Plan
        What is asked.
    pieces : sequence of Piece
        What the stage holds.
    count : Count
        Its parameters.
    sharded : bool
        Whether weights are gathered before use.
    """
    kinds = {kind for piece in pieces for kind in piece.kinds}
    last = any(piece.last for piece in pieces)
    held_back = loss(plan) if last else 0.0
    inner = max((inside(plan, kind) for kind in kinds), default=0.0)
    beside = _gathered(plan, kinds, count, last) if sharded else _gradients(plan, kinds, last)
    return Moment(loss=held_back, rest=beside + plan.bucket + max(0.0, inner - held_back))


def loss(plan: Plan) -> float:
    """Return the bytes that the loss holds on the stage with the head."""
    held = plan.held
    logits = plan.tokens * plan.model.vocab / plan.layout.tp
    vectors = HEAD_VECTORS * held.wide * plan.tokens * plan.model.hidden
    alive = plan.microbatches if plan.schedule == "gpipe" else 1
    each = FUSED_LOGIT if plan.fused_loss else LOGIT[plan.fusion]
    return alive * (each * logits + vectors)


def inside(plan: Plan, kind: LayerKind) -> float:
    """Return gradients inside a layer, and the layer's own activations if they are computed again."""
    model, held, cut = plan.model, plan.held, plan.held.cut
    hidden = 2 * plan.tokens * model.hidden
    gates = 2 if model.gated else 1
    if kind.ffn == "moe":
        rows = plan.tokens * model.topk * cut.etp / cut.tp * held.load
        size = ROW_COPIES * rows * model.expert_hidden + (gates + 1) * rows * model.expert_ffn / cut.etp
    else:
        size = hidden + gates * plan.tokens * model.ffn / cut.tp
    found = held.wide * size
    if cut.attention == "unfused" and kind.mixer == "attention":
        found = max(found, held.wide * plan.tokens * model.heads / cut.tp * cut.seq_len)
    if plan.recompute != "none":
        alive = sum(t.bytes for t in activations.layer(model, kind, held))
        modules = plan.recompute_modules
        found += alive - activations.kept(model, kind, held, recompute=plan.recompute, modules=modules)
    return found


def _gradients(plan: Plan, kinds: set[LayerKind], last: bool) -> float:
    """Return one gradient of each shape of weight, before it is added to those of the other microbatches."""
    if plan.frozen:
        return 0.0
    model, at = plan.model, plan.layout
    largest = max((_one_expert(plan, weights.layer(model, kind)) for kind in kinds), default=0.0)
    return ELEMENT * (largest + (weights.head(model).dense(at) if last else 0.0))


def _one_expert(plan: Plan, count: Count) -> float:
    each = count.experts / max(plan.model.experts, 1) / plan.layout.expert_tp
    return count.dense(plan.layout) + each


def _gathered(plan: Plan, kinds: set[LayerKind], count: Count, last: bool) -> float:
    """Return gathered weights, of two layers or of the stage, and the gradients that go with them."""
    model, at = plan.model, plan.layout
    layer = max((weights.layer(model, kind).rank(at) for kind in kinds), default=0.0)
    head = weights.head(model).dense(at) if last else 0.0
    gradients = 0.0 if plan.frozen else layer + head
    if not plan.gathered:
        return ELEMENT * (2 * layer + head + gradients)
    whole = count.rank(at)  # gradients are reduced after the last microbatch, summed up in single precision
    return (ELEMENT + (0.0 if plan.frozen else SINGLE)) * whole
