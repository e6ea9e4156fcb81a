"""Configurations of Hugging Face: each kind gives the model of the catalogue; nonsense is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.hugging_face import LIMIT, TYPES, read
from workloads.model import Model, ModelError, find
from workloads.transformer import active_parameters, mtp_parameters, parameters

# Dimensions of public config.json files, by the model of the catalogue that they must give.
CONFIGS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "hugging_face.json").read_text()
)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_public_configuration_gives_the_model_of_the_catalogue(name: str):
    model, known = read(json.dumps(CONFIGS[name]), "config.json"), find(name)
    assert parameters(model) == parameters(known)
    assert active_parameters(model) == active_parameters(known)
    assert mtp_parameters(model) == mtp_parameters(known)
    assert model.layer_kinds() == known.layer_kinds()
    assert model.encoder_kinds() == known.encoder_kinds()
    same = (
        "arch",
        "layers",
        "hidden",
        "heads",
        "kv_heads",
        "vocab",
        "tied",
        "norm",
        "gated",
        "experts",
        "topk",
    )
    assert {key: getattr(model, key) for key in same} == {key: getattr(known, key) for key in same}


def test_two_towers_and_a_vision_tower_with_its_projector_are_counted():
    towers = {
        "model_type": "clip",
        "projection_dim": 768,
        "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
        "vision_config": CONFIGS["llava-1.5-7b"]["vision_config"] | {"image_size": 224},
    }
    both = parameters(find("clip-vit-l14-vision")) + parameters(find("clip-l14-text"))
    assert parameters(read(json.dumps(towers), "clip")) == both + 1  # and the temperature of the loss


def test_what_a_nested_configuration_leaves_out_is_what_its_class_has():
    """The config.json of google/gemma-3-4b-pt, whose checkpoint holds 4,300,079,472 parameters."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    tower = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "patch_size": 14}
    tower |= {"num_attention_heads": 16, "num_hidden_layers": 27}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": tower, "mm_tokens_per_image": 256}
    model = read(json.dumps(config), "gemma")
    assert model.vision is not None
    assert model.vision.tokens == 256
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
        (
            {
                "model_type": "gpt_oss",
                "num_local_experts": 4,
                "num_experts_per_tok": 1,
                "sliding_window": 8,
                "layer_types": ["full_attention"],
            },
            "80 layers",
        ),
        ({"model_type": "gemma2", "sliding_window": 8, "layer_types": 5}, "wanted a list"),
        (
            {
                "model_type": "gemma2",
                "sliding_window": 8,
                "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 78,
            },
            "every n-th",
        ),
        ({"model_type": "llava", "text_config": [], "vision_config": {}}, "wanted an object"),
        ({"model_type": "llava", "text_config": {"model_type": "llava"}, "vision_config": {}}, "not known"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "MQ"}, "'Q'"),
        ({"model_type": "nemotron_h", "layers_block_type": ["mamba", "magic"]}, "magic"),
        ({"model_type": "vit", "image_size": 225, "patch_size": 16}, "no multiple"),
    ],
)
def test_a_nonsense_field_is_named(changes: dict[str, Any], said: str):
    with pytest.raises(ModelError) as caught:
        read(json.dumps(BASE | changes), "config.json")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_all_faults_are_told_at_once():
    broken = BASE | {
        "hidden_size": "x",
        "num_attention_heads": -3,
        "vocab_size": None,
        "intermediate_size": [],
    }
    with pytest.raises(ModelError) as caught:
        read(json.dumps(broken), "config.json")
    words = " ".join(caught.value.faults)
    assert all(
        key in words for key in ("hidden_size", "num_attention_heads", "vocab_size", "intermediate_size")
    )
    assert len(set(caught.value.faults)) == len(caught.value.faults)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "3",
        '"llama"',
        "{",
        '{"model_type": "llama"',
        '{"hidden_size": NaN}',
        '{"a": Infinity}',
        '{"model_type": "llama", "model_type": "llama"}',
        "[" * 10**5,
        '{"a":' * 10**5,
        '{"a": ' + "9" * 10**5 + "}",
        " " * (LIMIT + 1),
        "\x00",
        "\ud800",
    ],
)
def test_what_is_no_configuration_is_refused(text: str):
    with pytest.raises(ModelError):
        read(text, "config.json")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3)
)
KEYS = sorted({key for config in CONFIGS.values() for key in config} - {"model_type"})


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(CONFIGS)),
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    kind=st.none() | st.sampled_from(sorted(TYPES)),
)
def test_any_change_gives_a_model_or_a_list_of_faults(name: str, changes: dict[str, Any], kind: str | None):
    config = CONFIGS[name] | changes | ({"model_type": kind} if kind else {})
    try:
        model = read(json.dumps(config), "config.json")
    except ModelError as error:
        told = error.faults
    else:
        told = (
            ("",)
            if not isinstance(model, Model) or parameters(model) < active_parameters(model)
            else ("sound",)
        )
    assert told
    assert all(told)
