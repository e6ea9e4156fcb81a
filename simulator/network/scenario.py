"""A flow scenario file: links and flows as JSON, checked before anything runs."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn

from simulator.errors import Fault, InputError, nearest
from simulator.network.flows import Flow, Link, Replay, replay
from simulator.network.traffic import LARGEST, SMALLEST
from simulator.reading import parse_json, read_text

LIMIT = 24 * 2**20  # bytes; JSON of short values takes thirty times that in memory
ENOUGH = 1000  # faults; whoever has so many needs no more

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # controls, line ends, halves of pairs

_TOP = ("links", "flows")
_REMARKS = ("name", "level", "about", "finish_s", "makespan_s")  # never input
_LINK = ("id", "src", "dst", "bandwidth_Bps", "latency_s")
_FLOW = ("id", "route", "bytes", "after", "delay_s")


_Ends = dict[str, tuple[str | None, str | None]]  # link id to its src and dst


@dataclass(frozen=True, slots=True)
class Scenario:
    """Links and the flows that cross them.

    Parameters
    ----------
    links : mapping of str to Link
        By id.
    flows : tuple of Flow
        Each after earlier ones only.
    """

    links: Mapping[Hashable, Link]
    flows: tuple[Flow, ...]


def read(path: str | Path) -> Scenario:
    """Return the scenario in a JSON file.

    Parameters
    ----------
    path : str or Path
        An object with ``links`` (``id src dst bandwidth_Bps latency_s``) and ``flows``
        (``id route bytes after delay_s``); ``name level about finish_s makespan_s`` may be there and are
        not looked at.

    Raises
    ------
    InputError
        With everything that is wrong with the file.
    """
    data = parse_json(read_text(path, limit=LIMIT), str(path))
    return _Reader(str(path)).scenario(data)


def replay_scenario(scenario: Scenario, fold: str = "auto") -> Replay:
    """Return when each flow of a scenario ends.

    Parameters
    ----------
    scenario : Scenario
        As read.
    fold : {"auto", "on", "off"}
        Whether to use symmetry; never changes a result.

    Raises
    ------
    ValueError
        For another ``fold``.
    """
    if fold not in ("auto", "on", "off"):
        raise ValueError(f"fold must be auto, on or off, got {fold!r}")
    return replay(scenario.links, scenario.flows, fold=fold)


class _Reader:
    """Checks one file and collects its faults."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []

    def scenario(self, data: Any) -> Scenario:
        if not isinstance(data, dict):
            raise InputError(self.source, f"must be an object with links and flows, got {_shown(data)}")
        self.keys(data, "", _TOP, _REMARKS)
        links, ends = self.links(self.list_of(data, "links"))
        flows = self.flows(self.list_of(data, "flows"), ends)
        if self.faults:
            self.refuse()
        return Scenario(links, flows)

    def fault(self, where: str, message: str) -> None:
        self.faults.append(Fault(message, where))
        if len(self.faults) >= ENOUGH:
            self.refuse()

    def refuse(self) -> NoReturn:
        raise InputError(self.source, self.faults)

    def keys(
        self, thing: dict[str, Any], where: str, wanted: Sequence[str], more: Sequence[str] = ()
    ) -> None:
        """Tell of keys that nobody knows and of keys that are missing."""
        for key in thing:
            if key not in wanted and key not in more:
                near = nearest(key, [*wanted, *more], 1) if 0 < len(key) <= 40 else []
                meant = f", did you mean '{near[0]}'?" if near else ""
                self.fault(where, f"unknown key {_shown(key)}{meant}")
        for key in wanted:
            if key not in thing:
                self.fault(where, f"no key '{key}'")

    def list_of(self, data: dict[str, Any], key: str) -> list[Any]:
        things = data.get(key, [])
        if not isinstance(things, list):
            self.fault(key, f"must be a list, got {_shown(things)}")
            return []
        if not things and key in data:
            self.fault(key, "is empty")
        return things

    def objects(self, things: list[Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the objects of a list, each with its key path."""
        for place, thing in enumerate(things):
            if isinstance(thing, dict):
                yield f"{key}[{place}]", thing
            else:
                self.fault(f"{key}[{place}]", f"must be an object, got {_shown(thing)}")

    def links(self, things: list[Any]) -> tuple[dict[Hashable, Link], _Ends]:
        """Return the links by id, and the nodes that each of them joins."""
        links: dict[Hashable, Link] = {}
        ends: _Ends = {}
        for where, thing in self.objects(things, "links"):
            self.keys(thing, where, _LINK)
            src, dst = self.text(thing, where, "src"), self.text(thing, where, "dst")
            bandwidth = self.number(thing, where, "bandwidth_Bps")
            if bandwidth is not None and bandwidth < SMALLEST:
                fault = f"must be above 0 (at least {SMALLEST:g}), got {_shown(bandwidth)}"
                self.fault(f"{where}.bandwidth_Bps", fault)
                bandwidth = None
            latency = self.number(thing, where, "latency_s")
            id_ = self.new_id(thing, where, ends, "link")
            if id_ is not None:
                ends[id_] = src, dst
                if bandwidth is not None and latency is not None:
                    links[id_] = Link(float(bandwidth), float(latency))
        return links, ends

    def flows(self, things: list[Any], ends: _Ends) -> tuple[Flow, ...]:
        flows: list[Flow] = []
        earlier: dict[str, None] = {}
        named = [thing for thing in things if isinstance(thing, dict) and isinstance(thing.get("id"), str)]
        known = {thing["id"] for thing in named}
        if len(known) == len(named):
            self.circle(named)
        for where, thing in self.objects(things, "flows"):
            self.keys(thing, where, _FLOW)
            route = self.route(thing, f"{where}.route", ends)
            size = self.number(thing, where, "bytes", whole=True)
            delay = self.number(thing, where, "delay_s")
            after = self.after(thing, f"{where}.after", earlier, known)
            id_ = self.new_id(thing, where, earlier, "flow")
            if id_ is not None:
                earlier[id_] = None
            if not self.faults and size is not None and delay is not None:
                flows.append(Flow(id=id_, route=route, size=size, after=after, delay=float(delay)))
        return tuple(flows)

    def route(self, thing: dict[str, Any], where: str, ends: _Ends) -> tuple[str, ...]:
        route = self.ids(thing, where, "route")
        if not route and thing.get("route") == []:
            self.fault(where, "is empty; a flow crosses at least one link")
        seen: set[str] = set()
        for place, link in enumerate(route):
            if link not in ends:
                self.fault(f"{where}[{place}]", f"no link {_shown(link)}")
            elif link in seen:
                self.fault(f"{where}[{place}]", f"crosses link {_shown(link)} twice")
            elif place and route[place - 1] in ends:
                here, start = ends[route[place - 1]][1], ends[link][0]
                if here != start and None not in (here, start):  # None: told of before
                    fault = (
                        f"not contiguous: link {_shown(link)} starts at {_shown(start)}, not {_shown(here)}"
                    )
                    self.fault(f"{where}[{place}]", fault)
            seen.add(link)
        return route

    def after(
        self, thing: dict[str, Any], where: str, earlier: Mapping[str, None], known: set[str]
    ) -> tuple[str, ...]:
        after = self.ids(thing, where, "after")
        for place, flow in enumerate(after):
            if flow == thing.get("id"):
                self.fault(f"{where}[{place}]", f"flow {_shown(flow)} waits for itself")
            elif flow not in known:
                self.fault(f"{where}[{place}]", f"no flow {_shown(flow)}")
            elif flow not in earlier:
                fault = f"flow {_shown(flow)} comes later in the list; a flow waits for earlier ones only"
                self.fault(f"{where}[{place}]", fault)
        return after

    def circle(self, things: list[dict[str, Any]]) -> None:
        """Tell of flows that wait for each other, which says more than that one of them comes later."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for thing in things:
            id_, after = thing["id"], thing.get("after")
            if isinstance(after, list):
                sorter.add(id_, *(flow for flow in after if isinstance(flow, str) and flow != id_))
        try:
            sorter.prepare()
        except CycleError as error:
            names = [_shown(id_) for id_ in error.args[1]]
            path = " after ".join(names if len(names) <= 6 else [*names[:5], "...", names[-1]])
            self.fault("flows", f"flows wait for each other in a cycle: {path}")

    def new_id(self, thing: dict[str, Any], where: str, taken: Mapping[str, Any], kind: str) -> str | None:
        id_ = self.text(thing, where, "id")
        if id_ is not None and id_ in taken:
            self.fault(f"{where}.id", f"another {kind} has the id {_shown(id_)}")
            return None
        return id_

    def ids(self, thing: dict[str, Any], where: str, key: str) -> tuple[str, ...]:
        ids = thing.get(key, [])
        if not isinstance(ids, list):
            self.fault(where, f"must be a list of ids, got {_shown(ids)}")
            return ()
        for place, id_ in enumerate(ids):
            if not isinstance(id_, str):
                self.fault(f"{where}[{place}]", f"must be an id, a text, got {_shown(id_)}")
        return tuple(id_ for id_ in ids if isinstance(id_, str))

    def text(self, thing: dict[str, Any], where: str, key: str) -> str | None:
        value = thing.get(key)
        if key not in thing:
            return None
        if not isinstance(value, str) or not value:
            self.fault(f"{where}.{key}", f"must be a text, got {_shown(value)}")
            return None
        if _UNSAFE.search(value):
            self.fault(f"{where}.{key}", f"must be text of one line, got {_shown(value)}")
            return None
        return value

    def number(
        self, thing: dict[str, Any], where: str, key: str, *, whole: bool = False
    ) -> int | float | None:
        if key not in thing:
            return None
        value = thing[key]
        kind = "whole number" if whole else "number"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            self.fault(f"{where}.{key}", f"must be a {kind}, got {_shown(value)}")
        elif value < 0:
            self.fault(f"{where}.{key}", f"must not be negative, got {_shown(value)}")
        elif value > LARGEST:
            self.fault(f"{where}.{key}", f"must be at most {LARGEST:g}, got {_shown(value)}")
        else:
            return value
        return None


def _shown(value: Any) -> str:
    """Return a value as one short line that any terminal can print."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = value[:40] + ("..." if len(value) > 40 else "")
        return f"'{_UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)}'"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
