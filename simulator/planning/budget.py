"""A training run of so many tokens or down to some loss: days, money, and whether it ends in time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.accounting import scaling_law
from simulator.accounting.resilience import checkpoint_seconds, fleets
from simulator.errors import InfeasibleError, UsageError, unknown
from simulator.planning.deadline import DAY, Risks, duration

NOTHING = "none"
HOUR = 3600.0  # s
MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a whole run is asked for.

    Parameters
    ----------
    tokens : float
        To train on.
    days : float or None
        Until which it should end.
    fleet : str
        Whose failures are assumed, of `simulator.accounting.resilience.fleets`; ``none``: nothing fails.
    storage_Bps : float
        Bytes/s at which all states are written.
    restart_s : float
        From an interruption until the job works again, s.
    parameters : float
        Of the model.
    """

    tokens: float
    days: float | None = None
    fleet: str = "llama3"
    storage_Bps: float = 100e9  # noqa: N815  a unit
    restart_s: float = 600.0
    parameters: float = 0.0

    def risks(self, gpus: int) -> Risks:
        """Return what may interrupt the run on so many GPUs.

        Raises
        ------
        UsageError
            A fleet that nobody counted.
        """
        if self.fleet == NOTHING:
            return Risks()
        known = fleets()
        if self.fleet not in known:
            raise unknown("fleet", self.fleet, [*known, NOTHING], where="--fleet")
        return Risks(
            mtbf_s=known[self.fleet].mtbf(gpus),
            checkpoint_s=checkpoint_seconds(self.parameters, self.storage_Bps),
            restart_s=self.restart_s,
        )

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a step of some row makes of the whole run.

        Returns
        -------
        dict
            ``steps``, ``days days_low days_high`` with failures, ``goodput``, ``in_time`` (probability, None without a
            deadline), ``total_usd total_energy_J`` over the whole time.
        """
        steps = self.tokens / (row["gbs"] * row["seq_len"])
        limit = None if self.days is None else self.days * DAY
        found = duration(row["step_s"], row["low_s"], row["high_s"], steps, self.risks(row["gpus"]), limit)
        longer = found.median_s / row["step_s"]
        return {
            "steps": steps,
            "days": found.median_s / DAY,
            "days_low": found.low_s / DAY,
            "days_high": found.high_s / DAY,
            "goodput": found.goodput,
            "in_time": found.in_time,
            "total_usd": None if row["cost_usd"] is None else row["cost_usd"] * longer,
            "total_energy_J": None if row["energy_J"] is None else row["energy_J"] * longer,
        }


def tokens_of(parameters: float, tokens: float | None, loss: float | None, law: str) -> float:
    """Return the tokens of a budget that is told in tokens or as a loss.

    Raises
    ------
    UsageError
        Both, or an unknown law.
    InfeasibleError
        A loss that the model never reaches.
    """
    if tokens is not None and loss is not None:
        raise UsageError("--tokens and --loss both say how long to train", where="--loss", hint="one of them")
    if tokens is not None:
        return tokens
    if loss is None:
        raise UsageError("--days needs --tokens or --loss", where="--days", hint="--tokens 2T")
    try:
        return scaling_law.tokens_to(parameters, loss, law=law)
    except ValueError as error:
        if "wanted one of" in str(error):
            raise UsageError(str(error), where="--law", hint="--law hoffmann2022") from None
        raise InfeasibleError(f"--{error}", where="--loss", hint="a larger loss, or a larger model") from None


def in_time(rows: list[dict[str, Any]], budget: Budget) -> list[dict[str, Any]]:
    """Return the rows that end in time in the median; those that do not are left out.

    Raises
    ------
    InfeasibleError
        None does: the nearest miss.
    """
    if budget.days is None or not rows:
        return rows
    found = [row for row in rows if row["days"] <= budget.days]
    if not found:
        best = min(rows, key=lambda row: float(row["days"]))
        raise InfeasibleError(
            f"--days {budget.days:g}: nothing ends in time; {best['plan']} on {best['gpus']} GPUs takes "
            f"{best['days']:.1f} days ({best['days_low']:.1f} .. {best['days_high']:.1f})",
            where="--days",
            hint=f"--days {best['days'] * 1.1:.0f}, more GPUs, or fewer tokens",
        )
    return found
