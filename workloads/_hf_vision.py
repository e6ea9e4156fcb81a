"""Vision in Hugging Face configurations: ViT, the towers of CLIP and SigLIP, both towers of a CLIP.

Which fields a class has, and what they are if left out, is from the configuration classes of transformers
(https://github.com/huggingface/transformers, src/transformers/models/*/configuration_*.py).
"""

from workloads._hf_fields import Dimensions, Fields, heads, whole
from workloads.model import Vision

CLIP_TEXT = {
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
}
CLIP_VISION = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "patch_size": 32,
    "image_size": 224,
}
SIGLIP_VISION = CLIP_VISION | {"patch_size": 16}


def _patches(f: Fields, image: int, patch: int) -> int:
    return whole(f, image, patch, "image_size", "patch_size") ** 2


def vit(f: Fields) -> Dimensions:
    """Return a ViT: patches, a class token, and the head or the pooler that its architecture names."""
    hidden, patch = f.count("hidden_size"), f.count("patch_size")
    tokens = _patches(f, f.count("image_size"), patch) + 1
    labels = f.nested("id2label", needed=False).size or f.count("num_labels", default=2)
    classifies = any("Classification" in name for name in f.items("architectures", str))
    last = labels * (hidden + 1) if classifies else hidden * (hidden + 1)
    pixels = f.count("num_channels", default=3) * patch**2
    return {
        "arch": "vit",
        "layers": f.count("num_hidden_layers"),
        "hidden": hidden,
        **heads(f, hidden),
        "ffn": f.count("intermediate_size"),
        "vocab": 0,
        "context": tokens,
        "norm": "ln",
        "bias": "all" if f.flag("qkv_bias", True) else "mlp",
        "learned_positions": tokens,
        "extra_params": (pixels + 1) * hidden + hidden + last,
    }


def tower(f: Fields, projector: int = 0, *, merge: int = 1, siglip: bool = False) -> Vision:
    """Return the tower of CLIP, or of SigLIP: without class token and first norm, patches with a bias."""
    hidden, patch, image = f.count("hidden_size"), f.count("patch_size"), f.count("image_size")
    patches = _patches(f, image, patch)
    pixels = f.count("num_channels", default=3) * patch**2
    whole(f, hidden, f.count("num_attention_heads"), "hidden_size", "num_attention_heads")
    clip = pixels + 1 + (patches + 1) + 4  # patch embedding, class token, positions, norms before and after
    return Vision(
        layers=f.count("num_hidden_layers"),
        hidden=hidden,
        heads=f.count("num_attention_heads"),
        ffn=f.count("intermediate_size"),
        patch=patch,
        image=image,
        merge=merge,
        embedding_params=hidden * (pixels + 1 + patches + 2 if siglip else clip),
        projector_params=projector,
    )


def clip(f: Fields) -> Dimensions:
    """Return both towers of a CLIP: the one of text as the model, with the one of images."""
    text, image = f.nested("text_config", CLIP_TEXT), f.nested("vision_config", CLIP_VISION)
    common = f.count("projection_dim", default=512)
    hidden, positions = text.count("hidden_size"), text.count("max_position_embeddings")
    return {
        "arch": "encoder",
        "layers": text.count("num_hidden_layers"),
        "hidden": hidden,
        **heads(text, hidden),
        "ffn": text.count("intermediate_size"),
        "vocab": text.count("vocab_size"),
        "tied": True,
        "context": positions,
        "norm": "ln",
        "bias": "all",
        "learned_positions": positions,
        "extra_params": hidden * common + 1,
        "vision": tower(image, image.count("hidden_size") * common),
    }
