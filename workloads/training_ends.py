"""What stands around the layers: embedding, vision tower, head and loss, multi-token prediction."""

from collections.abc import Mapping
from dataclasses import replace

from workloads import layers
from workloads.backward import Body, Mirror
from workloads.layers import Slice
from workloads.parallelism import data, tensor
from workloads.parallelism.data import Held
from workloads.step_graph import Block, Kind, Operation
from workloads.training import Training
from workloads.training_layer import Layer, blocks, cut_of, exchanged, held

Work = dict[Kind, list[Block]]


def embed(training: Training, work: Work) -> Held:
    """Put the embedding and a vision tower before the layers; return their parameters."""
    model, cut = training.model, cut_of(training)
    look_up = layers.embedding(model, cut)
    leave, tower = tensor.leave(cut, model.hidden, "embedding"), _tower(training, cut)
    own = data.embedding(model, training.layout)
    exchange = exchanged(training, own)
    body = Body(
        forward=(*look_up, *leave, *tower),
        mirror=Mirror(
            (*look_up, *(leave if cut.sequence_parallel else ()), *tower),  # a sum passes its gradient on
            frozen=training.frozen,
        ),
        before=exchange.forward,
        before_back=exchange.backward_before,
        after=exchange.backward,
    )
    found = body.blocks("embedding", split="W" in work)
    _add(work, found, ahead=True)
    return own


def project(training: Training, work: Work, *, own: bool) -> Held:
    """Put the head and the loss behind the layers; return their parameters.

    Parameters
    ----------
    training, work
        What is trained; blocks so far.
    own : bool
        Whether the head has a matrix of its own on this rank.
    """
    model, cut = training.model, cut_of(training)
    parameters = data.head(model, training.layout, own=own)
    exchange = exchanged(training, parameters)
    forward, mirror = _head(training, cut)
    body = Body(
        forward=forward,
        mirror=Mirror(mirror, frozen=training.frozen),
        before=exchange.forward,
        before_back=exchange.backward_before,
        after=exchange.backward,
    )
    _add(work, body.blocks("head", split="W" in work))
    return parameters


def predict(training: Training, work: Work) -> Held:
    """Add the layers of multi-token prediction, each depth with the product that joins two vectors and a head.

    DeepSeek-V3, arXiv:2412.19437, section 2.2: embedding and head are those of the model.
    """
    model, cut, owned = training.model, cut_of(training), Held()
    split = "W" in work
    for kind in model.mtp_kinds():
        layer = Layer(kind=kind, wide=False, repeat=1, recompute=training.recompute)
        own = held(training, layer)
        owned += own
        _add(work, blocks(training, layer, exchanged(training, own), split=split))
    own = data.prediction(model, training.layout)
    exchange = exchanged(training, own)
    joint = layers.gemm("joint projection", cut, cut.tokens / cut.tp, model.hidden, 2 * model.hidden)
    forward, mirror = _head(training, cut)
    body = Body(
        forward=(joint, *forward),
        mirror=Mirror((joint, *mirror), frozen=training.frozen),
        before=exchange.forward,
        before_back=exchange.backward_before,
        after=exchange.backward,
    )
    found = body.blocks("multi-token prediction", model.mtp_layers, split=split)
    _add(work, found)
    return owned + own.times(model.mtp_layers)


def _head(training: Training, cut: Slice) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """Return the head forward, and as its backward mirrors it: the loss passes its gradient on without a word."""
    model = training.model
    if not model.vocab:
        return (), ()
    head = layers.head(model, cut)
    forward = (*tensor.enter(cut, model.hidden, "head"), *head, *tensor.loss(cut))
    return forward, (*tensor.turned(cut, model.hidden, "head"), *head)


def _add(work: Work, found: Mapping[Kind, Block], *, ahead: bool = False) -> None:
    """Put blocks before or behind those that are there: backward is the other way round."""
    for task, block in found.items():
        if block.operations:
            work[task].insert(0 if ahead == (task == "F") else len(work[task]), block)


def _tower(training: Training, cut: Slice) -> list[Operation]:
    """Return the vision tower forward, one image a sample: encoder layers without slicing, then the projector."""
    model, tower = training.model, training.model.vision
    if tower is None:
        return []
    patches = training.microbatch * (tower.image // tower.patch) ** 2
    h, words = tower.hidden, training.microbatch * tower.tokens
    eye = replace(cut, tokens=patches, seq_len=patches // training.microbatch, tp=1, cp=1, packing=1.0)
    eye = replace(eye, precision=layers.unscaled(cut), causal=False, sequence_parallel=False)
    one: list[Operation] = [
        layers.elementwise("vision norms, residual", eye, 2 * patches * h),
        layers.gemm("vision qkv", eye, patches, 3 * h, h),
        *layers.core(eye, tower.heads, h / tower.heads, h / tower.heads),
        layers.gemm("vision output", eye, patches, h, h),
        layers.gemm("vision mlp up", eye, patches, tower.ffn, h),
        layers.gemm("vision mlp down", eye, patches, h, tower.ffn),
    ]
    return [
        layers.gemm("vision patches", eye, patches, h, 3 * tower.patch**2),
        *one * tower.layers,
        layers.gemm("vision projector", eye, words, model.hidden, tower.projector_params / model.hidden),
    ]
