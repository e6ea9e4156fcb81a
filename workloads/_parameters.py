"""What a model weighs: parameters of each part and those that a token meets, exact, from its dimensions.

References
----------
.. [1] Vaswani et al., arXiv:1706.03762; Shazeer, GLU variants, arXiv:2002.05202: three matrices if gated.
.. [2] DeepSeek-V2, arXiv:2405.04434, section 2.1: latent attention.
   DeepSeek-V3, arXiv:2412.19437, section 2.2: multi-token prediction.
.. [3] Dao, Gu, Transformers are SSMs, arXiv:2405.21060: Mamba-2.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

from workloads.model import LayerKind, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParameters:
    """Parameters of one layer by part, biases with the matrix that they belong to.

    Parameters
    ----------
    attention, cross, mamba, mlp, experts, latent, shared, router, norms : int
        Self-attention, attention to the encoder, Mamba mixer, dense MLP, all routed experts, the products
        into and out of their latent space, shared experts, router, norms between the parts.
    share : float
        Part of the routed experts that one token visits.
    """

    attention: int = 0
    cross: int = 0
    mamba: int = 0
    mlp: int = 0
    experts: int = 0
    latent: int = 0
    shared: int = 0
    router: int = 0
    norms: int = 0
    share: float = 1.0

    def parts(self) -> dict[str, int]:
        """Return the parameters of each part that there is, by its name."""
        names = (field.name for field in fields(self) if field.name != "share")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def total(self) -> int:
        """Return all parameters."""
        return sum(self.parts().values())

    @property
    def active(self) -> int:
        """Return the parameters that one token meets."""
        return self.total - self.experts + round(self.experts * self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a model: its name, how many there are, parameters of all of them, those a token meets."""

    name: str
    count: int
    parameters: int
    active: int


def layer_parameters(model: Model, kind: LayerKind) -> LayerParameters:
    """Return the parameters of one layer.

    Parameters
    ----------
    model : Model
        Dimensions.
    kind : LayerKind
        What the layer does; one of `Model.layer_kinds` or `Model.encoder_kinds`.
    """
    norms = model.norms_per_layer if model.arch != "encdec" else 3 if kind.cross else 2
    moe = kind.ffn == "moe"
    return LayerParameters(
        attention={"attention": _attention, "mla": _latent}.get(kind.mixer, _nothing)(model),
        mamba=_mamba(model) if kind.mixer == "mamba" else 0,
        cross=_attention(model) if kind.cross else 0,
        mlp=_mlp(model, model.hidden, model.ffn) if kind.ffn == "dense" else 0,
        experts=model.experts * _mlp(model, model.expert_hidden, model.expert_ffn) if moe else 0,
        latent=2 * model.hidden * model.moe_latent if moe else 0,
        shared=_mlp(model, model.hidden, model.shared_ffn) if moe and model.shared_ffn else 0,
        router=model.experts * (model.hidden + model.router_bias) if moe else 0,
        norms=norms * _norm(model),
        share=model.topk / model.experts if moe else 1.0,
    )


def _nothing(model: Model) -> int:  # noqa: ARG001
    return 0


def _norm(model: Model) -> int:
    return model.hidden * (2 if model.norm == "ln" else 1)


def _attention(model: Model) -> int:
    width, pair = model.heads * model.head_dim, 2 * model.kv_heads * model.head_dim
    count = model.hidden * (2 * width + pair) + (2 * model.head_dim if model.qk_norm else 0)
    if model.bias in ("all", "qkv"):
        count += width + pair
    return count + (model.hidden if model.bias == "all" else 0)


def _latent(model: Model) -> int:
    """Return latent attention [2]_; ranks have a norm, queries may do without one."""
    a, rank, key = model.heads, model.kv_lora_rank, model.qk_nope_dim + model.qk_rope_dim
    wide = rank * a * (model.qk_nope_dim + model.v_head_dim) + a * model.v_head_dim * model.hidden
    narrow = model.hidden * (rank + model.qk_rope_dim) + rank
    if not model.q_lora_rank:
        return wide + narrow + model.hidden * a * key
    return wide + narrow + model.q_lora_rank * (model.hidden + a * key + 1)


def _mlp(model: Model, hidden: int, ffn: int) -> int:
    gates = 2 if model.gated else 1
    bias = gates * ffn + hidden if model.bias in ("all", "mlp") else 0
    return (gates + 1) * hidden * ffn + bias


def _mamba(model: Model) -> int:
    """Return a Mamba-2 mixer [3]_: products, convolution with bias, decay, skip and step a head, a norm."""
    part = model.mamba
    if part is None:
        raise ValueError(f"model '{model.name}' has no Mamba layers")
    enter = model.hidden * (part.inner + part.convolved + part.heads)
    return enter + part.convolved * (part.conv + 1) + 3 * part.heads + part.inner + part.inner * model.hidden


def embedding_parameters(model: Model) -> int:
    """Return the parameters of the table of tokens and of learned positions."""
    return (model.vocab + model.learned_positions) * model.hidden


def head_parameters(model: Model) -> int:
    """Return the parameters of the output matrix: none if it is the table of tokens."""
    return 0 if model.tied else model.vocab * model.hidden


def vision_parameters(model: Model) -> int:
    """Return the parameters of the vision tower with its projector; 0 without one."""
    tower = model.vision
    if tower is None:
        return 0
    h, f = tower.hidden, tower.ffn
    layer = 4 * h * h + 4 * h + 2 * h * f + f + h + 4 * h  # all with biases, two LayerNorms
    return tower.layers * layer + tower.embedding_params + tower.projector_params


def mtp_parameters(model: Model) -> int:
    """Return what multi-token prediction adds: layers, the product that joins two vectors, three norms.

    `parameters` leaves it out, as published counts do; embedding and head are those of the model [2]_.
    """
    layers = sum(layer_parameters(model, kind).total for kind in model.mtp_kinds())
    return layers + model.mtp_layers * (2 * model.hidden**2 + 3 * _norm(model))


def parameters(model: Model) -> int:
    """Return all parameters, those of multi-token prediction left out."""
    return sum(part.parameters for part in breakdown(model))


def active_parameters(model: Model) -> int:
    """Return the parameters that one token meets: of the routed experts only those it visits."""
    return sum(part.active for part in breakdown(model))


def breakdown(model: Model) -> tuple[Part, ...]:
    """Return the parts of a model in the order of its data; their parameters add up to `parameters`."""
    found = [_whole("embedding", embedding_parameters(model))]
    if model.vision is not None:
        found.append(_whole("vision tower and projector", vision_parameters(model)))
    found += _stack(model, model.encoder_kinds(), "encoder ")
    found += _stack(model, model.layer_kinds(), "decoder " if model.arch == "encdec" else "")
    found.append(_whole("final norms", model.final_norms * _norm(model)))
    found.append(_whole("head", head_parameters(model)))
    found.append(_whole("other", model.extra_params))
    return tuple(part for part in found if part.parameters)


def _whole(name: str, count: int) -> Part:
    return Part(name=name, count=1, parameters=count, active=count)


def _stack(model: Model, kinds: Iterable[LayerKind], words: str) -> list[Part]:
    layers, totals, active = Counter[str](), Counter[str](), Counter[str]()
    for kind, times in Counter(kinds).items():
        one = layer_parameters(model, kind)
        for name, value in one.parts().items():
            layers[name] += times
            totals[name] += times * value
            active[name] += times * (round(value * one.share) if name == "experts" else value)
    return [
        Part(name=words + name, count=layers[name], parameters=totals[name], active=active[name])
        for name in totals
    ]
