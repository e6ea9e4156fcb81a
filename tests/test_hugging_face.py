"""Configurations of Hugging Face: each kind gives the model of the catalogue; nonsense is refused as a whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.hugging_face import LIMIT, TYPES, read
from workloads.model import Model, ModelError, find
from workloads.transformer import active_parameters, mtp_parameters, parameters


def llama(layers: int, hidden: int, heads: int, groups: int, ffn: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        **more,
    }


def bart(layers: int, hidden: int, heads: int, ffn: int, vocab: int, **more: Any) -> dict[str, Any]:
    sides = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", ffn))}  # fmt: skip
    return {"d_model": hidden, "vocab_size": vocab, "max_position_embeddings": 1024, **sides, **more}


def mla(heads: int, **more: Any) -> dict[str, Any]:
    common = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    return {"num_attention_heads": heads, "num_key_value_heads": heads, **common, **more}


GEMMA3_TEXT = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024}  # fmt: skip
SIGLIP = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14}  # fmt: skip
CLIP_L = {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768}  # fmt: skip
NANO = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
SUPER = "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME"
MAMBA = {"model_type": "nemotron_h", "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128, "conv_kernel": 4, "vocab_size": 131072, "n_shared_experts": 1}  # fmt: skip

# The dimensions of public config.json files, by the model of the catalogue that they must give.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama3-70b": {"model_type": "llama", **llama(80, 8192, 64, 8, 28672, 128256, max_position_embeddings=8192)},
    "llama3.2-1b": {"model_type": "llama", **llama(16, 2048, 32, 8, 8192, 128256, head_dim=64, tie_word_embeddings=True)},
    "llama2-7b": {"model_type": "llama", **{k: v for k, v in llama(32, 4096, 32, 0, 11008, 32000).items() if v}},
    "mistral-7b": {"model_type": "mistral", **llama(32, 4096, 32, 8, 14336, 32000, sliding_window=4096)},
    "mistral-large-2": {"model_type": "mistral", **llama(88, 12288, 96, 8, 28672, 32768, sliding_window=None, head_dim=128)},
    "mixtral-8x7b": {"model_type": "mixtral", **llama(32, 4096, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2)},
    "qwen2.5-7b": {"model_type": "qwen2", **llama(28, 3584, 28, 4, 18944, 152064, use_sliding_window=False, sliding_window=131072, max_window_layers=28)},
    "qwen3-8b": {"model_type": "qwen3", **llama(36, 4096, 32, 8, 12288, 151936, head_dim=128, attention_bias=False)},
    "qwen3-30b-a3b": {"model_type": "qwen3_moe", **llama(48, 2048, 32, 4, 6144, 151936, head_dim=128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768, decoder_sparse_step=1, mlp_only_layers=[])},
    "gemma-7b": {"model_type": "gemma", **llama(28, 3072, 16, 16, 24576, 256000, head_dim=256)},
    "gemma2-9b": {"model_type": "gemma2", **llama(42, 3584, 16, 8, 14336, 256000, head_dim=256, sliding_window=4096)},
    "gemma3-1b": {"model_type": "gemma3_text", **llama(26, 1152, 4, 1, 6912, 262144, head_dim=256, sliding_window=512, sliding_window_pattern=6)},
    "deepseek-llm-67b": {"model_type": "llama", **llama(95, 8192, 64, 8, 22016, 102400)},
    "deepseek-moe-16b": {"model_type": "deepseek", **llama(28, 2048, 16, 16, 10944, 102400, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1, moe_layer_freq=1)},
    "deepseek-v2-lite": {"model_type": "deepseek_v2", **llama(27, 2048, 16, 16, 10944, 102400, **mla(16, q_lora_rank=None), n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1, topk_method="greedy") | mla(16)},
    "deepseek-v3": {"model_type": "deepseek_v3", **(llama(61, 7168, 128, 128, 18432, 129280) | mla(128, q_lora_rank=1536)), "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "moe_layer_freq": 1, "topk_method": "noaux_tc", "num_nextn_predict_layers": 1},
    "kimi-k2": {"model_type": "kimi_k2", **(llama(61, 7168, 64, 64, 18432, 163840) | mla(64, q_lora_rank=1536)), "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "first_k_dense_replace": 1, "topk_method": "noaux_tc", "num_nextn_predict_layers": 0},
    "gpt-oss-120b": {"model_type": "gpt_oss", **llama(36, 2880, 64, 8, 2880, 201088, head_dim=64, attention_bias=True, num_local_experts=128, num_experts_per_tok=4, sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 18)},
    "grok-1": {"architectures": ["Grok1ModelForCausalLM"], **llama(64, 6144, 48, 8, 32768, 131072, num_experts=8, num_experts_per_tok=2)},
    "llama4-maverick": {"model_type": "llama4", "text_config": {**llama(48, 5120, 40, 8, 8192, 202048, head_dim=128), "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2, "attention_chunk_size": 8192, "num_local_experts": 128, "num_experts_per_tok": 1, "no_rope_layers": [1, 1, 1, 0] * 12, "moe_layers": list(range(1, 48, 2))}},
    "llama4-scout": {"model_type": "llama4", "text_config": {**llama(48, 5120, 40, 8, 8192, 202048, head_dim=128), "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 1, "attention_chunk_size": 8192, "num_local_experts": 16, "num_experts_per_tok": 1}},
    "nemotron4-340b": {"model_type": "nemotron", **llama(96, 18432, 96, 8, 73728, 256000)},
    "nemotron3-nano-30b-a3b": {**MAMBA, "hidden_size": 2688, "hybrid_override_pattern": NANO, "mamba_num_heads": 64, "n_routed_experts": 128, "num_experts_per_tok": 6, "moe_intermediate_size": 1856, "moe_shared_expert_intermediate_size": 3712},
    "nemotron3-super-120b-a12b": {**MAMBA, "hidden_size": 4096, "hybrid_override_pattern": SUPER, "mamba_num_heads": 128, "n_routed_experts": 512, "num_experts_per_tok": 22, "moe_intermediate_size": 2688, "moe_latent_size": 1024, "moe_shared_expert_intermediate_size": 5376, "num_nextn_predict_layers": 1, "mtp_hybrid_override_pattern": "*E"},
    "dbrx": {"model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352, "max_seq_len": 32768, "attn_config": {"kv_n_heads": 8}, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}},
    "gpt2-xl": {"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25, "vocab_size": 50257, "n_positions": 1024},
    "gpt-j-6b": {"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400, "n_positions": 2048, "n_inner": None, "tie_word_embeddings": False},
    "pythia-12b": {"model_type": "gpt_neox", "hidden_size": 5120, "num_hidden_layers": 36, "num_attention_heads": 40, "intermediate_size": 20480, "vocab_size": 50688, "max_position_embeddings": 2048},
    "opt-66b": {"model_type": "opt", "hidden_size": 9216, "num_hidden_layers": 64, "num_attention_heads": 72, "ffn_dim": 36864, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 9216, "do_layer_norm_before": True},
    "bloom-176b": {"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112, "vocab_size": 250880, "seq_length": 2048},
    "falcon-180b": {"model_type": "falcon", "hidden_size": 14848, "num_hidden_layers": 80, "num_attention_heads": 232, "num_kv_heads": 8, "new_decoder_architecture": True, "bias": False, "vocab_size": 65024},
    "mpt-7b": {"model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "expansion_ratio": 4, "max_seq_len": 2048, "vocab_size": 50432, "no_bias": True, "attn_config": {"alibi": True}},
    "t5-11b": {"model_type": "t5", "d_model": 1024, "d_kv": 128, "d_ff": 65536, "num_layers": 24, "num_heads": 128, "vocab_size": 32128, "n_positions": 512, "relative_attention_num_buckets": 32},
    "mt5-xl": {"model_type": "mt5", "d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32, "vocab_size": 250112, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "bart-large": {"model_type": "bart", **bart(12, 1024, 16, 4096, 50265)},
    "mbart-large-cc25": {"model_type": "mbart", **bart(12, 1024, 16, 4096, 250027)},
    "pegasus-large": {"model_type": "pegasus", **bart(16, 1024, 16, 4096, 96103)},
    "m2m100-1.2b": {"model_type": "m2m_100", **bart(24, 1024, 16, 8192, 128112)},
    "nllb-moe-54b": {"model_type": "nllb-moe", **bart(24, 2048, 16, 8192, 256206), "num_experts": 128, "encoder_sparse_step": 4, "decoder_sparse_step": 4, "router_bias": False},
    "blenderbot-400m-distill": {"model_type": "blenderbot", **bart(12, 1280, 32, 5120, 8008), "encoder_layers": 2, "max_position_embeddings": 128},
    "bert-large": {"model_type": "bert", **llama(24, 1024, 16, 16, 4096, 30522, max_position_embeddings=512, type_vocab_size=2)},
    "vit-l16": {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "patch_size": 16, "image_size": 224, "id2label": {str(i): f"LABEL_{i}" for i in range(1000)}},
    "llava-1.5-7b": {"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096}, "vision_config": CLIP_L},
    "llava-1.5-13b": {"model_type": "llava", "text_config": {"model_type": "llama", **llama(40, 5120, 40, 40, 13824, 32064)}, "vision_config": CLIP_L},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_public_configuration_gives_the_model_of_the_catalogue(name: str):
    model, known = read(json.dumps(CONFIGS[name]), "config.json"), find(name)
    assert parameters(model) == parameters(known)
    assert active_parameters(model) == active_parameters(known)
    assert mtp_parameters(model) == mtp_parameters(known)
    assert model.layer_kinds() == known.layer_kinds()
    assert model.encoder_kinds() == known.encoder_kinds()
    same = ("arch", "layers", "hidden", "heads", "kv_heads", "vocab", "tied", "norm", "gated", "experts", "topk")
    assert {key: getattr(model, key) for key in same} == {key: getattr(known, key) for key in same}


def test_two_towers_and_a_vision_tower_with_its_projector_are_counted():
    clip = {"model_type": "clip", "projection_dim": 768, "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}, "vision_config": CLIP_L | {"image_size": 224}}  # fmt: skip
    both = parameters(find("clip-vit-l14-vision")) + parameters(find("clip-l14-text"))
    assert parameters(read(json.dumps(clip), "clip")) == both + 1  # and the temperature of the loss
    gemma = {"model_type": "gemma3", "text_config": GEMMA3_TEXT, "vision_config": SIGLIP, "mm_tokens_per_image": 256}  # fmt: skip
    model = read(json.dumps(gemma), "gemma")
    assert model.vision is not None
    assert model.vision.tokens == 256
    # 4,300,079,472: total of the safetensors index of google/gemma-3-4b-pt
    assert parameters(model) == 4_300_079_472


BASE = CONFIGS["llama3-70b"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": None}, "'hidden_size' is missing"),
        ({"hidden_size": "8192"}, "hidden_size is '8192', wanted a whole number"),
        ({"hidden_size": 8192.0}, "wanted a whole number"),
        ({"hidden_size": True}, "wanted a whole number"),
        ({"hidden_size": [8192]}, "wanted a whole number"),
        ({"hidden_size": {}}, "wanted a whole number"),
        ({"hidden_size": -1}, "wanted 1 or more"),
        ({"hidden_size": 0}, "wanted 1 or more"),
        ({"hidden_size": 10**400}, "no model is that large"),
        ({"hidden_size": 8191}, "no multiple"),
        ({"num_key_value_heads": 7}, "kv_heads 7 must divide heads 64"),
        ({"num_hidden_layers": 10**9}, "layers"),
        ({"tie_word_embeddings": "yes"}, "wanted true or false"),
        ({"model_type": None}, "'model_type' is missing"),
        ({"model_type": 7}, "wanted a text"),
        ({"model_type": "lama"}, "nearest: llama"),
        ({"model_type": "x" * 10**5}, "is not known"),
        ({"model_type": "mixtral"}, "'num_local_experts' or 'num_experts' is missing"),
        ({"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3}, "topk 3"),
        ({"model_type": "deepseek_v3"}, "'kv_lora_rank' is missing"),
        ({"model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 1, "sliding_window": 8, "layer_types": ["full_attention"]}, "80 layers"),
        ({"model_type": "gemma2", "sliding_window": 8, "layer_types": 5}, "wanted a list"),
        ({"model_type": "gemma2", "sliding_window": 8, "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 78}, "every n-th"),
        ({"model_type": "llava", "text_config": [], "vision_config": {}}, "wanted an object"),
        ({"model_type": "llava", "text_config": {"model_type": "llava"}, "vision_config": {}}, "not known"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "MQ"}, "'Q'"),
        ({"model_type": "nemotron_h", "layers_block_type": ["mamba", "magic"]}, "magic"),
        ({"model_type": "vit", "image_size": 225, "patch_size": 16}, "no multiple"),
    ],
)  # fmt: skip
def test_a_nonsense_field_is_named(changes: dict[str, Any], said: str):
    with pytest.raises(ModelError) as caught:
        read(json.dumps(BASE | changes), "config.json")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_all_faults_are_told_at_once():
    broken = BASE | {"hidden_size": "x", "num_attention_heads": -3, "vocab_size": None, "intermediate_size": []}
    with pytest.raises(ModelError) as caught:
        read(json.dumps(broken), "config.json")
    words = " ".join(caught.value.faults)
    assert all(key in words for key in ("hidden_size", "num_attention_heads", "vocab_size", "intermediate_size"))
    assert len(set(caught.value.faults)) == len(caught.value.faults)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "null", "3", '"llama"', "{", '{"model_type": "llama"', '{"hidden_size": NaN}', '{"a": Infinity}',
     '{"model_type": "llama", "model_type": "llama"}', "[" * 10**5, '{"a":' * 10**5, '{"a": ' + "9" * 10**5 + "}", " " * (LIMIT + 1), "\x00", "\ud800"],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(text: str):
    with pytest.raises(ModelError):
        read(text, "config.json")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))
KEYS = sorted({key for config in CONFIGS.values() for key in config} - {"model_type"})


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(CONFIGS)), changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), kind=st.none() | st.sampled_from(sorted(TYPES)))  # fmt: skip
def test_any_change_gives_a_model_or_a_list_of_faults(name: str, changes: dict[str, Any], kind: str | None):
    config = CONFIGS[name] | changes | ({"model_type": kind} if kind else {})
    try:
        model = read(json.dumps(config), "config.json")
    except ModelError as error:
        assert error.faults
        assert all(error.faults)
        return
    assert isinstance(model, Model)
    assert 0 < active_parameters(model) <= parameters(model)
