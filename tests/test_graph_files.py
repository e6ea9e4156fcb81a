"""Graph files: what is right is read the same from every format, what is wrong is named, nothing hurts."""

import io
import json
import time

import networkx as nx
import pytest

from topologies import _fabrics
from topologies._graph import gpu_nodes
from topologies._routing import Router
from topologies.from_file import FORMATS, GraphFault, build

LINK = {"bandwidth_Bps": 1e9, "latency_s": 1e-6}


def document(**changes):
    return {
        "directed": False,
        "nodes": [{"id": "a", "kind": "gpu"}, {"id": "b", "kind": "gpu"}, {"id": "s", "kind": "switch"}],
        "edges": [{"source": "a", "target": "s", **LINK}, {"source": "s", "target": "b", **LINK}],
    } | changes


def with_edge(*drop, **changes):
    edge = {"source": "a", "target": "s", **LINK} | changes
    return document(edges=[{k: v for k, v in edge.items() if k not in drop}, document()["edges"][1]])


def with_node(*drop, **changes):
    node = {"id": "a", "kind": "gpu"} | changes
    return document(nodes=[{k: v for k, v in node.items() if k not in drop}, *document()["nodes"][1:]])


def graphml(body, keys=""):
    return (
        '<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
        '<key id="k" for="node" attr.name="kind" attr.type="string"/>'
        '<key id="b" for="edge" attr.name="bandwidth_Bps" attr.type="double"/>'
        f'<key id="l" for="edge" attr.name="latency_s" attr.type="double"/>{keys}{body}</graphml>'
    )


NODES = '<node id="a"><data key="k">gpu</data></node><node id="b"><data key="k">gpu</data></node>'
EDGE = '<edge source="a" target="b"><data key="b">1e9</data><data key="l">1e-6</data></edge>'
BACK = EDGE.replace('source="a" target="b"', 'source="b" target="a"')
UNDIRECTED = '<graph edgedefault="undirected">{}</graph>'
GML_NODES = 'node [ id 0 label "a" kind "gpu" ] node [ id 1 label "b" kind "gpu" ]'
GML_EDGE = "edge [ source 0 target 1 bandwidth_Bps 1e9 latency_s 1e-6 ]"


def written(graph, form):
    """Return a fabric as text of a format, its nodes named by strings."""
    named = nx.relabel_nodes(graph, {node: "-".join(map(str, node)) for node in graph})
    named.graph = {key: value for key, value in named.graph.items() if isinstance(value, str | int | float)}
    for _, attributes in named.nodes(data=True):
        attributes.pop("place", None)
    if form == "json":
        return json.dumps(nx.node_link_data(named, edges="edges"))
    stream = io.BytesIO()
    (nx.write_graphml if form == "graphml" else nx.write_gml)(named, stream)
    return stream.getvalue().decode()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("ring-100g", 5),
        ("dgx-1v", 8),
        ("dgx-h100-ib400", 16),
        ("torus-2d-100g", 9),
        ("polaris", 8),
        ("tree-100g", 4),
    ],
)
def test_fabric_written_and_read_is_the_same(name, gpus, form):
    graph = _fabrics.build(name, gpus)
    read = build(written(graph, form), form, "mine")
    label = dict(read.nodes(data="label"))
    back = nx.relabel_nodes(read, {node: label[node] for node in read})
    same = nx.relabel_nodes(graph, {node: "-".join(map(str, node)) for node in graph})
    assert set(back.edges) == set(same.edges)
    for *edge, attributes in same.edges(data=True):
        assert back.edges[edge] == pytest.approx(attributes, rel=1e-12)
    assert gpu_nodes(read) == gpu_nodes(graph)
    assert [label[gpu] for gpu in gpu_nodes(read)] == [f"gpu-{rank}" for rank in range(gpus)]
    assert read.graph["name"] == "mine"
    assert read.graph["family"] == "from_file"
    assert read.graph.get("gpus_per_node", 1) == graph.graph.get("gpus_per_node", 1)
    Router(read, "rail").route(("gpu", 0), ("gpu", gpus - 1))


GOOD = {
    "json": [
        document(),
        document(
            directed=True, edges=[{"source": a, "target": b, **LINK} for a, b in ("as", "sa", "sb", "bs")]
        ),
        {key if key != "edges" else "links": value for key, value in document().items()},
        document(multigraph=False, graph={"author": "me", "gpus_per_node": 1}),
        with_edge(latency_s=0),
        with_edge(bandwidth_Bps=1, cables=3, label="x"),
        with_node(host=0, rail=0, label="first", x=1.5, y=2),
        with_node(latency_s=1e-6),
        document(
            nodes=[{"id": 1, "kind": "gpu"}, {"id": 2, "kind": "gpu"}],
            edges=[{"source": 1, "target": 2, **LINK}],
        ),
        document(
            nodes=[{"id": ["gpu", 0], "kind": "gpu"}, {"id": ["gpu", 1], "kind": "gpu"}],
            edges=[{"source": ["gpu", 0], "target": ["gpu", 1], **LINK}],
        ),
        document(nodes=[{"id": "only", "kind": "gpu"}], edges=[]),
        with_node(kind="gpu") | {"nodes": [*document()["nodes"], {"id": "f", "kind": "a thing of mine"}]},
    ],
    "graphml": [
        graphml(UNDIRECTED.format(NODES + EDGE)),
        graphml(f'<graph edgedefault="directed">{NODES}{EDGE}{BACK}</graph>'),
        graphml(
            UNDIRECTED.format(NODES + EDGE),
            keys='<key id="c" for="edge" attr.name="cables" attr.type="int"/>',
        ),
        graphml(UNDIRECTED.format(NODES + EDGE.replace('<data key="l">1e-6</data>', ""))).replace(
            'attr.name="latency_s" attr.type="double"/>',
            'attr.name="latency_s" attr.type="double"><default>2e-6</default></key>',
        ),
    ],
    "gml": [
        f"graph [ {GML_NODES} {GML_EDGE} ]",
        f'# made by hand\nCreator "me"\ngraph\n[\n directed 0\n {GML_NODES}\n {GML_EDGE}\n]\n',
    ],
}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (form, text if isinstance(text, str) else json.dumps(text))
        for form, texts in GOOD.items()
        for text in texts
    ],
)
def test_good_files_are_accepted(form, text):
    graph = build(text, form)
    assert all(graph.has_edge(head, tail) for tail, head in graph.edges)


BAD_JSON = [
    (with_edge(bandwidth_Bps=0), r"edges\[0\]: bandwidth_Bps must be .* got 0"),
    (with_edge(bandwidth_Bps=-1), "bandwidth_Bps must be"),
    (with_edge(bandwidth_Bps="1e9"), "bandwidth_Bps must be"),
    (with_edge(bandwidth_Bps=True), "bandwidth_Bps must be .* got True"),
    (with_edge(bandwidth_Bps=None), "no bandwidth_Bps"),
    (with_edge(bandwidth_Bps=[1e9]), "bandwidth_Bps must be"),
    (with_edge(bandwidth_Bps=1e300), "bandwidth_Bps must be"),
    (with_edge(bandwidth_Bps=10**30), "bandwidth_Bps must be"),
    (with_edge("bandwidth_Bps"), "no bandwidth_Bps"),
    (with_edge("latency_s"), "no latency_s"),
    (with_edge(latency_s=-1e-9), "latency_s must be"),
    (with_edge(latency_s=False), "latency_s must be"),
    (with_edge(latency_s="1us"), "latency_s must be"),
    (with_edge(cables=0), "cables must be"),
    (with_edge(cables=1.5), "cables must be"),
    (with_edge(bandwith_Bps=1), "unknown key 'bandwith_Bps', did you mean 'bandwidth_Bps'"),
    (with_edge(latency=1), "unknown key 'latency', did you mean 'latency_s'"),
    (with_edge(target="a"), "from 'a' to itself"),
    (with_edge(target="t"), "node 't' is not in the graph"),
    (with_edge("source"), "wanted an object with source and target"),
    (with_edge(source=None), "wanted an object with source and target"),
    (with_edge(source={"x": 1}), "wanted an object with source and target"),
    (document(edges=document()["edges"] * 2), "appears twice; say cables"),
    (
        document(edges=[*document()["edges"], {"source": "s", "target": "a", **LINK}]),
        "appears twice; say cables",
    ),
    (document(nodes=document()["nodes"] * 2), "node 'a' appears twice"),
    (with_node("kind"), "node 'a' has no kind"),
    (with_node(kind=3), "kind must be a word"),
    (with_node(kind=" "), "kind must be a word"),
    (with_node(kind=None), "has no kind"),
    (with_node("id"), r"nodes\[0\]: wanted an object with an id"),
    (with_node(id=True), "wanted an object with an id"),
    (with_node(id=[]), "wanted an object with an id"),
    (with_node(knd="gpu"), "unknown key 'knd', did you mean 'kind'"),
    (with_node(host=-1), "host must be"),
    (with_node(host=1.0), "host must be"),
    (with_node(rank=0), "the ranks of 2 GPUs must be 0 to 1"),
    (with_node(rank=10**12), "rank must be"),
    (document(nodes=[]), "the graph has no nodes"),
    (document(nodes={}), "nodes: wanted a list"),
    (document(nodes=[1, 2]), "wanted an object with an id"),
    (document(edges="no"), "edges: wanted a list"),
    (document(edges=[]), "not connected"),
    (document(directed=True), "not connected"),
    (document(directed="yes"), "directed: wanted true or false"),
    (document(multigraph=True), "several edges between two nodes"),
    (document(vertices=[]), "vertices: unknown key"),
    (document(graph={"gpus_per_node": "8"}), "graph.gpus_per_node"),
    (document(nodes=[{"id": n, "kind": "switch"} for n in "abs"]), "no node has kind 'gpu'"),
    ({}, "nodes: missing"),
    ([], "wanted an object"),
    (3, "wanted an object"),
]
BAD_TEXT = {
    "json": [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"nodes": [], "nodes": []}', "key 'nodes' appears twice"),
        (json.dumps(with_edge(latency_s=float("nan"))), "NaN is not a number"),
        (json.dumps(with_edge(latency_s=float("inf"))), "Infinity is not a number"),
        (json.dumps(with_edge(bandwidth_Bps=5)).replace(": 5", ": 1e999"), "bandwidth_Bps must be"),
        (json.dumps(with_edge(bandwidth_Bps=5)).replace(": 5", ": " + "9" * 5000), "5000 digits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("\x1f\x8b\x00", "not valid JSON"),
        (json.dumps(document())[:-40], "not valid JSON"),
    ],
    "graphml": [
        ("", "not valid XML"),
        ("<graphml>", "not valid XML"),
        ("<svg/>", "not GraphML"),
        (graphml(""), "wanted one graph, got 0"),
        (graphml("<graph/><graph/>"), "wanted one graph, got 2"),
        ('<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><graphml>&b;</graphml>', "entities are not"),
        ('<!DOCTYPE x SYSTEM "http://example.org/x.dtd"><graphml/>', "entities are not accepted"),
        ("<a>" * 5000, "nested too deeply"),
        (graphml(f'<graph edgedefault="sideways">{NODES}{EDGE}</graph>'), "edgedefault must be"),
        (graphml(UNDIRECTED.format(NODES + EDGE.replace("1e9", "fast"))), "declared type"),
        (graphml(UNDIRECTED.format(NODES + EDGE.replace("1e9", "nan"))), "bandwidth_Bps must"),
        (graphml(UNDIRECTED.format(NODES + EDGE.replace("1e9", "inf"))), "bandwidth_Bps must"),
        (graphml(UNDIRECTED.format(NODES + EDGE.replace("key=", "kee="))), "not declared"),
        (graphml(UNDIRECTED.format(NODES + '<hyperedge/>')), "<hyperedge> is not understood"),
        (graphml(UNDIRECTED.format(NODES + '<edge source="a"/>')), "without source or target"),
        (graphml(UNDIRECTED.format('<node/>' + NODES + EDGE)), "a node without id"),
        (graphml(UNDIRECTED.format(NODES + EDGE.replace("<edge", '<edge directed="true"'))), "otherwise"),
    ],
    "gml": [
        ("", "wanted one graph"),
        ("graph [", "a bracket is not closed"),
        ("graph ]", "wanted a value for 'graph'"),
        ("graph [ node [ id 0 kind \"gpu ]", "not valid GML"),
        ("graph [ node [ id 0 id 1 kind \"gpu\" ] ]", "id appears twice"),
        ("graph [ node [ kind \"gpu\" ] ]", "a node without id"),
        ("graph [ node 3 ]", r"wanted \[ ... \]"),
        ("graph [ " + "a [ " * 5000, "nested too deeply"),
        (f"graph [ {GML_NODES} {GML_EDGE.replace('1e9', '9' * 5000)} ]", "5000 digits"),
        (f"graph [ {GML_NODES} edge [ source 0 bandwidth_Bps 1 latency_s 0 ] ]", "without source or target"),
        (f"graph [ {GML_NODES} {GML_EDGE} {GML_EDGE} ]", "appears twice; say cables"),
        (f"graph [ {GML_NODES} {GML_EDGE.replace('1e9', 'nan')} ]", "wanted a value for 'bandwidth_Bps'"),
        ("\x00\x01\x02", "not valid GML"),
        ("5 5 5", "wanted a key"),
    ],
}  # fmt: skip
BAD = [("json", json.dumps(value), fault) for value, fault in BAD_JSON] + [
    (form, text, fault) for form, cases in BAD_TEXT.items() for text, fault in cases
]


@pytest.mark.parametrize(("form", "text", "fault"), BAD, ids=range(len(BAD)))
def test_bad_files_are_refused_by_name(form, text, fault):
    start = time.process_time()
    with pytest.raises(GraphFault, match=fault):
        build(text, form)
    assert time.process_time() - start < 60  # a hang, not a benchmark


def test_all_faults_are_reported_each_with_its_place():
    bad = document(
        nodes=[{"id": "a", "kind": "gpu"}, {"id": "b"}],
        edges=[{"source": "a", "target": "c", "bandwidth_Bps": 0}, {"source": "a", "target": "a", **LINK}],
    )
    with pytest.raises(GraphFault) as caught:
        build(json.dumps(bad), "json")
    places = [where for where, _ in caught.value.faults]
    assert places == ["nodes[1]", "edges[0]", "edges[0]", "edges[0]", "edges[1]"]
    assert "(and 4 more)" in str(caught.value)


def test_stranger_is_told_its_nearest_neighbour():
    with pytest.raises(GraphFault, match="node 'leaf-01' is not in the graph, did you mean 'leaf-1'"):
        build(json.dumps(document(
            nodes=[{"id": "a", "kind": "gpu"}, {"id": "leaf-1", "kind": "leaf"}],
            edges=[{"source": "a", "target": "leaf-01", **LINK}],
        )), "json")  # fmt: skip


def test_ranks_order_the_gpus():
    nodes = [
        {"id": "a", "kind": "gpu", "rank": 1},
        {"id": "b", "kind": "gpu", "rank": 0},
        document()["nodes"][2],
    ]
    graph = build(json.dumps(document(nodes=nodes)), "json")
    assert [graph.nodes["gpu", rank]["label"] for rank in (0, 1)] == ["b", "a"]


def test_unknown_format():
    with pytest.raises(ValueError, match="graph format 'dot' is not one of json, graphml, gml"):
        build("graph {}", "dot")
