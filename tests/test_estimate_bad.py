"""Bad command lines of ``estimate``, ``explain`` and ``compare`` are refused in one line that names the input."""

import json

import pytest

LLAMA = "--model llama2-7b --fabric dgx-h100-ib400 --seq-len 2048 --gbs 16"
MIXTRAL = "--model mixtral-8x7b --fabric dgx-h100-ib400 --seq-len 2048 --gbs 96"
LARGE = "--model llama3-70b --fabric dgx-h100-ib400 --seq-len 4096"
ROW = {
    "step_s", "low_s", "high_s", "tokens_per_s_per_gpu", "mfu", "hfu", "memory_bytes_per_gpu", "fits",
    "breakdown_s", "communication_bytes", "cost_usd", "energy_J", "fidelity", "messages", "basis",
}  # fmt: skip
PARTS = {
    "compute", "exposed_tensor", "exposed_pipeline", "exposed_data", "exposed_context", "exposed_expert",
    "bubble", "optimizer", "other",
}  # fmt: skip
# Options, what the first line must hold, and what the lines after it must hold.
USAGE = {
    "gpus tp": (f"{LLAMA} --gpus 16 --tp 3", "16 GPUs cannot be tp 3 x pp 1 x cp 1 x dp n", "--gpus 15, 18"),
    "gpus dp": (f"{LLAMA} --gpus 16 --tp 2 --dp 4", "16 GPUs cannot be tp 2 x pp 1 x cp 1 x dp 4", "--dp 8"),
    "gpus pp": (f"{LLAMA} --gpus 96 --tp 8 --pp 5", "96 GPUs cannot be tp 8 x pp 5", "--pp 4 (dp 3)"),
    "too few gpus": (f"{LLAMA} --gpus 8 --tp 8 --pp 2", "8 GPUs cannot be tp 8 x pp 2", "--gpus 16"),
    "layers": (
        f"{LLAMA} --gpus 15 --gbs 15 --pp 3",
        "--pp 3: 32 layers do not divide",
        "--stage-layers 11,11,10",
    ),
    "chunks": (
        f"{LLAMA} --gpus 16 --pp 4 --vpp 3",
        "32 layers do not divide over 4 stages of 3",
        "--stage-layers",
    ),
    "stages": (f"{LLAMA} --gpus 64 --pp 64", "--pp 64: 32 layers do not divide", ""),
    "stage sum": (f"{LLAMA} --gpus 12 --pp 3 --stage-layers 9,9,9", "--stage-layers 9,9,9", "11,11,10"),
    "stage count": (f"{LLAMA} --gpus 12 --pp 3 --stage-layers 16,16", "--stage-layers 16,16", "11,11,10"),
    "stage -1": (f"{LLAMA} --gpus 12 --pp 3 --stage-layers=-1,16,17", "--stage-layers: '-1'", ""),
    "stage text": (f"{LLAMA} --gpus 12 --pp 3 --stage-layers a,b,c", "--stage-layers: 'a'", ""),
    "ep dp": (f"{MIXTRAL} --gpus 16 --tp 4 --ep 8", "--ep 8: must divide dp x cp = 4", "--ep 4"),
    "ep experts": (f"{MIXTRAL} --gpus 48 --ep 3", "--ep 3: does not divide the 8 experts", "--ep 4"),
    "no experts": (f"{LLAMA} --gpus 16 --ep 2", "--ep 2: llama2-7b has no experts", "--ep"),
    "batch": (f"{LLAMA} --gpus 16 --gbs 17", "--gbs 17 is not mbs 1 x dp 16", "--gbs 16 or 32"),
    "batch mbs": (f"{LLAMA} --gpus 16 --tp 2 --mbs 3", "--gbs 16 is not mbs 3 x dp 8", "--gbs 24"),
    "small batch": (f"{LLAMA} --gpus 16 --gbs 8", "--gbs 8 is not mbs 1 x dp 16", "--gbs 16"),
    "model": (f"{LLAMA} --gpus 16 --model llama2-7", "unknown model 'llama2-7'", "llama2-7b"),
    "empty model": (f"{LLAMA} --gpus 16 --model=", "--model: is empty", ""),
    "fabric": (f"{LLAMA} --gpus 16 --fabric dgx-h10", "unknown fabric 'dgx-h10'", "dgx-h100"),
    "gpu": (f"{LLAMA} --gpus 16 --gpu h100-sxn", "unknown gpu 'h100-sxn'", "h100-sxm5"),
    "schedule": (f"{LLAMA} --gpus 16 --schedule 1f1c", "--schedule: unknown schedule '1f1c'", "1f1b"),
    "strategy": (f"{LLAMA} --gpus 16 --strategy zero4", "--strategy: unknown strategy 'zero4'", "zero3"),
    "zero": (f"{LLAMA} --gpus 16 --zero 4", "--zero: '4'", ""),
    "two strategies": (f"{LLAMA} --gpus 16 --zero 3 --strategy ddp", "--zero 3 is zero3", "--strategy zero3"),
    "precision": (f"{LLAMA} --gpus 16 --precision bf61", "--precision: unknown precision 'bf61'", "bf16"),
    "recompute": (f"{LLAMA} --gpus 16 --recompute fulll", "--recompute: unknown kind", "full"),
    "module": (
        f"{LLAMA} --gpus 16 --recompute selective --recompute-modules cor_attn",
        "--recompute-modules: unknown module 'cor_attn'",
        "core_attn",
    ),
    "module of none": (
        f"{LLAMA} --gpus 16 --recompute-modules core_attn",
        "--recompute-modules",
        "selective",
    ),
    "fidelity": (
        f"{LLAMA} --gpus 16 --fidelity formulla",
        "--fidelity: unknown fidelity 'formulla'",
        "formula",
    ),
    "context": (f"{LLAMA} --gpus 16 --cp 2 --context rign", "--context: unknown way 'rign'", "ring"),
    "stack": (f"{LLAMA} --gpus 16 --stack megatronn", "--stack: unknown stack 'megatronn'", "megatron"),
    "release": (f"{LLAMA} --gpus 16 --stack nemo --stack-version abc", "--stack-version: 'abc'", ""),
    "preset": ("--preset absent", "unknown preset 'absent'", "demo"),
    "order": (f"{LLAMA} --gpus 16 --order tp-cp", "--order: 'tp-cp'", ""),
    "order twice": (f"{LLAMA} --gpus 16 --order tp-tp-cp-dp-pp", "--order: 'tp-tp-cp-dp-pp'", ""),
    "heads": (f"{LLAMA} --gpus 48 --tp 3", "--tp 3: does not divide the 32 heads", "--tp 4"),
    "many heads": (f"{LLAMA} --gpus 64 --tp 64", "--tp 64: does not divide the 32 heads", "--tp 32"),
    "cp": (f"{LLAMA} --gpus 48 --cp 3", "--cp 3: does not divide the 2048 tokens", "--cp 4"),
    "cp odd": (f"{LLAMA} --gpus 16 --cp 2 --seq-len 2047", "--cp 2: does not divide the 2047 tokens", ""),
    "zb_h1": (
        f"{LLAMA} --gpus 16 --tp 4 --pp 4 --schedule zb_h1 --recompute full",
        "--recompute full cannot go with --schedule zb_h1",
        "--recompute selective",
    ),
    "zb_v": (
        f"{LLAMA} --gpus 16 --tp 4 --pp 4 --schedule zb_v --recompute full",
        "--recompute full cannot go with --schedule zb_v",
        "--schedule 1f1b",
    ),
    "interleaved": (
        f"{LLAMA} --gpus 16 --tp 4 --pp 4 --vpp 2 --gbs 6",
        "--gbs 6: 6 microbatches are no multiple of 4 stages",
        "--gbs 8",
    ),
    "interleaved by name": (
        f"{LLAMA} --gpus 16 --tp 4 --pp 4 --vpp 2 --gbs 6 --schedule interleaved",
        "--schedule interleaved, --gbs 6",
        "--schedule 1f1b",
    ),
    "chunks alone": (f"{LLAMA} --gpus 16 --vpp 2", "but --pp is 1", "--pp 2"),
    "chunks of gpipe": (f"{LLAMA} --gpus 16 --pp 4 --vpp 2 --schedule gpipe", "--schedule gpipe", "--vpp 1"),
    "chunks of zb_v": (f"{LLAMA} --gpus 16 --pp 4 --vpp 3 --schedule zb_v", "--schedule zb_v", ""),
    "dualpipe": (f"{LLAMA} --gpus 16 --tp 4 --pp 4 --schedule dualpipe --gbs 5", "--gbs 5", "--gbs 8"),
    "shard": (f"{LLAMA} --gpus 16 --tp 2 --shard 3", "--shard 3: must divide dp x cp = 8", "--shard 4"),
    "fp8 on a100": (
        "--model llama2-7b --fabric dgx-a100 --gpus 8 --gbs 16 --seq-len 2048 --precision fp8",
        "--precision fp8: a100",
        "--precision bf16",
    ),
    "nvfp4 on h100": (f"{LLAMA} --gpus 16 --precision nvfp4", "--precision nvfp4: h100", "--precision bf16"),
    "one machine": (
        "--model llama2-7b --fabric dgx-h100 --gpus 16 --gbs 16 --seq-len 2048",
        "--gpus: one machine has 1 to 8 GPUs, got 16",
        "",
    ),
    "part of a machine": (f"{LLAMA} --gpus 12 --gbs 12", "--gpus: 12 GPUs", ""),
    "million": (f"{LLAMA} --gpus 1000000 --gbs 1000000", "--gpus: 1000000 GPUs", ""),
    "price": (f"{LLAMA} --gpus 16 --price -1", "--price: '-1'", ""),
    "price nan": (f"{LLAMA} --gpus 16 --price nan", "--price: 'nan'", ""),
    "price inf": (f"{LLAMA} --gpus 16 --price inf", "--price: 'inf'", ""),
    "imbalance": (f"{MIXTRAL} --gpus 16 --ep 8 --imbalance 0.5", "--imbalance: '0.5'", ""),
    "imbalance nan": (f"{MIXTRAL} --gpus 16 --ep 8 --imbalance nan", "--imbalance: 'nan'", ""),
    "node limit": (f"{MIXTRAL} --gpus 16 --ep 8 --node-limit 0", "--node-limit: '0'", ""),
    "flag": (f"{LLAMA} --gpus 16 --tpp 2", "unknown option '--tpp'", "--tp"),
    "argument": (f"{LLAMA} --gpus 16 extra", "unexpected extra argument (extra)", ""),
    "nothing": ("", "--model is missing (and --fabric, --gpus, --gbs, --seq-len)", "--preset demo"),
    "no batch": ("--model llama2-7b --fabric dgx-h100 --gpus 8 --seq-len 2048", "--gbs is missing", ""),
    "no length": ("--model llama2-7b --fabric dgx-h100 --gpus 8 --gbs 16", "--seq-len is missing", ""),
    "no gpus": (LLAMA, "--gpus is missing", ""),
}
ESTIMATE_ONLY = {
    "trace of a formula": (
        f"{LLAMA} --gpus 16 --tp 2 --fidelity formula --trace o.json.gz",
        "--trace needs events: --fidelity formula",
        "--fidelity fluid",
    ),
    "trace folder": (
        f"{LLAMA} --gpus 16 --tp 2 --trace absent/o.json.gz",
        "absent/o.json.gz: no such folder",
        "",
    ),
    "trace suffix": (f"{LLAMA} --gpus 16 --tp 2 --trace o.txt", "o.txt: must end in", "o.json"),
    "plot folder": (f"{LLAMA} --gpus 16 --tp 2 --plot absent/o.png", "absent/o.png: no such folder", ""),
    "plot suffix": (f"{LLAMA} --gpus 16 --tp 2 --plot o.xyz", "o.xyz: must end in", "o.png"),
    "ranks": (f"{LLAMA} --gpus 16 --tp 2 --trace o.json --ranks 99", "--ranks 99: ranks are 0 to 15", ""),
    "ranks text": (f"{LLAMA} --gpus 16 --tp 2 --trace o.json --ranks abc", "--ranks abc", ""),
    "trace of a sweep": (f"{LLAMA} --gpus 16 --tp 2,4 --trace o.json", "--trace", ""),
    "range": (f"{LLAMA} --gpus 64..8 --tp 2", "--gpus: '64..8' runs backwards", ""),
    "gap": (f"{LLAMA} --gpus 16 --tp 2,,4", "--tp: ''", ""),
}
COUNTS = ("gpus", "tp", "pp", "vpp", "cp", "ep", "dp", "mbs", "gbs", "seq-len")
NO_COUNTS = ("0", "-1", "1.5", "nan", "inf", "1e99", "x", "", "99999999999", "9" * 30)
CONFIG = {
    "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True,
}  # fmt: skip
NO_CONFIGS = {
    "no json": (b"{hello", "not valid JSON"),
    "empty": (b"", "is empty"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "list": (b"[]", "not a JSON object"),
    "number": (b"3", "not a JSON object"),
    "no fields": (b"{}", "'model_type' is missing"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "twice": (b'{"model_type": "llama", "model_type": "llama"}', "appears twice"),
    "nan": (b'{"model_type": "llama", "hidden_size": NaN}', "NaN"),
}
NO_FIELDS = [
    ("hidden_size", -1), ("hidden_size", 0), ("hidden_size", "x"), ("hidden_size", 1.5), ("hidden_size", 10**30),
    ("num_hidden_layers", None), ("num_hidden_layers", 0), ("num_hidden_layers", 10**9),
    ("num_attention_heads", 0), ("num_attention_heads", 7), ("num_key_value_heads", 3),
    ("num_key_value_heads", 64), ("vocab_size", -5), ("vocab_size", None), ("intermediate_size", [1]),
    ("intermediate_size", 0), ("head_dim", 0), ("tie_word_embeddings", "yes"), ("model_type", "zzz"),
    ("model_type", 3),
]  # fmt: skip
SCENARIO = 'model = "llama2-7b"\nfabric = "dgx-h100"\ngpus = 8\ntp = 2\ngbs = 16\nseq_len = 2048\n'
NO_SCENARIOS = {
    "empty": ("", "is empty"),
    "no toml": ("model = \n", "not valid TOML"),
    "key twice": (SCENARIO + "tp = 2\n", "not valid TOML"),
    "key": (SCENARIO + "sequnce = 3\n", "line 7: unknown key 'sequnce', did you mean 'seq_len'?"),
    "two keys": (SCENARIO + "sequnce = 3\nfabrik = 2\n", "(and 1 more fault)"),
    "table": (SCENARIO + "[tp2]\na = 1\n", "unknown key 'tp2'"),
    "output key": (SCENARIO + "json = true\n", "unknown key 'json'"),
    "text": (SCENARIO.replace("tp = 2", 'tp = "two"'), "line 4: tp: 'two'"),
    "negative": (SCENARIO.replace("tp = 2", "tp = -2"), "line 4: tp: '-2'"),
    "fraction": (SCENARIO.replace("tp = 2", "tp = 2.5"), "line 4: tp: '2.5'"),
    "true": (SCENARIO.replace("tp = 2", "tp = true"), "line 4: tp: true"),
    "list": (SCENARIO.replace("tp = 2", "tp = [2, 4]"), "line 4: tp: [2, 4]"),
    "date": (SCENARIO.replace("tp = 2", "tp = 2020-01-01"), "line 4: tp: '2020-01-01'"),
    "nan": (SCENARIO.replace("tp = 2", "tp = nan"), "line 4: tp: 'nan'"),
    "huge": (SCENARIO.replace("tp = 2", "tp = 1" + "0" * 40), "line 4: tp: '1000"),
    "sweep": (SCENARIO.replace("tp = 2", 'tp = "2,4"'), "line 4: tp: '2,4'"),
    "model": (SCENARIO.replace("llama2-7b", "llama2-7"), "unknown model 'llama2-7'"),
    "number for a name": (SCENARIO.replace('"llama2-7b"', "7"), "line 1: model: 7"),
    "strategy": (SCENARIO + 'strategy = "zro1"\n', "line 7: strategy: unknown strategy 'zro1'"),
    "axes": (SCENARIO.replace("tp = 2", "tp = 3"), "8 GPUs cannot be tp 3"),
    "no batch": (SCENARIO.replace("gbs = 16\n", ""), "gbs is missing"),
}
GOOD = [
    f"estimate {LLAMA} --gpus 16 --tp 2",
    f"estimate {LLAMA} --gpus 16 --tp 2 --pp 2",
    f"estimate {LLAMA} --gpus 16 --tp 4 --pp 4 --vpp 2",
    f"estimate {LLAMA} --gpus 24 --tp 4 --pp 3 --stage-layers 11,11,10",
    f"estimate {MIXTRAL} --gpus 64 --tp 2 --ep 8",
    f"estimate {LLAMA} --gpus 16 --zero 3",
    f"estimate {LLAMA} --gpus 16 --tp 4 --pp 4 --schedule zb_h1",
    f"estimate {LLAMA} --gpus 16 --tp 2 --cp 2",
    f"estimate {LLAMA} --gpus 16 --tp 2 --precision fp8 --recompute full",
    f"estimate {LLAMA} --gpus 16 --tp 2,4 --fidelity formula",
    "estimate --preset megatron-175b-a100",
]


def refused(outcome, status, first, rest=""):
    assert outcome.status == status
    assert outcome.stdout == ""
    head, *tail = outcome.stderr.splitlines()
    assert head.startswith("error: ")
    assert first in head
    assert rest in "\n".join(tail)
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("command", ["estimate", "explain"])
@pytest.mark.parametrize("case", USAGE)
def test_what_is_typed_wrong_is_a_usage_error(commsim, command, case):
    options, first, rest = USAGE[case]
    refused(commsim(command, *options.split()), 2, first, rest)


@pytest.mark.parametrize("case", ESTIMATE_ONLY)
def test_options_of_estimate_alone(commsim, monkeypatch, tmp_path, case):
    monkeypatch.chdir(tmp_path)
    options, first, rest = ESTIMATE_ONLY[case]
    refused(commsim("estimate", *options.split()), 2, first, rest)
    assert not list(tmp_path.iterdir())


def test_explain_takes_no_sweep(commsim):
    refused(commsim("explain", *LLAMA.split(), "--gpus", 16, "--tp", "2,4"), 2, "--tp: '2,4'")


@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda value: value[:12] or "empty")
@pytest.mark.parametrize("name", COUNTS)
def test_a_number_that_is_no_count_is_named_with_its_flag(commsim, name, value):
    refused(commsim("estimate", *LLAMA.split(), "--gpus", 16, f"--{name}", value), 2, f"--{name}: '{value}'")


def test_more_messages_than_can_be_followed_are_refused(commsim, monkeypatch):
    monkeypatch.setattr("simulator.engine._replay_lanes.MOST", 1000)
    outcome = commsim("estimate", *LLAMA.split(), "--gpus", 16, "--fidelity", "messages")
    refused(outcome, 2, "--fidelity messages", "--fidelity fluid")


@pytest.mark.parametrize("command", ["estimate", "explain"])
@pytest.mark.parametrize(
    ("options", "first", "rest"),
    [
        (f"{LARGE} --gpus 64 --tp 4 --gbs 64", "llama3-70b does not fit: stage 0 needs", "--zero 3"),
        (f"{LARGE} --gpus 8 --gbs 8", "llama3-70b does not fit: stage 0 needs", "more GPUs"),
        (f"{LLAMA} --gpus 16 --seq-len 1000000000", "llama2-7b does not fit", "try: "),
        (f"{LLAMA} --gpus 16 --mbs 1000000 --gbs 16000000", "llama2-7b does not fit", "try: "),
    ],
)
def test_what_does_not_fit_is_infeasible_and_names_a_fix(commsim, command, options, first, rest):
    refused(commsim(command, *options.split()), 3, first, rest)


def test_the_fix_that_is_named_fits(commsim):
    options = f"{LARGE} --gpus 64 --tp 4 --gbs 64".split()
    error = commsim("estimate", *options, "--json").error
    assert error["code"] == "infeasible"
    assert "--zero 3" in error["try"]
    assert commsim("estimate", *options, "--zero", 3, "--fidelity", "formula").status == 0


@pytest.mark.parametrize("command", ["estimate", "explain"])
@pytest.mark.parametrize("flag", ["model", "fabric", "schedule"])
def test_a_file_that_is_not_there(commsim, command, flag):
    options = [*LLAMA.split(), "--gpus", 16, f"--{flag}", "absent.toml"]
    refused(commsim(command, *options), 5, "absent.toml: no such file")


@pytest.mark.parametrize("command", ["estimate", "explain"])
@pytest.mark.parametrize("case", NO_CONFIGS)
def test_a_config_that_is_none(commsim, tmp_path, command, case):
    content, fault = NO_CONFIGS[case]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    outcome = commsim(command, *LLAMA.split(), "--gpus", 16, "--model", path)
    refused(outcome, 5, f"{path}: ")
    assert fault in outcome.stderr.splitlines()[0]


@pytest.mark.parametrize(("key", "value"), NO_FIELDS)
def test_a_field_of_a_config_that_cannot_be(commsim, tmp_path, key, value):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | {key: value}))
    refused(commsim("estimate", *LLAMA.split(), "--gpus", 16, "--model", path), 5, f"{path}: ")


def test_a_config_that_is_not_there_or_a_folder(commsim, tmp_path):
    path = tmp_path / "config.json"
    options = [*LLAMA.split(), "--gpus", 16, "--model"]
    refused(commsim("estimate", *options, path), 5, f"{path}: no such file")
    refused(commsim("estimate", *options, tmp_path), 5, f"{tmp_path}: is a folder")


@pytest.mark.parametrize("first", [False, True], ids=["second", "first"])
@pytest.mark.parametrize("case", NO_SCENARIOS)
def test_a_scenario_that_cannot_be_compared(commsim, tmp_path, case, first):
    text, fault = NO_SCENARIOS[case]
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(SCENARIO)
    bad.write_text(text)
    outcome = commsim("compare", *((bad, good) if first else (good, bad)))
    refused(outcome, 5, f"{bad}: ")
    assert fault in outcome.stderr.splitlines()[0]


def test_scenarios_that_are_missing_or_too_many(commsim, tmp_path):
    good, absent, binary = tmp_path / "good.toml", tmp_path / "absent.toml", tmp_path / "binary.toml"
    good.write_text(SCENARIO)
    binary.write_bytes(bytes(range(256)))
    refused(commsim("compare", good, absent), 5, f"{absent}: no such file")
    refused(commsim("compare", absent, good), 5, f"{absent}: no such file")
    refused(commsim("compare", good, tmp_path), 5, f"{tmp_path}: is a folder")
    refused(commsim("compare", good, binary), 5, f"{binary}: not UTF-8")
    refused(commsim("compare"), 2, "A.toml is missing")
    refused(commsim("compare", good), 2, "B.toml is missing")
    refused(commsim("compare", good, good, good), 2, "unexpected extra argument")
    refused(commsim("compare", good, good, "--trace", "x.json"), 2, "unknown option '--trace'")


def test_a_scenario_that_does_not_fit_is_infeasible(commsim, tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(SCENARIO)
    bad.write_text(SCENARIO.replace("llama2-7b", "llama3-70b"))
    refused(commsim("compare", good, bad), 3, f"{bad}: llama3-70b does not fit", "try: ")


@pytest.mark.parametrize(
    ("options", "status", "code", "word"),
    [
        (f"estimate {LLAMA} --gpus 16 --tp 3", 2, "usage", "16 GPUs"),
        (f"explain {LLAMA} --gpus 16 --model llama2-7", 2, "usage", "llama2-7"),
        (f"estimate {LARGE} --gpus 8 --gbs 8", 3, "infeasible", "does not fit"),
        (f"estimate {LLAMA} --gpus 16 --model absent.toml", 5, None, "absent.toml"),
        ("compare absent.toml absent.toml", 5, None, "absent.toml"),
        (f"estimate {LLAMA} --gpus 16 --csv", 2, "usage", "--json and --csv"),
    ],
)
def test_with_json_the_error_is_one_object(commsim, options, status, code, word):
    outcome = commsim(*options.split(), "--json")
    assert outcome.status == status
    assert set(outcome.error) >= {"code", "message", "where", "try"}
    assert word in outcome.error["message"]
    if code:
        assert outcome.error["code"] == code


@pytest.mark.parametrize("line", GOOD)
def test_what_is_right_is_answered(commsim, line):
    """With the contract's keys, and a breakdown that adds up to the step."""
    found = commsim(*line.split(), "--json").result
    assert {"schema", "manifest", "warnings"} <= set(found)
    assert found["rows"]
    for row in found["rows"]:
        assert set(row) >= ROW
        assert set(row["breakdown_s"]) >= PARTS
        assert sum(row["breakdown_s"].values()) == pytest.approx(row["step_s"], rel=1e-9)
        assert row["low_s"] < row["step_s"] < row["high_s"]
        assert row["fits"]
        assert (row["messages"] == 0) == (row["fidelity"] == "formula")
    assert commsim(*line.split()).status == 0


def test_two_scenarios_are_compared(commsim, tmp_path):
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text(SCENARIO)
    other.write_text(SCENARIO.replace("tp = 2", "tp = 4"))
    assert commsim("compare", one, other).status == 0
    assert len(commsim("compare", one, other, "--json").result["rows"]) == 2


@pytest.mark.parametrize("options", ["--gpus 16 --tp 2", "--gpus 16 --tp 2 --pp 2"])
def test_a_step_is_explained(commsim, options):
    outcome = commsim("explain", *LLAMA.split(), *options.split())
    assert outcome.status == 0
    assert outcome.stdout
    assert commsim("explain", *LLAMA.split(), *options.split(), "--json").status == 0
