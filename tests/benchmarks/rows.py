"""What is measured, row by row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from simulator.network.folding import fold
from tests.benchmarks import ours
from tests.benchmarks.graphs import BANDWIDTH
from tests.benchmarks.outcome import Outcome
from tests.benchmarks.peers import plain, simgrid_process, simpy_alone
from tests.benchmarks.ring import ring, ring_routes
from tests.benchmarks.step import COMPUTE, EXCHANGE, Step, step
from tests.benchmarks.traffic import Traffic, all_to_all, permutation, random_pairs

Run = Callable[[], Outcome | None]
AHEAD, WOKEN = "on SimPy's clock", "on SimPy's clock, woken by {}"  # nobody watched; what is watched
GENERAL = "every message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A workload, made, and the ways to run it.

    Parameters
    ----------
    ways : mapping of str to callable
        Ways of the engine; the ends of the first one are what all others are compared with.
    peers : mapping of str to callable
        Others; a callable returns None where the peer is not installed.
    facts : mapping of str to float
        What else there is to tell of it.
    """

    ways: Mapping[str, Run]
    peers: Mapping[str, Run] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table; ``make`` is given the Pythons that have SimGrid."""

    work: str
    make: Callable[[list[str]], Case]


def _simgrids(traffic: Traffic, pythons: list[str]) -> dict[str, Run]:
    return {f"SimGrid, {python}": partial(simgrid_process.flows, traffic, python) for python in pythons}


def _ring(ranks: int, network: str, pythons: list[str]) -> Case:
    routes = ring_routes(ranks, network)
    first = np.zeros(1, np.int64)
    peers: dict[str, Run] = {}
    if network == "star":
        peers["SimGrid, C++"] = partial(simgrid_process.ring, ranks, BANDWIDTH)
        peers[simpy_alone.RING] = partial(simpy_alone.ring, ranks, BANDWIDTH)
    return Case(
        ways={
            GENERAL: partial(ours.general, lambda: ring(routes)),
            AHEAD: partial(ours.under_simpy, lambda: ring(routes)),
            WOKEN.format("each step of a rank"): partial(ours.under_simpy, lambda: ring(routes), first),
        },
        peers=peers,
        facts={"hosts": ranks},
    )


def _flows(
    make: Callable[[], Traffic], pythons: list[str], *, alike: bool, others: bool, python: bool
) -> Case:
    """Return flows; ``others``: against SimGrid; ``python``: against those that are plain Python."""
    traffic = make()
    everybody = np.arange(len(traffic.size))
    ways: dict[str, Run] = {GENERAL: partial(ours.general, lambda: traffic.lanes)}
    if alike:
        ways["one solve"] = partial(ours.one_solve, traffic)
    ways[AHEAD] = partial(ours.under_simpy, lambda: traffic.lanes)
    ways[WOKEN.format("each end")] = partial(ours.under_simpy, lambda: traffic.lanes, everybody)
    peers = _simgrids(traffic, pythons) if others else {}
    if python:
        peers[plain.NAME] = partial(plain.flows, traffic)
        peers[simpy_alone.FLOWS] = partial(simpy_alone.flows, traffic)
    return Case(ways=ways, peers=peers, facts={"flows": len(traffic.size)})


def sent(made: Step) -> int:
    """Return how many messages of a step cross a link."""
    book = made.lanes.programmes
    whole = np.add.reduceat(np.where(book.slot >= 0, book.count, 0), book.start[:-1])
    return int(whole[made.lanes.programme].sum())


def _step(dp: int, pp: int, pythons: list[str], *, tensor: bool = False, unfolded: bool = True) -> Case:
    made = step(dp, pp, tp_messages=tensor)
    lanes, seen = made.lanes, np.flatnonzero(made.kind == EXCHANGE)
    known = fold(lanes, made.hint)
    ways: dict[str, Run] = {}
    if unfolded:
        ways[GENERAL] = partial(ours.general, lambda: lanes, seen)
        ways[AHEAD] = partial(ours.under_simpy, lambda: lanes, None, seen)
        if not tensor:
            passes = np.flatnonzero(made.kind == COMPUTE)
            ways[WOKEN.format("each pass of each node")] = partial(
                ours.under_simpy, lambda: lanes, passes, seen
            )
    ways["folded, classes known"] = partial(ours.folded, lambda: known, seen)
    ways["folded, with classes by symmetry"] = partial(ours.folded, lambda: fold(lanes, made.hint), seen)
    ways["folded, with classes sought"] = partial(ours.folded, lambda: fold(lanes), seen)
    if tensor:
        plainer = step(dp, pp)
        exchanging = np.flatnonzero(plainer.kind == EXCHANGE)
        short = fold(plainer.lanes, plainer.hint)
        ways["folded, tensor parallel by formula"] = partial(ours.folded, lambda: short, exchanging)
    facts = {
        "gpus": 8 * dp * pp,
        "on links": sent(made),
        "lanes": len(made.kind),
        "classes": len(known.members),
    }
    return Case(ways=ways, facts=facts)


def _all_to_all(hosts: int, spine: str, pythons: list[str]) -> Case:
    return _flows(
        lambda: all_to_all(hosts, spine),
        pythons,
        alike=True,
        others=hosts <= 256,
        python=hosts <= 128 and spine == "ecmp",
    )


ROWS: dict[str, Row] = {
    **{
        f"ring-{ranks}": Row(
            work=f"ring all-reduce, {ranks} hosts on a star", make=partial(_ring, ranks, "star")
        )
        for ranks in (64, 256, 1024)
    },
    "ring-1024-fat-tree": Row(
        work="ring all-reduce, 1024 hosts of a fat tree", make=partial(_ring, 1024, "fat tree")
    ),
    **{
        f"all-to-all-{hosts}": Row(
            work=f"all-to-all, {hosts} hosts, leaf-spine by hash", make=partial(_all_to_all, hosts, "ecmp")
        )
        for hosts in (64, 128, 256, 1024)
    },
    "all-to-all-256-dmodk": Row(
        work="all-to-all, 256 hosts, leaf-spine by target", make=partial(_all_to_all, 256, "dmodk")
    ),
    "permutation": Row(
        work="permutation of 1024 hosts, fat tree",
        make=partial(_flows, permutation, alike=True, others=True, python=True),
    ),
    "random-1000": Row(
        work="1,000 random flows on 1024 hosts",
        make=partial(_flows, partial(random_pairs, 1000), alike=False, others=True, python=True),
    ),
    "random-10000": Row(
        work="10,000 random flows on 1024 hosts",
        make=partial(_flows, random_pairs, alike=False, others=True, python=False),
    ),
    "step-1024": Row(work="405B-like step, 1,024 GPUs", make=partial(_step, 32, 4)),
    "step-16384": Row(work="405B-like step, 16,384 GPUs", make=partial(_step, 128, 16)),
    "step-131072": Row(work="405B-like step, 131,072 GPUs", make=partial(_step, 1024, 16, unfolded=False)),
    "step-1024-tensor": Row(
        work="405B-like step, 1,024 GPUs, every TP message", make=partial(_step, 32, 4, tensor=True)
    ),
    "step-16384-tensor": Row(
        work="405B-like step, 16,384 GPUs, every TP message", make=partial(_step, 128, 16, tensor=True)
    ),
}
