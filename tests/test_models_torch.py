"""Small models built of real PyTorch layers weigh and compute what we say, to the last parameter and product.

PyTorch counts the products itself (`torch.utils.flop_counter`), forward and backward, with attention written
out, so that every query meets every key.
"""

from collections.abc import Callable
from typing import Any

import pytest

from workloads.model import Mamba, Model
from workloads.transformer import forward_flops, layer_parameters, parameters, training_flops

torch = pytest.importorskip(
    "torch", reason="NOT CHECKED AGAINST PYTORCH: it is not installed; pip install 'commsim[torch]' on CPU"
)
nn = torch.nn
BATCH, LENGTH, SOURCE = 2, 16, 24
SIZES: dict[str, Any] = {
    "hidden": 32,
    "heads": 4,
    "kv_heads": 4,
    "head_dim": 8,
    "ffn": 96,
    "vocab": 50,
    "context": 64,
}


class Attention(nn.Module):
    """Grouped-query attention; the mask hides what is ahead, but all scores are computed."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        wide, pair = model.heads * model.head_dim, model.kv_heads * model.head_dim
        self.model = model
        self.q = nn.Linear(model.hidden, wide, bias=model.bias in ("all", "qkv"))
        self.k = nn.Linear(model.hidden, pair, bias=model.bias in ("all", "qkv"))
        self.v = nn.Linear(model.hidden, pair, bias=model.bias in ("all", "qkv"))
        self.o = nn.Linear(wide, model.hidden, bias=model.bias == "all")
        self.norms = nn.ModuleList([nn.RMSNorm(model.head_dim) for _ in range(2 * model.qk_norm)])

    def forward(self, x: Any) -> Any:
        def split(y: Any, heads: int) -> Any:
            y = y.view(*x.shape[:2], heads, self.model.head_dim).transpose(1, 2)
            return y.repeat_interleave(self.model.heads // heads, dim=1)

        q, k, v = (
            split(self.q(x), self.model.heads),
            *(split(m(x), self.model.kv_heads) for m in (self.k, self.v)),
        )
        if self.norms:
            q, k = self.norms[0](q), self.norms[1](k)
        return self.o(attend(q, k, v).transpose(1, 2).flatten(2))


class Latent(nn.Module):
    """Multi-head latent attention; rotation of positions is left out, it has no products."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        m, a = model, model.heads
        linear = lambda n, k: nn.Linear(n, k, bias=False)  # noqa: E731
        self.model = model
        self.q = nn.Sequential(
            linear(m.hidden, m.q_lora_rank),
            nn.RMSNorm(m.q_lora_rank),
            linear(m.q_lora_rank, a * (m.qk_nope_dim + m.qk_rope_dim)),
        )
        self.down = linear(m.hidden, m.kv_lora_rank + m.qk_rope_dim)
        self.norm = nn.RMSNorm(m.kv_lora_rank)
        self.up = linear(m.kv_lora_rank, a * (m.qk_nope_dim + m.v_head_dim))
        self.o = linear(a * m.v_head_dim, m.hidden)

    def forward(self, x: Any) -> Any:
        m, heads = self.model, lambda y: y.unflatten(-1, (self.model.heads, -1)).transpose(1, 2)
        latent, turned = self.down(x).split([m.kv_lora_rank, m.qk_rope_dim], dim=-1)
        k, v = heads(self.up(self.norm(latent))).split([m.qk_nope_dim, m.v_head_dim], dim=-1)
        k = torch.cat([k, turned.unsqueeze(1).expand(-1, m.heads, -1, -1)], dim=-1)
        return self.o(attend(heads(self.q(x)), k, v).transpose(1, 2).flatten(2))


def attend(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(ahead, -1e9).softmax(-1) @ v


class Mlp(nn.Module):
    def __init__(self, model: Model, ffn: int) -> None:
        super().__init__()
        bias = model.bias in ("all", "mlp")
        self.gate = nn.Linear(model.hidden, ffn, bias=bias) if model.gated else None
        self.up, self.down = nn.Linear(model.hidden, ffn, bias=bias), nn.Linear(ffn, model.hidden, bias=bias)

    def forward(self, x: Any) -> Any:
        if self.gate is None:
            return self.down(nn.functional.gelu(self.up(x)))
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """Each token goes through its best experts, and through the shared ones."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.topk = model.topk
        self.router = nn.Linear(model.hidden, model.experts, bias=model.router_bias)
        self.experts = nn.ModuleList([Mlp(model, model.expert_ffn) for _ in range(model.experts)])
        self.shared = Mlp(model, model.shared_ffn) if model.shared_ffn else None

    def forward(self, x: Any) -> Any:
        rows = x.flatten(0, 1)
        weights, chosen = self.router(rows).softmax(-1).topk(self.topk)
        out = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            if len(token):
                out = out.index_add(0, token, expert(rows[token]) * weights[token, place, None])
        return (out if self.shared is None else out + self.shared(rows)).view_as(x)


class Decoder(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        norm: Callable[[], Any] = lambda: (nn.RMSNorm if model.norm == "rms" else nn.LayerNorm)(model.hidden)  # noqa: E731
        self.tokens = nn.Embedding(model.vocab, model.hidden)
        self.positions = (
            nn.Embedding(model.learned_positions, model.hidden) if model.learned_positions else None
        )
        self.layers = nn.ModuleList()
        for kind in model.layer_kinds():
            mixer = Latent(model) if kind.mixer == "mla" else Attention(model)
            network = Experts(model) if kind.ffn == "moe" else Mlp(model, model.ffn)
            self.layers.append(nn.ModuleList([norm(), mixer, norm(), network]))
        self.norm, self.head = norm(), nn.Linear(model.hidden, model.vocab, bias=False)
        if model.tied:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: Any) -> Any:
        x = self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        for first, mixer, second, network in self.layers:
            x = x + mixer(first(x))
            x = x + network(second(x))
        return self.head(self.norm(x))


DECODERS = {
    "gpt2": {"tied": True, "norm": "ln", "bias": "all", "learned_positions": LENGTH},
    "llama": {"gated": True, "kv_heads": 2},
    "qwen3": {"gated": True, "kv_heads": 2, "qk_norm": True, "head_dim": 16, "tied": True},
    "qwen2": {"gated": True, "kv_heads": 1, "bias": "qkv"},
    "mixtral": {"gated": True, "kv_heads": 2, "experts": 4, "topk": 2, "expert_ffn": 40, "ffn": 0},
    "deepseek": {
        "gated": True,
        "experts": 4,
        "topk": 2,
        "expert_ffn": 24,
        "shared_experts": 1,
        "shared_ffn": 24,
        "dense_layers": 1,
        "q_lora_rank": 20,
        "kv_lora_rank": 12,
        "qk_nope_dim": 8,
        "qk_rope_dim": 4,
        "v_head_dim": 6,
        "head_dim": 12,
    },
    "gpt-oss": {
        "gated": True,
        "kv_heads": 2,
        "experts": 4,
        "topk": 1,
        "expert_ffn": 24,
        "ffn": 0,
        "bias": "all",
        "router_bias": True,
    },
}


def count(module: Any, *inputs: Any) -> tuple[int, int, int]:
    """Return parameters, FLOPs forward, and FLOPs forward and backward, as PyTorch counts them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    module.train()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        loss = module(*inputs).float().pow(2).mean()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    total = forward.get_total_flops()
    return sum(p.numel() for p in module.parameters()), total, total + backward.get_total_flops()


def tokens(length: int, vocab: int) -> Any:
    return torch.randint(vocab, (BATCH, length))


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder(name: str):
    model = Model(name=name, layers=3, **SIZES | DECODERS[name])
    weigh, forward, whole = count(Decoder(model), tokens(LENGTH, model.vocab))
    assert parameters(model) == weigh
    assert BATCH * sum(forward_flops(model, LENGTH, causal=False).values()) == forward
    assert BATCH * training_flops(model, LENGTH, causal=False) == whole


class Encoder(nn.Module):
    """PyTorch's own encoder behind an embedding, with a norm at the end and no head."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.tokens = nn.Embedding(model.vocab, model.hidden)
        self.positions = nn.Embedding(model.learned_positions, model.hidden)
        layer = nn.TransformerEncoderLayer(
            model.hidden, model.heads, model.ffn, dropout=0.0, batch_first=True
        )
        self.stack = nn.TransformerEncoder(
            layer, model.layers, nn.LayerNorm(model.hidden), enable_nested_tensor=False
        )

    def forward(self, tokens: Any) -> Any:
        return self.stack(self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])))


def test_an_encoder():
    model = Model(
        name="bert",
        arch="encoder",
        layers=2,
        tied=True,
        norm="ln",
        bias="all",
        learned_positions=LENGTH,
        **SIZES,
    )
    weigh, forward, whole = count(Encoder(model), tokens(LENGTH, model.vocab))
    assert parameters(model) == weigh
    assert BATCH * sum(forward_flops(model, LENGTH).values()) == forward
    assert BATCH * training_flops(model, LENGTH) == whole


class Translator(nn.Module):
    """PyTorch's own `Transformer` behind one embedding, which is the head as well."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.tokens = nn.Embedding(model.vocab, model.hidden)
        self.stacks = nn.Transformer(
            model.hidden,
            model.heads,
            model.encoder_layers,
            model.layers,
            model.ffn,
            dropout=0.0,
            batch_first=True,
        )

    def forward(self, source: Any, target: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        out = self.stacks(self.tokens(source), self.tokens(target), tgt_mask=mask)
        return out @ self.tokens.weight.T


def test_an_encoder_decoder():
    model = Model(
        name="bart",
        arch="encdec",
        layers=3,
        encoder_layers=2,
        tied=True,
        norm="ln",
        bias="all",
        final_norms=2,
        **SIZES,
    )
    weigh, forward, whole = count(Translator(model), tokens(SOURCE, model.vocab), tokens(LENGTH, model.vocab))
    assert parameters(model) == weigh
    assert BATCH * sum(forward_flops(model, LENGTH, source_len=SOURCE, causal=False).values()) == forward
    assert BATCH * training_flops(model, LENGTH, source_len=SOURCE, causal=False) == whole


def test_a_mamba_mixer_weighs_what_its_tensors_weigh():
    part = Mamba(pattern="M", state=16, heads=4, head_dim=8, groups=2, conv=4)
    model = Model(name="hybrid", layers=1, norms_per_layer=1, mamba=part, **SIZES)
    tensors = [
        *nn.Linear(model.hidden, 2 * 32 + 2 * 2 * 16 + 4, bias=False).parameters(),  # z, x, B, C, dt
        *nn.Conv1d(32 + 2 * 2 * 16, 32 + 2 * 2 * 16, 4, groups=32 + 2 * 2 * 16).parameters(),
        *(torch.zeros(4) for _ in ("A", "D", "bias of dt")),
        *nn.RMSNorm(32).parameters(),
        *nn.Linear(32, model.hidden, bias=False).parameters(),
    ]
    assert layer_parameters(model, model.layer_kinds()[0]).mamba == sum(t.numel() for t in tensors)
