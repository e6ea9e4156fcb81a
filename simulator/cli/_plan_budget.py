"""The options of a whole training run: how long to train, until when, what fails meanwhile."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simulator import quantities
from simulator.errors import UsageError

if TYPE_CHECKING:
    from simulator.planning.budget import Budget

T = TypeVar("T")


def budget_options(command: T) -> T:
    """Add the options to a command; it gets them as keyword arguments."""
    for names, about in reversed(_OPTIONS):
        command = click.option(*names, **about)(command)  # type: ignore[type-var]
    return command


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--tokens",), {"help": "Of the whole run, e.g. 2T: rows tell days and money."}),
    (("--loss",), {"type": float, "help": "Instead of --tokens: nats a token, by a scaling law."}),
    (("--law",), {"default": "hoffmann2022", "show_default": True, "help": "hoffmann2022 or besiroglu2024."}),
    (("--days",), {"type": float, "help": "Until when; tells how likely it ends in time."}),
    (("--fleet",), {"default": "llama3", "show_default": True, "help": "Whose failures: llama3 rsc1 rsc2 none."}),
    (("--checkpoint-rate",), {"default": "100GB/s", "show_default": True, "help": "At which states are written."}),
    (("--restart",), {"default": "10min", "show_default": True, "help": "From a failure until it works again."}),
)  # fmt: skip


def budget(values: Mapping[str, Any], model: str) -> "Budget | None":
    """Return the budget of a whole run; None if neither tokens nor a loss nor days were given.

    Raises
    ------
    UsageError, InfeasibleError
        Values that cannot be.
    """
    tokens, loss, days = values["tokens"], values["loss"], values["days"]
    if tokens is None and loss is None and days is None:
        return None
    if days is not None and not 0 < days < 1e6:
        raise UsageError(f"--days {days:g}: must be above 0", where="--days", hint="--days 45")
    from simulator.planning._amounts import number_of
    from simulator.planning._estimate_checks import model_of
    from simulator.planning.budget import Budget, tokens_of
    from workloads.transformer import parameters

    read = {
        "tokens": None if tokens is None else number_of(tokens, "--tokens"),
        "rate": _read("--checkpoint-rate", quantities.RATE, values["checkpoint_rate"]),
        "restart": _read("--restart", quantities.DURATION, values["restart"]),
    }
    count = float(parameters(model_of(model)))
    found = Budget(
        tokens=tokens_of(count, read["tokens"], loss, values["law"]),
        days=days,
        fleet=values["fleet"],
        storage_Bps=read["rate"] or 0.0,
        restart_s=read["restart"] or 0.0,
        parameters=count,
    )
    found.risks(1)
    return found


def _read(name: str, quantity: quantities.Quantity, text: str) -> float:
    try:
        return float(quantity.read(text))
    except ValueError as error:
        raise UsageError(f"{name}: {error}", where=name, hint=f"{name} {quantity.hint(text)}") from None
