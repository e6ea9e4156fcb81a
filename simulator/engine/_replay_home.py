"""Bytes of a stage that meet only its own: what they take is played once and then known, like a computation.

The tensor parallel collectives of a stage that run into each other hold nobody else up. From a moment at which
none of them is under way until a moment at which none is again, they take as long whenever they run.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Hashable, Iterable, Iterator, Mapping, Sequence

import simpy

from simulator.engine._replay_program import Program
from simulator.engine._replay_sharing import Sharing
from simulator.engine._replay_wire import NOISE, Wire
from simulator.engine._replay_words import (
    Beside,
    Call,
    Join,
    Pair,
    Run,
    Use,
    Word,
    Words,
    merged,
)  # fmt: skip
from simulator.engine._replay_worker import Process, Worker
from simulator.network.flow_network import FlowNetwork
from simulator.network.traffic import Flow, Link

Parts = tuple[tuple[str, float], ...]
Played = tuple[tuple[float, Parts, Parts], ...]  # between marks: s, by account, by axis what contention added


class Home:
    """What the stages of a job send that meets nothing of others.

    Parameters
    ----------
    sharing : Sharing
        What all uses do to the links.
    uses : sequence of Use
        Of all jobs, by number.
    program : Program
        What the stages of the job do.
    first : int
        The number of the job's first use among all.
    """

    def __init__(self, sharing: Sharing, uses: Sequence[Use], program: Program, first: int) -> None:
        self._sharing, self._first = sharing, first
        self._links = sharing.links(Counter())  # none of those that overlap with themselves
        self.networked = {use.number for use in program.uses if first + use.number in sharing.networked}
        self.streams = {(use.stage, use.lane) for use in program.uses if use.number in self.networked}
        groups = [{number - first for number in group} for group in _groups(sharing, uses)]
        self._own, self._foreign = _apart(
            program, [group for group in groups if group <= self.networked], self.networked
        )
        self._known: dict[Hashable, Played] = {}

    @property
    def own(self) -> set[int]:
        """Return the uses that meet only their own stage's, by their numbers among all."""
        return {self._first + number for number in self._own}

    def settled(self, stage: int, words: Words) -> Words:
        """Return words with what only its own stage feels worked out."""
        found: list[Word] = []
        at, awaited = 0, False  # whether the end of the block also waits for what is not the stage's own
        while at < len(words):
            end, own = self._end(stage, words, at)
            piece = words[at:end]
            found += self._played(stage, piece) if own and not awaited else piece
            awaited = not isinstance(piece[-1], Join) and (awaited or self._awaits(stage, piece[-1]))
            at = end
        return merged(found)

    def _inside(self, stage: int, word: Beside) -> bool:
        """Tell whether what runs beside ends with its block and waits for nothing of others."""
        own = word.use.number in self._own or word.use.number not in self.networked
        return own and word.until == "block" and (stage, word.stream) not in self._foreign

    def _awaits(self, stage: int, word: Word) -> bool:
        """Tell whether a word starts what the end of the block waits for, and others may feel."""
        return isinstance(word, Beside) and word.until == "block" and not self._inside(stage, word)

    def _end(self, stage: int, words: Words, begin: int) -> tuple[int, bool]:
        """Return behind which word nothing of the stage's own is under way, and whether it is all its own."""
        under_way, own = False, True
        for at in range(begin, len(words)):
            word = words[at]
            if isinstance(word, Beside):
                inside = self._inside(stage, word)
                under_way = under_way or inside
                own = own and (inside or (under_way and word.until != "block"))
            elif isinstance(word, Join):
                own, under_way = own and under_way, False
            else:
                calls = word.calls if isinstance(word, Pair) else (word,)
                own = own and all(call.use.number in self._own for call in calls if isinstance(call, Call))
                own = own and (under_way or not isinstance(word, Run))
            if not under_way:
                return at + 1, own
        return len(words), False

    def _played(self, stage: int, words: Words) -> list[Word]:
        """Return runs in the place of words, and between them what is only started."""
        uses = list({use.number: use for use in _uses(words) if use.number in self._own}.values())
        marks = [word for word in words if isinstance(word, Beside) and not self._inside(stage, word)]
        flows = {use.number: self.flow(use.number, 0, ()) for use in uses}
        key = _Key(marks, flows, self._links, self.streams).of(words)
        if key not in self._known:
            self._known[key] = self._play(words, marks, flows)
        found: list[Word] = []
        for at, (seconds, parts, slowed) in enumerate(self._known[key]):
            found += marks[at - 1 : at] if at else []
            found.append(Run(seconds, parts, "at home", slowed=slowed))
        return found

    def flow(self, number: int, turn: int, after: tuple[Hashable, ...]) -> Flow:
        """Return a use of the job as a flow, as it is sent for the ``turn``-th time."""
        return self._sharing.flow(self._first + number, turn, after)

    def _play(self, words: Words, marks: Sequence[Word], flows: Mapping[int, Flow]) -> Played:
        env = simpy.Environment()
        links = {link: self._links[link] for flow in flows.values() for link in flow.route}
        line = _Line(self, FlowNetwork(env, links), flows)
        worker = Worker(env, -1, line, spans=False)
        states = []

        def work() -> Process:
            for word in words:
                if any(word is mark for mark in marks):
                    states.append((worker.now, dict(worker.accounts), dict(line.slowed)))
                else:
                    yield from worker.follow((word,))
            states.append((worker.now, dict(worker.accounts), dict(line.slowed)))

        env.process(work())
        env.run()
        before: tuple[float, dict[str, float], dict[str, float]] = (0.0, {}, {})
        found = []
        for state in states:
            found.append((state[0] - before[0], _more(state[1], before[1]), _more(state[2], before[2])))
            before = state
        return tuple(found)


def home_of(program: Program, wire: Wire) -> Home | None:
    """Return what a job sends that meets nothing of others; None where messages are followed, or no network."""
    medium = wire.medium
    if program.home is None and medium.sharing is not None and not medium.each:
        program.home = Home(medium.sharing, medium.uses, program, wire.first)
        medium.seldom |= program.home.own
    return program.home


class _Line:
    """The links that a few words of one stage use, and nobody else."""

    def __init__(self, home: Home, network: FlowNetwork, flows: Mapping[int, Flow]) -> None:
        self._home, self._network = home, network
        self.networked, self.streams = set(flows), home.streams
        self.slowed: dict[str, float] = defaultdict(float)
        self._turns: Counter[int] = Counter()

    def ask(self, use: Use, after: tuple[Hashable, ...] = ()) -> tuple[simpy.Event, Hashable]:
        turn = self._turns[use.number]
        self._turns[use.number] += 1
        if use.number in self.networked:
            flow = self._home.flow(use.number, turn, after)
        else:
            flow = Flow(id=(use.number, turn), route=(), size=0.0, after=after, latency=use.seconds)
        return self._network.transfer(flow), flow.id

    def count(self, use: Use, seconds: float) -> None:
        if use.number in self.networked and seconds > use.seconds * (1 + NOISE):
            self.slowed[use.axis] += seconds - use.seconds


class _Key:
    """What the play of some words depends on, with links and uses numbered as they appear."""

    def __init__(
        self,
        marks: Sequence[Word],
        flows: Mapping[int, Flow],
        links: Mapping[Hashable, Link],
        streams: Collection[tuple[int, str]],
    ) -> None:
        self._marks, self._flows, self._links, self._streams = (
            {id(mark) for mark in marks},
            flows,
            links,
            streams,
        )
        self._uses: dict[int, int] = {}
        self._edges: dict[Hashable, int] = {}

    def of(self, words: Iterable[Word]) -> Hashable:
        return tuple(self._word(word) for word in words)

    def _word(self, word: Word) -> Hashable:
        if isinstance(word, Run):
            return word.seconds, word.parts
        if isinstance(word, Call):
            return self._use(word.use)
        if isinstance(word, Beside):
            return "mark" if id(word) in self._marks else (word.stream, self._use(word.use))
        if isinstance(word, Pair):
            return self.of(word.runs), self.of(word.calls)
        return "join"

    def _use(self, use: Use) -> Hashable:
        flow = self._flows.get(use.number)
        if flow is None:
            return use.account, use.seconds, (use.stage, use.lane) in self._streams
        number = self._uses.setdefault(use.number, len(self._uses))
        route = tuple(self._edges.setdefault(link, len(self._edges)) for link in flow.route)
        rates = tuple(self._links[link].bandwidth for link in flow.route)
        return number, use.account, use.axis, use.seconds, flow.size, flow.weights, route, rates


def _groups(sharing: Sharing, uses: Sequence[Use]) -> Iterator[set[int]]:
    """Yield the uses that links join, directly or through others, where these are collectives of one stage."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for number in sorted(sharing.networked):
        for edge in sharing.felt(number):
            members[edge].append(number)
    seen: set[int] = set()
    for number in sorted(sharing.networked):
        if number in seen:
            continue
        group, ahead = set[int](), [number]
        while ahead:
            one = ahead.pop()
            if one not in group:
                group.add(one)
                ahead += [other for edge in sharing.felt(one) for other in members.pop(edge, ())]
        seen |= group
        if len({uses[one].stage for one in group}) == 1 and all(uses[one].target < 0 for one in group):
            yield group


def _apart(
    program: Program, groups: Sequence[set[int]], networked: Container[int]
) -> tuple[set[int], set[tuple[int, str]]]:
    """Return the uses whose groups are never under way between two blocks, and all other streams by stage."""
    started = {
        (stage, word) for stage, words in _spoken(program) for word in words if isinstance(word, Beside)
    }
    kept = list(groups)
    while True:
        own = set[int]().union(*kept)
        foreign = {
            (stage, word.stream)
            for stage, word in started
            if word.until != "block" or (word.use.number in networked and word.use.number not in own)
        }
        lasting = {word.use.number for stage, word in started if (stage, word.stream) in foreign}
        found = [group for group in kept if not group & lasting]
        if len(found) == len(kept):
            return own, foreign
        kept = found


def _spoken(program: Program) -> Iterator[tuple[int, Words]]:
    """Yield all words of a job with their stages."""
    yield from enumerate(program.before)
    yield from enumerate(program.after)
    for (stage, _), words in program.variants.items():
        yield stage, words


def _uses(words: Iterable[Word]) -> Iterator[Use]:
    for word in words:
        for one in word.calls if isinstance(word, Pair) else (word,):
            if isinstance(one, Call | Beside):
                yield one.use


def _more(now: Mapping[str, float], before: Mapping[str, float]) -> Parts:
    return tuple((name, value - before.get(name, 0.0)) for name, value in now.items())
