r"""What a step takes of the mains: GPUs by how busy they are, hosts, switches and optics, times the building.

:math:`E = \mathrm{PUE}\sum_i P_i t_i` and :math:`P(u) = P_0 + u\,(P_\mathrm{TDP} - P_0)` [1]_.

References
----------
.. [1] Patterson et al., Carbon emissions and large neural network training, arXiv:2104.10350: 10,000 V100 at
   330 W for 14.8 days at PUE 1.1 are 1287 MWh.
.. [2] Llama 3.1 model card: 39.3e6 GPU hours at the 700 W of the datasheet.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from topologies._catalogue import find, gpus, nodes
from topologies._hardware import Link, Switch

PUE = 1.1  # Google's average and the one of [1]; many halls are worse
IDLE_SHARE = 0.14  # of the TDP, median of data/power.toml
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Watts:
    """Power of one GPU and its share of a machine, W.

    Parameters
    ----------
    idle, full : float
        Of the GPU, doing nothing and at its limit (TDP).
    host : float
        What the machine may draw beside its GPUs, for each of them; 0 where the catalogue knows no machine.
    """

    idle: float
    full: float
    host: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules by where they go, the building's share included, and what was assumed.

    Parameters
    ----------
    gpus, hosts, network : float
        J.
    pue : float
        Joules at the meter for a joule of the machines.
    assumptions : tuple of str
        A sentence each.
    """

    gpus: float
    hosts: float
    network: float
    pue: float
    assumptions: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Return J at the meter."""
        return self.gpus + self.hosts + self.network


@cache
def _idle() -> dict[str, dict[str, Any]]:
    text = files("simulator.accounting").joinpath("data", "power.toml").read_text("utf-8")
    return tomllib.loads(text)


def watts(gpu: str) -> Watts:
    """Return the power of an accelerator of the catalogue.

    Raises
    ------
    ValueError
        No such accelerator, or the catalogue has no power of it.
    """
    row = find(gpus(), gpu)
    if row.power_W is None:
        raise ValueError(f"the power of '{gpu}' is not in the catalogue")
    seen = _idle().get(gpu)
    idle = seen["idle_W"] if seen else IDLE_SHARE * row.power_W
    machines = [n for n in nodes().values() if n.gpu == gpu and n.power_max_W is not None]
    host = min(((n.power_max_W or 0.0) / n.gpus - row.power_W for n in machines), default=0.0)
    return Watts(idle=idle, full=row.power_W, host=max(0.0, host))


def gpu_power(at: Watts, busy: float) -> float:
    """Return the power of a GPU that is busy for a share of the time, W.

    Raises
    ------
    ValueError
        A share below 0 or above 1.
    """
    if not 0 <= busy <= 1:
        raise ValueError(f"busy {busy:g}: must lie between 0 and 1")
    return at.idle + busy * (at.full - at.idle)


def link_power(switch: Switch | None, cable: Link | None, *, ends: int = 1) -> float:
    """Return the power of a link: its ports of the switches at its ends, and a transceiver at either side, W.

    Parameters
    ----------
    switch : Switch or None
        Power over ports, typical where known; None or without power: nothing.
    cable : Link or None
        Optic or cable, power of one transceiver.
    ends : int
        How many of its two ends are switches.
    """
    port = 0.0
    if switch is not None and switch.ports:
        port = (switch.power_typical_W or switch.power_max_W or 0.0) / switch.ports
    optic = (cable.power_typical_W or cable.power_max_W or 0.0) if cable is not None else 0.0
    return ends * port + 2 * optic


def step_energy(
    gpu: str,
    gpu_count: int,
    step_s: float,
    *,
    busy: float,
    network: float = 0.0,
    pue: float = PUE,
) -> Energy:
    """Return the energy of one step.

    Parameters
    ----------
    gpu : str
        Name in the catalogue.
    gpu_count : int
        How many.
    step_s : float
        Seconds.
    busy : float
        Share of the step in which a GPU computes; waiting counts as idle.
    network : float
        W of all links outside of the machines, see `link_power`.
    pue : float
        Of the building.

    Raises
    ------
    ValueError
        As `watts` and `gpu_power`; a PUE below 1; a negative time.
    """
    if pue < 1:
        raise ValueError(f"PUE {pue:g}: must be 1 or more")
    if step_s < 0:
        raise ValueError(f"{step_s:g} s: must not be negative")
    at = watts(gpu)
    scale = step_s * pue
    return Energy(
        gpus=scale * gpu_count * gpu_power(at, busy),
        hosts=scale * gpu_count * at.host,
        network=scale * network,
        pue=pue,
        assumptions=_assumed(gpu, at, busy, network, pue),
    )


def _assumed(gpu: str, at: Watts, busy: float, network: float, pue: float) -> tuple[str, ...]:
    idle = "as nvidia-smi prints it" if gpu in _idle() else f"{IDLE_SHARE:.0%} of its limit"
    found = [
        f"{gpu} at {at.full:.0f} W while it computes ({busy:.0%} of the step), else {at.idle:.0f} W ({idle})",
        f"PUE {pue:g}",
    ]
    if at.host:
        found.append(f"hosts at {at.host:.0f} W a GPU, the limit of the machine less its GPUs")
    else:
        found.append("hosts not counted: no machine with this GPU and a power in the catalogue")
    if not network:
        found.append("network not counted")
    return tuple(found)
