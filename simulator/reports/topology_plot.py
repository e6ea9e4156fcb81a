"""A picture of a fabric: what is connected to what, and how fast."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simulator.reports._topology_layout import LAYERS, Places, is_layered, place
from topologies._graph import GraphNode, gpu_nodes

Item = TypeVar("Item")

MOST_IN_A_ROW, MOST_ROUND = 36, 72  # GPUs drawn; more would be dots
SAMPLE = 16  # GPUs, and switches of a kind, drawn where there are more


@dataclass(frozen=True, slots=True)
class _Look:
    marker: str
    size: float
    face: str
    edge: str
    text: str = "white"


_LOOKS = {
    "gpu": _Look("s", 19, "#3f7d4e", "#24502f"),
    "nic": _Look("D", 8, "#e2a33b", "#96681a"),
    "nvswitch": _Look("h", 24, "#7b5aa6", "#4d3570"),
    "pcie": _Look("h", 19, "#9a8fb0", "#665a80"),
    "cpu": _Look("p", 24, "#8a8f98", "#555a63"),
    "leaf": _Look("o", 21, "#4f8fc4", "#2b5f8c"),
    "spine": _Look("o", 23, "#2f6ba3", "#184672"),
    "core": _Look("o", 24, "#173f6b", "#0b2644"),
    "server": _Look("^", 24, "#b8483f", "#7c2620"),
    "gateway": _Look("v", 22, "#c77f2f", "#86521a"),
}
_ALIASES = {"edge": "leaf", "switch": "leaf", "router": "leaf", "aggregation": "spine"}
_WORDS = {
    "gpu": ("GPU", "GPUs"),
    "nic": ("NIC", "NICs"),
    "cpu": ("CPU", "CPUs"),
    "nvswitch": ("NVSwitch", "NVSwitches"),
    "pcie": ("PCIe switch", "PCIe switches"),
    "leaf": ("leaf", "leaves"),
    "switch": ("switch", "switches"),
    "edge": ("edge switch", "edge switches"),
    "aggregation": ("aggregation switch", "aggregation switches"),
}
_OTHER = _Look("o", 19, "#70757d", "#44484e")
_LINK = "#5b6470"


def draw(graph: nx.DiGraph, axes: Axes | None = None) -> Axes:
    """Draw a fabric; GPUs are squares with their rank, a link is as thick as it is fast.

    Parameters
    ----------
    graph : networkx.DiGraph
        Any fabric; of a large one the first machines and switches are drawn, and a note says so.
    axes : matplotlib.axes.Axes, optional
        Where to draw; left out, a new figure fitted to the picture.

    Returns
    -------
    matplotlib.axes.Axes
        With the picture, a legend and a title; its ``figure`` can be saved.
    """
    shown, note = _fold(graph)
    places = place(shown)
    shown = shown.subgraph(places)
    if axes is None:
        axes = _new_axes(places, is_layered(graph))
    widths = _draw_links(axes, shown, places)
    _draw_nodes(axes, shown, places)
    _finish(axes, graph, widths, note)
    return axes


def _fold(graph: nx.DiGraph) -> tuple[nx.DiGraph, str]:
    """Return what of the fabric is drawn, and the sentence that says what is not."""
    gpus = gpu_nodes(graph)
    if len(gpus) <= (MOST_IN_A_ROW if is_layered(graph) else MOST_ROUND):
        keep = set(gpus)
    elif "dims" in graph.graph:
        keep = {gpu for gpu in gpus if max(graph.nodes[gpu]["place"]) < 4}
    elif is_layered(graph):
        keep = set(_sample(graph, gpus))
    else:
        keep = set(gpus[: 2 * SAMPLE])
    hosts = {graph.nodes[gpu].get("host") for gpu in keep}
    by_kind: dict[str, list[GraphNode]] = {}
    for node, attributes in graph.nodes(data=True):
        if attributes["kind"] != "gpu" and attributes.get("host") in hosts | {None}:
            by_kind.setdefault(attributes["kind"], []).append(node)
    # nearest the machines first, so that each kind can prefer what is joined to something already kept
    for kind in sorted(by_kind, key=lambda kind: abs(LAYERS.get(kind, 4.2))):
        nodes = sorted(by_kind[kind], key=lambda node: node[1:])
        joined = [node for node in nodes if not keep.isdisjoint(graph.successors(node))]
        if graph.nodes[nodes[0]].get("host") is not None:
            keep.update(nodes if kind == "cpu" else joined)
        elif len(nodes) <= MOST_IN_A_ROW // 2 or not is_layered(graph):
            keep.update(nodes)
        else:
            keep.update(_evenly(joined or nodes, SAMPLE))
    if len(keep) == len(graph):
        return graph, ""
    have, drawn = (Counter(graph.nodes[node]["kind"] for node in nodes) for nodes in (graph, keep))
    parts = [
        f"{drawn[kind]:,} of {count:,} {_plural(kind)}" for kind, count in have.items() if drawn[kind] < count
    ]
    return graph.subgraph(keep), "shown: " + ", ".join(parts)


def _sample(graph: nx.DiGraph, gpus: list[GraphNode]) -> list[GraphNode]:
    """Return the GPUs of a few machines from the first to the last, whole where they are small enough."""
    hosts: dict[object, list[GraphNode]] = {}
    for gpu in gpus:
        hosts.setdefault(graph.nodes[gpu].get("host"), []).append(gpu)
    machines = list(hosts.values())
    chosen = _evenly(machines, max(2, SAMPLE // len(machines[0])))
    return [gpu for machine in chosen for gpu in machine[: SAMPLE // min(2, len(chosen))]]


def _evenly(items: list[Item], most: int) -> list[Item]:
    """Return at most so many of the items, from the first to the last."""
    count = min(len(items), most)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]


def _new_axes(places: Places, layered: bool) -> Axes:
    xs, ys = zip(*places.values(), strict=True)
    width = min(max(6.5, (max(xs) - min(xs)) * 0.4 + 3.2), 16.0)
    height = min(max(3.0, (max(ys) - min(ys)) * (0.72 if layered else 0.62) + 1.6), 12.0)
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    return figure.add_subplot()


def _draw_links(axes: Axes, graph: nx.DiGraph, places: Places) -> dict[float, tuple[float, str]]:
    """Draw each pair of connected nodes once; return the width and the words for each bandwidth."""
    rates = sorted({edge["bandwidth_Bps"] for *_, edge in graph.edges(data=True)})
    step = 3.4 / max(1, len(rates) - 1)
    widths = {rate: 0.9 + index * step for index, rate in enumerate(rates)}
    words: dict[float, str] = {}
    lines, sizes = [], []
    crowd = graph.number_of_edges() / 2
    for tail, head, edge in graph.edges(data=True):
        rate, cables = edge["bandwidth_Bps"], edge.get("cables", 1)
        each = f" ({cables} cables)" if cables > 1 else ""
        words.setdefault(rate, f"{_rate(rate)}{each}")
        if not graph.has_edge(head, tail) or repr(tail) < repr(head):
            lines.append(_path(graph, places, tail, head))
            sizes.append(widths[rate])
    alpha = min(0.8, 6 / math.sqrt(max(crowd, 1)))
    axes.add_collection(LineCollection(lines, linewidths=sizes, colors=_LINK, alpha=alpha, zorder=1))
    return {rate: (widths[rate], words[rate]) for rate in rates}


def _path(graph: nx.DiGraph, places: Places, tail: GraphNode, head: GraphNode) -> list[tuple[float, float]]:
    """Return a straight line, or a bow where it would run through the nodes between."""
    (x0, y0), (x1, y1) = places[tail], places[head]
    length = math.hypot(x1 - x0, y1 - y0)
    bow = _bow(graph, tail, head, length) if length else 0.0
    if graph.graph.get("family") == "dgx_1v":
        bow *= (y0 == y1) * (1 if y0 > 2 else -1)
    elif "place" not in graph.nodes[tail]:
        bow *= (y0 == y1) * (-1 if graph.nodes[tail]["kind"] == "gpu" else 1)
    if not bow:
        return [places[tail], places[head]]
    middle = ((x0 + x1) / 2 + bow * abs(y1 - y0) / length, (y0 + y1) / 2 + bow * abs(x1 - x0) / length)
    control = (2 * middle[0] - (x0 + x1) / 2, 2 * middle[1] - (y0 + y1) / 2)
    turns = [step / 24 for step in range(25)]
    return [
        (
            (1 - t) ** 2 * x0 + 2 * t * (1 - t) * control[0] + t * t * x1,
            (1 - t) ** 2 * y0 + 2 * t * (1 - t) * control[1] + t * t * y1,
        )
        for t in turns
    ]


def _bow(graph: nx.DiGraph, tail: GraphNode, head: GraphNode, length: float) -> float:
    """Return how far the middle of a link leaves the straight line."""
    if "place" in graph.nodes[tail]:
        steps = zip(graph.nodes[tail]["place"], graph.nodes[head]["place"], strict=True)
        return 0.0 if sum(abs(here - there) for here, there in steps) == 1 else 0.34 + 0.03 * length
    if graph.graph.get("family") == "dgx_1v":
        return 0.16 * length if length > 3.8 else 0.0
    return 0.16 * length if is_layered(graph) and length > 1.9 else 0.0


def _draw_nodes(axes: Axes, graph: nx.DiGraph, places: Places) -> None:
    for node, kind in graph.nodes(data="kind"):
        look = _look(kind)
        x, y = places[node]
        axes.plot(
            x, y, look.marker, markersize=look.size, markerfacecolor=look.face, markeredgecolor=look.edge,
            markeredgewidth=1.2, zorder=2, clip_on=False,
        )  # fmt: skip
        text = _text(node, kind)
        if text:
            axes.annotate(
                text, (x, y), ha="center", va="center_baseline", color=look.text, zorder=3,
                fontsize=7.5 if len(text) < 4 else 6, fontweight="bold",
            )  # fmt: skip


def _finish(axes: Axes, graph: nx.DiGraph, widths: dict[float, tuple[float, str]], note: str) -> None:
    have = Counter(kind for _, kind in graph.nodes(data="kind"))
    handles = [
        Line2D([], [], linestyle="", marker=look.marker, markersize=9, markerfacecolor=look.face,
               markeredgecolor=look.edge, label=f"{count:,} {_plural(kind, count)}")
        for kind, count in have.items()
        for look in [_look(kind)]
    ]  # fmt: skip
    handles += [
        Line2D([], [], color=_LINK, linewidth=width, alpha=0.85, label=words)
        for width, words in _evenly(list(widths.values()), 6)
    ]
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False,
        fontsize=8.5, handlelength=1.6, labelspacing=0.7,
    )  # fmt: skip
    about = f"{graph.graph.get('name', '')}: {have['gpu']:,} GPUs".removeprefix(": ")
    axes.set_title(about, loc="left", fontsize=12, fontweight="bold", pad=14 if note else 8)
    if note:
        axes.text(0.0, 1.0, note, transform=axes.transAxes, fontsize=8.5, color="#70757d", va="bottom")
    if not is_layered(graph):
        axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06, 0.1)
    axes.autoscale_view()
    axes.set_axis_off()


def _look(kind: str) -> _Look:
    return _LOOKS.get(_ALIASES.get(kind, kind), _OTHER)


def _text(node: GraphNode, kind: str) -> str:
    """Return what stands on a node: a GPU's rank, the number of a switch."""
    if kind == "nic":
        return ""
    numbers = [str(part) for part in node[1:] if isinstance(part, int)]
    return ".".join(numbers) if numbers else str(node[-1])[:5]


def _rate(value: float) -> str:
    for scale, unit in ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s")):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value:.4g} B/s"


def _plural(kind: str, count: int = 2) -> str:
    singular, plural = _WORDS.get(kind, (kind, f"{kind}s"))
    return singular if count == 1 else plural
