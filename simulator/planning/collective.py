"""What one collective costs on one fabric: NCCL's choice, the predicted time, and what contention adds.

The predictor says how long the operation takes on such a machine, with an interval; a replay on the fabric's
graph says how much slower than its own closed form the chosen algorithm runs there, and which link is to
blame. The two are multiplied: measurements set the level, events the contention.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import networkx as nx

from simulator.calibration.own import asked, corpus_of_profile
from simulator.calibration.predictor import Prediction, Predictor
from simulator.calibration.setting import Setting, of_fabric
from simulator.collectives import COLLECTIVES
from simulator.collectives import _nccl as nccl
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.collectives._names import algorithms, resolve
from simulator.engine.channels import outline, run_rings
from simulator.engine.collective import FIDELITIES, CollectiveRun, Fidelity
from simulator.engine.fabric import load
from simulator.errors import InfeasibleError, UsageError, unknown
from simulator.profile import Profile, parse
from topologies._routing import Router

OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "send_recv", "gather",
    "scatter",
)  # fmt: skip
_FILES = {  # what NCCL calls it -> our file, by operation
    ("broadcast", "ring"): "chain_broadcast",
    ("reduce", "ring"): "chain_reduce",
    ("all_reduce", "tree"): "double_binary_tree_all_reduce",
    ("all_reduce", "collnet_direct"): "sharp_all_reduce",
    ("all_reduce", "collnet_chain"): "sharp_all_reduce",
    ("all_gather", "nvls"): "direct_all_gather",
    ("reduce_scatter", "nvls"): "direct_reduce_scatter",
    ("all_gather", "collnet_direct"): "direct_all_gather",
    ("reduce_scatter", "collnet_direct"): "direct_reduce_scatter",
    ("all_to_all", "p2p"): "direct_all_to_all",
    ("send_recv", "p2p"): "ring_send_recv",
    ("gather", "p2p"): "direct_gather",
    ("scatter", "p2p"): "direct_scatter",
}
_IN_SWITCH = ("nvls", "nvls_tree", "sharp")
_COUNTED = 256  # ranks up to which a formula also counts what each link carries, other than by rings
_ALPHA_S = 3e-6  # start-up of a message where no library tells one: a step of NCCL over NVLink


@dataclass(slots=True)
class Answer:
    """What `ask` found: rows and candidates as ``commsim collective --json`` prints them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Fabric:
    """A fabric of the catalogue or of a file, grown as asked, with what was measured on it.

    Parameters
    ----------
    name : str
        A name of the catalogue or a file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._graphs: dict[int | None, nx.DiGraph] = {}
        _, tables = self._load(None) if name.endswith(".toml") else (None, None)
        self.profile: Profile | None = None
        if tables and tables.get("kind") == "profile":
            self.profile = parse(tables, name)
        own = corpus_of_profile(self.profile, self._attributes) if self.profile else None
        self.predictor = Predictor(own)

    def _load(self, gpus: int | None) -> tuple[nx.DiGraph, Mapping[str, Any] | None]:
        graph, tables = load(self.name, gpus)
        self._graphs[gpus] = graph
        return graph, tables

    def graph(self, gpus: int) -> nx.DiGraph:
        """Return the graph with so many GPUs; UsageError if the fabric cannot have them."""
        return self._graphs[gpus] if gpus in self._graphs else self._load(gpus)[0]

    def _attributes(self, gpus: int) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = self.graph(gpus).graph
        return attributes

    def setting(self, op: str, gpus: int) -> Setting | None:
        """Return what the predictor knows the machine by; None where no library is known to run on it."""
        if self.profile is not None:
            return asked(self.profile, op, gpus, self._attributes)
        try:
            found = of_fabric(self._attributes(gpus), op, gpus)
        except ValueError:
            return None
        return None if found.family == "other" else found

    def machine(self, gpus: int) -> nccl.Machine | None:
        """Return what NCCL sees, None where it does not run."""
        try:
            return nccl.machine_of(self._attributes(gpus), gpus)
        except ValueError:
            return None


def ask(
    op: str,
    *,
    size: int,
    gpus: int,
    fabric: "str | Fabric",
    algorithm: str = "auto",
    protocol: str = "auto",
    fidelity: str = "formula",
    release: str = nccl.NEWEST,
) -> Answer:
    """Return the cost of one collective.

    Parameters
    ----------
    op : str
        Operation.
    size : int
        Bytes, as nccl-tests counts them; 0 costs latency only.
    gpus : int
        Ranks.
    fabric : str or Fabric
        A name of the catalogue or a file.
    algorithm, protocol : str
        ``auto``: what NCCL would choose; else its name, or one of ours.
    fidelity : str
        ``formula``, ``fluid`` or ``messages``.
    release : str
        NCCL release.

    Raises
    ------
    UsageError
        A name, a count or a combination that there is not.
    InputError
        A fabric file that is wrong in itself.
    """
    if op not in OPERATIONS:
        raise unknown("operation", op, OPERATIONS, where="OP")
    if fidelity not in FIDELITIES:
        raise unknown("fidelity", fidelity, FIDELITIES, where="--fidelity")
    place = fabric if isinstance(fabric, Fabric) else Fabric(fabric)
    question = _Question(op, size, gpus, place.graph(gpus), Answer())
    if gpus == 1:
        question.answer.rows.append(_row(question, _Choice("", "none"), 0.0, (0.0, 0.0), "calibrated", None))
        return question.answer
    choice = _choose(question, place.machine(gpus), algorithm, protocol, release)
    setting = place.setting(op, gpus)
    predicted = None if setting is None else place.predictor.predict([(setting, size)])[0]
    question.answer.rows.append(_answer(question, choice, predicted, fidelity))
    return question.answer


@dataclass(frozen=True, slots=True)
class _Question:
    op: str
    size: int
    gpus: int
    graph: nx.DiGraph
    answer: Answer

    def warn(self, text: str) -> None:
        self.answer.warnings.append(text)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The algorithm to replay, and what stands to it as the library's own choice stands to the prediction."""

    file: str
    name: str
    protocol: str = ""
    channels: int | None = None
    ratio: float = 1.0
    alpha_s: float = _ALPHA_S


def _choose(
    question: _Question, machine: nccl.Machine | None, algorithm: str, protocol: str, release: str
) -> _Choice:
    if machine is not None and (algorithm == "auto" or _is_nccl(algorithm)):
        return _by_nccl(question, machine, algorithm, protocol, release)
    if protocol != "auto":
        raise UsageError(f"--protocol {protocol}: only NCCL's algorithms have protocols", where="--protocol")
    usual = _usual(question, machine, release)
    if algorithm == "auto":
        return usual or _by_formula(question)
    try:
        file = resolve(question.op, algorithm)
    except UsageError as error:
        error.where = "--algorithm"
        raise
    ours = _Choice(file, file.removesuffix(f"_{question.op}"), alpha_s=usual.alpha_s if usual else 0.0)
    if usual is None:
        return ours
    question.warn(
        f"{ours.name} is not what the library runs: priced against {usual.name} by their closed forms"
    )
    ratio = _replay(question, ours, "formula").time_s / _replay(question, usual, "formula").time_s
    return replace(ours, ratio=ratio * usual.ratio)


def _usual(question: _Question, machine: nccl.Machine | None, release: str) -> _Choice | None:
    """Return what the machine's library would run; None where no library is known."""
    if machine is not None:
        return _by_nccl(question, machine, "auto", "auto", release)
    if not question.graph.graph.get("gpu") or question.graph.graph.get("intra") is None:
        return None
    name = "p2p" if (question.op, "p2p") in _FILES else "ring"
    if name == "ring":
        question.warn("no tables of this machine's library: a ring is taken for its choice")
    return _Choice(_FILES.get((question.op, name), f"{name}_{question.op}"), name)


def _is_nccl(algorithm: str) -> bool:
    words = algorithm.lower().replace("-", "_").split(",")
    return all(word.strip("^ ") in nccl.ALGORITHMS for word in words)


def _by_nccl(
    question: _Question, machine: nccl.Machine, algorithm: str, protocol: str, release: str
) -> _Choice:
    try:
        _, warning = nccl.release(release)
    except ValueError as error:
        raise UsageError(f"--nccl {release}: {error}", where="--nccl") from None
    if warning:
        question.warn(warning)
    only = None if algorithm == "auto" else algorithm
    by = None if protocol == "auto" else protocol
    what = (question.op, question.size, machine, release)
    try:
        best, free = nccl.choose(*what, algorithm=only, protocol=by), nccl.choose(*what)
        priced = nccl.candidates(*what, algorithm=only, protocol=by) or [best]
    except ValueError as error:
        flag = "--algorithm" if only else "--protocol"
        raise UsageError(f"{flag}: {error}", where=flag) from None
    question.answer.candidates[:] = [
        {"algorithm": one.algorithm, "protocol": one.protocol, "time_s": one.time_s}
        for one in sorted(priced, key=lambda one: one.time_s)
    ]
    file = _FILES.get((question.op, best.algorithm), f"{best.algorithm}_{question.op}")
    hops = 2 * math.log2(question.gpus) if best.algorithm == "tree" else 2 * (question.gpus - 1)
    alpha = best.latency_s / max(hops, 1.0)
    return _Choice(file, best.algorithm, best.protocol, best.channels, best.time_s / free.time_s, alpha)


def _by_formula(question: _Question) -> _Choice:
    """Return our algorithm with the least closed form on the graph, where no library is known to run."""
    found: list[tuple[float, str, str]] = []
    reduces = "nvswitch" in {kind for _, kind in question.graph.nodes(data="kind")}
    for name, file in algorithms(question.op).items():
        if name == "parameter_server" or (name in _IN_SWITCH and not reduces):
            continue
        try:
            run = _replay(question, _Choice(file, name, alpha_s=0.0), "formula")
        except (UsageError, InfeasibleError):  # an algorithm that this graph has no hardware or shape for
            continue
        found.append((run.time_s, name, file))
    question.answer.candidates += [
        {"algorithm": name, "protocol": "", "time_s": seconds} for seconds, name, _ in sorted(found)
    ]
    _, name, file = min(found)
    return _Choice(file, name, alpha_s=0.0)


def _replay(question: _Question, choice: _Choice, fidelity: Fidelity) -> CollectiveRun:
    module: ModuleType = COLLECTIVES[choice.file]
    graph, ranks, size = question.graph, question.gpus, float(question.size)
    router = Router(graph, "rail") if "rails" in graph.graph else None
    per_node = int(graph.graph.get("gpus_per_node") or 1)
    several = choice.file.startswith("ring_") and question.op != "send_recv" and ranks % per_node == 0
    channels = int(graph.graph.get("nics_per_node") or 1) if several else 1
    if fidelity == "formula" and several and ranks > 2:
        return outline(graph, module, ranks, size, channels=min(channels, per_node), router=router)
    return run_rings(
        graph,
        module,
        ranks,
        size,
        channels=min(channels, per_node),
        fidelity=fidelity,
        alpha=choice.alpha_s,
        router=router,
    )


def _answer(
    question: _Question, choice: _Choice, predicted: Prediction | None, fidelity: str
) -> dict[str, Any]:
    kind: Fidelity = fidelity  # type: ignore[assignment]
    counted = question.gpus <= _COUNTED or choice.file.startswith("ring_") or fidelity != "formula"
    run = _replay(question, choice, kind) if counted else None
    if run is None:
        question.warn(
            f"above {_COUNTED} GPUs the formula counts no links: --fidelity fluid names the bottleneck"
        )
    if predicted is None:
        question.warn(
            "no library is known to run on this machine: closed form of an idle network, no interval"
        )
        run = run or _replay(question, choice, kind)
        return _row(question, choice, run.time_s, (None, None), "catalogue", run)
    question.answer.warnings += [f"assumed: {what}" for what in predicted.assumed]
    scale = choice.ratio
    if run is not None and fidelity != "formula":
        scale *= run.time_s / _replay(question, choice, "formula").time_s
    ends = (predicted.low_s * scale, predicted.high_s * scale)
    level = predicted.time_s * choice.ratio / _price(question, choice) if question.answer.candidates else 1.0
    for one in question.answer.candidates:
        one["time_s"] *= level
    return _row(question, choice, predicted.time_s * scale, ends, predicted.basis, run)


def _price(question: _Question, choice: _Choice) -> float:
    """Return the price of the choice among the candidates, which the prediction then stands for."""
    mine = (choice.name, choice.protocol)
    prices = [one for one in question.answer.candidates if (one["algorithm"], one["protocol"]) == mine]
    return float((prices or question.answer.candidates)[0]["time_s"])


def _row(
    question: _Question,
    choice: _Choice,
    seconds: float,
    ends: tuple[float | None, float | None],
    basis: str,
    run: CollectiveRun | None,
) -> dict[str, Any]:
    rate = question.size / seconds if seconds > 0 else None
    return {
        "op": question.op,
        "gpus": question.gpus,
        "size_bytes": question.size,
        "time_s": seconds,
        "low_s": ends[0],
        "high_s": ends[1],
        "algbw_Bps": rate,
        "busbw_Bps": None if rate is None else rate * bus_factor(question.op, question.gpus),
        "algorithm": choice.name,
        "protocol": choice.protocol,
        "channels": choice.channels,
        "steps": run.steps if run else 0 if question.gpus == 1 else None,
        "volume_bytes_per_rank": run.volume_bytes_per_rank if run else 0.0 if question.gpus == 1 else None,
        "bottleneck": None if run is None else _link(run, seconds),
        "basis": basis,
    }


def _link(run: CollectiveRun, seconds: float) -> dict[str, Any] | None:
    """Return the link that is busy longest, and for which part of the predicted time."""
    if run.bottleneck is None:
        return None
    (tail, head), share = run.bottleneck
    return {"src": _node(tail), "dst": _node(head), "busy": share * run.time_s / seconds}


def _node(node: Any) -> str:
    return "-".join(map(str, node)) if isinstance(node, tuple) else str(node)
