"""What makes the contents of a graph file a fabric: kinds, rates, times, no loops, no strangers."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeGuard

from topologies._graph import FASTEST, SLOWEST

NODE_KEYS = (
    "kind",
    "level",
    "group",
    "place",
    "host",
    "local",
    "rail",
    "rank",
    "label",
    "latency_s",
    "name",
    "x",
    "y",
    "graphics",
    "site",
)
EDGE_KEYS = ("bandwidth_Bps", "latency_s", "cables", "label", "name", "key", "graphics", "weight")
ABOUT: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("gpu", "node", "intra", "inter", "host_cpu"), str),
    **dict.fromkeys(("gpus_per_node", "nics_per_node", "rails"), int),
    **dict.fromkeys(("nic_bandwidth_Bps", "intra_bandwidth_Bps"), (int, float)),
}
COUNTS = {"host": 0, "local": 0, "rail": 0, "rank": 0, "site": 0, "cables": 1}
MOST_NODES = 1_000_000
MOST_FAULTS = 100  # then the rest is not looked at
LARGEST = 32 * 2**20  # characters
DEEPEST = 64
LONGEST_NUMBER = 400  # digits
MOST_COUNT = 10**9


class Fault(NamedTuple):
    """One thing wrong with a file: where, and what."""

    where: str
    message: str


class GraphFault(ValueError):  # noqa: N818 (it holds faults, one or many)
    """Everything that is wrong with a graph file.

    Parameters
    ----------
    faults : iterable of Fault
        At least one.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = [Fault(*fault) for fault in faults]
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(": ".join(filter(None, first)) + more)


class Faults(list[Fault]):
    """Faults as they are found; enough of them end the search."""

    def append(self, fault: Fault) -> None:
        """Add a fault; raise GraphFault where there are enough."""
        super().append(fault)
        if len(self) >= MOST_FAULTS:
            raise GraphFault(self)


@dataclass(slots=True)
class Parsed:
    """A graph file taken apart, nothing believed yet: ids as text, values as they stood.

    ``nodes`` and ``edges`` keep repetitions, so that the checks can see them; each comes with its place.
    """

    nodes: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)
    edges: list[tuple[str, str, Mapping[str, Any], str]] = field(default_factory=list)
    directed: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)


def bound(text: str) -> None:
    """Raise GraphFault for a text too large to be a graph that anybody simulates."""
    if len(text) > LARGEST:
        raise GraphFault([Fault("", f"more than {LARGEST // 2**20} million characters")])


def as_label(value: object) -> str | None:
    """Return a node's id as text, None where it is none; lists, as tuples become in JSON, by their parts."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return str(value)
    if isinstance(value, list) and value:
        parts = [as_label(part) for part in value]
        return None if None in parts else "-".join(str(part) for part in parts)
    return None


def integer(text: str) -> int:
    """Return a whole number of a bounded length; ValueError otherwise."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def check_nodes(parsed: Parsed, faults: Faults) -> dict[str, dict[str, Any]]:
    """Return the nodes by id; whatever is wrong with them goes to ``faults``."""
    nodes: dict[str, dict[str, Any]] = {}
    for label, attributes, where in parsed.nodes:
        if label in nodes:
            faults.append(Fault(where, f"node '{label}' appears twice"))
            continue
        _check_keys(attributes, NODE_KEYS, where, faults)
        kind = attributes.get("kind")
        if kind is None:
            faults.append(Fault(where, f'node \'{label}\' has no kind, e.g. "gpu" or "switch"'))
        elif not isinstance(kind, str) or not kind.strip():
            faults.append(Fault(where, f"kind must be a word, got {_shown(kind)}"))
        nodes[label] = _values(attributes, where, faults)
    if not parsed.nodes:
        faults.append(Fault("", "the graph has no nodes"))
    elif not any(attributes.get("kind") == "gpu" for attributes in nodes.values()):
        faults.append(Fault("", "no node has kind 'gpu'"))
    return nodes


def check_edges(
    parsed: Parsed, nodes: Mapping[str, Any], faults: Faults
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the edges by their ends, both directions of a full-duplex cable; faults go to ``faults``."""
    edges: dict[tuple[str, str], dict[str, Any]] = {}
    for tail, head, attributes, where in parsed.edges:
        strangers = [end for end in dict.fromkeys((tail, head)) if end not in nodes]
        for end in strangers:
            near = get_close_matches(end, list(nodes), n=1, cutoff=0.6) if len(nodes) < 10_000 else []
            hint = f", did you mean '{near[0]}'?" if near else ""
            faults.append(Fault(where, f"node '{end}' is not in the graph{hint}"))
        if tail == head:
            faults.append(Fault(where, f"an edge from '{tail}' to itself"))
        _check_keys(attributes, EDGE_KEYS, where, faults)
        for key in ("bandwidth_Bps", "latency_s"):
            if attributes.get(key) is None:
                faults.append(Fault(where, f"no {key}"))
        values = {"cables": 1} | _values(attributes, where, faults)
        ways = [(tail, head)] if parsed.directed else [(tail, head), (head, tail)]
        if ways[0] in edges:
            faults.append(
                Fault(where, f"the edge from '{tail}' to '{head}' appears twice; say cables instead")
            )
            continue
        edges |= dict.fromkeys(ways, values)
    return edges


def number_gpus(nodes: Mapping[str, Mapping[str, Any]], faults: Faults) -> dict[str, tuple[Any, ...]]:
    """Return each node's name in the fabric: GPUs by rank, or by order in the file; others by their id."""
    gpus = [label for label, attributes in nodes.items() if attributes.get("kind") == "gpu"]
    ranks = [nodes[label].get("rank") for label in gpus]
    if any(rank is not None for rank in ranks) and not faults:
        if sorted(rank for rank in ranks if rank is not None) != list(range(len(gpus))):
            faults.append(
                Fault("rank", f"the ranks of {len(gpus)} GPUs must be 0 to {len(gpus) - 1}, each once")
            )
        else:
            gpus.sort(key=lambda label: nodes[label]["rank"])
    names: dict[str, tuple[Any, ...]] = {label: ("gpu", rank) for rank, label in enumerate(gpus)}
    for label, attributes in nodes.items():
        names.setdefault(label, (str(attributes.get("kind")), label))
    return names


def check_about(
    about: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]], faults: Faults
) -> dict[str, Any]:
    """Return what the graph says of its machines, and what its GPUs' hosts say; faults go to ``faults``."""
    found: dict[str, Any] = {}
    for key, value in about.items():
        if key not in ABOUT:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, ABOUT[key])
            or (_number(value) and not 0 <= value <= FASTEST)
        ):
            faults.append(Fault(f"graph.{key}", f"not what it should be, got {_shown(value)}"))
        else:
            found[key] = value
    gpus = [attributes for attributes in nodes.values() if attributes.get("kind") == "gpu"]
    per_host = set(Counter(gpu.get("host", index) for index, gpu in enumerate(gpus)).values())
    if len(per_host) == 1 and all("host" in gpu for gpu in gpus):
        found["gpus_per_node"] = per_host.pop()
    if not all("rail" in gpu and "host" in gpu for gpu in gpus):
        found.pop("rails", None)
    return found


def _check_keys(attributes: Mapping[str, Any], known: tuple[str, ...], where: str, faults: Faults) -> None:
    for key in attributes:
        if key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            faults.append(Fault(where, f"unknown key '{str(key)[:60]}'{hint}"))


def _values(attributes: Mapping[str, Any], where: str, faults: Faults) -> dict[str, Any]:
    """Return the attributes that a fabric uses, numbers as they should be."""
    found = {}
    for key, value in attributes.items():
        if value is None:
            continue
        if key == "bandwidth_Bps" and not (_number(value) and 0 < value <= FASTEST):
            faults.append(
                Fault(where, f"bandwidth_Bps must be a number of bytes/s above 0, got {_shown(value)}")
            )
        elif key == "latency_s" and not (_number(value) and 0 <= value <= SLOWEST):
            faults.append(
                Fault(where, f"latency_s must be a number of seconds from 0 on, got {_shown(value)}")
            )
        elif key in COUNTS and not (type(value) is int and COUNTS[key] <= value <= MOST_COUNT):
            faults.append(
                Fault(where, f"{key} must be a whole number from {COUNTS[key]} on, got {_shown(value)}")
            )
        elif key in ("bandwidth_Bps", "latency_s"):
            found[key] = float(value)
        elif key in COUNTS or key == "kind" or (key == "label" and isinstance(value, str)):
            found[key] = value
    return found


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
