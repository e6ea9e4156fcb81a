"""Data parallelism: the parameters of a rank, which groups share them, and how often a step exchanges them.

The exchange itself is a strategy's: `workloads.strategies`.
"""

from dataclasses import dataclass

from workloads._parameters import embedding_parameters, head_parameters, layer_parameters
from workloads.layout import Layout
from workloads.model import LayerKind, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Parameters that one rank holds: ``dense`` ones alike on dp x cp ranks, ``expert`` ones on edp ranks."""

    dense: float = 0.0
    expert: float = 0.0

    def __add__(self, other: "Held") -> "Held":
        return Held(dense=self.dense + other.dense, expert=self.expert + other.expert)

    def times(self, factor: float) -> "Held":
        """Return so many of them."""
        return Held(dense=self.dense * factor, expert=self.expert * factor)


def layer(model: Model, kind: LayerKind, layout: Layout) -> Held:
    """Return what a rank holds of one layer after slicing."""
    count = layer_parameters(model, kind)
    routed = count.experts
    return Held(dense=(count.total - routed) / layout.tp, expert=routed / (layout.ep * layout.expert_tp))


def embedding(model: Model, layout: Layout) -> Held:
    """Return what a rank holds of the embedding."""
    return Held(dense=embedding_parameters(model) / layout.tp)


def head(model: Model, layout: Layout) -> Held:
    """Return what a rank of the last stage holds of the output projection, tied or not."""
    count = head_parameters(model) or model.vocab * model.hidden
    return Held(dense=count / layout.tp)
