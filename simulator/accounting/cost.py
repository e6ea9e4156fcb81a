r"""What a step costs: GPUs x price x time.

:math:`\$ = \mathrm{GPUs}\cdot p\,t/3600` with p in USD for an hour of one GPU; for N tokens at r tokens/s
:math:`\mathrm{GPUs}\cdot p/3600/r\cdot N`. Failures, idle time and storage are not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from topologies._catalogue import find, gpus, prices
from topologies._hardware import Price

HOUR = 3600.0  # s
STALE = 90  # days after which a price deserves a remark
ON_DEMAND = "on-demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What an hour of one GPU costs.

    Parameters
    ----------
    usd_per_gpu_hour : float
        USD.
    source : str
        Who printed it, or ``--price``.
    note : str
        What a person should know of it: row, terms, day, age, and what others ask.
    """

    usd_per_gpu_hour: float
    source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An amount in USD, with the price behind it."""

    usd: float
    rate: Rate


def rate(gpu: str, *, today: date, price: float | None = None) -> Rate:
    """Return the price of an accelerator: the newest on demand, of several of one day the lowest.

    Parameters
    ----------
    gpu : str
        Name in the catalogue.
    today : date
        To tell how old the price is.
    price : float, optional
        USD for a GPU and hour, in place of the catalogue's.

    Raises
    ------
    ValueError
        No such GPU, no price of it in the catalogue, or a price that is not positive.
    """
    if price is not None:
        if not price > 0 or price == float("inf"):
            raise ValueError(f"--price {price:g}: must be a positive number of USD for a GPU and hour")
        return Rate(usd_per_gpu_hour=price, source="--price", note="price as given")
    find(gpus(), gpu)
    rows = [row for row in prices().values() if row.gpu == gpu]
    if not rows:
        raise ValueError(
            f"no price of '{gpu}' in the catalogue; give one with --price 2.10 (USD per GPU hour)"
        )
    asked = [row for row in rows if row.terms.startswith(ON_DEMAND)] or rows
    chosen = max(asked, key=lambda row: (row.date, -row.gpu_hour_USD))
    return Rate(usd_per_gpu_hour=chosen.gpu_hour_USD, source=chosen.source, note=_note(chosen, rows, today))


def step_cost(gpu_count: int, step_s: float, asked: Rate) -> Cost:
    """Return what one step of so many GPUs and seconds costs."""
    return Cost(usd=gpu_count * asked.usd_per_gpu_hour * step_s / HOUR, rate=asked)


def token_cost(gpu_count: int, tokens_per_s: float, asked: Rate, *, tokens: float = 1e12) -> Cost:
    """Return what so many tokens cost at a rate of tokens/s over all GPUs.

    Raises
    ------
    ValueError
        A rate that is not positive.
    """
    if not tokens_per_s > 0:
        raise ValueError(f"{tokens_per_s:g} tokens/s: must be positive")
    return Cost(usd=gpu_count * asked.usd_per_gpu_hour / HOUR / tokens_per_s * tokens, rate=asked)


def _note(chosen: Price, rows: Sequence[Price], today: date) -> str:
    parts = [f"{chosen.name}, {chosen.terms}, {chosen.gpu_hour_USD:g} USD per GPU hour"]
    if not chosen.date:
        parts.append("day not printed")
    else:
        age = (today - date.fromisoformat(chosen.date)).days
        parts.append(f"of {chosen.date}" + (f", {age} days old" if age > STALE else ""))
    others = [row.gpu_hour_USD for row in rows if row is not chosen]
    if others:
        low, high = min(others), max(others)
        parts.append(f"others ask {low:g}" + (f" to {high:g}" if high > low else ""))
    return "; ".join(parts)
