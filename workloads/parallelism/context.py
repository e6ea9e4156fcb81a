"""Context parallelism: keys and values for the part of the sequence that a rank holds.

References
----------
.. [1] Liu et al., Ring Attention, arXiv:2310.01889: c - 1 steps, each with K and V of one block.
.. [2] Llama 3, arXiv:2407.21783, section 3.3.2: the same bytes by one all-gather.
.. [3] Jacobs et al., DeepSpeed Ulysses, arXiv:2309.14509: four all-to-alls, heads in place of sequence.
.. [4] Megatron-LM, megatron/core/ssm/mamba_context_parallel.py: the same exchange around a scan.
"""

from workloads.layers import Slice
from workloads.model import LayerKind, Model
from workloads.step_graph import Collective, Operation

WAYS = ("ring", "all_gather", "ulysses")


def before(model: Model, kind: LayerKind, cut: Slice, way: str = "ring") -> list[Operation]:
    """Return what attention, or a scan, needs from the other context ranks.

    A ring hides its steps under the blocks of attention, so only a share of it is exposed. Backward, where keys,
    values and their gradients travel, twice as much moves: `workloads.backward`.

    Raises
    ------
    ValueError
        An unknown way, or context ranks that heads cannot be dealt to.
    """
    check(model, cut, way)
    if cut.cp == 1 or kind.mixer == "none":
        return []
    if kind.mixer == "mamba" and model.mamba is not None:
        inner = model.mamba.inner + model.mamba.convolved + model.mamba.heads
        return [_exchange("scan input exchange", cut, inner / cut.tp)]
    if way == "ulysses":
        return [_exchange("query, key, value exchange", cut, _dealt(model, kind, cut))]
    size = cut.element * cut.tokens * _kept(model, kind, cut) * cut.cp * _seen(kind, cut)
    overlap = "cp" if way == "ring" else ""
    name = "key, value ring" if way == "ring" else "key, value gather"
    return [Collective(name=name, op="all_gather", axis="cp", size=size, overlap=overlap)] if size else []


def after(model: Model, kind: LayerKind, cut: Slice, way: str = "ring") -> list[Operation]:
    """Return what brings the output back to the ranks that hold its tokens."""
    if cut.cp == 1 or kind.mixer == "none":
        return []
    if kind.mixer == "mamba" and model.mamba is not None:
        return [_exchange("scan output exchange", cut, model.mamba.inner / cut.tp)]
    if way != "ulysses":
        return []
    width = model.v_head_dim if kind.mixer == "mla" else model.head_dim
    return [_exchange("attention output exchange", cut, model.heads * width / cut.tp)]


def check(model: Model, cut: Slice, way: str) -> None:
    """Raise a ValueError for an unknown way, or heads that Ulysses cannot deal to the context ranks."""
    if way not in WAYS:
        raise ValueError(f"context parallelism by '{way}': wanted one of {', '.join(WAYS)}")
    here = model.heads // cut.tp
    if way == "ulysses" and cut.cp > 1 and here % cut.cp:
        raise ValueError(
            f"--cp {cut.cp} with Ulysses must divide the heads of a rank; {model.name} has {here} of them"
        )


def _dealt(model: Model, kind: LayerKind, cut: Slice) -> float:
    """Return the width of queries, keys and values; key and value heads fewer than ranks are copied."""
    heads = model.heads / cut.tp
    if kind.mixer == "mla":
        return heads * (2 * (model.qk_nope_dim + model.qk_rope_dim) + model.v_head_dim)
    return (heads + 2 * max(model.kv_heads / cut.tp, cut.cp)) * model.head_dim


def _kept(model: Model, kind: LayerKind, cut: Slice) -> float:
    if kind.mixer == "mla":
        return model.heads / cut.tp * (model.qk_nope_dim + model.qk_rope_dim + model.v_head_dim)
    return 2 * max(model.kv_heads / cut.tp, 1) * model.head_dim


def _seen(kind: LayerKind, cut: Slice) -> float:
    """Return which share of the other ranks' keys a rank needs: of a window only its halo."""
    if not kind.window:
        return 1.0
    block = cut.seq_len / cut.cp
    if not kind.chunked:
        halo = kind.window - 1.0
    elif block % kind.window == 0:
        halo = 0.0  # chunks end where blocks do
    else:
        halo = max(kind.window - block, 0.0) if kind.window % block == 0 else kind.window - 1.0
    return min(1.0, halo / (block * (cut.cp - 1)))


def _exchange(name: str, cut: Slice, width: float) -> Collective:
    return Collective(name=name, op="all_to_all", axis="cp", size=cut.element * cut.tokens * width)
