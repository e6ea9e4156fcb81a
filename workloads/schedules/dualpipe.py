"""DualPipe: microbatches enter at both ends, and a forward of one way runs with a backward of the other."""

from collections import Counter, deque

from workloads.schedules._tasks import Orders, Routes, Tasks, both_ways, require
from workloads.step_graph import Kind, Task

SPLIT = True
CHUNKS = range(2, 3)
COPIES = 2
STAGGERED = False


def _require(stages: int, microbatches: int, chunks: int, stage: int = 0) -> None:
    require("dualpipe", stages, microbatches, chunks, CHUNKS, stage)
    if stages % 2:
        near = " or ".join(str(number) for number in (stages - 1, stages + 1) if number)
        raise ValueError(f"schedule dualpipe on {stages} stages: must be even; try {near}")
    if microbatches % 2 or microbatches < 2 * stages:
        least = max(microbatches + microbatches % 2, 2 * stages)
        raise ValueError(
            f"schedule dualpipe of {microbatches} microbatches: must be even and at least twice the"
            f" {stages} stages; try {least}"
        )


def routes(stages: int, chunks: int = 2) -> Routes:
    """Return the two ways: the first half of the microbatches goes down the stages, the second half up."""
    require("dualpipe", stages, 1, chunks, CHUNKS)
    return both_ways(stages)


def order(stages: int, microbatches: int, chunks: int = 2) -> Orders:
    """Return the tasks of each stage in order.

    ``beside`` ties a whole backward together, B and W after it, and a forward with such a backward. A B alone
    has its W later.

    Raises
    ------
    ValueError
        Sizes below 1, odd sizes, microbatches below twice the stages.

    References
    ----------
    .. [1] DeepSeek-AI, DeepSeek-V3, arXiv:2412.19437, section 3.2.1 and figure 5.
    .. [2] https://github.com/deepseek-ai/DualPipe: the eight phases of a rank.
    """
    _require(stages, microbatches, chunks)
    tasks = Tasks()
    return tuple(_Stage(tasks, stages, microbatches, stage).order() for stage in range(stages))


class _Stage:
    """The order of one stage, written down phase by phase.

    The near way is the one whose microbatches reach the stage first: down for the first half of the stages.
    """

    def __init__(self, tasks: Tasks, stages: int, microbatches: int, stage: int) -> None:
        self.tasks = tasks
        self.half = microbatches // 2
        self.stages = stages
        self.near, self.far = (0, 1) if stage < stages // 2 else (1, 0)
        self.depth = min(stage, stages - 1 - stage)  # stages to the nearer end
        self.inner = stages // 2 - 1 - self.depth  # stages to the middle
        self.done: Counter[tuple[Kind, int]] = Counter()
        self.late: deque[tuple[int, int]] = deque()  # B done, W not
        self.found: list[Task] = []

    def _next(self, kind: Kind, way: int) -> int:
        number = self.done[kind, way]
        self.done[kind, way] += 1
        return number + way * self.half

    def forward(self, way: int) -> None:
        self.found.append(self.tasks["F", self._next("F", way), way, False])

    def backward(self, way: int, *, beside: bool = False) -> None:
        """Add B and W as one."""
        number = self._next("B", way)
        self.found += [self.tasks["B", number, way, beside], self.tasks["W", number, way, True]]

    def inputs(self, way: int) -> None:
        """Add a B whose W comes later."""
        number = self._next("B", way)
        self.found.append(self.tasks["B", number, way, False])
        self.late.append((number, way))

    def weights(self) -> None:
        """Add the W that waits longest."""
        number, way = self.late.popleft()
        self.found.append(self.tasks["W", number, way, False])

    def pair(self, forward: int, backward: int) -> None:
        self.forward(forward)
        self.backward(backward, beside=True)

    def order(self) -> tuple[Task, ...]:
        near, far, inner, depth = self.near, self.far, self.inner, self.depth
        for _ in range(2 * inner):
            self.forward(near)
        for _ in range(depth + 1):
            self.forward(near)
            self.forward(far)
        for _ in range(inner):
            self.inputs(far)
            self.weights()
            self.forward(far)
        self._steady()
        for _ in range(inner):
            self.backward(far)
            self.pair(far, near)
        self._tail()
        for _ in range(inner):
            self.weights()
            self.inputs(near)
        while self.late:
            self.weights()
        return tuple(self.found)

    def _steady(self) -> None:
        for index in range(self.half - self.stages + self.depth + 1):
            if index == 0 and self.inner == 0:  # the two middle stages wait for each other: apart is faster
                self.forward(self.near)
                self.backward(self.far)
            else:
                self.pair(self.near, self.far)
            self.pair(self.far, self.near)

    def _tail(self) -> None:
        """Add backwards of both ways in turn, the later half of them without W."""
        for index in range(2 * (self.depth + 1)):
            way = self.near if index % 2 else self.far
            if index > self.depth:
                self.inputs(way)
            else:
                self.backward(way)


def bubble(
    stages: int,
    microbatches: int,
    chunks: int,
    forward: float,
    backward: float,
    weight: float,
    pair: float | None = None,
) -> float:
    """Return seconds that the outermost stages are idle: (p/2 - 1)(FB + B' - 3W), where B' = B + W.

    Exact for equal stages with F = B >= W where FB = F + B', and on four stages for any FB. On more stages a
    shorter FB leaves less: of 8 with F = B = W = 10 and FB = 28 it is 50 instead of 54.

    Parameters
    ----------
    stages, microbatches, chunks : int
        As for `order`.
    forward, backward, weight : float
        Seconds of one microbatch on one stage: F, gradients of the inputs B, of the weights W.
    pair : float, optional
        Seconds of a forward together with a whole backward, FB; left out, F + B'.

    References
    ----------
    .. [1] DeepSeek-AI, DeepSeek-V3, arXiv:2412.19437, table 2.
    """
    _require(stages, microbatches, chunks)
    together = forward + backward + weight if pair is None else pair
    return max(0.0, (stages / 2 - 1) * (together + backward + weight - 3 * weight))


def in_flight(stages: int, microbatches: int, chunks: int, stage: int) -> float:
    """Return the activations that a stage holds at its peak, until W, in those of one microbatch: p + 1.

    References
    ----------
    .. [1] DeepSeek-AI, DeepSeek-V3, arXiv:2412.19437, table 2.
    """
    _require(stages, microbatches, chunks, stage)
    return float(stages + 1)
