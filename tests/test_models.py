"""Models: every count of the catalogue to the last parameter, worked values, what must hold of any model."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import InputError, UsageError
from simulator.models import resolve
from tests.conftest import SHARED
from workloads import transformer
from workloads._model_files import parse
from workloads.model import LayerKind, Mamba, Model, ModelError, Vision, find, gpt, names

ALL = [find(name) for name in names()]
COUNTED = [model for model in ALL if model.counted_total]


def named(model: Model) -> str:
    return model.name


@pytest.mark.parametrize("model", COUNTED, ids=named)
def test_parameters_are_those_that_were_counted_elsewhere(model: Model):
    assert transformer.parameters(model) == model.counted_total
    assert transformer.active_parameters(model) == (model.counted_active or model.counted_total)


@pytest.mark.parametrize("model", ALL, ids=named)
def test_parameters_are_within_two_percent_of_what_was_published_or_a_reason_is_given(model: Model):
    assert model.source
    assert model.checked in ("read", "part")
    ratio = transformer.parameters(model) / model.published_total
    assert (abs(ratio - 1) <= 0.02) == model.verdict.startswith("ok"), (ratio, model.verdict)
    active = transformer.active_parameters(model)
    if model.published_active and "active label" not in model.verdict:
        beside = model.vocab * model.hidden if "without input embedding" in model.verdict else 0
        tolerance = 0.022 if model.name == "deepseek-v2-lite" else 0.02  # its label has two digits: 2.4B
        assert (active - beside) / model.published_active == pytest.approx(1, abs=tolerance)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the table that the catalogue was made of is not here")
def test_every_row_of_the_table_of_models_is_in_the_catalogue():
    with (SHARED / "models.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 129
    for row in rows:
        model = find(row["id"])
        assert transformer.parameters(model) == int(row["computed_total"]), row["id"]
        assert transformer.active_parameters(model) == int(row["computed_active"]), row["id"]
        assert model.layers == int(row["dec_layers"] or row["layers"])
        assert model.moe_layers == int(row["moe_layers"] or 0)
        assert row["source"] == model.source


def test_worked_parameters():
    """Values 11.1, 11.2, 11.8, 11.9 and 11.10 of the project's formula page, from the papers named there."""
    assert transformer.parameters(find("llama3-70b")) == 70_553_706_496
    assert transformer.parameters(find("transformer-base")) == 63_045_632
    mixtral = find("mixtral-8x7b")
    assert transformer.parameters(mixtral) == 46_702_792_704
    assert transformer.active_parameters(mixtral) == 12_879_925_248
    deepseek = find("deepseek-v3")
    norms = deepseek.q_lora_rank + deepseek.kv_lora_rank
    assert (
        transformer.layer_parameters(deepseek, deepseek.layer_kinds()[0]).attention - norms
        == 187_107_328 - norms
    )
    assert transformer.parameters(deepseek) == 671_026_419_200
    assert transformer.parameters(find("vit-b16")) == 86_567_656


def test_a_checkpoint_with_multi_token_prediction():
    """NVIDIA-Nemotron-3-Super-120B-A12B-BF16: 2,942,324,736 for prediction, and its routing bias."""
    model = find("nemotron3-super-120b-a12b")
    assert transformer.mtp_parameters(model) == 2_942_324_736 + model.experts
    assert transformer.parameters(model) + transformer.mtp_parameters(model) == 123_611_033_088
    deepseek = find("deepseek-v3")  # "14B of the MTP module", with the embedding and the head that it shares
    shared = transformer.embedding_parameters(deepseek) + transformer.head_parameters(deepseek)
    assert transformer.mtp_parameters(deepseek) + shared == pytest.approx(14e9, rel=0.05)


def test_flops_of_an_iteration_as_narayanan_counts_them():
    """Value 11.3, arXiv:2104.04473: 96 B s L h^2 (1 + s/6h + V/16Lh), layers computed twice forward."""
    model = gpt("gpt3", layers=96, hidden=12288, heads=96, vocab=51200, context=2048)
    forward = transformer.forward_flops(model, 2048, causal=False)
    head = forward.pop("head")
    assert 1536 * (4 * sum(forward.values()) + 3 * head) == pytest.approx(4.510970753e18, rel=1e-9)


def test_flops_per_token_as_palm_counts_them():
    """Value 11.4, arXiv:2204.02311: 6N + 12 L h s; half of the attention if causal."""
    model = find("llama3-70b")
    assert transformer.flops_per_token(model, 8192, causal=False) == 487_746_748_416
    half = 6 * transformer.parameters(model) + 6 * 80 * 8192 * 8192
    assert transformer.flops_per_token(model, 8192) == pytest.approx(half, rel=1e-4)


def test_flops_of_cross_attention():
    """Value 11.5: 4 t h^2 + 4 s h^2 + 4 s t h."""
    model = find("t5-large")  # h = 1024
    one = transformer.layer_flops(model, model.layer_kinds()[0], 128, source_len=512)
    assert one["cross"] == 2_952_790_016


@pytest.mark.parametrize(
    ("name", "bytes_"), [("deepseek-v3", 70_272), ("llama3.1-405b", 516_096), ("qwen2.5-72b", 327_680)]
)
def test_bytes_of_keys_and_values(name: str, bytes_: int):
    """Value 11.6, published in table 1 of arXiv:2505.09343."""
    assert transformer.kv_bytes_per_token(find(name)) == bytes_


def test_tokens_of_an_image():
    """Value 11.7: 336 pixels in patches of 14; 2 x 2 patches are merged in Qwen2-VL."""
    assert find("llava-1.5-7b").vision.tokens == 576  # type: ignore[union-attr]
    assert find("qwen2-vl-7b").vision.tokens == 448**2 // 784  # type: ignore[union-attr]


def pattern(model: Model, what: str) -> str:
    return "".join("x" if getattr(kind, what) else "." for kind in model.layer_kinds())


def test_which_layers_are_windowed_or_have_experts():
    assert pattern(find("gpt-oss-20b"), "window") == "x." * 12
    assert pattern(find("gemma2-9b"), "window") == "x." * 21
    assert pattern(find("gemma3-4b"), "window") == ("xxxxx." * 6)[:34]
    assert pattern(find("llama4-scout"), "chunked") == "xxx." * 12
    assert pattern(find("mistral-7b"), "window") == "x" * 32
    assert {kind.window for kind in find("llama3-8b").layer_kinds()} == {0}
    mixed = ("deepseek-v3", "llama4-maverick", "nllb-moe-54b")
    sparse = {name: "".join(kind.ffn[0] for kind in find(name).layer_kinds()) for name in mixed}
    assert sparse == {
        "deepseek-v3": "ddd" + "m" * 58,
        "llama4-maverick": "dm" * 24,
        "nllb-moe-54b": "dddm" * 6,
    }
    assert [kind.ffn for kind in find("nllb-moe-54b").encoder_kinds()].count("moe") == 6
    hybrid = find("nemotron-h-56b")
    assert [k.mixer for k in hybrid.layer_kinds()].count("attention") == hybrid.mamba.attention_layers == 10  # type: ignore[union-attr]


def seen(kind: LayerKind, length: int) -> float:
    """Return the keys that a query sees, counted one by one."""
    pairs = 0
    for query in range(length):
        for key in range(length):
            ahead = kind.causal and key > query
            far = kind.window and query - key >= kind.window
            other = kind.window and key // kind.window != query // kind.window
            pairs += not ahead and not (other if kind.chunked else far)
    return pairs / length


@settings(deadline=None)
@given(length=st.integers(1, 40), window=st.integers(0, 45), chunked=st.booleans())
def test_keys_that_a_query_sees_are_those_of_the_mask(length: int, window: int, chunked: bool):
    kind = LayerKind(mixer="attention", ffn="dense", window=window, chunked=chunked and window > 0)
    assert transformer.seen_keys(kind, length) == pytest.approx(seen(kind, length))


WIDTHS = st.integers(1, 64)
LATENT = ("kv_lora_rank", "q_lora_rank", "qk_nope_dim", "qk_rope_dim", "v_head_dim")


@st.composite
def models(draw: st.DrawFn) -> Model:
    groups, per, experts = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from([0, 0, 1, 8])),
    )
    arch = draw(st.sampled_from(["decoder", "encoder", "encdec"]))
    layers = draw(st.integers(1, 9))
    fields: dict[str, Any] = {
        "encoder_layers": draw(st.integers(1, 5)) if arch == "encdec" else 0,
        "gated": draw(st.booleans()),
        "tied": draw(st.booleans()),
        "bias": draw(st.sampled_from(["none", "all", "qkv", "mlp"])),
        "norm": draw(st.sampled_from(["rms", "ln"])),
        "qk_norm": draw(st.booleans()),
        "extra_params": draw(WIDTHS),
        "mtp_layers": draw(st.integers(0, 2)),
    }
    if experts:
        shared = draw(st.integers(0, 2))
        fields |= {
            "experts": experts,
            "topk": draw(st.integers(1, experts)),
            "expert_ffn": draw(WIDTHS),
            "shared_experts": shared,
            "shared_ffn": 3 * shared,
            "dense_layers": draw(st.integers(0, layers - 1)),
            "moe_latent": draw(st.sampled_from([0, 5])),
        }
    if draw(st.booleans()) and arch == "decoder":
        fields |= {
            "kv_lora_rank": draw(WIDTHS),
            "q_lora_rank": draw(st.integers(0, 9)),
            "qk_nope_dim": 4,
            "qk_rope_dim": 2,
            "v_head_dim": 4,
        }
    elif draw(st.booleans()) and arch == "decoder":
        fields |= {"window": draw(WIDTHS), "window_every": draw(st.integers(1, 3))}
    return Model(
        name="any",
        arch=arch,
        layers=layers,
        hidden=draw(WIDTHS),
        heads=groups * per,
        kv_heads=groups,
        head_dim=draw(WIDTHS),
        ffn=draw(WIDTHS),
        vocab=draw(WIDTHS),
        context=64,
        **fields,
    )


@settings(deadline=None)
@given(model=models())
def test_parts_add_up_and_a_token_meets_no_more_than_there_is(model: Model):
    layers = [
        transformer.layer_parameters(model, kind) for kind in (*model.encoder_kinds(), *model.layer_kinds())
    ]
    norm = model.hidden * (2 if model.norm == "ln" else 1)
    around = (
        transformer.embedding_parameters(model)
        + transformer.head_parameters(model)
        + model.final_norms * norm
    )
    assert transformer.parameters(model) == sum(one.total for one in layers) + around + model.extra_params
    assert (
        transformer.active_parameters(model)
        == sum(one.active for one in layers) + around + model.extra_params
    )
    assert 0 < transformer.active_parameters(model) <= transformer.parameters(model)
    deeper = model.replace(layers=model.layers + 1)
    one = transformer.layer_parameters(deeper, deeper.layer_kinds()[-1])
    assert transformer.parameters(deeper) - transformer.parameters(model) == one.total


@settings(deadline=None)
@given(model=models(), length=st.integers(1, 50))
def test_every_weight_of_a_matrix_is_multiplied_once_for_each_token(model: Model, length: int):
    """Without biases and norms, forward FLOPs beside the attention core are 2 N tokens."""
    plain = {"bias": "none", "qk_norm": False, "extra_params": 0, "arch": "decoder", "encoder_layers": 0}
    model = model.replace(**plain | dict.fromkeys(LATENT, 0))
    forward = transformer.forward_flops(model, length)
    core = forward.pop("attention core")
    layers = [transformer.layer_parameters(model, kind) for kind in model.layer_kinds()]
    weights = sum(one.active - one.norms for one in layers)
    assert sum(forward.values()) == pytest.approx(2 * length * (weights + model.vocab * model.hidden))
    assert core <= 4 * length * length * model.layers * model.heads * model.head_dim
    assert transformer.training_flops(model, length) == pytest.approx(3 * (sum(forward.values()) + core))
    assert transformer.training_flops(model, length, mtp=True) >= transformer.training_flops(model, length)


@settings(deadline=None)
@given(model=models(), length=st.integers(1, 200))
def test_the_cache_grows_by_a_token_until_the_windows_are_full(model: Model, length: int):
    source = 7 if model.arch == "encdec" else 0
    before, after = (transformer.kv_cache_bytes(model, n, source_len=source) for n in (length, length + 1))
    assert 0 <= after - before <= transformer.kv_bytes_per_token(model)
    if not model.window or length < model.window:
        assert after - before == transformer.kv_bytes_per_token(model)
    assert transformer.kv_cache_bytes(model, length, 1, source_len=source) == before / 2
    cross = 2 * model.layers * model.kv_heads * model.head_dim * source * 2
    assert transformer.kv_cache_bytes(model, 0, source_len=source) == (cross if model.arch == "encdec" else 0)


def test_a_hybrid_keeps_keys_of_few_layers_and_a_state_of_the_others():
    model = find("nemotron-h-8b")
    assert transformer.kv_bytes_per_token(model) == 2 * 2 * 4 * 8 * 128
    state = 24 * (128 * 64 * 128 + 3 * (128 * 64 + 2 * 8 * 128)) * 2
    assert transformer.kv_cache_bytes(model, 1000) - transformer.kv_cache_bytes(model, 0) == 4_096_000 * 4
    assert transformer.kv_cache_bytes(model, 0) == state


def test_images_cost_the_tower_and_what_cannot_be_counted_is_refused():
    llava, text = find("llava-1.5-7b"), find("llama2-7b")
    plain, seen = (sum(transformer.forward_flops(llava, 600, images=n).values()) for n in (0, 1))
    tower = 2 * 576 * (303_507_456 - 577 * 1024)  # each weight but positions once a patch, to first order
    assert seen - plain == pytest.approx(tower + 2 * 576 * 20_979_712, rel=0.1)
    with pytest.raises(ValueError, match="has no vision tower"):
        transformer.forward_flops(text, 600, images=1)
    with pytest.raises(ValueError, match="needs source_len"):
        transformer.forward_flops(find("t5-small"), 600)
    with pytest.raises(ValueError, match="has no encoder"):
        transformer.forward_flops(text, 600, source_len=1)
    with pytest.raises(ValueError, match="two kinds of tokens"):
        transformer.flops_per_token(find("t5-small"), 600)


GOOD: dict[str, Any] = {
    "name": "x",
    "layers": 4,
    "hidden": 64,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "ffn": 128,
    "vocab": 100,
    "context": 32,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 0},
        {"layers": -1},
        {"layers": 2.0},
        {"layers": "4"},
        {"layers": True},
        {"layers": math.nan},
        {"layers": 10**9},
        {"hidden": 10**30},
        {"heads": 0},
        {"kv_heads": 3},
        {"ffn": 0},
        {"vocab": 0},
        {"gated": 1},
        {"norm": "batch"},
        {"bias": None},
        {"arch": "encdec"},
        {"encoder_layers": 2},
        {"topk": 2},
        {"experts": 4},
        {"experts": 4, "topk": 5, "expert_ffn": 1},
        {"experts": 4, "topk": 1, "expert_ffn": 8, "dense_layers": 4},
        {"experts": 4, "topk": 1, "expert_ffn": 8, "shared_experts": 1},
        {"q_lora_rank": 3},
        {"kv_lora_rank": 3},
        {"window_chunked": True},
        {"full_every": 2},
        {"notes": 3},
        {"vision": Vision(layers=1, hidden=3, heads=2, ffn=1, patch=14, image=7)},
        {"mamba": Mamba(pattern="M*", state=1, heads=1, head_dim=1, groups=1)},
        {"mamba": Mamba(pattern="M*MZ", state=1, heads=1, head_dim=1, groups=1)},
        {"mamba": Mamba(pattern="MEME", state=1, heads=1, head_dim=1, groups=1)},
        {"mamba": Mamba(pattern="MMMM", state=1, heads=3, head_dim=1, groups=2)},
    ],
)
def test_dimensions_that_no_model_can_have_are_refused_and_named(changes: dict[str, Any]):
    Model(**GOOD)
    with pytest.raises(ModelError) as caught:
        Model(**GOOD | changes)
    assert caught.value.faults
    assert "'x'" in str(caught.value)


def test_several_faults_are_told_together_and_a_change_is_checked():
    with pytest.raises(ModelError) as caught:
        Model(**GOOD | {"layers": 0, "hidden": -3, "norm": "none"})
    assert len(caught.value.faults) == 3
    with pytest.raises(ModelError):
        find("llama3-70b").replace(kv_heads=5)
    assert transformer.parameters(find("llama3-70b").replace(layers=8)) < 10e9


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="llama3-70b"):
        find("llama3-70")
    with pytest.raises(UsageError) as caught:
        resolve("lama3-70b", where="--model")
    assert "llama3-70b" in caught.value.hint
    assert caught.value.where == "--model"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nlayers = 1\nhidden = 2", "'heads' is missing"),
        ("layers = 1\ncolour = 'red'", "unknown key 'colour'"),
        ("kv_head = 1", "did you mean 'kv_heads'"),
        ("mamba = 3", "is no table"),
        ("[m]\n[m.vision]\nlayers = 3", "'vision.hidden' is missing"),
        ("layers = 'x", "not valid TOML"),
    ],
)
def test_a_file_of_our_own_with_faults(tmp_path: Path, text: str, said: str):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        resolve(str(file))
    assert said in " ".join([caught.value.message, *caught.value.details])


def test_a_file_of_our_own(tmp_path: Path):
    file = tmp_path / "mine.toml"
    row = "\n".join(f"{key} = {value}" for key, value in GOOD.items() if key != "name")
    file.write_text(row)
    assert resolve(str(file)).replace(name="x", source="", checked="") == Model(**GOOD)
    file.write_text(f"[mine]\n{row}")
    assert resolve(str(file)).name == "mine"
    with pytest.raises(ValueError, match="no source"):
        parse(file.read_text())


def test_show_model_adds_up(commsim):
    row = commsim("show", "model", "deepseek-v3", "--seq-len", 4096, "--json").result["rows"][0]
    assert sum(part["parameters"] for part in row["parts"]) == row["parameters"] == 671_026_419_200
    assert sum(part["active"] for part in row["parts"]) == row["active_parameters"]
    assert row["training_flops"] == pytest.approx(3 * sum(row["forward_flops"].values()))
    assert row["kv_cache_bytes"] == 4096 * row["kv_bytes_per_token"] == 4096 * 70_272
    kept = row["activation_bytes"]
    assert kept["unfused"] > kept["flash"] > kept["full_recompute"] == 2 * 4096 * 7168 * 61
    assert row["mtp_parameters"] > 0


@pytest.mark.parametrize(
    "model", [*ALL[::9], find("t5-small"), find("vit-b16"), find("nemotron-h-8b")], ids=named
)
def test_every_kind_of_model_is_shown(commsim, model: Model):
    shown = commsim("show", "model", model.name)
    assert shown.status == 0
    assert f"{transformer.parameters(model):,}" in shown.stdout
    if not model.verdict.startswith("ok"):
        assert model.verdict in shown.stdout


def test_a_configuration_is_shown_and_its_faults_are_told(commsim, tmp_path: Path):
    file = tmp_path / "config.json"
    sizes = {"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}
    file.write_text(json.dumps({"model_type": "gpt2", **sizes}))
    row = commsim("show", "model", file, "--json").result["rows"][0]
    assert row["parameters"] == 124_439_808
    file.write_text('{"model_type": "gpt2", "n_embd": "768", "n_layer": -1}')
    failed = commsim("show", "model", file, "--json")
    assert failed.status == 5
    told = [failed.error["message"], *failed.error["details"]]
    assert all(
        any(key in line for line in told)
        for key in ("n_embd", "n_layer", "n_head", "vocab_size", "n_positions")
    )
    assert commsim("show", "model", tmp_path / "none.json").status == 5
    assert commsim("show", "model", "gpt5").status == 2
    assert commsim("show", "model", "gpt2-xl", "--gpus", 8).status == 2
    assert commsim("show", "gpu", "h100-sxm", "--seq-len", 8).status == 2
    assert commsim("show", "model", "gpt2-xl", "--seq-len", 0).status == 2
    assert "context" in commsim("show", "model", "gpt2-xl", "--seq-len", 2048).stderr
