"""Node-link JSON taken apart."""

import json
from collections.abc import Mapping
from typing import Any

from topologies._file_checks import MOST_NODES, Fault, Faults, GraphFault, Parsed, as_label, bound, integer


def parse_json(text: str) -> Parsed:
    """Take node-link JSON apart, as ``networkx.node_link_data`` writes it, with ``edges`` or ``links``."""
    bound(text)
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=integer)
    except json.JSONDecodeError as error:
        raise GraphFault([Fault(f"line {error.lineno}", f"not valid JSON: {error.msg}")]) from None
    except RecursionError:
        raise GraphFault([Fault("", "nested too deeply")]) from None
    except ValueError as error:
        raise GraphFault([Fault("", str(error))]) from None
    if not isinstance(data, dict):
        raise GraphFault([Fault("", "wanted an object with nodes and edges")])
    parsed = Parsed(directed=data.get("directed", False) is True)
    _check_top(data, parsed.faults)
    about = data.get("graph", {})
    parsed.about = about if isinstance(about, dict) else {}
    for index, node in enumerate(_list(data, "nodes", parsed.faults)):
        where = f"nodes[{index}]"
        if not isinstance(node, dict) or as_label(node.get("id")) is None:
            parsed.faults.append(Fault(where, "wanted an object with an id"))
            continue
        parsed.nodes.append((str(as_label(node["id"])), _without(node, "id"), where))
    key = "links" if "links" in data and "edges" not in data else "edges"
    for index, edge in enumerate(_list(data, key, parsed.faults)):
        where = f"{key}[{index}]"
        ends = [as_label(edge.get(end)) for end in ("source", "target")] if isinstance(edge, dict) else [None]
        if None in ends:
            parsed.faults.append(Fault(where, "wanted an object with source and target"))
            continue
        parsed.edges.append((str(ends[0]), str(ends[1]), _without(edge, "source", "target", "key"), where))
    return parsed


def _check_top(data: Mapping[str, Any], faults: Faults) -> None:
    for key in data:
        if key not in ("directed", "multigraph", "graph", "nodes", "edges", "links", "name"):
            faults.append(Fault(key[:60], "unknown key; wanted directed, graph, nodes, edges"))
    for key in ("directed", "multigraph"):
        if not isinstance(data.get(key, False), bool):
            faults.append(Fault(key, "wanted true or false"))
    if data.get("multigraph") is True:
        faults.append(Fault("multigraph", "several edges between two nodes are one edge with cables"))


def _list(data: Mapping[str, Any], key: str, faults: Faults) -> list[Any]:
    found = data.get(key)
    if not isinstance(found, list):
        faults.append(Fault(key, "missing" if found is None else "wanted a list"))
        return []
    if len(found) > MOST_NODES:
        raise GraphFault([Fault(key, f"more than {MOST_NODES} entries")])
    return found


def _without(attributes: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in keys}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: list[str] = []
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key '{key[:60]}' appears twice in one object")
            seen.append(key)
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON knows")
