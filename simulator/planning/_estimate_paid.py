"""What a step takes of money, energy and air, and what a token of it does."""

from datetime import UTC, datetime
from typing import Any

from simulator.accounting import carbon, cost, energy
from simulator.engine.result import Result
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_power import network_power
from simulator.planning._estimate_read import grams_per_kwh
from simulator.planning._estimate_step import Step

MILLION = 1e6


def paid(
    step: Step, result: Result, desk: Desk, warnings: list[str], notes: dict[str, str]
) -> dict[str, Any]:
    """Return the entries of a row that say what a step costs; what cannot be given is None, with a warning.

    Parameters
    ----------
    step : Step
        What was asked.
    result : Result
        How long it takes.
    desk : Desk
        The fabric.
    warnings : list of str
        Is added to.
    notes : dict of str to str
        Where the figures come from; is added to.

    Returns
    -------
    dict
        ``cost_usd`` of the paid time, ``energy_J`` at the meter and ``energy_breakdown_J``, ``power_W`` in the mean,
        ``network_energy_share``, ``carbon_kg``; ``usd_per_1M_tokens joules_per_token grams_per_token``.
    """
    tokens = step.graph.tokens
    usd = _cost(step, result.step_s, warnings, notes)
    used = _energy(step, result, desk, warnings, notes)
    kilograms = None if used is None else _carbon(step, used.total, notes)
    joules = None if used is None else used.total
    longer = result.step_s / step.options.utilisation
    return {
        "cost_usd": usd,
        "usd_per_1M_tokens": None if usd is None else usd / tokens * MILLION,
        "energy_J": joules,
        "energy_breakdown_J": None if used is None else used.parts(),
        "joules_per_token": None if joules is None else joules / tokens,
        "power_W": None if joules is None else joules / longer,
        "network_energy_share": None if used is None else _share(step, used, warnings),
        "carbon_kg": kilograms,
        "grams_per_token": None if kilograms is None else kilograms * 1000 / tokens,
    }


def _cost(step: Step, seconds: float, warnings: list[str], notes: dict[str, str]) -> float | None:
    today = datetime.now(UTC).date()
    try:
        rate = cost.rate(step.site.device.name, today=today, price=step.options.price)
    except ValueError as error:
        warnings.append(f"cost_usd cannot be given: {error}")
        return None
    notes["price"] = rate.note
    if "days old" in rate.note:
        warnings.append(f"price {rate.note}; --price overrides")
    return cost.step_cost(step.options.gpus, seconds, rate).usd / step.options.utilisation


def _energy(
    step: Step, result: Result, desk: Desk, warnings: list[str], notes: dict[str, str]
) -> energy.Energy | None:
    options, seconds = step.options, result.step_s
    busy = (result.breakdown_s["compute"] + result.breakdown_s["optimizer"]) / seconds
    try:
        found = energy.step_energy(
            step.site.device.name,
            options.gpus,
            seconds,
            busy=min(1.0, busy),
            network=network_power(desk.graph(options.gpus)),
            pue=energy.PUE if options.pue is None else options.pue,
            utilisation=options.utilisation,
        )
    except ValueError as error:
        warnings.append(f"energy_J cannot be given: {error}")
        return None
    notes["energy"] = "; ".join(found.assumptions)
    return found


def _carbon(step: Step, joules: float, notes: dict[str, str]) -> float | None:
    """Return kg of CO2 equivalent; None where nobody says whose grid it is."""
    asked = step.options.carbon_intensity
    grid = carbon.grid(step.options.region, grams_per_kwh(asked) if asked else None)
    if grid is None:
        return None
    notes["carbon"] = grid.note
    return joules * grid.grams_per_joule / 1000


def _share(step: Step, used: energy.Energy, warnings: list[str]) -> float | None:
    """Return the network's share of the energy; None where nobody knows its power."""
    if used.network or step.options.gpus <= step.site.per_node:
        return used.network_share
    warnings.append("network_energy_share cannot be given: no power of this fabric's switches is known")
    return None
