"""Decoders in the way of Llama, by the ``model_type`` of their Hugging Face configuration.

Which fields a class has, and what they mean, is from the configuration classes of transformers
(https://github.com/huggingface/transformers, src/transformers/models/*/configuration_*.py).
"""

from workloads._hf_fields import Dimensions, Fields, biases, heads, pattern, whole, window


def llama(f: Fields) -> Dimensions:
    """Return a Llama, and what others have in common with it: gated MLP, one RMS norm a part, no biases."""
    layers, hidden = f.count("num_hidden_layers"), f.count("hidden_size")
    return {
        "layers": layers,
        "hidden": hidden,
        "ffn": f.count("intermediate_size"),
        "vocab": f.count("vocab_size"),
        "context": f.count("max_position_embeddings", default=0, least=0),
        "gated": True,
        "tied": f.flag("tie_word_embeddings", False),
        **heads(f, hidden),
        **biases(f, layers, hidden),
    }


def mistral(f: Fields) -> Dimensions:
    """Return a Mistral: windows on all layers, if any."""
    found = llama(f)
    return found | window(f, found["layers"], usual={})


def phi3(f: Fields) -> Dimensions:
    """Return a Phi-3: one fused product for three and two, a window that may be as wide as the context."""
    found = mistral(f)
    if found.get("window", 0) >= found["context"] > 0:
        del found["window"]
    return found


def mixtral(f: Fields) -> Dimensions:
    """Return a Mixtral: all layers have experts."""
    return _all_experts(mistral(f), f, f.count("num_local_experts", "num_experts"))


def grok(f: Fields) -> Dimensions:
    """Return a Grok-1: four norms a layer, one embedding."""
    found = _all_experts(llama(f), f, f.count("num_experts", "num_local_experts"))
    return found | {"norms_per_layer": 4, "tied": f.flag("tie_word_embeddings", True)}


def _all_experts(found: Dimensions, f: Fields, experts: int) -> Dimensions:
    topk = f.count("num_experts_per_tok", "experts_per_token")
    return found | {"experts": experts, "topk": topk, "expert_ffn": found["ffn"], "ffn": 0}


def qwen2(f: Fields) -> Dimensions:
    """Return a Qwen2: biases of queries, keys and values; windows from some layer on are refused."""
    return llama(f) | {"bias": "qkv"} | _late_window(f)


def qwen3(f: Fields) -> Dimensions:
    """Return a Qwen3: norms of queries and keys, heads of their own width."""
    return llama(f) | {"qk_norm": True} | _late_window(f)


def _late_window(f: Fields) -> Dimensions:
    layers = f.count("num_hidden_layers")
    if not f.flag("use_sliding_window", False):
        return {}
    first = f.count("max_window_layers", default=layers, least=0)
    if f.has("layer_types") or first == 0:
        return window(f, layers, usual={})
    if first < layers:
        f.refuse(f"max_window_layers {first}: windows from some layer on are not modelled")
    return {}


def qwen3_moe(f: Fields) -> Dimensions:
    """Return a Qwen3 with experts."""
    return _qwen_experts(qwen3(f), f)


def qwen2_moe(f: Fields) -> Dimensions:
    """Return a Qwen2 with experts and a gated shared one."""
    found = _qwen_experts(qwen2(f), f)
    shared = f.count("shared_expert_intermediate_size", default=0, least=0)
    sparse = found["layers"] // found["moe_every"] if not found["dense_layers"] else found["layers"]
    gate = {"extra_params": found["hidden"] * (sparse - found["dense_layers"])}
    return found | ({"shared_experts": 1, "shared_ffn": shared} | gate if shared else {})


def _qwen_experts(found: Dimensions, f: Fields) -> Dimensions:
    dense = f.items("mlp_only_layers", int)
    every = f.count("decoder_sparse_step", default=1)
    if sorted(dense) != list(range(len(dense))) or (dense and every > 1):
        f.refuse(f"mlp_only_layers {dense!s:.60}: only the first layers may be dense")
    return found | {
        "experts": f.count("num_experts"),
        "topk": f.count("num_experts_per_tok"),
        "expert_ffn": f.count("moe_intermediate_size"),
        "dense_layers": len(dense),
        "moe_every": every,
        "ffn": found["ffn"] if dense or every > 1 else 0,
    }


def deepseek(f: Fields) -> Dimensions:
    """Return a DeepSeek mixture of experts with plain attention."""
    found = llama(f)
    if not f.has("n_routed_experts"):
        return found
    dense, every = f.count("first_k_dense_replace", default=0, least=0), f.count("moe_layer_freq", default=1)
    if every > 1 and dense:
        f.refuse(f"moe_layer_freq {every} with first_k_dense_replace {dense} is not modelled")
    expert, shared = f.count("moe_intermediate_size"), f.count("n_shared_experts", default=0, least=0)
    return found | {
        "experts": f.count("n_routed_experts"),
        "topk": f.count("num_experts_per_tok"),
        "expert_ffn": expert,
        "shared_experts": shared,
        "shared_ffn": shared * expert,
        "dense_layers": dense,
        "moe_every": every,
        "router_bias": f.text("topk_method") == "noaux_tc",
    }


def deepseek_latent(f: Fields) -> Dimensions:
    """Return a DeepSeek-V2, V3 or a Kimi K2: latent attention, layers of multi-token prediction."""
    nope, rope = f.count("qk_nope_head_dim"), f.count("qk_rope_head_dim")
    latent = {
        "q_lora_rank": f.count("q_lora_rank", default=0, least=0),
        "kv_lora_rank": f.count("kv_lora_rank"),
        "qk_nope_dim": nope,
        "qk_rope_dim": rope,
        "v_head_dim": f.count("v_head_dim"),
        "head_dim": nope + rope,
        "mtp_layers": f.count("num_nextn_predict_layers", default=0, least=0),
    }
    found = deepseek(f) | latent
    return found | {"kv_heads": found["heads"]}


def gpt_oss(f: Fields) -> Dimensions:
    """Return a GPT-OSS: biases everywhere, windows on every second layer, a sink a head."""
    found = _all_experts(llama(f), f, f.count("num_local_experts", "num_experts"))
    found |= window(f, found["layers"], usual={"window_every": 2})
    sinks = found["layers"] * found["heads"]
    return found | {"bias": "all", "router_bias": True, "extra_params": sinks}


def llama4(f: Fields) -> Dimensions:
    """Return the text part of a Llama 4: one expert a token and a shared one, chunks on most layers."""
    found = llama(f)
    layers = found["layers"]
    every = f.count("interleave_moe_layer_step", default=1, least=0)
    sparse = f.items("moe_layers", int)
    if sparse and (not every or sparse != list(range(every - 1, layers, every))):
        f.refuse(f"moe_layers {sparse!s:.60}: not every interleave_moe_layer_step-th layer")
    found |= {"ffn": f.count("intermediate_size_mlp"), **_chunks(f, layers)}
    if not every or (f.has("moe_layers") and not sparse):
        return found
    width = f.count("intermediate_size")
    return found | {
        "experts": f.count("num_local_experts"),
        "topk": f.count("num_experts_per_tok"),
        "expert_ffn": width,
        "shared_experts": 1,
        "shared_ffn": width,
        "moe_every": every,
    }


def _chunks(f: Fields, layers: int) -> Dimensions:
    """Return the chunks of attention: layers with rotary positions have them, three of four by default."""
    rotary = f.items("no_rope_layers", int)  # 1 on layers that do have them
    if rotary and len(rotary) != layers:
        f.refuse(f"no_rope_layers has {len(rotary)} entries for {layers} layers")
        rotary = []
    usual = pattern(f, [bool(one) for one in rotary]) if rotary else {"full_every": 4}
    found = window(f, layers, key="attention_chunk_size", usual=usual)
    return found | ({"window_chunked": True} if found else {})


def gemma(f: Fields) -> Dimensions:
    """Return a Gemma: one embedding."""
    return llama(f) | {"tied": f.flag("tie_word_embeddings", True)}


def gemma2(f: Fields) -> Dimensions:
    """Return a Gemma 2: four norms a layer, a window on every second layer."""
    found = gemma(f) | {"norms_per_layer": 4}
    return found | window(f, found["layers"], usual={"window_every": 2})


def gemma3(f: Fields) -> Dimensions:
    """Return the text part of a Gemma 3: five windowed layers to one, norms of queries and keys."""
    found = gemma(f) | {"norms_per_layer": 4, "qk_norm": True}
    step = f.count("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return found | window(f, found["layers"], usual={"full_every": step} if step > 1 else {})


def nemotron(f: Fields) -> Dimensions:
    """Return a Nemotron: LayerNorm, squared ReLU without a gate."""
    return llama(f) | {"norm": "ln", "gated": False}


def nemotron_h(f: Fields) -> Dimensions:
    """Return a Nemotron-H or Nemotron 3: a layer is Mamba-2, attention, an MLP or experts."""
    from workloads.model import Mamba

    marks = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    layout = f.text("hybrid_override_pattern") or _marks(f, "layers_block_type", marks)
    if not layout:
        f.refuse("'hybrid_override_pattern' or 'layers_block_type' is missing")
    if strange := set(layout) - set(marks.values()):
        f.refuse(f"hybrid_override_pattern has '{min(strange)}', wanted {', '.join(marks.values())}")
    depths = f.count("num_nextn_predict_layers", default=0, least=0)
    mtp = f.text("mtp_hybrid_override_pattern") or _marks(f, "mtp_layers_block_type", marks)
    for flag in ("use_bias", "mamba_proj_bias"):
        if f.flag(flag, False):
            f.refuse(f"{flag} true is not modelled")
    hidden = f.count("hidden_size")
    found: Dimensions = {
        "layers": len(layout) or 1,
        "hidden": hidden,
        "ffn": f.count("intermediate_size", default=0, least=0) if "-" in layout else 0,
        "vocab": f.count("vocab_size"),
        "context": f.count("max_position_embeddings", default=0, least=0),
        "tied": f.flag("tie_word_embeddings", False),
        "norms_per_layer": 1,
        "mtp_layers": depths,
        **heads(f, hidden),
    }
    found["mamba"] = Mamba(
        pattern=layout,
        state=f.count("ssm_state_size"),
        heads=f.count("mamba_num_heads"),
        head_dim=f.count("mamba_head_dim"),
        groups=f.count("n_groups"),
        conv=f.count("conv_kernel", default=4),
        mtp_pattern=mtp if depths else "",
    )
    return found | (_nemotron_experts(f) if "E" in layout else {})


def _nemotron_experts(f: Fields) -> Dimensions:
    shared = f.count("n_shared_experts", default=0, least=0)
    return {
        "experts": f.count("n_routed_experts"),
        "topk": f.count("num_experts_per_tok"),
        "expert_ffn": f.count("moe_intermediate_size"),
        "moe_latent": f.count("moe_latent_size", default=0, least=0),
        "shared_experts": shared,
        "shared_ffn": f.count("moe_shared_expert_intermediate_size") if shared else 0,
        "router_bias": True,
    }


def _marks(f: Fields, key: str, marks: dict[str, str]) -> str:
    kinds = f.items(key, str)
    strange = [kind for kind in kinds if kind not in marks]
    if strange:
        f.refuse(f"{key} has '{strange[0]:.40}', wanted {', '.join(marks)}")
    return "".join(marks.get(kind, "") for kind in kinds)


def dbrx(f: Fields) -> Dimensions:
    """Return a DBRX: experts on all layers, norms without bias."""
    attention, experts = f.nested("attn_config"), f.nested("ffn_config")
    hidden, count = f.count("d_model"), f.count("n_heads")
    return {
        "layers": f.count("n_layers"),
        "hidden": hidden,
        "heads": count,
        "kv_heads": attention.count("kv_n_heads", default=1),
        "head_dim": whole(f, hidden, count, "d_model", "n_heads"),
        "ffn": 0,
        "vocab": f.count("vocab_size"),
        "context": f.count("max_seq_len", default=0, least=0),
        "gated": True,
        "tied": f.flag("tie_word_embeddings", False),
        "experts": experts.count("moe_num_experts"),
        "topk": experts.count("moe_top_k"),
        "expert_ffn": experts.count("ffn_hidden_size"),
    }
