r"""The closed form under every prediction: start-up, steps and bytes of a collective on a machine.

.. math:: T = \lambda + c\sqrt{\lambda w} + w

``lambda`` is the latency of the algorithm's steps, ``w`` the bytes of its busiest port over the share of the
nominal bandwidth that is reached. The geometric mean between them stands for the protocols between the
smallest and the largest messages; without it the form is plain alpha-beta. An all-reduce between nodes takes
the better of ring and tree.

References
----------
.. [1] Hockney, Parallel Computing 20(3), 1994: alpha and beta.
.. [2] Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005: steps and bytes of ring and tree.
.. [3] NVIDIA/nccl, src/graph/tuning.cc: tree between nodes and chain inside, ring, NVLS.
.. [4] Klenk et al., ISCA 2020, doi:10.1109/ISCA45697.2020.00085: (1 + 1/p) n bytes with in-switch reduction.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from simulator.calibration.measured import text
from simulator.calibration.setting import Setting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_SOFTNESS = 3.0  # of the minimum over ring and tree: both run near the crossover
_SWITCH_FAMILIES = ("hopper", "blackwell")


@dataclass(frozen=True, slots=True)
class Prior:
    """Names of the parameters, the logarithms they start from and how far the fit may take them."""

    names: tuple[tuple[str, str], ...]
    mean: Floats
    spread: Floats

    def index(self, table: str, key: str) -> int:
        """Return the place of a parameter; that of ``other`` where the key has none of its own."""
        try:
            return self.names.index((table, key))
        except ValueError:
            return self.names.index((table, "other"))


@cache
def prior() -> Prior:
    """Return the starting values of ``data/mechanism.toml``."""
    tables = tomllib.loads(text("mechanism.toml"))
    entries = [((table, key), pair) for table, keys in tables.items() for key, pair in keys.items()]
    values = np.array([pair for _, pair in entries], dtype=float)
    return Prior(tuple(name for name, _ in entries), np.log(values[:, 0]), values[:, 1])


def library_key(library: str) -> str:
    """Return the short name of a library: MPI apart by where its buffers lie."""
    if "mpi" in library:
        return "mpi_host" if "host" in library else "mpi_gpu"
    return library


class Design:
    """Settings and sizes turned into arrays once, so that many parameter vectors can be tried.

    Parameters
    ----------
    settings : sequence of Setting
        The machines and operations.
    which : array of int, shape (points,)
        The setting of each point.
    sizes : array, shape (points,)
        Bytes in the nccl-tests convention.
    """

    def __init__(self, settings: Sequence[Setting], which: Ints, sizes: Floats) -> None:
        size = np.maximum(sizes.astype(float), 1.0)
        rows = [_traffic(s) for s in settings]
        columns = np.array(rows, dtype=float).reshape(len(rows), len(_TRAFFIC))[which].T
        look = dict(zip(_TRAFFIC, columns, strict=True))
        self.outside = look["outside"] > 0
        self.switch = look["switch"] > 0
        self.two = look["two"] > 0
        self.tree = look["tree"] > 0
        micro = 1e6 * size
        self.wire_inside = micro * look["inside_s_per_byte"]
        self.wire_switch = micro * look["switch_s_per_byte"]
        self.wire_outside = micro * look["outside_s_per_byte"]
        self.steps_inside = look["steps_inside"]
        self.ring_steps = look["ring_steps"]
        self.tree_steps = look["tree_steps"]
        self.keys = _keys(settings)[:, which]


_TRAFFIC = [
    "outside",
    "switch",
    "two",
    "tree",
    "inside_s_per_byte",
    "switch_s_per_byte",
    "outside_s_per_byte",
    "steps_inside",
    "ring_steps",
    "tree_steps",
]
_KEYS: dict[str, str] = {
    "start_up_us": "family",
    "library_factor": "library",
    "network_factor": "transport",
    "hop_us": "family",
    "tree_hop_us": "transport",
    "ring_hop_us": "transport",
    "hop_factor": "op",
    "share_inside": "op",
    "share_family": "family",
    "share_switch": "family",
    "share_outside": "transport",
    "share_outside_op": "op",
    "share_two_domains": "one",
    "ramp_inside": "op",
    "ramp_outside": "op",
    "tree_bytes": "one",
}


def _keys(settings: Sequence[Setting]) -> Ints:
    """Return the place of each table's parameter for each setting, shape (tables, settings)."""
    found = prior()
    values = {
        "family": [s.family for s in settings],
        "library": [library_key(s.library) for s in settings],
        "transport": [s.transport for s in settings],
        "op": [s.op for s in settings],
        "one": ["other"] * len(settings),
    }
    return np.array([[found.index(table, key) for key in values[of]] for table, of in _KEYS.items()])


def _traffic(s: Setting) -> tuple[float, ...]:
    """Return steps and seconds per byte at nominal bandwidth of one setting, in the order of _TRAFFIC."""
    n, domains, local = float(s.gpus), float(s.domains), float(s.per_domain)
    reduce_all, halves = s.op == "all_reduce", s.op in ("all_gather", "reduce_scatter")
    spread = s.op in ("all_to_all", "gather", "scatter")
    ring_turns = 2 * (n - 1) / n if reduce_all else (n - 1) / n if halves else 1.0
    inside_rate = s.inside_rate or 50e9
    inside = 0.0 if local <= 1 else ((local - 1) / n if spread else ring_turns) / inside_rate
    switch = reduce_all and s.inside == "nvswitch" and s.family in _SWITCH_FAMILIES
    two = switch and domains == 2
    outside = 0.0
    if s.transport:
        port = s.outside_rate / (local if spread or s.op == "send_recv" else 1.0)
        share = (n - local) / n if spread else 1.0 if two else ring_turns
        outside = share / port
    chain = 2 * (local - 1) if reduce_all else local - 1 if halves else 0.25 * (local - 1) if spread else 0.3
    ring = 2 * (domains - 1) if reduce_all else domains - 1 if halves else n - local if spread else 1.0
    away = float(bool(s.transport))
    return (
        away,
        float(switch),
        float(two),
        away * float(reduce_all),
        inside,
        (1 + 1 / local) / inside_rate,
        outside,
        chain,
        ring * away,
        2 * np.log2(max(domains, 1.0)) * away * reduce_all,
    )


def log_microseconds(parameters: Floats, design: Design) -> Floats:
    """Return the natural logarithm of the time in us of every point of a design.

    Parameters
    ----------
    parameters : array, shape (parameters,)
        Logarithms, in the order of `prior`.
    design : Design
        Settings and sizes.
    """
    value = dict(zip(_KEYS, np.exp(parameters)[design.keys], strict=True))
    share = value["share_inside"] * value["share_family"]
    wire = design.wire_inside / share
    wire = np.where(design.switch, np.minimum(wire, design.wire_switch / value["share_switch"]), wire)
    reached = value["share_outside"] * value["share_outside_op"]
    reached = reached * np.where(design.two, value["share_two_domains"], 1.0)
    wire = np.where(design.outside, np.maximum(design.wire_outside / reached, wire), wire)
    start = value["start_up_us"] * value["library_factor"]
    start = (
        start * np.where(design.outside, value["network_factor"], 1.0) + value["hop_us"] * design.steps_inside
    )
    ramp = np.where(design.outside, value["ramp_outside"], value["ramp_inside"])
    ring = start + value["hop_factor"] * value["ring_hop_us"] * design.ring_steps
    tree = start + value["hop_factor"] * value["tree_hop_us"] * design.tree_steps
    by_ring = ring + ramp * np.sqrt(ring * wire) + wire
    by_tree = tree + ramp * np.sqrt(tree * wire) + wire * value["tree_bytes"]
    best = (by_ring**-_SOFTNESS + by_tree**-_SOFTNESS) ** (-1 / _SOFTNESS)
    out: Floats = np.log(np.where(design.tree, best, by_ring))
    return out
