"""Links shared max-min fair in SimPy: processes ask for transfers, SimPy owns the time."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import simpy
from simpy.events import EventPriority

from simulator.errors import CheckError
from simulator.network.fair_share import fair_rates
from simulator.network.traffic import Flow, Link

INSTANT = 1e-12  # times closer than this, relative, are one instant
SLACK = 1e-9  # relative, of the conservation checks
NOTHING = 1e-300  # bytes; below, doubles have no digits left
_AFTER_ALL_OTHERS = EventPriority(9)  # of the events of one instant; SimPy itself uses 0 and 1


class _WakeUp(simpy.Event):
    """The network's alarm: rings after everything else that happens at its instant."""

    def __init__(self, env: simpy.Environment, at: float, ring: Callable[[simpy.Event], None]) -> None:
        super().__init__(env)
        self.at = at
        self.callbacks.append(ring)
        self._ok, self._value = True, None  # as SimPy's own Timeout: triggered when made
        env.schedule(self, _AFTER_ALL_OTHERS, max(0.0, at - env.now))


@dataclass(slots=True, eq=False)
class _Transfer:
    """A flow on its way: waiting for others, waiting for its start, transferring, done."""

    flow: Flow
    order: int
    links: tuple[int, ...]
    weights: tuple[float, ...]
    done: simpy.Event
    blockers: int = 0
    blocks: list["_Transfer"] = field(default_factory=list)
    rate: float = 0.0  # bytes/s, since
    since: float = 0.0  # s
    sent: float = 0.0  # bytes, until then
    end: float = 0.0  # s, at this rate

    def settle(self, now: float) -> None:
        """Count the bytes sent at the present rate up to ``now``."""
        self.sent += self.rate * (now - self.since)
        self.since = now


class FlowNetwork:
    """A network whose links are shared max-min fair at every instant.

    A flow is released when it is asked for and the flows that it is ``after`` are done, waits its delay and
    its latency, then transfers at its fair rate. Rates change only when a flow starts or ends its transfer;
    then the flows that share links with it, directly or through others, get new ones. Requests of one
    instant are collected, so their order cannot matter. The network has one wake-up pending in SimPy.

    Parameters
    ----------
    env : simpy.Environment
        Clock in s. Where a wake-up was overtaken by an earlier one its empty event stays in the agenda, so
        read when a flow ended from its event and not from ``env.now`` after ``env.run()``.
    links : mapping of hashable to Link
        The links by id.
    observe : callable, optional
        Called with the time in s and the bytes/s of every transferring flow by id, whenever they change.

    Attributes
    ----------
    finish : dict
        When each flow that is done ended, s, by its id.
    carried : dict
        Bytes that each link has carried, of the flows that are done.
    instants : int
        How many times rates were worked out.

    References
    ----------
    .. [1] Bertsekas, Gallager, Data Networks, 2nd ed., 1992, section 6.5.2.
    .. [2] Casanova et al., Versatile, scalable, and accurate simulation of distributed applications and
       platforms, JPDC 74(10), 2014: flow-level simulation with max-min shares.

    Examples
    --------
    >>> env = simpy.Environment()
    >>> network = FlowNetwork(env, {"cable": Link(1e9, 1e-3)})
    >>> def sender():
    ...     yield env.timeout(1.0)
    ...     print((yield network.transfer(Flow(id="hello", route=("cable",), size=5e8))))
    >>> _ = env.process(sender())
    >>> env.run()
    1.501
    """

    def __init__(
        self,
        env: simpy.Environment,
        links: Mapping[Hashable, Link],
        *,
        observe: Callable[[float, dict[Hashable, float]], None] | None = None,
    ) -> None:
        self.env = env
        self.instants = 0
        self.finish: dict[Hashable, float] = {}
        self.carried: dict[Hashable, float] = dict.fromkeys(links, 0.0)
        self._number = {link: number for number, link in enumerate(links)}
        self._bandwidth = {number: link.bandwidth for number, link in enumerate(links.values())}
        self._latency = [link.latency for link in links.values()]
        self._crowds: list[dict[int, _Transfer]] = [{} for _ in links]  # who transfers on each link, by order
        self._transfers: list[_Transfer] = []  # by order
        self._orders: dict[Hashable, int] = {}  # by flow id
        self._starts: list[tuple[float, int]] = []  # heap of instant, order
        self._ends: list[tuple[float, int]] = []  # the same; some are overtaken: not the transfer's end now
        self._transferring = 0
        self._touched: dict[int, None] = {}  # links that a flow joined or left since rates were worked out
        self._pending: _WakeUp | None = None
        self._observe = observe

    def transfer(self, flow: Flow) -> simpy.Event:
        """Ask for a flow now and return the event of its end, whose value is that time in s.

        Raises
        ------
        ValueError
            For an id used before, a link that is not there, or ``after`` a flow that was not asked for yet.
        """
        if flow.id in self._orders:
            raise ValueError(f"flow {flow.id!r} was asked for before")
        for link in flow.route:
            if link not in self._number:
                raise ValueError(f"flow {flow.id!r}: no link {link!r}")
        for earlier in flow.after:
            if earlier not in self._orders:
                raise ValueError(f"flow {flow.id!r}: after {earlier!r}, which was not asked for yet")
        links = tuple(self._number[link] for link in flow.route)
        weights = flow.weights or (1.0,) * len(links)
        transfer = _Transfer(flow, len(self._transfers), links, weights, self.env.event())
        self._transfers.append(transfer)
        self._orders[flow.id] = transfer.order
        for earlier in set(flow.after):
            if earlier not in self.finish:
                self._transfers[self._orders[earlier]].blocks.append(transfer)
                transfer.blockers += 1
        if not transfer.blockers:
            self._release(transfer)
            self._wake(self.env.now)
        return transfer.done

    def unfinished(self) -> list[Hashable]:
        """Return the ids of the flows that were asked for and are not done."""
        return [id_ for id_ in self._orders if id_ not in self.finish]

    def _release(self, transfer: _Transfer) -> None:
        flow = transfer.flow
        latency = sum(self._latency[n] for n in transfer.links) if flow.latency is None else flow.latency
        heappush(self._starts, (self.env.now + flow.delay + latency, transfer.order))

    def _wake(self, at: float) -> None:
        if self._pending is None or at < self._pending.at:
            self._pending = _WakeUp(self.env, at, self._step)

    def _step(self, wake_up: simpy.Event) -> None:
        if wake_up is not self._pending:
            return  # an earlier one took its place
        self._pending = None
        if self._start_and_end():
            self._wake(self.env.now)  # those who waited for an end may ask for more at this instant
            return
        if self._touched:
            self._share()
        while self._ends and self._overtaken(self._ends[0]):
            heappop(self._ends)
        if self._starts or self._ends:
            self._wake(min(queue[0][0] for queue in (self._starts, self._ends) if queue))

    def _start_and_end(self) -> bool:
        """Let all flows start and end that are due at this instant; return whether any ended."""
        horizon = self.env.now * (1 + INSTANT)
        ended = False
        while True:
            if self._ends and self._ends[0][0] <= horizon:
                entry = heappop(self._ends)
                if not self._overtaken(entry):
                    self._leave(self._transfers[entry[1]])
                    self._finish(self._transfers[entry[1]])
                    ended = True
            elif self._starts and self._starts[0][0] <= horizon:
                transfer = self._transfers[heappop(self._starts)[1]]
                if transfer.flow.size:
                    self._join(transfer)
                else:
                    self._finish(transfer)
                    ended = True
            else:
                return ended

    def _overtaken(self, entry: tuple[float, int]) -> bool:
        end, order = entry
        return self._transfers[order].end != end

    def _join(self, transfer: _Transfer) -> None:
        transfer.since = self.env.now
        self._transferring += 1
        for link in transfer.links:
            self._crowds[link][transfer.order] = transfer
            self._touched[link] = None

    def _leave(self, transfer: _Transfer) -> None:
        size, now = transfer.flow.size, self.env.now
        transfer.settle(now)
        # one instant may last INSTANT * now, and what was sent then is not worth a rate of its own
        if abs(size - transfer.sent) > SLACK * size + 4 * INSTANT * now * transfer.rate + NOTHING:
            raise CheckError(f"flow {transfer.flow.id!r} ended with {transfer.sent} of its {size} bytes sent")
        transfer.end = -1.0
        self._transferring -= 1
        for link in transfer.links:
            del self._crowds[link][transfer.order]
            self._touched[link] = None
        for name, weight in zip(transfer.flow.route, transfer.weights, strict=True):
            self.carried[name] += weight * size

    def _finish(self, transfer: _Transfer) -> None:
        self.finish[transfer.flow.id] = now = float(self.env.now)
        transfer.done.succeed(now)
        for blocked in transfer.blocks:
            blocked.blockers -= 1
            if not blocked.blockers:
                self._release(blocked)
        transfer.blocks.clear()

    def _share(self) -> None:
        """Give new rates to all flows that the joined and left links can reach."""
        now = self.env.now
        reached = self._reach(self._touched)
        self._touched.clear()
        self.instants += 1
        rates = fair_rates(
            {order: transfer.links for order, transfer in reached.items()},
            self._bandwidth,
            {order: transfer.weights for order, transfer in reached.items() if transfer.flow.weights},
        )
        for order, transfer in reached.items():
            if rates[order] != transfer.rate:
                transfer.settle(now)
                transfer.rate = rates[order]
                transfer.end = now + max(0.0, transfer.flow.size - transfer.sent) / transfer.rate
                heappush(self._ends, (transfer.end, order))
        self._check_capacity(reached.values())
        if len(self._ends) > 2 * self._transferring + 64:  # mostly overtaken ones
            self._ends = [entry for entry in self._ends if not self._overtaken(entry)]
            heapify(self._ends)
        if self._observe is not None:
            transfers = {order: transfer for crowd in self._crowds for order, transfer in crowd.items()}
            self._observe(now, {transfer.flow.id: transfer.rate for transfer in transfers.values()})

    def _reach(self, links: Iterable[int]) -> dict[int, _Transfer]:
        """Return the transferring flows on these links, on the links of those flows, and so on."""
        reached: dict[int, _Transfer] = {}
        seen = set(links)
        ahead = list(links)
        while ahead:
            for order, transfer in self._crowds[ahead.pop()].items():
                if order not in reached:
                    reached[order] = transfer
                    ahead.extend(link for link in transfer.links if link not in seen)
                    seen.update(transfer.links)
        return reached

    def _check_capacity(self, transfers: Iterable[_Transfer]) -> None:
        load: dict[int, float] = defaultdict(float)
        for transfer in transfers:
            for link, weight in zip(transfer.links, transfer.weights, strict=True):
                load[link] += weight * transfer.rate
        for link, rate in load.items():
            if rate > self._bandwidth[link] * (1 + SLACK):
                name = list(self._number)[link]
                raise CheckError(f"link {name!r} carries {rate} of at most {self._bandwidth[link]} bytes/s")
