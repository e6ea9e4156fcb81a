"""One message between two ends: the models that collectives are built on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

from simulator.collectives._alpha_beta import AlphaBeta


def half_performance_size(link: AlphaBeta) -> float:
    r"""Return the bytes :math:`n_{1/2} = \alpha B` of a message that gets half of the bandwidth.

    References
    ----------
    .. [1] Hockney, The communication challenge for MPP, Parallel Computing 20(3), 1994.
    """
    return link.alpha * link.bandwidth


def store_and_forward(size: float, path: Sequence[AlphaBeta]) -> float:
    r"""Return seconds over links that pass on only whole messages: :math:`\sum_i (\alpha_i + n/B_i)`."""
    return sum(link.message(size) for link in path)


def cut_through(size: float, path: Sequence[AlphaBeta]) -> float:
    r"""Return seconds over links that pass on at once: :math:`\sum_i \alpha_i + n/\min_i B_i`."""
    return sum(link.alpha for link in path) + size / min(link.bandwidth for link in path)


def chunked_path(size: float, hops: int, link: AlphaBeta, chunks: int) -> float:
    r"""Return seconds over h equal links in c chunks: :math:`(h + c - 1)(\alpha + n/(cB))`.

    Each chunk is stored and forwarded; the first is through after h steps, one more follows in each later
    step.
    """
    return (hops + chunks - 1) * link.message(size / chunks)


def best_chunks(size: float, hops: int, link: AlphaBeta) -> float:
    r"""Return the c, a real number, that minimises `chunked_path`: :math:`\sqrt{(h-1)n/(\alpha B)}`."""
    return sqrt((hops - 1) * size / (link.alpha * link.bandwidth)) if link.alpha else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGP:
    """A network as LogGP sees it.

    Parameters
    ----------
    latency : float
        L, of the wire, s.
    overhead : float
        o, the processor's part of a message at either end, s.
    gap : float
        g, between the starts of two messages of one sender, s.
    gap_per_byte : float
        G, s per byte.

    References
    ----------
    .. [1] Alexandrov, Ionescu, Schauser, Scheiman, LogGP, SPAA 1995, doi:10.1145/215399.215427.
    """

    latency: float
    overhead: float
    gap: float
    gap_per_byte: float

    def message(self, size: float) -> float:
        """Return seconds of one message: L + 2o + (n - 1)G."""
        return self.latency + 2 * self.overhead + (size - 1) * self.gap_per_byte

    def busy(self, size: float) -> float:
        """Return seconds that a message keeps its sender busy: o + (n - 1)G."""
        return self.overhead + (size - 1) * self.gap_per_byte

    def messages(self, count: int, size: float) -> float:
        """Return seconds until the last byte of ``count`` messages sent back to back."""
        return (count - 1) * max(self.gap, self.busy(size)) + self.message(size)

    def alpha_beta(self) -> AlphaBeta:
        """Return the same network with alpha = L + 2o and a bandwidth of 1/G."""
        return AlphaBeta(self.latency + 2 * self.overhead, 1 / self.gap_per_byte)
