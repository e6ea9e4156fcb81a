"""Runs of the engine: message by message, by one solve, folded, on the clock of SimPy."""

from collections.abc import Callable
from time import process_time

import numpy as np
import simpy

from simulator.network import core
from simulator.network._core_state import INSTANTS, MESSAGES
from simulator.network.folding import Folded
from simulator.network.lanes import Lanes
from simulator.network.live_lanes import LiveLanes
from tests.benchmarks.graphs import Ints
from tests.benchmarks.outcome import Outcome
from tests.benchmarks.traffic import Traffic

EVERYBODY = slice(None)


def general(lanes: Callable[[], Lanes], seen: Ints | slice = EVERYBODY) -> Outcome:
    """Simulate every message; ``seen`` says of which lanes the ends are compared."""
    begun = process_time()
    ran = core.run(lanes())
    seconds = process_time() - begun
    return Outcome(seconds=seconds, finish=ran.finish[seen], instants=ran.instants, messages=ran.messages)


def one_solve(traffic: Traffic) -> Outcome:
    """Solve once: messages of one size that start together and meet nobody else."""
    routes, size = traffic.routes, float(traffic.size[0])
    begun = process_time()
    ends = core.together(routes.start, routes.links, size, routes.bandwidth)
    return Outcome(seconds=process_time() - begun, finish=ends, instants=1, messages=len(ends))


def folded(fold: Callable[[], Folded], seen: Ints | slice = EVERYBODY) -> Outcome:
    """Simulate one lane of each class; what finding the classes takes counts if ``fold`` does it."""
    begun = process_time()
    classes = fold()
    ran = core.run(classes.lanes)
    ends = classes.finish(ran.finish)
    seconds = process_time() - begun
    return Outcome(seconds=seconds, finish=ends[seen], instants=ran.instants, messages=ran.messages)


def under_simpy(
    lanes: Callable[[], Lanes], watched: Ints | None = None, seen: Ints | slice = EVERYBODY
) -> Outcome:
    """Simulate every message on the clock of SimPy, which is woken when a watched lane has sent."""
    nobody = np.zeros(0, np.int64)
    told = [0]

    def tell(lane: int, sent: int) -> None:
        told[0] += 1

    begun = process_time()
    env = simpy.Environment()
    live = LiveLanes(env, lanes(), nobody, nobody if watched is None else watched, tell)
    env.run()
    state = live.state
    ends = state.lanes["since"][seen].copy()
    seconds = process_time() - begun
    if live.unfinished():
        raise RuntimeError(f"{len(live.unfinished())} lanes never ended")
    counters = state.counters
    return Outcome(
        seconds=seconds, finish=ends, instants=int(counters[INSTANTS]), messages=int(counters[MESSAGES])
    )
