"""A fabric from a graph file: node-link JSON, GraphML or GML, checked before it is believed.

What a file must say: every node a ``kind`` (``gpu`` for the ends that compute), every edge
``bandwidth_Bps`` and ``latency_s``. An undirected edge is a full-duplex cable: both directions, each with
the bandwidth stated.
"""

from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx

from topologies._file_checks import (
    Fault,
    GraphFault,
    Parsed,
    check_about,
    check_edges,
    check_nodes,
    number_gpus,
)
from topologies._file_gml import parse_gml
from topologies._file_graphml import parse_graphml
from topologies._file_json import parse_json

__all__ = ["FORMATS", "Fault", "GraphFault", "build"]

PARSERS: Mapping[str, Callable[[str], Parsed]] = {
    "json": parse_json,
    "graphml": parse_graphml,
    "gml": parse_gml,
}
FORMATS = tuple(PARSERS)


def build(text: str, format: str, source: str = "graph") -> nx.DiGraph:  # noqa: A002 (what everybody calls it)
    """Return the fabric that a graph file describes.

    Parameters
    ----------
    text : str
        What the file holds.
    format : str
        ``json``, ``graphml`` or ``gml``.
    source : str
        The file as typed, the name of the graph.

    Returns
    -------
    networkx.DiGraph
        GPUs ``("gpu", 0)`` and so on, in the order of their ``rank`` where all have one, else of the
        file; other nodes ``(kind, id in the file)``. The node attribute ``label`` keeps
        the file's label, else its id.

    Raises
    ------
    GraphFault
        Everything that is wrong with the file, each fault with its place.
    ValueError
        An unknown format.

    References
    ----------
    .. [1] Brandes, Eiglsperger, Lerner, Pich, Graph markup language (GraphML), 2013.
    .. [2] Himsolt, GML: a portable graph file format, 1997.
    """
    if format not in PARSERS:
        raise ValueError(f"graph format '{format}' is not one of {', '.join(PARSERS)}")
    parsed = PARSERS[format](text)
    faults = parsed.faults
    nodes = check_nodes(parsed, faults)
    edges = check_edges(parsed, nodes, faults)
    names = number_gpus(nodes, faults)
    about = check_about(parsed.about, nodes, faults)
    if faults:
        raise GraphFault(faults)
    graph = _assemble(nodes, edges, names, source, about)
    _check_connected(graph)
    return graph


def _assemble(
    nodes: Mapping[str, Mapping[str, Any]],
    edges: Mapping[tuple[str, str], Mapping[str, Any]],
    names: Mapping[str, tuple[Any, ...]],
    source: str,
    about: Mapping[str, Any],
) -> nx.DiGraph:
    graph = nx.DiGraph(**dict(about) | {"name": source, "family": "from_file"})
    # GPUs first, in rank order, so that a graph's order never depends on how its file was written
    for label in sorted(names, key=lambda label: (names[label][0] != "gpu", names[label])):
        graph.add_node(names[label], **{"label": label} | dict(nodes[label]))
    for host, gpu in enumerate(node for node in graph if node[0] == "gpu"):
        graph.nodes[gpu].setdefault("host", host)
    for (tail, head), attributes in edges.items():
        graph.add_edge(names[tail], names[head], **attributes)
    return graph


def _check_connected(graph: nx.DiGraph) -> None:
    """Raise GraphFault unless every GPU reaches every other."""
    gpus = [node for node in graph if node[0] == "gpu"]
    label = graph.nodes(data="label")
    faults = []
    for way, reached in (("from", nx.descendants(graph, gpus[0])), ("to", nx.ancestors(graph, gpus[0]))):
        lost = [gpu for gpu in gpus[1:] if gpu not in reached]
        if lost:
            what = f"no way {way} '{label[gpus[0]]}': {len(lost)} GPUs are not connected"
            faults.append(Fault(f"node '{label[lost[0]]}'", what))
    if faults:
        raise GraphFault(faults)
