"""Which parameters a rank holds: what tensor ranks slice, what they all copy, what experts spread.

`workloads.transformer` counts the parameters; here they are split by who holds them [1]_: products and the
vocabulary are sliced, norms, routers and narrow products are on every rank.

References
----------
.. [1] Shoeybi et al., Megatron-LM, arXiv:1909.08053, section 3.
.. [2] DeepSeek-V2, arXiv:2405.04434, section 2.1: the narrow products of latent attention.
.. [3] DeepSeek-V3, arXiv:2412.19437, section 2.2: multi-token prediction shares embedding and head.
"""

from dataclasses import dataclass

from workloads.layout import Layout
from workloads.model import LayerKind, Model
from workloads.transformer import embedding_parameters, layer_parameters, mtp_parameters, vision_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Parameters by who holds them: sliced over tp, copied by its ranks, or experts over ep x etp."""

    sliced: float = 0.0
    copied: float = 0.0
    experts: float = 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            sliced=self.sliced + other.sliced,
            copied=self.copied + other.copied,
            experts=self.experts + other.experts,
        )

    def times(self, factor: float) -> "Count":
        """Return so many of it."""
        return Count(sliced=factor * self.sliced, copied=factor * self.copied, experts=factor * self.experts)

    @property
    def total(self) -> float:
        """Return all parameters, each once."""
        return self.sliced + self.copied + self.experts

    def dense(self, layout: Layout) -> float:
        """Return what one rank holds outside of experts."""
        return self.sliced / layout.tp + self.copied

    def routed(self, layout: Layout) -> float:
        """Return what one rank holds of the routed experts."""
        return self.experts / (layout.ep * layout.expert_tp)

    def rank(self, layout: Layout) -> float:
        """Return what one rank holds."""
        return self.dense(layout) + self.routed(layout)


def layer(model: Model, kind: LayerKind) -> Count:
    """Return the parameters of a layer."""
    parts = layer_parameters(model, kind)
    copied = parts.norms + parts.router + parts.latent + (_narrow(model) if kind.mixer == "mla" else 0)
    return Count(sliced=parts.total - copied - parts.experts, copied=copied, experts=parts.experts)


def embedding(model: Model) -> Count:
    """Return what stands before the first layer: tokens, positions, a vision tower, what no field counts."""
    words = model.vocab * model.hidden
    copied = embedding_parameters(model) - words + model.extra_params
    return Count(sliced=words + vision_parameters(model), copied=copied)


def head(model: Model) -> Count:
    """Return the output matrix, whether tied or not, and the last norms."""
    norm = model.hidden * (2 if model.norm == "ln" else 1)
    return Count(sliced=model.vocab * model.hidden, copied=model.final_norms * norm)


def prediction(model: Model) -> Count:
    """Return the layers of multi-token prediction [3]_; they stand on the last stage."""
    layers = sum((layer(model, kind) for kind in model.mtp_kinds()), Count())
    return layers + Count(sliced=mtp_parameters(model) - layers.total)


def _narrow(model: Model) -> int:
    """Return the products into the latent vectors and their norms, which no tensor rank slices [2]_."""
    ranks = model.q_lora_rank + model.kv_lora_rank
    return model.hidden * (ranks + model.qk_rope_dim) + ranks
