"""A model from the ``config.json`` of a Hugging Face repository."""

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from workloads import _hf_classics as classics
from workloads import _hf_decoders as decoders
from workloads import _hf_vision as vision
from workloads._hf_fields import Dimensions, Fields
from workloads.model import Model, ModelError

LIMIT = 8 * 2**20  # characters; the largest public files, with names of thousands of labels, are far below

LLAMA = {  # what a configuration inside another one leaves out
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
GEMMA3 = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}


def _gemma3(f: Fields) -> Dimensions:
    """Return a Gemma 3 with its vision tower, if it has one."""
    text = f.nested("text_config", GEMMA3)
    found = decoders.gemma3(text)
    if not f.has("vision_config"):
        return found
    image = f.nested("vision_config", vision.SIGLIP_VISION)
    wide = image.count("hidden_size")
    seen = vision.tower(image, siglip=True)
    merge = max(seen.tokens // f.count("mm_tokens_per_image", default=256), 1)
    projector = wide * found["hidden"] + wide
    return found | {"vision": vision.tower(image, projector, merge=merge, siglip=True)}


def _llava(f: Fields) -> Dimensions:
    """Return a LLaVA: CLIP, two products, and the language model inside."""
    kind = f.nested("text_config").text("model_type", "llama")
    text = f.nested("text_config", LLAMA if kind == "llama" else None)
    read_text = TYPES.get(kind)
    if read_text is None or kind in _WHOLES:
        f.refuse(f"text_config.model_type '{kind:.40}' is not known")
        return {}
    found, image = read_text(text), f.nested("vision_config", vision.CLIP_VISION)
    if image.text("model_type", "clip_vision_model") != "clip_vision_model":
        f.refuse("vision_config.model_type must be clip_vision_model")
    hidden = found["hidden"]
    projector = (image.count("hidden_size") + 1) * hidden + (hidden + 1) * hidden
    return found | {"vision": vision.tower(image, projector)}


def _llama4(f: Fields) -> Dimensions:
    """Return the text part of a Llama 4; the vision tower is left out."""
    return decoders.llama4(f.nested("text_config"))


_WHOLES = ("clip", "gemma3", "llava", "llama4")  # made of several configurations
TYPES: Mapping[str, Callable[[Fields], Dimensions]] = {
    "bart": classics.bart,
    "bert": classics.bert,
    "blenderbot": classics.blenderbot,
    "blenderbot-small": classics.blenderbot,
    "bloom": classics.bloom,
    "clip": vision.clip,
    "dbrx": decoders.dbrx,
    "deepseek": decoders.deepseek,
    "deepseek_v2": decoders.deepseek_latent,
    "deepseek_v3": decoders.deepseek_latent,
    "falcon": classics.falcon,
    "gemma": decoders.gemma,
    "gemma2": decoders.gemma2,
    "gemma3": _gemma3,
    "gemma3_text": decoders.gemma3,
    "gpt2": classics.gpt2,
    "gpt_neox": classics.gpt_neox,
    "gpt_oss": decoders.gpt_oss,
    "gptj": classics.gptj,
    "grok": decoders.grok,
    "grok-1": decoders.grok,
    "kimi_k2": decoders.deepseek_latent,
    "llama": decoders.llama,
    "llama4": _llama4,
    "llama4_text": decoders.llama4,
    "llava": _llava,
    "m2m_100": classics.m2m_100,
    "mbart": classics.mbart,
    "mistral": decoders.mistral,
    "mixtral": decoders.mixtral,
    "mpt": classics.mpt,
    "mt5": classics.t5,
    "nemotron": decoders.nemotron,
    "nemotron_h": decoders.nemotron_h,
    "nllb-moe": classics.nllb_moe,
    "opt": classics.opt,
    "pegasus": classics.m2m_100,
    "phi3": decoders.phi3,
    "qwen2": decoders.qwen2,
    "qwen2_moe": decoders.qwen2_moe,
    "qwen3": decoders.qwen3,
    "qwen3_moe": decoders.qwen3_moe,
    "roberta": classics.bert,
    "t5": classics.t5,
    "vit": vision.vit,
}


def read(text: str, name: str) -> Model:
    """Return the model that a configuration describes.

    Parameters
    ----------
    text : str
        The ``config.json``.
    name : str
        What the model shall be called, and its file in messages.

    Raises
    ------
    ModelError
        Not JSON, a ``model_type`` that nobody knows, missing or nonsensical fields, dimensions that do not
        fit each other; all faults are named. It is a `ValueError`.
    """
    values = _parse(text, name)
    faults: list[str] = []
    kind = _kind(values, faults)
    dimensions = TYPES[kind](Fields(values, faults)) if kind else {}
    if faults:
        raise ModelError(name, list(dict.fromkeys(faults)))
    return Model(name=name, family=kind, source=name, checked="read", **dimensions)


def _parse(text: str, name: str) -> Mapping[str, Any]:
    if len(text) > LIMIT:
        raise ModelError(name, [f"is larger than {LIMIT // 2**20} MiB, no config.json is"])
    try:
        values = json.loads(text, parse_constant=_no_number, object_pairs_hook=_unique)
    except RecursionError:
        raise ModelError(name, ["is nested too deeply"]) from None
    except ValueError as error:
        raise ModelError(name, [f"is not valid JSON: {error}"]) from None
    if not isinstance(values, dict):
        raise ModelError(name, ["is not a JSON object, as a config.json is"])
    return values


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number that JSON knows")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"'{twice:.60}' appears twice in one object")
    return found


def _kind(values: Mapping[str, Any], faults: list[str]) -> str:
    kind, classes = values.get("model_type"), values.get("architectures")
    if kind is None and isinstance(classes, list) and classes and isinstance(classes[0], str):
        plain = re.sub(r"(Model)?(For[A-Z]\w*)?$", "", classes[0]).lower()
        kind = next((one for one in TYPES if re.sub(r"\W|_", "", one) == plain), None)
    if kind is None:
        faults.append("'model_type' is missing")
    elif not isinstance(kind, str):
        faults.append(f"model_type is {kind!r:.60}, wanted a text")
    elif kind in TYPES:
        return kind
    else:
        near = get_close_matches(kind, list(TYPES), n=3, cutoff=0.5)
        known = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(TYPES)}"
        faults.append(f"model_type '{kind:.60}' is not known, {known}")
    return ""
