"""Data parallelism: the parameters of a rank, which groups share them, and how often a step exchanges them.

The exchange itself is a strategy's: `workloads.strategies`. What all tensor ranks copy, norms and routers, is
counted as sliced: it is under a thousandth.
"""

from dataclasses import dataclass

from workloads._parameters import (
    breakdown,
    embedding_parameters,
    layer_parameters,
    mtp_parameters,
    vision_parameters,
)
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
    """Return what a rank holds of the embedding, and of a vision tower, which is not sliced."""
    return Held(dense=embedding_parameters(model) / layout.tp + vision_parameters(model))


def head(model: Model, layout: Layout, *, own: bool = True) -> Held:
    """Return what a rank of the last stage holds of the output projection and what stands around it.

    Parameters
    ----------
    own : bool
        Whether it has a matrix of its own: False where the table of tokens is on the same rank and tied.
    """
    rest = sum(part.parameters for part in breakdown(model) if part.name in ("final norms", "other"))
    matrix = model.vocab * model.hidden if own else 0
    return Held(dense=(matrix + rest) / layout.tp)


def tied(model: Model, layout: Layout) -> Held:
    """Return what a rank holds of a table that the first and the last stage both have."""
    return Held(dense=model.vocab * model.hidden / layout.tp)


def prediction(model: Model, layout: Layout) -> Held:
    """Return what a rank holds of one depth of multi-token prediction besides its layers."""
    layers = sum(layer_parameters(model, kind).total for kind in model.mtp_kinds())
    return Held(dense=(mtp_parameters(model) - layers) / max(model.mtp_layers, 1) / layout.tp)
