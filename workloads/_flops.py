"""How much a model computes: operations of each part, forward, and of a training step without recomputation.

Only matrix products count, 2 m n k each, as in the published conventions. A query counts the keys that it
sees: causal attention half of the square, a window its width.

References
----------
.. [1] Chowdhery et al., PaLM, arXiv:2204.02311, appendix B: 6N + 12LHQT a token.
.. [2] Narayanan et al., SC21, arXiv:2104.04473, appendix: every product of a layer.
.. [3] Dao, Gu, Transformers are SSMs, arXiv:2405.21060, section 6: the chunked scan of Mamba-2.
"""

from collections import Counter
from collections.abc import Iterable

from workloads._parameters import active_parameters
from workloads.model import LayerKind, Model

CHUNK = 128  # tokens of a chunk of the scan, the setting of the published hybrids
BACKWARD = 2.0  # products of the backward pass for each one forward: by input and by weight


def seen_keys(kind: LayerKind, seq_len: int, *, causal: bool | None = None) -> float:
    """Return how many keys a query sees, the mean over a sequence.

    Parameters
    ----------
    kind : LayerKind
        What the layer does.
    seq_len : int
        Tokens of the sequence.
    causal : bool, optional
        Whether it looks back only; as the layer does if left out. False counts the whole square, as kernels
        that skip nothing compute it.
    """
    window = min(kind.window or seq_len, seq_len)
    if not (kind.causal if causal is None else causal):
        return float(window if kind.window else seq_len)
    if kind.chunked:
        full, rest = divmod(seq_len, window)
        return (full * window * (window + 1) + rest * (rest + 1)) / 2 / seq_len
    return (window * (window + 1) / 2 + (seq_len - window) * window) / seq_len


def layer_flops(
    model: Model, kind: LayerKind, seq_len: int, *, source_len: int = 0, causal: bool | None = None
) -> dict[str, float]:
    """Return the operations of one layer forward for one sequence, by product.

    Parameters
    ----------
    model : Model
        Dimensions.
    kind : LayerKind
        What the layer does.
    seq_len : int
        Tokens of the sequence.
    source_len : int
        Tokens of the encoder that a layer with cross-attention looks at.
    causal : bool, optional
        As in `seen_keys`.
    """
    keys = seen_keys(kind, seq_len, causal=causal)
    found: dict[str, float] = {}
    if kind.mixer == "attention":
        found = _attention(model, seq_len, keys)
    elif kind.mixer == "mla":
        found = _latent(model, seq_len, keys)
    elif kind.mixer == "mamba":
        found = _mamba(model, seq_len)
    if kind.cross:
        found["cross"] = _cross(model, seq_len, source_len)
    return found | _feed_forward(model, kind, seq_len)


def _attention(model: Model, tokens: int, keys: float) -> dict[str, float]:
    width, pair = model.heads * model.head_dim, 2 * model.kv_heads * model.head_dim
    return {
        "qkv": 2.0 * tokens * model.hidden * (width + pair),
        "attention core": 4.0 * tokens * keys * width,
        "projection": 2.0 * tokens * width * model.hidden,
    }


def _latent(model: Model, tokens: int, keys: float) -> dict[str, float]:
    """Return latent attention as trained: keys and values of all heads are unfolded."""
    a, rank, key = model.heads, model.kv_lora_rank, model.qk_nope_dim + model.qk_rope_dim
    query = model.q_lora_rank * (model.hidden + a * key) if model.q_lora_rank else model.hidden * a * key
    down = model.hidden * (rank + model.qk_rope_dim)
    up = rank * a * (model.qk_nope_dim + model.v_head_dim)
    return {
        "qkv": 2.0 * tokens * (query + down + up),
        "attention core": 2.0 * tokens * keys * a * (key + model.v_head_dim),
        "projection": 2.0 * tokens * a * model.v_head_dim * model.hidden,
    }


def _cross(model: Model, tokens: int, source: int) -> float:
    width, pair = model.heads * model.head_dim, 2 * model.kv_heads * model.head_dim
    ours, theirs = 4.0 * tokens * model.hidden * width, 2.0 * source * model.hidden * pair
    return ours + theirs + 4.0 * tokens * source * width


def _mamba(model: Model, tokens: int) -> dict[str, float]:
    """Return projections and scan: attention inside a chunk, states between chunks [3]_."""
    part = model.mamba
    if part is None:
        raise ValueError(f"model '{model.name}' has no Mamba layers")
    inside = 2.0 * (CHUNK + 1) / 2 * (part.groups * part.state + part.inner)
    states = 4.0 * part.inner * part.state
    enter = 2.0 * tokens * model.hidden * (part.inner + part.convolved + part.heads)
    return {
        "mamba in": enter,
        "mamba scan": tokens * (inside + states),
        "mamba out": 2.0 * tokens * part.inner * model.hidden,
    }


def _feed_forward(model: Model, kind: LayerKind, tokens: int) -> dict[str, float]:
    matrices = 3 if model.gated else 2
    if kind.ffn == "dense":
        return {"mlp": 2.0 * tokens * matrices * model.hidden * model.ffn}
    if kind.ffn == "none":
        return {}
    visits = tokens * model.topk
    found = {
        "router": 2.0 * tokens * model.hidden * model.experts,
        "experts": 2.0 * visits * matrices * model.expert_hidden * model.expert_ffn,
        "latent": 4.0 * tokens * model.hidden * model.moe_latent,
        "shared": 2.0 * tokens * matrices * model.hidden * model.shared_ffn,
    }
    return {name: value for name, value in found.items() if value}


def forward_flops(
    model: Model, seq_len: int, *, source_len: int = 0, images: float = 0.0, causal: bool | None = None
) -> dict[str, float]:
    """Return the operations of one sequence through the model, forward, by part.

    Parameters
    ----------
    model : Model
        Dimensions. Of a ViT, the patch embedding and the head are left out, under 1 %.
    seq_len : int
        Tokens of the decoder, or of the only stack; those of images included.
    source_len : int
        Tokens of the encoder of an encoder-decoder.
    images : float
        Images in the sequence, for a model with a vision tower.
    causal : bool, optional
        As in `seen_keys`.

    Raises
    ------
    ValueError
        An encoder-decoder without ``source_len``, images without a vision tower, or the other way round.
    """
    if (model.arch == "encdec") != (source_len > 0):
        needs = "needs" if model.arch == "encdec" else "has no encoder: leave out"
        raise ValueError(f"model '{model.name}' {needs} source_len, the tokens of the source")
    if images and model.vision is None:
        raise ValueError(f"model '{model.name}' has no vision tower: leave out images")
    encoder = _stack(model, model.encoder_kinds(), source_len, 0, causal)
    found = {f"encoder {name}": value for name, value in encoder.items()}
    if images:
        found["vision tower"] = images * _vision(model)
    found |= _stack(model, model.layer_kinds(), seq_len, source_len, causal)
    if model.arch in ("decoder", "encdec"):
        found["head"] = _head(model, seq_len)
    return found


def _head(model: Model, tokens: int) -> float:
    return 2.0 * tokens * model.hidden * model.vocab


def _stack(
    model: Model, kinds: Iterable[LayerKind], tokens: int, source: int, causal: bool | None
) -> dict[str, float]:
    total: dict[str, float] = {}
    for kind, times in Counter(kinds).items():
        one = layer_flops(model, kind, tokens, source_len=source, causal=causal)
        for name, value in one.items():
            total[name] = total.get(name, 0.0) + times * value
    return total


def _vision(model: Model) -> float:
    """Return the operations of one image: patch embedding, layers with full attention, projector."""
    tower = model.vision
    if tower is None:
        return 0.0
    h, patches = tower.hidden, (tower.image // tower.patch) ** 2
    products = tower.layers * (4 * h * h + 2 * h * tower.ffn) + 3 * tower.patch**2 * h
    core = 2 * tower.layers * patches * h
    return 2.0 * patches * (products + core) + 2.0 * tower.tokens * tower.projector_params


def training_flops(
    model: Model,
    seq_len: int,
    *,
    source_len: int = 0,
    images: float = 0.0,
    causal: bool | None = None,
    mtp: bool = False,
) -> float:
    """Return the operations of training on one sequence: products forward and, twice, backward.

    Parameters
    ----------
    model, seq_len, source_len, images, causal
        As in `forward_flops`.
    mtp : bool
        With the layers of multi-token prediction, each depth with a head and a product that joins vectors.
    """
    forward = forward_flops(model, seq_len, source_len=source_len, images=images, causal=causal)
    total = sum(forward.values())
    if mtp and model.mtp_layers:
        total += sum(_stack(model, model.mtp_kinds(), seq_len, source_len, causal).values())
        total += model.mtp_layers * (_head(model, seq_len) + 4.0 * seq_len * model.hidden**2)
    return (1 + BACKWARD) * total


def flops_per_token(model: Model, seq_len: int, *, causal: bool = True) -> float:
    """Return the operations of training on one token by the convention of PaLM [1]_: 6N + attention.

    Parameters
    ----------
    model : Model
        Dimensions. N is what a token meets, the table of tokens included.
    seq_len : int
        Tokens of a sequence.
    causal : bool
        Whether a query counts the keys that it sees; else all, which gives 6N + 12 L h s.

    Raises
    ------
    ValueError
        An encoder-decoder: its tokens are of two kinds; `training_flops` counts both.

    Notes
    -----
    What is computed again does not count, nor does multi-token prediction.
    """
    if model.arch == "encdec":
        raise ValueError(f"model '{model.name}' has two kinds of tokens: ask training_flops")
    core = 0.0
    for kind, times in Counter(model.layer_kinds()).items():
        one = layer_flops(model, kind, seq_len, causal=causal and kind.causal)
        core += times * (one.get("attention core", 0.0) + one.get("mamba scan", 0.0)) / seq_len
    return 6.0 * active_parameters(model) + (1 + BACKWARD) * core
