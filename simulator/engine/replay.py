"""One training step in events: a SimPy process for each stage, and one network that all of them share.

All ranks of a stage run in lockstep, so a stage is one process, and a collective is all groups of its axis at
once. A stage runs its tasks strictly in order:

- ``F`` may start when the virtual stage before it on its way has done this microbatch and the bytes between
  them are there; ``B`` the same with the one behind it, the last one when it has done its own ``F``; ``W``
  when it has done its own ``B``. Between virtual stages of one stage no bytes pass.
- A sender whose boundary is blocking does nothing else until its bytes are there.
- Inside a task blocks run in order. Operations without a stream follow each other. One with a stream runs
  beside, as soon as this stream is free. At the end of a block, of the task and of all tasks the stage waits
  for those that must be done by then. Of a collective with a stream or an ``overlap`` the exposed share
  first holds the stage, only the rest goes beside; with an ``overlap`` until the end of the block, on the
  stream of its axis if it names none.
- Tasks side by side take the longer of what both compute and what both send, as if one collective followed
  the other. What only the end of the step waits for starts when they end. Computations beside are left out.

What cannot meet anybody on a link takes its time on an idle network, in plain arithmetic: processes then run
ahead of the clock and hand times to each other. All else asks the network when the clock is there.
"""

from typing import Literal

from simulator.engine._replay_wire import Fold, Progress
from simulator.engine.bundles import Traffic
from simulator.engine.jobs import Job, replay_jobs
from simulator.engine.result import Prices, Result
from workloads.step_graph import StepGraph


def replay(
    graph: StepGraph,
    prices: Prices,
    *,
    network: Traffic | None = None,
    fidelity: Literal["fluid", "messages"] = "fluid",
    fold: Fold = "auto",
    spans: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Return what a step does.

    Parameters
    ----------
    graph : StepGraph
        The step.
    prices : Prices
        Seconds of everything on an idle network.
    network : Traffic, optional
        Where the bytes go; without it nothing shares a link with anything.
    fidelity : str
        ``fluid``: a collective is one bundle of bytes; ``messages``: each message of those that can meet
        others on a link is a flow of its own.
    fold : str
        Whether to send one of each class of messages that nobody can tell apart; changes no result. ``auto``
        does so where there are many.
    spans : bool
        Whether to keep the timeline.
    progress : callable, optional
        Called now and then with the messages that have ended, and with all; of bundles it is not called.

    Raises
    ------
    UsageError
        Another fidelity, messages without a network or too many of them.
    CheckError
        A schedule that blocks itself, a transfer that never ended.
    ValueError
        A step graph or prices that are wrong in themselves, or a network for other stages.

    References
    ----------
    .. [1] Casanova et al., Versatile, scalable, and accurate simulation of distributed applications and
       platforms, JPDC 74(10), 2014: flows that share links max-min fair.
    """
    job = Job(graph=graph, prices=prices, traffic=network)
    (found,) = replay_jobs((job,), fidelity=fidelity, fold=fold, spans=spans, progress=progress)
    return found.step
