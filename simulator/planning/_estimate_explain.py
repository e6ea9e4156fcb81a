"""Why a step takes as long as it does: its longest way, what waits for whom, what is full, what NCCL would run."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from simulator.calibration.setting import Setting
from simulator.collectives import _nccl as nccl
from simulator.collectives._bus_bandwidth import bus_factor
from simulator.engine.closed_form import Solved, solve
from simulator.engine.result import Result, account
from simulator.planning._estimate_counts import every, sends
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_step import Step
from workloads.step_graph import Collective, Compute

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Where the time of a step comes from.

    Parameters
    ----------
    path : list of dict
        Operations of the longest way through the step, those that make most of it first.
    talk : list of dict
        Collectives by axis and operation: group, bytes, seconds, NCCL's choice.
    links : list of dict
        The busiest link of each kind: how full, by which axes.
    slowed : mapping of str to float
        Seconds by axis that contention added, over all stages.
    """

    path: list[Row]
    talk: list[Row]
    links: list[Row]
    slowed: Mapping[str, float]


def explained(step: Step, result: Result, desk: Desk) -> Why:
    """Return where the time of a step comes from.

    Parameters
    ----------
    step : Step
        What was asked.
    result : Result
        What the engine says; links and contention are known of events only.
    desk : Desk
        The fabric.
    """
    solved = solve(step.graph, step.prices)
    return Why(
        path=_path(solved),
        talk=_talk(step, result, desk),
        links=_links(result),
        slowed={axis: seconds for axis, seconds in result.slowed_s.items() if seconds > 0},
    )


def _path(solved: Solved) -> list[Row]:
    total: dict[tuple[str, str, str], float] = defaultdict(float)
    for entry, weight, seconds in zip(solved.entries, solved.weights, solved.seconds, strict=True):
        what = entry.what
        if isinstance(what, int):
            key = ("send to the next stage", "exposed_pipeline", "send")
        elif isinstance(what, Compute):
            key = (what.name, account(what), what.law)
        else:
            key = (what.name, account(what), what.op)
        total[key] += weight * seconds
    whole = sum(total.values())
    return [
        {"operation": name, "account": where, "kind": kind, "seconds_s": seconds, "share": seconds / whole}
        for (name, where, kind), seconds in sorted(total.items(), key=lambda item: -item[1])
        if seconds > 0
    ]


def _talk(step: Step, result: Result, desk: Desk) -> list[Row]:
    """Return what is exchanged, by axis and operation, of the stage that exchanges most of it."""
    by_stage: dict[tuple[str, str], dict[int, list[tuple[Collective, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for done in every(step.graph):
        if isinstance(done.what, Collective) and step.layout.size(done.what.axis) > 1:
            by_stage[done.what.axis, done.what.op][done.stage].append((done.what, done.times))
    rows = [_exchange(step, desk, axis, op, stages) for (axis, op), stages in by_stage.items()]
    rows += _sent(step)
    spent = result.breakdown_s
    for row in rows:
        row["exposed_s"] = spent[row["account"]]
    return sorted(rows, key=lambda row: (-row["exposed_s"], -row["seconds_s"]))


def _exchange(
    step: Step, desk: Desk, axis: str, op: str, stages: Mapping[int, list[tuple[Collective, float]]]
) -> Row:
    def bytes_of(found: list[tuple[Collective, float]]) -> float:
        return sum(one.size * times for one, times in found)

    stage = max(stages, key=lambda number: bytes_of(stages[number]))
    found = stages[stage]
    largest = max((one for one, _ in found), key=lambda one: one.size)
    setting = step.prices.setting(largest, stage)
    ranks = step.layout.size(axis)
    return {
        "axis": axis,
        "op": op,
        "account": account(largest),
        "ranks": ranks,
        "nodes": setting.domains,
        "calls": sum(times for _, times in found),
        "size_bytes": largest.size,
        "sent_bytes": bytes_of(found) * bus_factor(op, ranks),
        "seconds_s": sum(step.prices.seconds(one, stage) * times for one, times in found),
        **chosen(setting, op, largest.size, desk, step.options.gpus),
    }


def _sent(step: Step) -> list[Row]:
    often = sends(step.graph)
    if not often:
        return []
    (source, target), times = max(often.items(), key=lambda item: item[1])
    size = step.graph.boundary.size
    return [
        {
            "axis": "pp",
            "op": "send_recv",
            "account": "exposed_pipeline",
            "ranks": step.layout.pp,
            "nodes": step.prices.send(source, target).domains,
            "calls": float(times),
            "size_bytes": size,
            "sent_bytes": size * times,
            "seconds_s": times * step.prices.transfer(source, target),
            "algorithm": "p2p",
            "protocol": None,
            "next": None,
            "next_slower": None,
        }
    ]


def chosen(setting: Setting, op: str, size: float, desk: Desk, gpus: int) -> Row:
    """Return what NCCL would run for a collective, and how much slower the next algorithm were."""
    none: Row = dict.fromkeys(("algorithm", "protocol", "next", "next_slower"))
    attributes = dict(desk.graph(gpus).graph)
    whole = int(attributes.get("gpus_per_node") or 1)
    per_node = max(1, round(setting.per_domain))
    share = -(-int(attributes.get("nics_per_node") or 0) * per_node // whole)
    try:
        machine = nccl.machine_of(
            attributes | {"gpus_per_node": per_node, "nics_per_node": share}, per_node * setting.domains
        )
        best = nccl.choose(op, size, machine)
        priced = nccl.candidates(op, size, machine)
    except ValueError:
        return none
    others = sorted((one for one in priced if one.algorithm != best.algorithm), key=lambda one: one.time_s)
    return {
        "algorithm": best.algorithm,
        "protocol": best.protocol,
        "next": others[0].algorithm if others else None,
        "next_slower": others[0].time_s / best.time_s if others else None,
    }


def _links(result: Result) -> list[Row]:
    found = []
    for edge, axes in result.link_axes.items():
        tail, head = cast("tuple[object, object]", edge)
        found.append(
            {
                "link": f"{_node(tail)} -> {_node(head)}",
                "busy": result.link_busy[tail, head],
                "axes": dict(axes),
            }
        )
    return sorted(found, key=lambda row: -row["busy"])


def _node(node: Any) -> str:
    if not isinstance(node, tuple):
        return str(node)
    kind, *numbers = node
    return f"{kind}{'-'.join(map(str, numbers))}"
