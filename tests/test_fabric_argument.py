"""FABRIC on the command line: names that grow, files that do not, and what is said of wrong ones."""

import json
from pathlib import Path

import networkx as nx
import pytest

from simulator.engine.fabric import load
from simulator.errors import InputError, UsageError

WIRE = {"bandwidth_Bps": 50e9, "latency_s": 1e-6}


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Four GPUs on a ring, as a node-link file."""
    graph = nx.cycle_graph(4)
    nx.set_node_attributes(graph, "gpu", "kind")
    for key, value in WIRE.items():
        nx.set_edge_attributes(graph, value, key)
    path = tmp_path / "ring.json"
    path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    return path


@pytest.mark.parametrize("gpus", [8, 64, 256])
def test_a_named_fabric_grows(commsim, gpus: int):
    row = commsim("topology", "show", "dgx-h100-ib400", "--gpus", gpus, "--json").result["rows"][0]
    assert row["gpu"] == row["nic"] == gpus
    inside = 450e9 if gpus == 8 else 0  # between machines there are only the NICs, all at full rate
    assert row["bisection_Bps"] == pytest.approx((50e9 + inside) * gpus / 2)


@pytest.mark.parametrize("name", ["dgx-h100-ib400", "ring-100g", "trn2", "a100-mesh-4", "dgx-1v", "tpu-v5e"])
def test_without_a_count_a_named_fabric_has_a_usual_one(name: str):
    graph, profile = load(name, None)
    assert sum(kind == "gpu" for _, kind in graph.nodes(data="kind")) in (4, 8, 16)
    assert profile is None


@pytest.mark.parametrize(
    ("line", "fault", "proposal"),
    [
        ("dgx-h100-ib40", "unknown fabric 'dgx-h100-ib40'", "dgx-h100-ib400"),
        ("dgx-h100-ib400 --gpus 12", "--gpus: 12 GPUs are not a whole number of machines of 8", ""),
        ("dgx-h100 --gpus 16", "--gpus: one machine has 1 to 8 GPUs, got 16", ""),
        ("dgx-h100 --gpus 0", "--gpus: '0' is too small", "8"),
        ("dgx-h100 --gpus many", "--gpus: 'many' is not a positive whole number", "8"),
    ],
)
def test_what_was_typed_wrong_is_usage(commsim, line: str, fault: str, proposal: str):
    outcome = commsim("topology", "show", *line.split())
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {fault}")
    assert proposal in outcome.stderr.splitlines()[-1]


def test_a_graph_file_has_the_gpus_that_it_has(commsim, ring: Path):
    result = commsim("topology", "show", ring, "--gpus", 3, "--json").result
    row = result["rows"][0]
    assert (row["gpu"], row["cables"], row["diameter_links"]) == (4, 4, 2)
    assert row["bisection_Bps"] == pytest.approx(2 * 50e9)
    assert list(result["manifest"]["inputs"]) == [str(ring)]
    outcome = commsim("topology", "show", ring, "--gpus", 5)
    assert outcome.status == 2
    assert outcome.stderr.splitlines()[0] == f"error: --gpus 5: {ring} has 4 GPUs"


def test_graphml_and_gml_say_the_same(commsim, ring: Path, tmp_path: Path):
    graph = nx.node_link_graph(json.loads(ring.read_text()), edges="edges")
    nx.write_graphml(graph, tmp_path / "ring.graphml")
    nx.write_gml(graph, tmp_path / "ring.gml")
    rows = [
        commsim("topology", "show", path, "--csv").stdout.splitlines()[1].partition(",")[2]
        for path in (ring, tmp_path / "ring.graphml", tmp_path / "ring.gml")
    ]
    assert len(set(rows)) == 1


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", None, "no such file"),
        ("a.json", "{}", ""),
        ("a.json", '{"nodes": [], "edges": []}', ""),
        ("a.graphml", "<graphml", ""),
        ("a.gml", "graph [", ""),
        ("a.toml", "x = 1", "has no table [fabric]"),
        ("a.toml", "[fabric]\nfamily = 'rng'", "fabric: unknown family 'rng'"),
        ("a.toml", "[fabric]\nbase = 'dgx-h100-ib40'", "fabric: "),
        ("a.toml", "[fabric]\nbase = 'ring-100g'\ngpus = 0", "fabric.gpus: must be a whole number"),
        ("a.toml", "[fabric]\nbase = 'ring-100g'\ngpus = 999999999", "fabric: 999999999 GPUs; at most"),
        ("a.toml", "[fabric]\nbase = 'ring-100g'\nlatency = 2", "fabric.latency: unknown key 'latency'"),
        ("a.toml", "x = [" + "1," * 2**21 + "]", "is larger than 4 MiB"),
        ("a.toml", "[fabric]\nfamily = 'ring'\nlink_bandwidth = '5'", "fabric: "),
        ("a.txt", "hello", "is no graph file"),
    ],
)
def test_a_wrong_file_is_an_input_error(commsim, tmp_path: Path, name: str, content: str | None, fault: str):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    outcome = commsim("topology", "show", path)
    assert (outcome.status, outcome.stdout) == (5, "")
    assert outcome.stderr.startswith(f"error: {path}: {fault}")


def test_a_table_builds_a_family_or_takes_a_fabric_of_the_catalogue(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("[fabric]\nfamily = 'ring'\nlink_bandwidth = '400Gbps'\nlink_latency = '1us'\n")
    graph, profile = load(str(path), 6)
    assert {rate for _, _, rate in graph.edges(data="bandwidth_Bps")} == {50e9}
    assert (len(graph), profile) == (6, {})
    path.write_text(path.read_text() + "[profil]\na = 1\n")
    with pytest.raises(InputError, match="profil: unknown key 'profil'"):
        load(str(path), 6)
    path.write_text("[fabric]\nbase = 'dgx-h100-ib400'\n")
    assert nx.utils.graphs_equal(load(str(path), 16)[0], load("dgx-h100-ib400", 16)[0])
    with pytest.raises(UsageError, match="--gpus: 12 GPUs"):
        load(str(path), 12)


@pytest.mark.parametrize("name", ["", "a" * 5000, "dgx-h100 "])
def test_a_word_that_can_be_no_file_is_a_name_nobody_knows(commsim, name: str):
    outcome = commsim("topology", "show", name)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: unknown fabric '{name[:100]}")


@pytest.mark.parametrize("arguments", [("topology", "show", "a" * 300 + ".toml"), ("flows", "a" * 300)])
def test_a_file_name_longer_than_any_is_an_input_error(commsim, arguments: tuple[str, ...]):
    outcome = commsim(*arguments)
    assert (outcome.status, outcome.stdout) == (5, "")


def test_a_picture_with_an_impossible_name_is_a_usage_error(commsim, tmp_path: Path):
    outcome = commsim("topology", "draw", "ring-100g", "-o", tmp_path / ("a" * 300 + ".svg"))
    assert (outcome.status, outcome.stdout) == (2, "")


def test_more_gpus_than_memory_holds_are_refused_at_once(commsim):
    outcome = commsim("topology", "show", "dgx-h100-ib400", "--gpus", 1_000_000)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: --gpus: 1000000 GPUs; at most 131072")


def test_a_table_may_say_how_many_gpus_there_are(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("[fabric]\nbase = 'ring-100g'\ngpus = 6\n")
    assert len(load(str(path), None)[0]) == 6
    assert len(load(str(path), 5)[0]) == 5
    with pytest.raises(UsageError, match="has 6 GPUs"):
        load(str(path), 7)
    path.write_text("[fabric]\nbase = 'dgx-h100-ib400'\ngpus = 12\n")
    with pytest.raises(InputError, match="whole number of machines"):
        load(str(path), None)


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_picture_is_drawn_and_the_same_each_time(commsim, tmp_path: Path, ending: str, magic: bytes):
    pictures = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for picture in pictures:
        outcome = commsim("topology", "draw", "dgx-h100-ib400", "--gpus", 16, "-o", picture)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert outcome.stdout.startswith(f"wrote {picture}: ")
    first, second = (picture.read_bytes() for picture in pictures)
    assert first.startswith(magic)
    assert first == second
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("x.gif", "must end in .png .svg .pdf"),
        ("nowhere/x.png", "no such folder 'nowhere'"),
        (".", "is a folder"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_it_is_drawn(
    commsim, tmp_path: Path, monkeypatch, output: str, fault: str
):
    monkeypatch.chdir(tmp_path)
    outcome = commsim("topology", "draw", "ring-100g", "-o", output)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {output}: {fault}")
    assert not list(tmp_path.iterdir())
