"""The backward of a block from its forward: gradients of inputs and of weights, collectives turned around.

References
----------
.. [1] Dao et al., FlashAttention, arXiv:2205.14135: five products backward for two forward, the scores
   among them; without recomputation four.
.. [2] Korthikanti et al., arXiv:2205.05198, section 4.2.2: only the slice of a gathered input is kept, so that
   the gradient of the weights gathers it once more, beside the gradient of the input.
.. [3] Liu et al., Ring Attention, arXiv:2310.01889: backward keys and values go around again, and with them
   their gradients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from workloads.step_graph import Block, Collective, Compute, Kind, Operation

TURNED = {
    "all_gather": "reduce_scatter",
    "reduce_scatter": "all_gather",
    "all_reduce": "all_reduce",
    "all_to_all": "all_to_all",
    "send_recv": "send_recv",
}
_ATTENTION = 2.5  # a fused kernel computes the scores again [1]
_UNFUSED = 2.0
_TWICE = ("elementwise", "activation", "scores", "scan")  # reads the gradient and what was saved
_SAME = ("cast", "permute")
_PRODUCTS = ("gemm", "grouped_gemm")  # of all other laws, logits and host, forward counts backward too


def inputs(forward: Iterable[Operation]) -> list[Operation]:
    """Return what the gradient of the inputs takes, in the opposite order."""
    return [one for operation in reversed(list(forward)) for one in _input(operation)]


def _input(operation: Operation) -> list[Operation]:
    if isinstance(operation, Collective):
        return _turned(operation)
    name, law = f"{operation.name} backward", operation.law
    if law in _PRODUCTS:
        m, n, k = operation.shape
        return [replace(operation, name=f"{operation.name} input gradient", shape=(m, k, n))]
    if law == "attention":
        times = _UNFUSED if operation.variant == "unfused" else _ATTENTION
        return [replace(operation, name=name, flops=times * operation.flops, bytes=2 * operation.bytes)]
    if law in _TWICE:
        return [replace(operation, name=name, bytes=2 * operation.bytes, flops=2 * operation.flops)]
    return [replace(operation, name=name)] if law in _SAME else []


def _turned(operation: Collective) -> list[Operation]:
    turned = replace(operation, op=TURNED[operation.op], name=f"{operation.name} backward")
    if operation.axis == "cp" and operation.op == "all_gather":
        return [replace(operation, name=f"{operation.name} again"), turned]  # [3]
    return [turned]


def weights(forward: Iterable[Operation], *, gathers: bool = True) -> list[Operation]:
    """Return the products that give the gradients of the weights.

    Parameters
    ----------
    forward : iterable of operation
        As it ran forward.
    gathers : bool
        Whether sliced inputs are gathered once more; False where they are still whole.
    """
    listed = list(forward)
    fetched = _fetched(listed) if gathers else {}
    found: list[Operation] = []
    for place in reversed(range(len(listed))):
        found += [*fetched.get(place, ()), *_weight(listed[place])]
    return found


def _weight(operation: Operation) -> list[Operation]:
    if not isinstance(operation, Compute) or operation.law not in _PRODUCTS:
        return []
    m, n, k = operation.shape
    return [replace(operation, name=f"{operation.name} weight gradient", shape=(n, k, m))]


def _fetched(forward: Sequence[Operation]) -> dict[int, list[Operation]]:
    """Return, by the place of a product, what gathers its sliced input again [2]_."""
    found: dict[int, list[Operation]] = {}
    waiting: list[Operation] = []
    for place, operation in enumerate(forward):
        if isinstance(operation, Collective):
            if operation.axis == "tp" and operation.op == "all_gather":
                name = f"{operation.name} again"
                waiting.append(replace(operation, name=name, stream="tp", until="block", overlap=""))
        elif operation.law in _PRODUCTS and waiting:
            found[place], waiting = waiting, []
    return found


def interleaved(
    forward: Iterable[Operation], *, frozen: bool = False, gathers: bool = True
) -> list[Operation]:
    """Return the whole backward: each weight gradient right after its input gradient.

    Parameters
    ----------
    forward : iterable of operation
        As it ran forward.
    frozen : bool
        Whether the weights are frozen, so that no weight gradients are wanted.
    gathers : bool
        As in `weights`.
    """
    if frozen:
        return inputs(forward)
    listed = list(forward)
    fetched = _fetched(listed) if gathers else {}
    found: list[Operation] = []
    for place in reversed(range(len(listed))):
        found += [*fetched.get(place, ()), *_input(listed[place]), *_weight(listed[place])]
    return found


class Mirror:
    """A forward as the backward turns it around, each way of it worked out once.

    Parameters
    ----------
    forward : iterable of Operation
        What is turned around.
    frozen : bool
        Whether no gradients of weights are wanted.
    """

    def __init__(self, forward: Iterable[Operation], *, frozen: bool = False) -> None:
        self._forward, self._frozen = tuple(forward), frozen
        self._known: dict[tuple[bool, bool], tuple[tuple[Operation, ...], tuple[Operation, ...]]] = {}

    def back(self, *, split: bool, gathers: bool) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
        """Return the backward, and what is left for a task of its own.

        Parameters
        ----------
        split : bool
            Whether gradients of weights are tasks of their own.
        gathers : bool
            As in `weights`.
        """
        key = (split, gathers)
        if key not in self._known:
            late: list[Operation] = []
            if not split:
                back = interleaved(self._forward, frozen=self._frozen, gathers=gathers)
            else:
                back = inputs(self._forward)
                late = [] if self._frozen else weights(self._forward, gathers=gathers)
            self._known[key] = tuple(back), tuple(late)
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a block does forward, and around it.

    Parameters
    ----------
    forward : tuple of Operation
        Its own work.
    mirror : Mirror
        The same as the backward turns it around.
    before, before_back, after : tuple of Operation
        Ahead of its forward and of its backward; behind the gradients of its weights.
    gathers : bool
        As in `weights`.
    """

    forward: tuple[Operation, ...]
    mirror: Mirror
    before: tuple[Operation, ...] = ()
    before_back: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()
    gathers: bool = True

    def blocks(self, name: str, repeat: int = 1, *, split: bool) -> dict[Kind, Block]:
        """Return its block for each kind of task; where weights have tasks of their own ``after`` follows those."""
        back, late = self.mirror.back(split=split, gathers=self.gathers)
        work: dict[Kind, tuple[Operation, ...]] = {
            "F": (*self.before, *self.forward),
            "B": (*self.before_back, *back, *(() if split else self.after)),
        }
        if split:
            work["W"] = (*late, *self.after)
        return {task: Block(name=name, operations=some, repeat=repeat) for task, some in work.items()}
