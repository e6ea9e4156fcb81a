"""GraphML taken apart: no document type, no entities, no depth."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from topologies._file_checks import DEEPEST, MOST_NODES, Fault, Faults, GraphFault, Parsed, bound, integer

Key = tuple[str, str, str | None]
Keys = dict[tuple[str, str], Key]

TYPES: Mapping[str, Callable[[str], Any]] = {
    "boolean": lambda text: {"true": True, "false": False, "1": True, "0": False}[text.strip().lower()],
    "int": lambda text: integer(text.strip()),
    "long": lambda text: integer(text.strip()),
    "float": float,
    "double": float,
    "string": str,
}


def parse_graphml(text: str) -> Parsed:
    """Take GraphML apart: one graph, keys with their types, no document type, no entities."""
    bound(text)
    if re.search(r"<!\s*(DOCTYPE|ENTITY|ELEMENT|ATTLIST)", text, re.IGNORECASE):
        raise GraphFault([Fault("", "document types and entities are not accepted")])
    root = _tree(text)
    if _tag(root) != "graphml":
        raise GraphFault([Fault("", f"not GraphML: the document is <{_tag(root)[:60]}>")])
    graphs = [child for child in root if _tag(child) == "graph"]
    if len(graphs) != 1:
        raise GraphFault([Fault("", f"wanted one graph, got {len(graphs)}")])
    graph = graphs[0]
    default = graph.get("edgedefault", "directed")
    parsed = Parsed(directed=default == "directed")
    if default not in ("directed", "undirected"):
        parsed.faults.append(
            Fault("graph", f"edgedefault must be directed or undirected, got '{default[:20]}'")
        )
    keys = _keys(root, parsed.faults)
    for element in graph:
        if _tag(element) == "node":
            _add_node(element, keys, parsed)
        elif _tag(element) == "edge":
            _add_edge(element, keys, parsed)
        elif _tag(element) not in ("data", "desc"):
            parsed.faults.append(Fault("graph", f"<{_tag(element)[:60]}> is not understood"))
    return parsed


def _keys(root: ET.Element, faults: Faults) -> Keys:
    """Return what is declared: for what and under which id, a name, a type and a default."""
    found: Keys = {}
    for key in root:
        if _tag(key) != "key":
            continue
        name, kind = key.get("attr.name", ""), key.get("attr.type", "string")
        if kind not in TYPES:
            faults.append(Fault(f"key '{name[:60]}'", f"type '{kind[:20]}' is not one of {', '.join(TYPES)}"))
        default = next((child.text or "" for child in key if _tag(child) == "default"), None)
        found[key.get("for", "all"), key.get("id", "")] = (name, kind, default)
    return found


def _add_node(element: ET.Element, keys: Keys, parsed: Parsed) -> None:
    label = element.get("id")
    if label is None:
        parsed.faults.append(Fault("graph", "a node without id"))
        return
    where = f"node '{label[:60]}'"
    parsed.nodes.append((label, _data(element, "node", keys, where, parsed.faults), where))


def _add_edge(element: ET.Element, keys: Keys, parsed: Parsed) -> None:
    tail, head = element.get("source"), element.get("target")
    if tail is None or head is None:
        parsed.faults.append(Fault("graph", "an edge without source or target"))
        return
    where = f"edge '{tail[:60]}' to '{head[:60]}'"
    if element.get("directed", str(parsed.directed).lower()) != str(parsed.directed).lower():
        parsed.faults.append(Fault(where, "is directed otherwise than the graph"))
    parsed.edges.append((tail, head, _data(element, "edge", keys, where, parsed.faults), where))


class _Bounded(ET.TreeBuilder):
    """A tree that stops growing before it hurts."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._seen = 0

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self._depth, self._seen = self._depth + 1, self._seen + 1
        if self._depth > DEEPEST:
            raise GraphFault([Fault("", "nested too deeply")])
        if self._seen > 2 * MOST_NODES:
            raise GraphFault([Fault("", f"more than {2 * MOST_NODES} elements")])
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Any:
        self._depth -= 1
        return super().end(tag)


def _tree(text: str) -> ET.Element:
    parser: ET.XMLParser[Any] = ET.XMLParser(target=_Bounded())  # noqa: S314 (entities were refused)
    try:
        parser.feed(text)
        root: ET.Element = parser.close()
    except ET.ParseError as error:
        line, column = error.position
        raise GraphFault([Fault(f"line {line}", f"not valid XML at column {column}")]) from None
    return root


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _data(element: ET.Element, kind: str, keys: Keys, where: str, faults: Faults) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        if _tag(child) not in ("data", "desc"):
            faults.append(Fault(where, f"<{_tag(child)[:60]}> is not understood"))
        if _tag(child) != "data":
            continue
        ident = child.get("key", "")
        key = keys.get((kind, ident)) or keys.get(("all", ident))
        if key is None:
            faults.append(Fault(where, f"data for a key '{ident[:60]}' that is not declared"))
        elif key[0] in found:
            faults.append(Fault(where, f"{key[0]} appears twice"))
        else:
            found[key[0]] = _typed(child.text or "", key, where, faults)
    for (wanted, _), key in keys.items():
        if wanted in (kind, "all") and key[2] is not None and key[0] not in found:
            found[key[0]] = _typed(key[2], key, where, faults)
    return found


def _typed(text: str, key: Key, where: str, faults: Faults) -> Any:
    """Return text as its declared type; None, and a fault, where it is not one."""
    try:
        return TYPES[key[1]](text) if key[1] in TYPES else None
    except (ValueError, KeyError):
        faults.append(Fault(where, f"{key[0]} is not of its declared type {key[1]}: {text[:30]!r}"))
        return None
