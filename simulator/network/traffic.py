"""What a flow network is made of: one-way links and the flows that want to cross them."""

from collections.abc import Hashable
from dataclasses import dataclass

LARGEST = 1e30  # of any number here: sums and quotients of such numbers stay finite doubles
SMALLEST = 1 / LARGEST  # of a divisor


def _check(what: str, value: float, least: float) -> None:
    if not least <= value <= LARGEST:  # also false for NaN
        raise ValueError(f"{what} must be from {least:g} to {LARGEST:g}, got {value}")


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of one cable.

    Parameters
    ----------
    bandwidth : float
        Bytes/s in this direction, above 0.
    latency : float
        Seconds that a flow waits, once, before its first byte moves.

    Raises
    ------
    ValueError
        For a number out of range.
    """

    bandwidth: float
    latency: float = 0.0

    def __post_init__(self) -> None:
        _check("bandwidth", self.bandwidth, SMALLEST)
        _check("latency", self.latency, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Bytes that cross a route, all links of it at once and at one rate.

    Parameters
    ----------
    id : hashable
        Its name, unique in a run.
    route : tuple of hashable
        Ids of the links it crosses, each once; may be empty only if there are no bytes.
    size : float
        Bytes; 0 only waits.
    after : tuple of hashable
        Ids of the flows that must finish before this one is released.
    delay : float
        Seconds from release until it asks for the network: computing, a late start. Takes no bandwidth.
    latency : float, optional
        Seconds of latency after the delay; by default the sum over the route.
    weights : tuple of float, optional
        Bytes on each link of the route per byte of ``size``, each above 0; by default all 1. So a whole
        collective is one bundle with one rate of progress.

    Raises
    ------
    ValueError
        For a number out of range, a link twice, bytes without a route, or weights that do not fit the route.
    """

    id: Hashable
    route: tuple[Hashable, ...]
    size: float
    after: tuple[Hashable, ...] = ()
    delay: float = 0.0
    latency: float | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check("size", self.size, 0)
        _check("delay", self.delay, 0)
        if self.latency is not None:
            _check("latency", self.latency, 0)
        if self.size and not self.route:
            raise ValueError(f"flow {self.id!r} has bytes to send but no route")
        if len(set(self.route)) < len(self.route):
            raise ValueError(f"flow {self.id!r} crosses a link twice: {self.route}")
        if self.weights is not None:
            if len(self.weights) != len(self.route):
                raise ValueError(f"flow {self.id!r}: {len(self.weights)} weights, {len(self.route)} links")
            for weight in self.weights:
                _check("weight", weight, SMALLEST)
