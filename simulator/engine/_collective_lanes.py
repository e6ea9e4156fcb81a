"""Collectives message by message on the compiled core: what a rank sends is a line of a programme.

Memory grows with the ranks, the pairs of ranks that talk and the steps that differ, not with the messages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from simulator.engine._collective_alike import Alike, alike
from simulator.engine._collective_memory import check_pairs, check_tables
from simulator.engine._collective_sheet import Sheet
from simulator.engine._collective_stream import Stream
from simulator.engine._paths import Edge
from simulator.engine.collective_plan import Plan
from simulator.network.flows import FEW, Flow, replay
from simulator.network.lanes import Floats, Lanes

PAYS = 200_000  # messages from which it pays to look for lanes that nobody can tell apart
EACH = 100  # and so many to each entry of the tables, which the search goes through and the run does not


@dataclass(frozen=True, slots=True)
class Tally:
    """What collectives put on the links, counted where their messages ran.

    Parameters
    ----------
    phases, messages : int
        Of the first of them, of all.
    bytes_per_rank : float
        Sent by each.
    on_link : dict
        Bytes by link.
    """

    phases: int
    messages: int
    bytes_per_rank: float
    on_link: dict[Edge, float]

    def link_bytes(self) -> dict[Edge, float]:
        """Return the bytes on each link."""
        return self.on_link

    def sent(self) -> float:
        """Return the bytes sent by the rank that sends most."""
        return self.bytes_per_rank


def lanes_of(plans: Sequence[Plan]) -> Lanes:
    """Return collectives that run side by side as lanes.

    Those whose steps are alike are written by formula; the messages of others are followed once, and like
    ones that follow each other become one line.

    Parameters
    ----------
    plans : sequence of Plan
        On one fabric; they share its links.
    """
    return _written(plans, [alike(plan) for plan in plans]).made()


def messages_of(
    plans: Sequence[Plan], progress: Callable[[int], object] | None = None
) -> tuple[float, list[Tally] | None]:
    """Return how long collectives side by side take if each message is followed.

    A few messages are flows of the plain solver, as all are where numba is missing. More are lanes of the
    compiled core. From `PAYS` messages on, if the tables have `EACH` times fewer entries, as those of rings,
    lanes that nobody can tell apart are found first and one of each class runs: the search costs about as
    much as going through the tables ten times. All-to-alls have an entry for each message, and ways chosen by
    a hash leave nothing alike.

    Parameters
    ----------
    plans : sequence of Plan
        On one fabric; they share its links.
    progress : callable, optional
        Called now and then with how many messages have ended, by the compiled core.

    Returns
    -------
    float
        From the start to the end of the last message, s.
    list of Tally, or None
        What they put on the links, if counting it by messages would take long; None: see `Plan.loads`.

    Raises
    ------
    InfeasibleError
        The tables would not fit into the memory that is free.
    """
    forms = [alike(plan) for plan in plans]
    messages = sum(
        form.messages if form else plan.loads.messages for plan, form in zip(plans, forms, strict=True)
    )
    if messages < FEW or find_spec("numba") is None:
        return _by_flows(plans), None
    for form in forms:
        if form:
            check_pairs(form)
    sheet = _written(plans, forms)
    edges = sheet.edges
    lanes = sheet.made()
    check_tables(lanes)
    seconds, carried = _ran(lanes, messages, progress)
    counted = [form for form in forms if form and form.routes >= form.messages]
    if len(counted) < len(forms):
        return seconds, None
    on_link = dict(zip(edges, carried.tolist(), strict=True))
    sent = sum(form.sent() for form in counted)
    return seconds, [Tally(counted[0].phases, messages, sent, on_link)]


def _by_flows(plans: Sequence[Plan]) -> float:
    links = {name: link for plan in plans for name, link in plan.links().items()}
    flows: list[Flow] = [flow for number, plan in enumerate(plans) for flow in plan.messages(number)]
    return replay(links, flows).makespan


def _written(plans: Sequence[Plan], forms: Sequence[Alike | None]) -> Sheet:
    sheet = Sheet()
    for plan, form in zip(plans, forms, strict=True):
        if form:
            form.write(form, sheet)
        else:
            Stream(plan, sheet).written()
    return sheet


def _ran(lanes: Lanes, messages: int, progress: Callable[[int], object] | None) -> tuple[float, Floats]:
    """Return when the last message ends, s, and what each link carried, bytes."""
    from simulator.network.core import run
    from simulator.network.folding import fold

    entries = len(lanes.slots) + len(lanes.partners) + len(lanes.programmes.count)
    if messages < max(PAYS, EACH * entries):
        ran = run(lanes, progress=progress)
        return ran.makespan, ran.carried
    classes = fold(lanes)
    ran = run(classes.lanes, progress=progress)
    return ran.makespan, classes.carried(ran.carried)
