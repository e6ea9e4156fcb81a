r"""What a device takes for its work: one law a kind of work, vectorised over many pieces of work at once.

Matrix products: :math:`t = \frac{2mnk}{P e} a + g \frac{\mathrm{bytes}}{B b}`, the sum and not the maximum, which
gives small products their lower rate. P and B are the datasheet's rates; e, b, g, a and every other constant are
values of a profile, by name. Nothing here knows a number of a machine or of a stack.

References
----------
.. [1] Williams, Waterman, Patterson, Roofline, CACM 52(4), 2009, doi:10.1145/1498765.1498785.
.. [2] Dao, FlashAttention-2, arXiv:2307.08691: FLOPs of causal attention, and the rates that kernels reach.
.. [3] NVIDIA, Matrix Multiplication Background User's Guide: dimensions that are no multiples slow a product.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workloads.step_graph import Compute

Floats = NDArray[np.float64]
_HALF = ("bf16", "fp16")
_MOST_IDLE = 20.0  # times that a product of very few tiles is slower
_TILE = (128, 256)  # of the result that one processor computes at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one a site: compared by identity
class Device:
    """An accelerator: dense rates in FLOP/s by precision, memory in bytes/s, and whose profile values hold.

    Parameters
    ----------
    name, generation : str
        Catalogue name; which group of devices it belongs to: ``ampere hopper blackwell``.
    rates : mapping
        FLOP/s by precision; half precision must be there.
    memory_rate : float
        Bytes/s of device memory.
    variant : str
        Name of a part of the profile that changes its rate, a power cap for one; empty: none.
    software : str
        How old the kernels are that run on it, as the profile tells them apart; empty: the usual.
    """

    name: str
    generation: str
    rates: Mapping[str, float]
    memory_rate: float
    variant: str = ""
    software: str = ""

    def rate(self, precision: str) -> float:
        """Return FLOP/s in a precision; how a number is scaled changes nothing, nor does which half precision it is.

        Raises
        ------
        ValueError
            A precision that the device does not have.
        """
        aliases = {"mxfp8": "fp8", "fp8row": "fp8", "fp16": "bf16"}
        for name in (precision, aliases.get(precision, "")):
            if name in self.rates:
                return self.rates[name]
        have = ", ".join(sorted(self.rates))
        raise ValueError(f"--precision {precision}: {self.name} multiplies in {have}")


class Work:
    """Pieces of work turned into arrays once, so that many profiles can be tried on them.

    Parameters
    ----------
    pieces : sequence of (Compute, Device)
        What is done where.
    """

    def __init__(self, pieces: Sequence[tuple[Compute, Device]]) -> None:
        self.count = len(pieces)
        self.pieces = list(pieces)
        self._by_law: dict[str, _Pieces] = {}
        laws: dict[str, list[int]] = {}
        for place, (operation, _) in enumerate(pieces):
            laws.setdefault(operation.law, []).append(place)
        for law, places in laws.items():
            if law not in LAWS:
                raise ValueError(f"no law for '{law}'; there are {', '.join(sorted(LAWS))}")
            self._by_law[law] = _Pieces([self.pieces[place] for place in places], np.array(places))

    def seconds(self, profile: Mapping[str, float]) -> Floats:
        """Return the seconds of every piece, in order.

        Parameters
        ----------
        profile : mapping of str to float
            Values by dotted name; the longest known beginning of a name stands for all that go on from it.
        """
        out = np.zeros(self.count)
        for law, pieces in self._by_law.items():
            out[pieces.places] = LAWS[law](pieces, profile)
        return out


class _Pieces:
    """The pieces that one law prices, as arrays."""

    def __init__(self, pieces: Sequence[tuple[Compute, Device]], places: NDArray[np.int64]) -> None:
        self.places = places
        self.pieces = pieces
        self.flops = np.array([one.flops for one, _ in pieces])
        self.bytes = np.array([one.bytes for one, _ in pieces])
        self.amount = np.array([one.count for one, _ in pieces])
        shapes = np.array([one.shape for one, _ in pieces], dtype=float).reshape(len(pieces), 3)
        self.m, self.n, self.k = shapes.T
        self.memory_rate = np.array([device.memory_rate for _, device in pieces])
        self._names: dict[str, tuple[list[str], NDArray[np.int64]]] = {}

    @cached_property
    def rate(self) -> Floats:
        """Return the datasheet's FLOP/s of each piece."""
        return np.array([device.rate(one.precision) for one, device in self.pieces])

    @cached_property
    def half(self) -> Floats:
        """Return the same as if all computed in 16 bits."""
        return np.array([device.rate("bf16") for _, device in self.pieces])

    def value(self, profile: Mapping[str, float], pattern: str) -> Floats:
        """Return the value of the profile that each piece goes by.

        ``pattern`` is a dotted name with {generation}, {precision}, {variant} and {device} for what differs.
        """
        if pattern not in self._names:
            names = [
                pattern.format(
                    generation=device.generation,
                    precision="bf16" if one.precision in _HALF else one.precision,
                    variant=one.variant or "none",
                    device=device.name,
                    cap=device.variant or "none",
                    era=device.software or "usual",
                )
                for one, device in self.pieces
            ]
            distinct = sorted(set(names))
            which = np.array([distinct.index(name) for name in names])
            self._names[pattern] = (distinct, which)
        distinct, which = self._names[pattern]
        found: Floats = np.array([lookup(profile, name) for name in distinct])[which]
        return found


def lookup(profile: Mapping[str, float], name: str) -> float:
    """Return a value by its dotted name or by the longest beginning of it that the profile knows.

    Raises
    ------
    KeyError
        If it knows none.
    """
    at = name
    while at not in profile:
        if "." not in at:
            raise KeyError(name)
        at = at.rpartition(".")[0]
    return profile[at]


def _memory(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    share = pieces.value(profile, "memory.share.{generation}")
    return pieces.bytes / (pieces.memory_rate * share)


def _gemm(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    share = pieces.value(profile, "gemm.share.{generation}.{precision}")
    capped = pieces.value(profile, "gemm.cap.{cap}")
    kind = pieces.value(profile, "gemm.device.{device}")
    kind = kind * pieces.value(profile, "gemm.era.{generation}.{era}")
    product = pieces.flops / (pieces.rate * share * capped * kind) * _misaligned(pieces, profile)
    product = product * (1 + profile["gemm.depth"] / np.maximum(pieces.k, 1.0)) * _waves(pieces, profile)
    found: Floats = product + pieces.value(profile, "gemm.bytes") * _memory(pieces, profile)
    return found


def _waves(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    """Return how much longer products take whose tiles do not fill the last wave of processors [3]_."""
    tiles = np.ceil(pieces.m / _TILE[0]) * np.ceil(pieces.n / _TILE[1])
    waves = tiles / pieces.value(profile, "device.processors.{generation}")
    idle = np.where(waves > 0, np.ceil(waves) / np.maximum(waves, 1e-9), 1.0)
    found: Floats = 1 + profile["gemm.waves"] * (np.minimum(idle, _MOST_IDLE) - 1)
    return found


def _misaligned(pieces: _Pieces, profile: Mapping[str, float], least: int = 1) -> Floats:
    """Return how much slower products are with ``least`` sides or more that are no multiples of a tile."""
    sides = np.stack([pieces.m, pieces.n, pieces.k])
    odd = (sides % 64 != 0).sum(axis=0) >= least
    coarse = ((sides % 128 != 0).sum(axis=0) >= least) & ~odd
    slow = np.where(odd, pieces.value(profile, "gemm.unaligned.64.{generation}.{precision}"), 1.0)
    return np.where(coarse, pieces.value(profile, "gemm.unaligned.128.{generation}.{precision}"), slow)


def _grouped(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    """Return products of all experts of a rank: a share of their own, less gain from narrow numbers, small widths."""
    base = pieces.half * pieces.value(profile, "gemm.share.{generation}.bf16")
    gain = pieces.rate * pieces.value(profile, "gemm.share.{generation}.{precision}") / base
    rate = base * gain ** profile["grouped.gain"] * pieces.value(profile, "grouped.share.{generation}")
    width = np.minimum(pieces.n, pieces.k)
    narrow = profile["grouped.width"] / np.maximum(width, 1.0)
    few = profile["grouped.rows"] / np.maximum(pieces.m, 1.0)
    small = 1 + (narrow + few) * pieces.value(profile, "grouped.era.{generation}.{era}")
    rate = rate * pieces.value(profile, "gemm.era.{generation}.{era}")
    product = pieces.flops / rate * small * _misaligned(pieces, profile, least=2)
    found: Floats = product + pieces.value(profile, "gemm.bytes") * _memory(pieces, profile)
    return found


def _attention(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    share = pieces.value(profile, "attention.share.{generation}.{variant}")
    odd = np.where(pieces.k % 8 != 0, profile["attention.odd_head"], 1.0)
    short = 1 + profile["attention.short"] / np.maximum(pieces.n, 1.0)
    found: Floats = pieces.flops / (pieces.half * share) * odd * short + _memory(pieces, profile)
    return found


def _passes(pattern: str) -> Callable[[_Pieces, Mapping[str, float]], Floats]:
    def law(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
        return pieces.value(profile, pattern) * _memory(pieces, profile)

    return law


def _scan(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    return pieces.flops / (pieces.half * profile["scan.share"]) + profile["scan.passes"] * _memory(
        pieces, profile
    )


def _host(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    jitter: Floats = 1 + profile["host.jitter"] * np.log2(np.maximum(pieces.m, 1.0))
    return pieces.amount * pieces.value(profile, "host.layer.{variant}.{era}") * jitter


def _step(pieces: _Pieces, profile: Mapping[str, float]) -> Floats:
    return pieces.amount * pieces.value(profile, "step.{variant}")


LAWS: dict[str, Callable[[_Pieces, Mapping[str, float]], Floats]] = {
    "gemm": _gemm,
    "grouped_gemm": _grouped,
    "attention": _attention,
    "elementwise": _passes("elementwise.passes.{variant}.{generation}"),
    "activation": _passes("activation.passes.{variant}.{generation}"),
    "scores": _passes("scores.passes"),
    "cast": _passes("cast.bytes.{precision}"),
    "logits": _passes("logits.bytes"),
    "permute": _passes("permute.passes.{era}"),
    "optimizer": _passes("optimizer.bytes"),
    "scan": _scan,
    "host": _host,
    "step": _step,
}
