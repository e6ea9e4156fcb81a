"""A use of a step as senders that follow a programme, held to what the whole use takes on an idle network."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.engine._replay_ways import Ways
from simulator.engine._replay_words import Use
from simulator.engine.bundles import RINGS, Traffic
from simulator.errors import UsageError
from simulator.network.core import batch, run

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NOBODY = -1
PASSED_ON = ("all_reduce", "all_gather", "reduce_scatter", "send_recv", "all_to_all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Ways over edges, one behind the other.

    Parameters
    ----------
    start : numpy.ndarray of int64, shape (ways + 1,)
        Where each begins.
    edges : numpy.ndarray of int64
        By number, each once in a way.
    shares : numpy.ndarray of float64
        Bytes on each per byte sent.
    """

    start: Ints
    edges: Ints
    shares: Floats

    def on(self, place: Ints) -> "Routes":
        """Return the ways over those edges that have a place, by it."""
        at = place[self.edges]
        kept = np.concatenate(([0], np.cumsum(at >= 0)))
        return Routes(start=kept[self.start], edges=at[at >= 0], shares=self.shares[at >= 0])

    def taken(self, ways: Ints) -> "Routes":
        """Return some of the ways, in this order."""
        lengths = np.diff(self.start)[ways]
        start = np.concatenate(([0], np.cumsum(lengths)))
        at = np.arange(start[-1]) + np.repeat(self.start[ways] - start[:-1], lengths)
        return Routes(start=start, edges=self.edges[at], shares=self.shares[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What senders do once, all of them alike in how often.

    Step ``k`` of a sender waits for its step before, and for that step of its givers. Arrays of one column
    hold for all steps.

    Parameters
    ----------
    size : float
        Bytes of every message.
    steps : int
        Messages of each sender.
    ways : Routes
        Over edges.
    route : numpy.ndarray of int64, shape (senders, steps) or (senders, 1)
        Which of the ways a message takes; `NOBODY` for one that only waits.
    delay : numpy.ndarray of float64, as `route`
        s before it.
    givers : tuple of numpy.ndarray of int64, shape (senders, steps - 1) or (senders, 1)
        Whose message of the step before is waited for from the second step on.
    cap : numpy.ndarray of float64, as `route`
        Bytes/s at most.
    """

    size: float
    steps: int
    ways: Routes
    route: Ints
    delay: Floats
    givers: tuple[Ints, ...]
    cap: Floats

    @property
    def senders(self) -> int:
        """Return how many there are."""
        return len(self.route)

    def slowed(self, factor: float) -> "Pattern":
        """Return the same with everything that many times slower; if faster, links feel fewer bytes."""
        felt = min(1.0, factor)
        ways = replace(self.ways, shares=self.ways.shares * felt)
        return replace(self, ways=ways, delay=self.delay * factor, cap=self.cap / factor)


def pattern_of(traffic: Traffic, use: Use) -> Pattern:
    """Return the messages of a use over real links, slowed alike to what it takes on an idle network.

    Each goes at the fair rate that it has while all of its step are under way. Rings pass on what came last;
    an all-to-all goes pair by pair, one step after the other.

    Parameters
    ----------
    traffic : Traffic
        Where the bytes go.
    use : Use
        A collective, or what one stage sends to another.

    Raises
    ------
    UsageError
        An operation that has no such messages.
    """
    if use.target >= 0:
        pairs = np.array([*traffic.peers(use.stage, use.target)], np.int64)
        plain = _laid(traffic, pairs[:, :1], pairs[:, 1:], use.size, 1, ())
    elif use.op in PASSED_ON:
        plain = _collective(traffic, use)
    else:
        raise UsageError(
            f"--fidelity messages: no messages are known for the operation '{use.op}' of axis '{use.axis}'",
            where="--fidelity",
            hint="--fidelity fluid",
        )
    from simulator.engine._replay_writer import alone

    idle = run(alone(plain)).makespan
    return plain.slowed(use.seconds / idle) if idle else plain


def steps_of(op: str, ranks: int) -> int:
    """Return the messages of each rank."""
    return {"all_reduce": 2 * (ranks - 1), "send_recv": 1}.get(op, ranks - 1)


def _collective(traffic: Traffic, use: Use) -> Pattern:
    """Return the messages of all groups of an axis, each rank a sender."""
    src, dst = [], []
    givers: list[tuple[Ints, ...]] = []
    before, channels = 0, 1
    for group in traffic.groups(use.axis, use.stage):
        rings = traffic.rings(group) if use.op in RINGS else [group]
        channels = len(rings)
        for ring in rings:
            order, ranks = np.array(ring, np.int64), np.arange(len(ring))
            step = np.arange(1, len(ring)) if use.op == "all_to_all" else np.array([1])
            src.append(np.broadcast_to(order[:, None], (len(ring), len(step))))
            dst.append(order[(ranks[:, None] + step) % len(ring)])
            if use.op == "all_to_all":  # who sent to me in the step before, and who to the one I send to
                came, went = (ranks[:, None] - step[:-1]) % len(ring), (ranks + 1) % len(ring)
                givers.append((before + came, before + np.broadcast_to(went[:, None], came.shape)))
            else:
                givers.append((before + (ranks[:, None] - 1) % len(ring),))
            before += len(ring)
    members = len(group)
    size = use.size / channels / (1 if use.op == "send_recv" else members)
    together = tuple(np.concatenate(parts) for parts in zip(*givers, strict=True))
    steps = steps_of(use.op, members)
    return _laid(traffic, np.concatenate(src), np.concatenate(dst), size, steps, together, use.stage)


def _laid(
    traffic: Traffic,
    src: Ints,
    dst: Ints,
    size: float,
    steps: int,
    givers: tuple[Ints, ...],
    stage: int = NOBODY,
) -> Pattern:
    """Return messages between GPUs over the ways of the fabric, each at its fair rate of its step.

    What GPUs of another stage send only waits: their own use loads the links.
    """
    ways = traffic.ways
    pairs, place = np.unique(src * len(ways.gpus) + dst, return_inverse=True)
    found = _routes(ways, pairs)
    latency = np.add.reduceat(np.append(ways.latency[found.edges] * found.shares, 0.0), found.start[:-1])
    latency[np.diff(found.start) == 0] = 0.0
    whole = place.reshape(src.shape)
    route = whole.copy()
    if stage != NOBODY:
        route[~np.isin(src, [*traffic.senders(stage)])] = NOBODY
    cap = np.full(route.shape, np.inf)
    for step in range(src.shape[-1]):
        sends = np.flatnonzero(route[:, step] != NOBODY)
        cap[sends, step] = _fair(ways.bandwidth, found.taken(route[sends, step]))
    return Pattern(
        size=size, steps=steps, ways=found, route=route, delay=latency[whole], givers=givers, cap=cap
    )


def _routes(ways: Ways, pairs: Ints) -> Routes:
    """Return the ways between pairs of GPUs, numbered as sender times GPUs plus receiver."""
    pieces, parts, owner = [], [], []
    for at, pair in enumerate(pairs.tolist()):
        for piece, part in ways.parts(*divmod(pair, len(ways.gpus))):
            pieces.append(piece)
            parts.append(part)
            owner.append(at)
    lengths, edges, shares = ways.spelt(np.array(pieces, np.int64))
    owners = np.repeat(np.array(owner, np.int64), lengths)
    keys, place = np.unique(owners * len(ways.edges) + edges, return_inverse=True)
    parted = shares * np.repeat(np.array(parts), lengths)
    total = np.bincount(place, weights=parted, minlength=len(keys)).astype(np.float64)
    start = np.searchsorted(keys, np.arange(len(pairs) + 1) * len(ways.edges))
    return Routes(start=start, edges=keys % len(ways.edges), shares=total)


def _fair(bandwidth: Floats, ways: Routes) -> Floats:
    """Return the fair rate of each of several messages that are under way together.

    Of messages of one size that start together, whoever ends first was fastest, and that changes no slower
    one: so each ends after its bytes at the first rate.
    """
    if len(ways.start) < 2:
        return np.zeros(0)
    used, place = np.unique(ways.edges, return_inverse=True)
    rates: Floats = 1.0 / run(batch(ways.start, place, 1.0, bandwidth[used], weights=ways.shares)).finish
    return rates
