"""Where each node of a fabric is drawn: a layout for each family, layers for whatever else there is."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import networkx as nx

from topologies._graph import GraphNode, gpu_nodes

Places = dict[GraphNode, tuple[float, float]]

# from the bottom of a picture to its top; what is inside a machine stands below its GPUs
LAYERS = {
    "cpu": -2.1,
    "pcie": -1.05,
    "nvswitch": -1.2,
    "gpu": 0.0,
    "nic": 1.15,
    "leaf": 2.6,
    "edge": 2.6,
    "router": 2.6,
    "switch": 2.6,
    "aggregation": 4.2,
    "spine": 4.2,
    "gateway": 4.2,
    "server": 4.2,
    "core": 5.8,
}
_OTHER = 4.2
_CUBE = ((0, 1), (0, 0), (1, 0), (1, 1))  # corners of a quad, in the order of its GPUs, 0 on the outside


def is_layered(graph: nx.DiGraph) -> bool:
    """Return whether a fabric is drawn in layers, wide rather than round."""
    family = graph.graph.get("family", "")
    return family not in FAMILIES or (family == "dragonfly" and graph.graph.get("gpus_per_node", 1) > 1)


def place(graph: nx.DiGraph) -> Places:
    """Return where to draw each node, in units of about one node's distance."""
    return layered(graph) if is_layered(graph) else FAMILIES[graph.graph["family"]](graph)


def layered(graph: nx.DiGraph) -> Places:
    """Return GPUs in a row with a gap between machines, what is inside a machine below, the network above."""
    places: Places = {}
    previous, x = None, -1.0
    for gpu in gpu_nodes(graph):
        host = graph.nodes[gpu].get("host") if graph.graph.get("gpus_per_node", 1) > 1 else 0
        x += 1.0 if host == previous else 1.8
        previous = host
        places[gpu] = (x, 0.0)
    width = x if x > 0 else 1.0
    bows = graph.graph.get("intra") in ("nvlink_mesh", "xgmi")  # they hang below the GPUs
    rows = defaultdict(list)
    for node, kind in graph.nodes(data="kind"):
        if node not in places:
            rows[kind].append(node)
    for kind in sorted(rows, key=lambda kind: abs(LAYERS.get(kind, _OTHER))):
        y = LAYERS.get(kind, _OTHER) - (1.1 if kind in ("cpu", "pcie") and bows else 0.0)
        inside = kind in ("cpu", "pcie", "nvswitch", "nic")
        row = sorted(rows[kind], key=lambda node: (inside * round(_centre(graph, node, places), 6), node[1:]))
        xs = [_centre(graph, node, places) for node in row] if inside else _spread(len(row), width)
        places |= {node: (x, y) for node, x in zip(row, _apart(xs), strict=True)}
    return places


def _centre(graph: nx.DiGraph, node: GraphNode, places: Places) -> float:
    """Return the mean place of a node's machine where it has one, else of its neighbours placed so far."""
    level = abs(LAYERS.get(graph.nodes[node]["kind"], _OTHER))
    near = [
        places[other][0]
        for other in graph.successors(node)
        if other in places and abs(LAYERS.get(graph.nodes[other]["kind"], _OTHER)) < level
    ]
    host = graph.nodes[node].get("host")
    if not near and host is not None:
        near = [x for other, (x, _) in places.items() if graph.nodes[other].get("host") == host]
    return sum(near) / len(near) if near else 0.0


def _spread(count: int, width: float) -> list[float]:
    step = width / max(count, 1)
    return [step * (index + 0.5) + 0.4 for index in range(count)]


def _apart(xs: Sequence[float], least: float = 0.8) -> list[float]:
    """Return the places pushed right where two would touch."""
    found: list[float] = []
    for x in xs:
        found.append(max(x, found[-1] + least) if found else x)
    return found


def circle(graph: nx.DiGraph) -> Places:
    """Return GPUs on a circle from the top clockwise, anything else in the middle."""
    gpus = gpu_nodes(graph)
    radius = max(1.6, len(gpus) / (2 * math.pi) * 1.2)
    places = _around(gpus, 0.0, 0.0, radius)
    rest = [node for node in graph if node not in places]
    return places | _around(rest, 0.0, 0.0, radius / 3 if len(rest) > 1 else 0.0)


def _around(nodes: Sequence[GraphNode], x: float, y: float, radius: float, start: float = 0.0) -> Places:
    turn = 2 * math.pi / max(len(nodes), 1)
    return {
        node: (x + radius * math.sin(start + turn * index), y + radius * math.cos(start + turn * index))
        for index, node in enumerate(nodes)
    }


def cube(graph: nx.DiGraph) -> Places:
    """Return the two quads of a hybrid cube mesh side by side, partners level with each other; PCIe below."""
    places: Places = {}
    for gpu in gpu_nodes(graph):
        quad, corner = divmod(graph.nodes[gpu]["local"], 4)
        x, y = _CUBE[corner]
        places[gpu] = (
            7.4 - 2.4 * x if quad else 2.4 * x,
            2.4 * y + 1.2,
        )  # the right one is the left one's mirror image
    for node, kind in graph.nodes(data="kind"):
        if kind == "cpu":
            places[node] = (1.2 + 5.0 * node[2], -2.4)
        elif kind == "pcie":
            places[node] = ((-0.6, 1.8, 8.0, 5.6)[node[2]], -0.9)
    return places


def grid(graph: nx.DiGraph) -> Places:
    """Return a torus as a grid, its third dimension going back into the picture."""
    back = {gpu: sum(graph.nodes[gpu]["place"][:-2]) for gpu in gpu_nodes(graph)}
    apart = max(1.6, 0.55 * max(back.values()) + 1.0)
    places: Places = {}
    for gpu, depth in back.items():
        row, column = (0, *graph.nodes[gpu]["place"])[-2:]
        places[gpu] = (column * apart + depth * 0.55, -row * apart + depth * 0.45)
    return places


def groups(graph: nx.DiGraph) -> Places:
    """Return a dragonfly: groups on a circle, the routers of each on a small one, GPUs outside."""
    members = defaultdict(list)
    for node, kind in graph.nodes(data="kind"):
        if kind == "router":
            members[node[1]].append(node)
    size = max((len(routers) for routers in members.values()), default=1)
    small = max(1.0, size / (2 * math.pi) * 1.5)
    fan = max((len(_hanging(graph, router)) for routers in members.values() for router in routers), default=0)
    small = max(small, size * fan * 0.16)
    large = (small + 1.9) / math.sin(math.pi / len(members)) if len(members) > 1 else 0.0
    places: Places = {}
    for index, (_, routers) in enumerate(sorted(members.items())):
        angle = 2 * math.pi * index / len(members)
        x, y = large * math.sin(angle), large * math.cos(angle)
        ring = _around(sorted(routers), x, y, small, start=angle)
        places |= ring
        for router, (rx, ry) in ring.items():
            places |= _outside(graph, router, (rx - x) / small, (ry - y) / small, (rx, ry))
    return places


def _hanging(graph: nx.DiGraph, router: GraphNode) -> list[GraphNode]:
    return sorted(node for node in graph.successors(router) if graph.nodes[node]["kind"] == "gpu")


def _outside(graph: nx.DiGraph, router: GraphNode, dx: float, dy: float, foot: tuple[float, float]) -> Places:
    """Return places beyond a router, in a fan, for the GPUs that hang on it."""
    places: Places = {}
    near = _hanging(graph, router)
    for index, node in enumerate(near):
        side = (index - (len(near) - 1) / 2) * 0.75
        places[node] = (foot[0] + 1.15 * dx - side * dy, foot[1] + 1.15 * dy + side * dx)
    return places


def by_level(graph: nx.DiGraph) -> Places:
    """Return a tree of switches, each above the middle of its children."""
    places: Places = {gpu: (float(index), 0.0) for index, gpu in enumerate(gpu_nodes(graph))}
    switches = [node for node, kind in graph.nodes(data="kind") if kind != "gpu"]
    for node in sorted(switches, key=lambda node: (graph.nodes[node].get("level", 0), repr(node))):
        children = [places[child][0] for child in graph.successors(node) if child in places]
        middle = sum(children) / len(children) if children else 0.0
        places[node] = (middle, 1.5 * (graph.nodes[node].get("level", 0) + 1))
    return places


FAMILIES: Mapping[str, Callable[[nx.DiGraph], Places]] = {
    "ring": circle,
    "star": circle,
    "mi300x_mesh": circle,
    "dgx_1v": cube,
    "torus": grid,
    "dragonfly": groups,
    "tree": by_level,
}
