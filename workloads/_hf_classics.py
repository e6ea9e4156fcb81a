"""The older families of Hugging Face configurations: GPT and its kin, encoder-decoders, BERT.

Which fields a class has, and what they mean, is from the configuration classes of transformers
(https://github.com/huggingface/transformers, src/transformers/models/*/configuration_*.py).
"""

from workloads._hf_fields import UNKNOWN, Dimensions, Fields, heads, whole

OPT_OFFSET = 2  # rows of the position table before the first one; BART has them too


def _gpt(f: Fields, hidden: int) -> Dimensions:
    count = f.count("num_attention_heads", "n_head", "n_heads")
    return {
        "layers": f.count("num_hidden_layers", "n_layer", "n_layers"),
        "hidden": hidden,
        "heads": count,
        "kv_heads": count,
        "head_dim": whole(f, hidden, count, "hidden size", "heads"),
        "ffn": 4 * hidden,
        "vocab": f.count("vocab_size"),
        "norm": "ln",
        "bias": "all",
        "tied": f.flag("tie_word_embeddings", True),
    }


def gpt2(f: Fields) -> Dimensions:
    """Return a GPT-2: learned positions, one embedding."""
    found = _gpt(f, f.count("n_embd", "hidden_size"))
    context = f.count("n_positions", "n_ctx")
    ffn = f.count("n_inner", default=found["ffn"])
    return found | {"ffn": ffn, "context": context, "learned_positions": context}


def gptj(f: Fields) -> Dimensions:
    """Return a GPT-J: attention and MLP beside each other behind one norm; the head has a bias."""
    found = _gpt(f, f.count("n_embd", "hidden_size"))
    return found | {
        "ffn": f.count("n_inner", default=found["ffn"]),
        "context": f.count("n_positions", "n_ctx"),
        "norms_per_layer": 1,
        "bias": "mlp",
        "tied": f.flag("tie_word_embeddings", False),
        "extra_params": found["vocab"],
    }


def gpt_neox(f: Fields) -> Dimensions:
    """Return a GPT-NeoX or Pythia."""
    found = _gpt(f, f.count("hidden_size"))
    return found | {
        "ffn": f.count("intermediate_size"),
        "context": f.count("max_position_embeddings", default=0, least=0),
        "bias": "all" if f.flag("attention_bias", True) else "mlp",
        "tied": f.flag("tie_word_embeddings", False),
    }


def opt(f: Fields) -> Dimensions:
    """Return an OPT."""
    hidden = f.count("hidden_size")
    if f.count("word_embed_proj_dim", default=hidden) != hidden:
        f.refuse("word_embed_proj_dim other than hidden_size is not modelled")
    context = f.count("max_position_embeddings")
    last = f.flag("do_layer_norm_before", True) and not f.flag("_remove_final_layer_norm", False)
    return _gpt(f, hidden) | {
        "ffn": f.count("ffn_dim"),
        "context": context,
        "learned_positions": context + OPT_OFFSET,
        "bias": "all" if f.flag("enable_bias", True) else "none",
        "final_norms": 1 if last else 0,
    }


def bloom(f: Fields) -> Dimensions:
    """Return a BLOOM: ALiBi, a norm behind the embedding."""
    context = f.count("seq_length", default=0, least=0)
    return _gpt(f, f.count("hidden_size", "n_embed")) | {"context": context, "final_norms": 2}


def falcon(f: Fields) -> Dimensions:
    """Return a Falcon, old or new."""
    found = _gpt(f, f.count("hidden_size"))
    new = f.flag("new_decoder_architecture", False)
    norms = 2 if new or not f.flag("parallel_attn", True) else 1
    if new:
        groups = f.count("num_kv_heads", default=found["heads"])
        norms = f.count("num_ln_in_parallel_attn", default=norms)
    else:
        groups = 1 if f.flag("multi_query", True) else found["heads"]
    return found | {
        "kv_heads": groups,
        "ffn": f.count("ffn_hidden_size", default=found["ffn"]),
        "context": f.count("max_position_embeddings", default=2048),
        "norms_per_layer": norms,
        "bias": "all" if f.flag("bias", False) else "none",
    }


def mpt(f: Fields) -> Dimensions:
    """Return an MPT: norms and products without bias unless it is asked for, ALiBi or learned positions."""
    attention = f.nested("attn_config", needed=False)
    hidden, context = f.count("d_model"), f.count("max_seq_len")
    found = _gpt(f, hidden) | {"ffn": f.count("expansion_ratio", default=4) * hidden, "context": context}
    one = attention.text("attn_type") == "multiquery_attention"
    found["kv_heads"] = attention.count("kv_n_heads", default=1 if one else found["heads"])
    if attention.flag("qk_ln", False):
        f.refuse("attn_config.qk_ln true is not modelled")
    if f.flag("no_bias", True):
        found |= {"bias": "none", "norm": "rms"}  # a LayerNorm without bias weighs as much
    learned = f.flag("learned_pos_emb", True) and not attention.flag("alibi", True)
    return found | {"learned_positions": context if learned else 0}


def t5(f: Fields) -> Dimensions:
    """Return a T5 or mT5: relative bias of the first layer of each stack, heads of their own width."""
    hidden, count, layers = f.count("d_model"), f.count("num_heads"), f.count("num_layers")
    kind = f.text("feed_forward_proj", "relu")
    if kind not in ("relu", "gelu", "gated-gelu", "gated-silu", "gated-relu"):
        f.refuse(f"feed_forward_proj is '{kind:.40}', wanted relu or gated-gelu")
    return {
        "arch": "encdec",
        "layers": f.count("num_decoder_layers", default=layers),
        "encoder_layers": layers,
        "hidden": hidden,
        "heads": count,
        "kv_heads": count,
        "head_dim": f.count("d_kv"),
        "ffn": f.count("d_ff"),
        "gated": kind.startswith("gated"),
        "vocab": f.count("vocab_size"),
        "tied": f.flag("tie_word_embeddings", True),
        "context": f.count("n_positions", "max_length", default=512),
        "final_norms": 2,
        "extra_params": 2 * count * f.count("relative_attention_num_buckets", default=32),
    }


def _bart(f: Fields, positions: int, final_norms: int) -> Dimensions:
    hidden, count = f.count("d_model"), f.count("encoder_attention_heads")
    for what in ("attention_heads", "ffn_dim"):
        both = f.count(f"encoder_{what}"), f.count(f"decoder_{what}")
        if both[0] != both[1] and UNKNOWN not in both:
            f.refuse(f"encoder_{what} and decoder_{what} differ: not modelled")
    return {
        "arch": "encdec",
        "layers": f.count("decoder_layers"),
        "encoder_layers": f.count("encoder_layers"),
        "hidden": hidden,
        "heads": count,
        "kv_heads": count,
        "head_dim": whole(f, hidden, count, "d_model", "heads"),
        "ffn": f.count("decoder_ffn_dim"),
        "vocab": f.count("vocab_size"),
        "tied": f.flag("tie_word_embeddings", True),
        "context": f.count("max_position_embeddings"),
        "norm": "ln",
        "bias": "all",
        "learned_positions": positions,
        "final_norms": final_norms,
    }


def bart(f: Fields) -> Dimensions:
    """Return a BART: norms behind the embeddings, learned positions."""
    return _bart(f, 2 * (f.count("max_position_embeddings") + OPT_OFFSET), 2)


def mbart(f: Fields) -> Dimensions:
    """Return an mBART: a BART with a last norm for each stack."""
    return bart(f) | {"final_norms": 4}


def m2m_100(f: Fields) -> Dimensions:
    """Return an M2M-100, NLLB or PEGASUS: positions are not learned."""
    return _bart(f, 0, 2)


def nllb_moe(f: Fields) -> Dimensions:
    """Return an NLLB mixture of experts: two of them for each token, on every n-th layer."""
    every = f.count("encoder_sparse_step", default=4)
    if every != f.count("decoder_sparse_step", default=4):
        f.refuse("encoder_sparse_step and decoder_sparse_step differ: not modelled")
    experts = {"experts": f.count("num_experts"), "topk": 2, "expert_ffn": f.count("decoder_ffn_dim")}
    return m2m_100(f) | experts | {"moe_every": every, "router_bias": f.flag("router_bias", False)}


def blenderbot(f: Fields) -> Dimensions:
    """Return a BlenderBot: learned positions."""
    return _bart(f, 2 * f.count("max_position_embeddings"), 2)


def bert(f: Fields) -> Dimensions:
    """Return a BERT or RoBERTa without its head for masked words, with the pooler."""
    hidden, positions = f.count("hidden_size"), f.count("max_position_embeddings")
    return {
        "arch": "encoder",
        "layers": f.count("num_hidden_layers"),
        "hidden": hidden,
        **heads(f, hidden),
        "ffn": f.count("intermediate_size"),
        "vocab": f.count("vocab_size"),
        "tied": True,
        "context": positions,
        "norm": "ln",
        "bias": "all",
        "learned_positions": positions + f.count("type_vocab_size", default=2, least=0),
        "extra_params": hidden * hidden + hidden,
    }
