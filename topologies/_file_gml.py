"""GML taken apart."""

import re
from collections.abc import Iterator
from typing import Any

from topologies._file_checks import (
    DEEPEST,
    LONGEST_NUMBER,
    Fault,
    Faults,
    GraphFault,
    Parsed,
    as_label,
    bound,
)

MOST_TOKENS = 4_000_000

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<open>\[)|(?P<close>\])|"(?P<text>[^"]*)"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""(?=[\s\]\[]|$)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
)


def parse_gml(text: str) -> Parsed:
    """Take GML apart: ``graph [ node [ id 0 ... ] edge [ source 0 target 1 ... ] ]``."""
    bound(text)
    top = _gml_list(_gml_tokens(text), 0)
    graphs = [value for key, value, _ in top if key == "graph"]
    if len(graphs) != 1 or not isinstance(graphs[0], list):
        raise GraphFault([Fault("", f"wanted one graph [ ... ], got {len(graphs)}")])
    parsed = Parsed()
    for key, value, line in graphs[0]:
        where = f"line {line}"
        if key == "directed":
            parsed.directed = value == 1
        elif key in ("node", "edge"):
            entries = _gml_entries(value, where, parsed.faults)
            if key == "node":
                label = as_label(entries.pop("id", None))
                if label is None:
                    parsed.faults.append(Fault(where, "a node without id"))
                else:
                    parsed.nodes.append((label, entries, where))
                continue
            tail, head = as_label(entries.pop("source", None)), as_label(entries.pop("target", None))
            if tail is None or head is None:
                parsed.faults.append(Fault(where, "an edge without source or target"))
            else:
                parsed.edges.append((tail, head, entries, where))
    return parsed


def _gml_tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the kind, the text and the line of each token, an end token last."""
    place, line, seen = 0, 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise GraphFault([Fault(f"line {line}", f"not valid GML at {text[place : place + 20]!r}")])
        if match.lastgroup is not None:
            seen += 1
            if seen > MOST_TOKENS:
                raise GraphFault([Fault(f"line {line}", f"more than {MOST_TOKENS} words and numbers")])
            yield match.lastgroup, match[match.lastgroup], line
        line += text.count("\n", place, match.end())
        place = match.end()
    yield "end", "", line


def _gml_list(tokens: Iterator[tuple[str, str, int]], depth: int) -> list[tuple[str, Any, int]]:
    """Return the pairs of one list, with their lines, up to its closing bracket."""
    if depth > DEEPEST:
        raise GraphFault([Fault("", "nested too deeply")])
    found: list[tuple[str, Any, int]] = []
    for kind, key, line in tokens:
        if kind == ("close" if depth else "end"):
            return found
        if kind == "end":
            break
        if kind != "word":
            raise GraphFault([Fault(f"line {line}", f"wanted a key, got {key[:20]!r}")])
        what, value, place = next(tokens)
        if what == "open":
            found.append((key, _gml_list(tokens, depth + 1), place))
        elif what in ("text", "number"):
            found.append((key, value if what == "text" else _gml_number(value, place), place))
        else:
            raise GraphFault([Fault(f"line {place}", f"wanted a value for '{key[:60]}'")])
    raise GraphFault([Fault("", "a bracket is not closed")])


def _gml_number(text: str, line: int) -> int | float:
    if len(text) > LONGEST_NUMBER:
        raise GraphFault([Fault(f"line {line}", f"a number of {len(text)} digits")])
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _gml_entries(value: Any, where: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(value, list):
        faults.append(Fault(where, "wanted [ ... ]"))
        return {}
    found: dict[str, Any] = {}
    for key, inner, line in value:
        if key in found:
            faults.append(Fault(f"line {line}", f"{key[:60]} appears twice"))
        found[key] = inner
    return found
