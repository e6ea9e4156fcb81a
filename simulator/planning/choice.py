"""Which algorithm a collective runs by: as NCCL would choose, as asked for, or the least closed form."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import networkx as nx

from simulator.collectives import COLLECTIVES
from simulator.collectives import _nccl as nccl
from simulator.collectives._names import algorithms, resolve
from simulator.engine.channels import outline, run_rings
from simulator.engine.collective import CollectiveRun, Fidelity
from simulator.errors import InfeasibleError, UsageError
from topologies._graph import gpu_nodes
from topologies._routing import Router

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
MOST_RING = 2048  # ranks of a ring whose first step is followed over the graph
_MOST_STEPS = 2_100_000  # messages of one replay as a bundle, whose steps are gone through in Python
_MOST_MESSAGES = 200_000_000  # of one replay message by message, by programmes
_ALL_PAIRS = ("one_shot", "two_shot", "direct", "pairwise")  # every rank sends to every other
_MOST_CROSSINGS = 500_000  # links crossed by all pairs of ranks; more take longer than the answer is worth
_ALPHA_S = 3e-6  # start-up of a message where no library tells one: a step of NCCL over NVLink


@dataclass(slots=True)
class Answer:
    """What `ask` found: rows and candidates as ``commsim collective --json`` prints them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which graph, and where remarks go."""

    op: str
    size: int
    gpus: int
    graph: nx.DiGraph
    answer: Answer
    progress: Callable[[int], object] | None = None  # told now and then how many messages have ended

    def warn(self, text: str) -> None:
        """Add a remark to the answer."""
        self.answer.warnings.append(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """The algorithm to replay, and what stands to it as the library's own choice stands to the prediction."""

    file: str
    name: str
    protocol: str = ""
    channels: int | None = None
    ratio: float = 1.0
    alpha_s: float = _ALPHA_S


def choose(
    question: Question, machine: nccl.Machine | None, algorithm: str, protocol: str, release: str
) -> Choice:
    """Return the algorithm to run: the library's own choice, the one asked for, or the least closed form.

    Raises
    ------
    UsageError
        An algorithm, protocol or release that there is not, or that cannot run here.
    """
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
    ours = Choice(file, file.removesuffix(f"_{question.op}"), alpha_s=usual.alpha_s if usual else 0.0)
    if usual is None:
        return ours
    question.warn(
        f"{ours.name} is not what the library runs: priced against {usual.name} by their closed forms"
    )
    ratio = replay(question, ours, "formula").time_s / replay(question, usual, "formula").time_s
    return replace(ours, ratio=ratio * usual.ratio)


def _usual(question: Question, machine: nccl.Machine | None, release: str) -> Choice | None:
    """Return what the machine's library would run; None where no library is known."""
    if machine is not None:
        return _by_nccl(question, machine, "auto", "auto", release)
    if not question.graph.graph.get("gpu") or question.graph.graph.get("intra") is None:
        return None
    name = "p2p" if (question.op, "p2p") in _FILES else "ring"
    if name == "ring":
        question.warn("no tables of this machine's library: a ring is taken for its choice")
    return Choice(_FILES.get((question.op, name), f"{name}_{question.op}"), name)


def _is_nccl(algorithm: str) -> bool:
    words = algorithm.lower().replace("-", "_").split(",")
    return all(word.strip("^ ") in nccl.ALGORITHMS for word in words)


def _by_nccl(
    question: Question, machine: nccl.Machine, algorithm: str, protocol: str, release: str
) -> Choice:
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
    return Choice(file, best.algorithm, best.protocol, best.channels, best.time_s / free.time_s, alpha)


def _by_formula(question: Question) -> Choice:
    """Return our algorithm with the least closed form on the graph, where no library is known to run."""
    found: list[tuple[float, str, str]] = []
    reduces = "nvswitch" in {kind for _, kind in question.graph.nodes(data="kind")}
    known = algorithms(question.op)
    skipped = _too_many_pairs(question, known)
    if skipped:
        question.warn(f"left out at {question.gpus:,} GPUs, unless --algorithm asks: {', '.join(skipped)}")
    for name, file in known.items():
        if name in ("parameter_server", *skipped) or (name in _IN_SWITCH and not reduces):
            continue
        try:
            run = replay(question, Choice(file, name, alpha_s=0.0), "formula")
        except (UsageError, InfeasibleError):  # an algorithm that this graph has no hardware or shape for
            continue
        found.append((feasible(run), name, file))
    question.answer.candidates += [
        {"algorithm": name, "protocol": "", "time_s": seconds} for seconds, name, _ in sorted(found)
    ]
    if not found:
        raise InfeasibleError(
            f"no algorithm for {question.op} can be followed over {question.gpus:,} GPUs of this graph",
            hint=f"--gpus {MOST_RING} or fewer",
        )
    _, name, file = min(found)
    return Choice(file, name, alpha_s=0.0)


def feasible(run: CollectiveRun) -> float:
    """Return seconds of a closed form, but no less than its busiest link needs for the bytes it carries.

    A formula knows paths, not that several ranks share a link of one; a ring or a tree of cables does.
    """
    return run.time_s * max(1.0, run.bottleneck[1] if run.bottleneck else 0.0)


def _too_many_pairs(question: Question, names: Iterable[str]) -> list[str]:
    """Return the algorithms whose pairs of ranks cross too many links to be compared in passing."""
    if question.op in ("gather", "scatter"):  # there only the root talks to all
        return []
    ranks, gpus = question.gpus, gpu_nodes(question.graph)
    far = Router(question.graph).route(gpus[0], gpus[ranks // 2])
    crossings = ranks * (ranks - 1) * len(far)
    return [name for name in names if name in _ALL_PAIRS] if crossings > _MOST_CROSSINGS else []


def replay(question: Question, choice: Choice, fidelity: Fidelity) -> CollectiveRun:
    """Return what the chosen algorithm does on the graph, on rails and over all NICs where it has such.

    Raises
    ------
    InfeasibleError
        More messages than can be followed one by one.
    """
    module: ModuleType = COLLECTIVES[choice.file]
    graph, ranks, size = question.graph, question.gpus, float(question.size)
    router = Router(graph, "rail") if "rails" in graph.graph else None
    per_node = int(graph.graph.get("gpus_per_node") or 1)
    several = choice.file.startswith("ring_") and question.op != "send_recv" and ranks % per_node == 0
    channels = int(graph.graph.get("nics_per_node") or 1) if several else 1
    ring = fidelity == "formula" and several and ranks > 2
    messages = 2 * ranks * (ranks - 1) * (1 if ring else min(channels, per_node))
    most = _MOST_MESSAGES if fidelity == "messages" else _MOST_STEPS
    if ranks > MOST_RING or (messages > most and not ring):
        raise InfeasibleError(
            f"{choice.name} of {ranks:,} ranks by {fidelity} is {messages:,} messages to follow, too many",
            hint="fewer --gpus, or --fidelity formula on a machine whose library is known",
        )
    if ring:
        return outline(
            graph,
            module,
            ranks,
            size,
            channels=min(channels, per_node),
            alpha=choice.alpha_s,
            router=router,
        )
    return run_rings(
        graph,
        module,
        ranks,
        size,
        channels=min(channels, per_node),
        fidelity=fidelity,
        alpha=choice.alpha_s,
        router=router,
        progress=question.progress,
    )
