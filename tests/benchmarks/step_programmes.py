"""What the ranks of a training step do, stage by stage: compute, hand on, exchange gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.network.lanes import Book

HIDDEN, FFN, KV_WIDTH, TOKENS = 16_384, 53_248, 1_024, 8_192
PARAMETERS = 2 * HIDDEN**2 + 2 * HIDDEN * KV_WIDTH + 3 * HIDDEN * FFN  # of a layer
TENSOR = 8  # ranks that share a layer; at most one rail each
FLOPS = 400e12  # FLOP/s of a GPU
IN_NODE = 450e9  # bytes/s of a GPU to its neighbour in the node
GATHERED = 2 * TOKENS * HIDDEN  # bytes of a tensor-parallel collective
HANDED_ON = GATHERED // TENSOR  # bytes between stages, per rail
BUCKET = 2 * PARAMETERS // TENSOR  # bytes of the gradients of a layer on one rank
LATENCY = 2e-6  # s before each message between nodes

FORWARD_S = 2 * PARAMETERS * TOKENS / TENSOR / FLOPS
COLLECTIVE_S = (TENSOR - 1) / TENSOR * GATHERED / IN_NODE
STEPS = TENSOR - 1  # of a ring all-gather or reduce-scatter


@dataclass(frozen=True, slots=True)
class Work:
    """One pass of one microbatch through a stage.

    Parameters
    ----------
    backward : bool
        Or forward.
    microbatch : int
        Which.
    """

    backward: bool
    microbatch: int

    @property
    def compute(self) -> float:
        """Return the seconds of a layer."""
        return FORWARD_S * (2 if self.backward else 1)

    @property
    def collectives(self) -> int:
        """Return how many tensor-parallel collectives follow each layer."""
        return 6 if self.backward else 4


def one_forward_one_backward(stage: int, stages: int, microbatches: int) -> Iterator[Work]:
    """Yield what a stage does in turn.

    References
    ----------
    .. [1] Narayanan et al., Efficient large-scale language model training on GPU clusters using Megatron-LM,
       SC 2021, section 2.2.
    """
    ahead = min(stages - 1 - stage, microbatches)
    yield from (Work(False, number) for number in range(ahead))
    for number in range(microbatches - ahead):
        yield Work(False, ahead + number)
        yield Work(True, number)
    yield from (Work(True, number) for number in range(microbatches - ahead, microbatches))


@dataclass(frozen=True, slots=True)
class Written:
    """A programme, and how many of its messages have ended when a work, or its layers, are done."""

    programme: int
    forward: list[int]  # by microbatch
    backward: list[int]
    layers: list[int]  # of the backward pass of the last microbatch, last layer first


def compute(
    book: Book, stage: int, layers: Sequence[int], microbatches: int, rails: int, *, tensor: bool
) -> Written:
    """Write what a node does, or with ``tensor`` each of its GPUs with every message of its collectives.

    Partners: those that hand on from the stage before, those from the stage behind (one for each rail, or the
    one of its own rail), and with ``tensor`` the GPU before it in the ring of the node.
    """
    wide = 1 if tensor else rails
    before, behind = (wide if stage else 0), (wide if stage < len(layers) - 1 else 0)
    ring = before + behind  # this partner
    sent = 0
    done: dict[Work, int] = {}
    ready: list[int] = []
    for work in one_forward_one_backward(stage, len(layers), microbatches):
        first, count = (before, behind) if work.backward else (0, before)
        arrive = [(partner, work.microbatch + 1, 0) for partner in range(first, first + count)]
        last = work.backward and work.microbatch == microbatches - 1
        for _ in range(layers[stage] if tensor or last else 1):
            alike = 1 if tensor or last else layers[stage]
            if tensor:
                sent = _layer(book, work, sent, arrive, ring)
            else:
                seconds = work.compute + work.collectives * COLLECTIVE_S
                book.phase(1, delay=alike * seconds, gates=arrive)
                sent += 1
            arrive = []
            if last:
                ready.append(sent)
        done[work] = sent
    forward, backward = (
        [done[Work(back, number)] for number in range(microbatches)] for back in (False, True)
    )
    return Written(book.programme(), forward, backward, ready)


def _layer(book: Book, work: Work, sent: int, arrive: list[tuple[int, int, int]], ring: int) -> int:
    """Write a layer of one GPU: its computation, then the steps of its collectives, each after the other."""
    book.phase(1, delay=work.compute, gates=[*arrive, (ring, sent, 0)] if sent else arrive)
    begun = sent + 1
    book.phase(1, GATHERED / TENSOR, slot=0)
    count = work.collectives * STEPS
    book.phase(count - 1, GATHERED / TENSOR, slot=0, gates=[(ring, begun + 1, 1)])
    return begun + count


def hand_on(book: Book, done: Sequence[int], *, tensor: bool) -> int:
    """Write what one rail sends to another stage; partners: who computes, with ``tensor`` and its ring's."""
    for need in done:
        gates = [(partner, need, 0) for partner in range(2 if tensor else 1)]
        book.phase(1, HANDED_ON, delay=LATENCY, slot=0, gates=gates)
    return book.programme()


def exchange(book: Book, ready: Sequence[int], replicas: int, *, tensor: bool) -> int:
    """Write the reduce-scatters of a rank, one after another as layers are ready, then its all-gathers.

    Partners: the rank before it in the ring, then as in `hand_on`.
    """
    steps, size = replicas - 1, BUCKET / replicas
    for number, need in enumerate(ready):
        begun = number * steps
        gates = [(partner, need, 0) for partner in range(1, 3 if tensor else 2)]
        book.phase(1, size, delay=LATENCY, slot=0, gates=[(0, begun, 0), *gates])
        if steps > 1:
            book.phase(steps - 1, size, delay=LATENCY, slot=0, gates=[(0, begun + 1, 1)])
    begun = len(ready) * steps
    book.phase(begun, size, delay=LATENCY, slot=0, gates=[(0, begun, 1)])
    return book.programme()
