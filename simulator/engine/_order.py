"""Who waits for whom in a collective: the one rule that every fidelity follows."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from simulator.collectives._alpha_beta import Message

Moment = TypeVar("Moment")


def phases(steps: Iterable[list[Message]]) -> Iterator[list[Message]]:
    """Yield the messages that move together: a step and those that are streamed behind it."""
    phase: list[Message] = []
    for step in steps:
        if phase and not (step and step[0].streamed):
            yield phase
            phase = []
        phase = phase + step
    if phase:
        yield phase


class Order(Generic[Moment]):
    """Follow a collective phase by phase.

    A rank sends once all that it sent and received in earlier phases is done, and to one that is done with
    all it received in earlier phases. What a phase brings to a rank is reduced when all of it is there. The
    switch sends on what all ranks give it as soon as the last of them begins.

    Parameters
    ----------
    send : callable
        Given a message and the moments it waits for, returns the moment it is done.
    join : callable
        Given moments and seconds, returns the moment that many seconds after all of them.
    gamma : float
        Time to reduce one byte, s.
    """

    def __init__(
        self,
        send: Callable[[Message, Sequence[Moment]], Moment],
        join: Callable[[Sequence[Moment], float], Moment],
        gamma: float,
    ) -> None:
        self._send = send
        self._join = join
        self._gamma = gamma
        self.sent: dict[int, Moment] = {}
        self.received: dict[int, Moment] = {}

    def follow(self, phase: Sequence[Message]) -> None:
        """Let the messages of one phase go."""
        gates = self._gates(phase)
        sent: dict[int, list[Moment]] = defaultdict(list)
        received: dict[int, list[Moment]] = defaultdict(list)
        reduced: dict[int, float] = defaultdict(float)
        for message in phase:
            waits = gates.get(message.src, []) if message.src < 0 else self._ready(message.src)
            if message.dst in self.received:
                waits = [*waits, self.received[message.dst]]
            done = self._send(message, list(dict.fromkeys(waits)))
            sent[message.src].append(done)
            received[message.dst].append(done)
            reduced[message.dst] += message.size if message.reduces else 0.0
        for rank, moments in sent.items():
            if rank >= 0:
                self.sent[rank] = self._join(moments, 0.0)
        for rank, moments in received.items():
            if rank >= 0:
                self.received[rank] = self._join(moments, self._gamma * reduced[rank])

    def _ready(self, rank: int) -> list[Moment]:
        return [done[rank] for done in (self.sent, self.received) if rank in done]

    def _gates(self, phase: Sequence[Message]) -> dict[int, list[Moment]]:
        """Return what each switch waits for: every rank that gives it something in this phase."""
        givers: dict[int, dict[Moment, None]] = defaultdict(dict)
        for message in phase:
            if message.dst < 0:
                givers[message.dst].update(dict.fromkeys(self._ready(message.src)))
        return {switch: [self._join(list(moments), 0.0)] for switch, moments in givers.items() if moments}
