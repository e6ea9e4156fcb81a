"""Over which ranges the inputs of a step are varied together; nothing here imports numbers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulator.errors import UsageError, nearest

MEMORY = ("elementwise", "activation", "scores", "cast", "logits", "permute")
USUAL = (
    0.8,
    1.25,
)  # a fifth less, and as much more: an assumption, alike for all, so that inputs can be compared
INPUTS: Mapping[str, str] = {
    "inter.bandwidth": "bandwidth between machines",
    "inter.latency": "latency between machines, software included",
    "intra.bandwidth": "bandwidth inside of machines",
    "intra.latency": "latency inside of machines, software included",
    "gemm": "MFU of matrix products",
    "grouped_gemm": "MFU of products of experts",
    "attention": "MFU of attention",
    "memory": "memory bandwidth that elementwise work reaches",
    "optimizer": "rate of the optimizer",
    "host": "speed of the host",
    "gbs": "samples of a step",
    "price": "USD for a GPU and hour",
}
_RANGE = re.compile(r"([a-z_.]+)\s*=\s*(\d+\.?\d*|\.\d+)\s*\.\.\s*(\d+\.?\d*|\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Between which values an input lies.

    Parameters
    ----------
    name : str
        The input.
    low, high : float
        Ends; of a factor, times what it is.
    factor : bool
        Whether it is one, and even in its logarithm.
    """

    name: str
    low: float
    high: float
    factor: bool = True


def read_ranges(texts: Iterable[str]) -> dict[str, Range]:
    """Return the ranges that were typed as ``inter.bandwidth=0.5..2``, by input.

    Raises
    ------
    UsageError
        No such input, or ends that make no range.
    """
    found: dict[str, Range] = {}
    for text in texts:
        match = _RANGE.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"--range {text:.60}: wanted INPUT=LOW..HIGH, times what it is",
                where="--range",
                hint="inter.bandwidth=0.5..2",
            )
        name, low, high = match[1], float(match[2]), float(match[3])
        if name not in INPUTS:
            near = nearest(name, list(INPUTS)) or list(INPUTS)
            raise UsageError(
                f"--range {text:.60}: unknown input '{name}'", where="--range", hint=", ".join(near)
            )
        if not 0 < low < high <= 1e3:
            raise UsageError(
                f"--range {text:.60}: the ends must be more than 0 and run upwards",
                where="--range",
                hint=f"{name}=0.5..2",
            )
        found[name] = Range(name=name, low=low, high=high)
    return found


def chosen(present: Iterable[str], typed: Mapping[str, Range], *, cost: bool) -> list[Range]:
    """Return the range of every input that a step has: as typed, else `USUAL`.

    Raises
    ------
    UsageError
        A range of an input that this step does not have.
    """
    names = [name for name in INPUTS if name in set(present) or (cost and name == "price")]
    for name in typed:
        if name not in names:
            way = "--of cost" if name == "price" else ", ".join(names)
            raise UsageError(f"--range {name}: this step has no such input", where="--range", hint=way)
    return [typed.get(name) or Range(name=name, low=USUAL[0], high=USUAL[1]) for name in names]
