"""How BytePS shares the sums of a gradient among GPU machines and spare CPU machines.

References
----------
.. [1] Jiang et al., A unified architecture for accelerating distributed DNN training in heterogeneous GPU/CPU
   clusters, OSDI 2020, theorem 1.
"""

from dataclasses import dataclass

from simulator.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The best share of the work.

    Parameters
    ----------
    seconds : float
        To push and pull all of it, s.
    cpu_machine, gpu_machine : float
        Bytes that a machine of either kind sums.
    """

    seconds: float
    cpu_machine: float
    gpu_machine: float


def best_split(gpu_machines: int, cpu_machines: int, size: float, bandwidth: float) -> Split:
    r"""Return the best split: :math:`2n(n-1)/(n^2 + kn - 2k)\cdot M/B` seconds.

    Without spare machines that is the time of a ring; with as many as there are GPU machines it is
    :math:`M/B`.

    Parameters
    ----------
    gpu_machines, cpu_machines : int
        n, at least 2, and k, at most n.
    size : float
        M, bytes of one machine's gradient.
    bandwidth : float
        B, bytes/s of a machine in one direction.

    Raises
    ------
    UsageError
        A number of machines that the theorem does not cover.
    """
    n, k = gpu_machines, cpu_machines
    if n < 2 or not 0 <= k <= n:
        raise UsageError(f"need 2 GPU machines or more and no more CPU machines than those, got {n} and {k}")
    parts = n * n + k * n - 2 * k
    return Split(
        seconds=2 * n * (n - 1) / parts * size / bandwidth,
        cpu_machine=2 * (n - 1) / parts * size if k else 0.0,
        gpu_machine=(n - k) / parts * size,
    )
