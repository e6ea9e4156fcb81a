"""The alpha, beta and gamma terms of a collective, apart."""

from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import Any

from simulator.collectives._alpha_beta import AlphaBeta
from simulator.collectives._options import check_options, options
from simulator.errors import UsageError


@dataclass(frozen=True, slots=True)
class Terms:
    """What the time of a collective on equal links is made of.

    Parameters
    ----------
    alpha_count : float
        Start-ups in a row.
    bytes_on_link : float
        Bytes that the busiest path pushes through a link.
    bytes_reduced : float
        Bytes that it reduces.
    """

    alpha_count: float
    bytes_on_link: float
    bytes_reduced: float

    def seconds(self, link: AlphaBeta) -> float:
        """Return the time on a link, s."""
        moving = self.bytes_on_link / link.bandwidth
        return self.alpha_count * link.alpha + moving + link.reduction(self.bytes_reduced)


def terms(module: ModuleType, ranks: int, size: float, **given: Any) -> Terms:
    """Return the terms of an algorithm; the time is linear in alpha, 1/bandwidth and gamma.

    Parameters
    ----------
    module : module
        A file of this folder.
    ranks : int
        Ranks.
    size : float
        Bytes, as nccl-tests counts them.
    **given
        Options of the algorithm.

    Raises
    ------
    UsageError
        An option that the algorithm does not have.
    UsageError
        A pipelined algorithm without ``packets``: their best number depends on the link.
    """
    check_options(module, given)
    if "packets" in options(module) and "packets" not in given:
        raise UsageError(
            f"{module.__name__.rpartition('.')[2]}: the terms depend on the number of packets, give it"
        )
    alone = AlphaBeta(1.0, inf), AlphaBeta(0.0, 1.0), AlphaBeta(0.0, inf, 1.0)
    return Terms(*(module.cost(ranks, size, link, **given) for link in alone))
