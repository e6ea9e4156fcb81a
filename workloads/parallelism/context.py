"""Context parallelism: keys and values for the part of the sequence that a rank holds.

References
----------
.. [1] Liu et al., Ring Attention, arXiv:2310.01889: c - 1 steps, each with K and V of one block.
.. [2] Llama 3, arXiv:2407.21783, section 3.3.2: the same bytes by one all-gather.
.. [3] Jacobs et al., DeepSpeed Ulysses, arXiv:2309.14509: four all-to-alls, heads in place of sequence.
"""

from workloads.layers import ELEMENT, Slice
from workloads.model import LayerKind, Model
from workloads.step_graph import Collective, Operation

WAYS = ("ring", "all_gather", "ulysses")


def before(model: Model, kind: LayerKind, cut: Slice, way: str = "ring") -> list[Operation]:
    """Return what attention needs from the other context ranks.

    A ring hides its steps under the blocks of attention, so only a share of it is exposed. Backward, where keys,
    values and their gradients travel, twice as much moves.

    Raises
    ------
    ValueError
        An unknown way, or more context ranks than heads for Ulysses.
    """
    if way not in WAYS:
        raise ValueError(f"context parallelism by '{way}': wanted one of {', '.join(WAYS)}")
    if cut.cp == 1 or kind.mixer not in ("attention", "mla"):
        return []
    if way == "ulysses":
        if cut.cp * cut.tp > model.heads:
            raise ValueError(
                f"--cp {cut.cp} with Ulysses needs as many heads; {model.name} has {model.heads // cut.tp} a rank"
            )
        width = (model.heads + 2 * max(model.kv_heads, cut.cp)) * model.head_dim / cut.tp
        return [_exchange("query, key, value exchange", cut, width)]
    width = _kept(model, kind, cut)
    if kind.window:  # a window needs its halo only
        width *= min(1.0, kind.window / max(1.0, cut.seq_len / cut.cp) / (cut.cp - 1))
    return [
        Collective(
            name="key, value ring",
            op="all_gather",
            axis="cp",
            size=ELEMENT * cut.tokens * width * cut.cp,
            overlap="cp" if way == "ring" else "",
        )
    ]


def after(model: Model, kind: LayerKind, cut: Slice, way: str = "ring") -> list[Operation]:
    """Return what brings the output of attention back to the ranks that hold its tokens."""
    if cut.cp == 1 or way != "ulysses" or kind.mixer not in ("attention", "mla"):
        return []
    return [_exchange("attention output exchange", cut, model.heads * model.head_dim / cut.tp)]


def _kept(model: Model, kind: LayerKind, cut: Slice) -> float:
    if kind.mixer == "mla":
        return model.heads / cut.tp * (model.qk_nope_dim + model.qk_rope_dim + model.v_head_dim)
    return 2 * max(model.kv_heads / cut.tp, 1) * model.head_dim


def _exchange(name: str, cut: Slice, width: float) -> Collective:
    return Collective(name=name, op="all_to_all", axis="cp", size=ELEMENT * cut.tokens * width)
