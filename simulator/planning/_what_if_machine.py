"""A fabric that is other than its catalogue says: links faster or slower, fewer uplinks, a broken cable."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import networkx as nx

from simulator.errors import InfeasibleError, UsageError
from simulator.planning._estimate_machine import Desk
from simulator.planning._what_if_changes import Change, Ends, Slow
from simulator.planning.place import Fabric
from topologies._graph import gpu_nodes

INTRA, INTER, CORE = "intra", "inter", "core"
_ALIASES = {"nvswitch": "nvlink", "nvlink_mesh": "nvlink", "infiniband": "ib"}
_SLOTS = ("nic", "cpu", "pcie")  # kinds inside of a machine whose links are not those between its GPUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a machine differs from its description.

    Parameters
    ----------
    rates, latencies : mapping of str to float
        Times what it was, by role of the link: ``intra`` inside of machines, ``inter`` from a machine on.
    core : float
        Times the rate of the links between switches.
    oversubscription : float
        What enters a leaf over what leaves it upwards; 0: as it is.
    failed : tuple of Ends
        Links that are gone.
    slow : tuple of Slow
        GPUs that compute slower.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    latencies: Mapping[str, float] = field(default_factory=dict)
    core: float = 1.0
    oversubscription: float = 0.0
    failed: tuple[Ends, ...] = ()
    slow: tuple[Slow, ...] = ()

    @property
    def same(self) -> bool:
        """Tell whether nothing differs."""
        every = (*self.rates.values(), *self.latencies.values(), self.core)
        return not self.rerouted and not self.slow and all(factor == 1 for factor in every)

    @property
    def rerouted(self) -> bool:
        """Tell whether links differ from each other otherwise than before, so that bytes find it narrower."""
        return self.core != 1 or bool(self.oversubscription) or bool(self.failed)


def words(graph: nx.DiGraph) -> dict[str, str]:
    """Return the role of every word by which a link of a fabric may be called."""
    inside, outside = (str(graph.graph.get(role) or "") for role in (INTRA, INTER))
    found = {"intra": INTRA, "inter": INTER, "core": CORE}
    for name, role in ((inside, INTRA), (outside, INTER)):
        if name:
            found |= {name: role, _ALIASES.get(name, name): role}
    return found


def machine_of(changes: Iterable[Change], graph: nx.DiGraph) -> Machine:
    """Return what changes of the machine mean on a fabric.

    Parameters
    ----------
    changes : iterable of Change
        Those of options are left alone.
    graph : networkx.DiGraph
        The fabric with the GPUs that are asked for.

    Raises
    ------
    UsageError
        A link that it does not have.
    """
    rates: dict[str, float] = {}
    latencies: dict[str, float] = {}
    core, ratio = 1.0, 0.0
    failed: list[Ends] = []
    slow: list[Slow] = []
    for change in changes:
        if change.link:
            role = _role(change, graph)
            what = change.key.rpartition(".")[2]
            factor = change.factor or change.value / _base(graph, role, what, change)
            if role == CORE and what == "bandwidth":
                core *= factor
            else:
                into = rates if what == "bandwidth" else latencies
                into[role] = into.get(role, 1.0) * factor
        elif change.key == "fabric.oversubscription":
            ratio = change.value
        elif change.key == "fabric.fail":
            failed.append(change.value)
        elif change.key == "gpu.slow":
            slow.append(change.value)
    return Machine(
        rates=rates,
        latencies=latencies,
        core=core,
        oversubscription=ratio,
        failed=tuple(failed),
        slow=tuple(slow),
    )


def _role(change: Change, graph: nx.DiGraph) -> str:
    known = words(graph)
    role = known.get(change.link)
    if role is None:
        raise UsageError(
            f"--set {change.text}: the fabric has no link '{change.link}'",
            where="--set",
            hint=", ".join(f"fabric.{word}.bandwidth" for word in known),
        )
    if role == CORE and change.key.endswith("latency"):
        raise UsageError(
            f"--set {change.text}: latency is known from end to end only",
            where="--set",
            hint="fabric.inter.latency",
        )
    if not next(_edges(graph, role), None):
        raise UsageError(
            f"--set {change.text}: there is no such link between so many GPUs of this fabric",
            where="--set",
            hint="more --gpus" if role != INTRA else "fabric.inter.bandwidth",
        )
    return role


def _base(graph: nx.DiGraph, role: str, what: str, change: Change) -> float:
    """Return the rate of one port (bytes/s) or the latency of one link (s) of a role."""
    told = {INTRA: "intra_bandwidth_Bps", INTER: "nic_bandwidth_Bps"}.get(role, "")
    if what == "bandwidth" and graph.graph.get(told):
        return float(graph.graph[told])
    key = "bandwidth_Bps" if what == "bandwidth" else "latency_s"
    values = [edge[key] for _, _, edge in _edges(graph, role) if edge[key] > 0]
    if not values:
        raise UsageError(
            f"--set {change.text}: the fabric has no {what} of that link to start from",
            where="--set",
            hint="x2",
        )
    return float(median(values))


Edges = Iterator[tuple[Any, Any, dict[str, Any]]]


def _edges(graph: nx.DiGraph, role: str) -> Edges:
    """Yield the links of a role: inside of a machine, or from a machine on, or between switches."""
    host = dict(graph.nodes(data="host"))
    kind = dict(graph.nodes(data="kind"))
    slots = ("nic",) if graph.graph.get("intra") == "pcie" else _SLOTS
    for tail, head, edge in graph.edges(data=True):
        inside = host[tail] is not None and host[tail] == host[head]
        switches = host[tail] is None and host[head] is None and "gpu" not in (kind[tail], kind[head])
        is_it = {
            INTRA: inside and kind[tail] not in slots and kind[head] not in slots,
            CORE: switches,
            INTER: not inside,
        }
        if is_it[role]:
            yield tail, head, edge


class Changed(Fabric):
    """A fabric whose graphs differ from those of another one.

    Parameters
    ----------
    base : Fabric
        As described.
    machine : Machine
        How it differs.
    whole : bool
        Whether rates and latencies are changed, too, or only where bytes go.
    """

    def __init__(self, base: Fabric, machine: Machine, *, whole: bool) -> None:
        self.name, self.profile, self.predictor = base.name, base.profile, base.predictor
        self._base, self._machine, self._whole = base, machine, whole
        self._graphs = {}

    def graph(self, gpus: int) -> nx.DiGraph:
        """Return the changed graph with so many GPUs."""
        if gpus not in self._graphs:
            made = self._base.graph(gpus).copy()
            _broken(made, self._machine.failed)
            _narrowed(made, self._machine)
            if self._whole:
                _scaled(made, self._machine)
            self._graphs[gpus] = made
        return self._graphs[gpus]


def changed_desk(desk: Desk, machine: Machine, *, whole: bool) -> Desk:
    """Return the desk of a changed fabric; what collectives take is known by the fabric as it was."""
    other = Desk(Changed(desk.place, machine, whole=whole))
    other.times = desk.times
    return other


def _scaled(graph: nx.DiGraph, machine: Machine) -> None:
    for role in (INTRA, INTER):
        for _, _, edge in _edges(graph, role):
            edge["bandwidth_Bps"] *= machine.rates.get(role, 1.0)
            edge["latency_s"] *= machine.latencies.get(role, 1.0)
    if machine.rates.get(INTER, 1.0) > 1:  # an adapter twice as fast sits in a slot that feeds it
        kind = dict(graph.nodes(data="kind"))
        for tail, head, edge in graph.edges(data=True):
            if {"gpu", "nic"} == {kind[tail], kind[head]}:
                edge["bandwidth_Bps"] *= machine.rates[INTER]


def _narrowed(graph: nx.DiGraph, machine: Machine) -> None:
    """Change the links between switches: all alike, or those above leaves to a ratio."""
    if machine.core != 1:
        for _, _, edge in _edges(graph, CORE):
            edge["bandwidth_Bps"] *= machine.core
    if not machine.oversubscription:
        return
    core = {(tail, head) for tail, head, _ in _edges(graph, CORE)}
    down: dict[Any, float] = defaultdict(float)
    for tail, head, edge in _edges(graph, INTER):
        if (tail, head) not in core:
            down[head] += edge["bandwidth_Bps"]
    above = [pair for pair in core if (pair[0] in down) != (pair[1] in down)]
    if not above or any(tail in down and head in down for tail, head in core):
        raise UsageError(
            f"--set fabric.oversubscription={machine.oversubscription:g}: leaves of this fabric have no switches "
            "above them, or are joined to each other",
            where="--set",
            hint="fabric.core.bandwidth=x0.5, fabric.inter.bandwidth=x0.5",
        )
    up: dict[Any, float] = defaultdict(float)
    for tail, head in above:
        if tail in down:
            up[tail] += graph.edges[tail, head]["bandwidth_Bps"]
    for tail, head in above:
        leaf = tail if tail in down else head
        graph.edges[tail, head]["bandwidth_Bps"] *= down[leaf] / machine.oversubscription / up[leaf]


def spelt(node: Any) -> str:
    """Return a node as answers spell it: ``leaf0-0``."""
    if not isinstance(node, tuple):
        return str(node)
    kind, *numbers = node
    return f"{kind}{'-'.join(map(str, numbers))}"


def _broken(graph: nx.DiGraph, failed: Iterable[Ends]) -> None:
    """Take failed links out of a graph; refuse where the GPUs no longer reach each other."""
    if not failed:
        return
    by_name = {spelt(node): node for node in graph}
    for ends in failed:
        _cut(graph, by_name.get(ends.tail), by_name.get(ends.head), ends)
    gpus = gpu_nodes(graph)
    reached = nx.descendants(graph, gpus[0]) | {gpus[0]}
    back = nx.ancestors(graph, gpus[0]) | {gpus[0]}
    lost = [gpu for gpu in gpus if gpu not in reached or gpu not in back]
    if lost:
        names = ", ".join(f"{ends.tail}->{ends.head}" for ends in failed)
        raise InfeasibleError(
            f"--set fabric.fail={names}: {len(lost)} of {len(gpus)} GPUs are cut off, {spelt(lost[0])} first",
            where="--set",
            hint="a link with another way around it, e.g. fabric.fail=leaf...->spine...",
        )


def _cut(graph: nx.DiGraph, tail: Any, head: Any, ends: Ends) -> None:
    pairs = [pair for pair in ((tail, head), (head, tail)) if None not in pair and graph.has_edge(*pair)]
    if not pairs:
        kinds: dict[tuple[Any, Any], str] = {}
        for one, other in graph.edges():
            kind = (graph.nodes[one].get("kind"), graph.nodes[other].get("kind"))
            kinds.setdefault(kind, f"{spelt(one)}->{spelt(other)}")
        raise UsageError(
            f"--set fabric.fail={ends.tail}->{ends.head}: the fabric has no such link",
            where="--set",
            hint=", ".join(list(kinds.values())[:6]),
        )
    for pair in pairs:
        edge = graph.edges[pair]
        cables = int(edge.get("cables", 1))
        if not ends.cables or ends.cables >= cables:
            graph.remove_edge(*pair)
        else:
            edge["bandwidth_Bps"] *= (cables - ends.cables) / cables
            edge["cables"] = cables - ends.cables
