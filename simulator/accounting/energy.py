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

import numpy as np

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
        J; adapters are in the hosts.
    pue : float
        Joules at the meter for a joule of the machines.
    idle : float
        J of paid time in which the job does not run.
    assumptions : tuple of str
        A sentence each.
    """

    gpus: float
    hosts: float
    network: float
    pue: float
    idle: float = 0.0
    assumptions: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Return J at the meter."""
        return self.gpus + self.hosts + self.network + self.idle

    @property
    def network_share(self) -> float:
        """Return the share of the switches and cables outside of the machines, whose power does not depend on use."""
        return self.network / self.total if self.total else 0.0

    def parts(self) -> dict[str, float]:
        """Return J at the meter by what takes them, the building's own told apart."""
        machines = {"gpus": self.gpus, "hosts": self.hosts, "network": self.network, "idle": self.idle}
        found = {name: joules / self.pue for name, joules in machines.items()}
        return found | {"building": self.total - sum(found.values())}


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
    if not (np.min(busy) >= 0 and np.max(busy) <= 1):
        raise ValueError(f"busy {np.min(busy):g} to {np.max(busy):g}: must lie between 0 and 1")
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
    utilisation: float = 1.0,
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
    utilisation : float
        Share of the paid time in which the job runs; in the rest GPUs idle, hosts and network draw on.

    Raises
    ------
    ValueError
        As `watts` and `gpu_power`; a PUE below 1; a negative time; a utilisation that is not above 0 and at most 1.
    """
    if pue < 1:
        raise ValueError(f"PUE {pue:g}: must be 1 or more")
    if not np.min(step_s) >= 0:
        raise ValueError(f"{np.min(step_s):g} s: must not be negative")
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation {utilisation:g}: must be above 0 and at most 1")
    at = watts(gpu)
    scale = step_s * pue
    rest = scale * (1 / utilisation - 1)
    return Energy(
        gpus=scale * gpu_count * gpu_power(at, busy),
        hosts=scale * gpu_count * at.host,
        network=scale * network,
        pue=pue,
        idle=rest * (gpu_count * (at.idle + at.host) + network),
        assumptions=_assumed(gpu, at, busy, network, pue),
    )


def _assumed(gpu: str, at: Watts, busy: float, network: float, pue: float) -> tuple[str, ...]:
    idle = "as nvidia-smi prints it" if gpu in _idle() else f"{IDLE_SHARE:.0%} of its limit"
    found = [
        f"{gpu} at {at.full:.0f} W while it computes ({np.mean(busy):.0%} of the step), else {at.idle:.0f} W ({idle})",
        f"PUE {pue:g}",
    ]
    if at.host:
        found.append(
            f"hosts at {at.host:.0f} W a GPU, the limit of the machine with its adapters less its GPUs"
        )
    else:
        found.append("hosts not counted: no machine with this GPU and a power in the catalogue")
    if network:
        found.append(f"switches and cables at {network:,.0f} W in all, whatever they carry")
    else:
        found.append("network not counted")
    return tuple(found)
