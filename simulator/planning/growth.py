"""A model grown on the same machines until it meets the first wall: memory, network, power or time.

Each size is laid out anew, as fast as it goes, unless the layout is fixed. Tokens are 20 for each parameter that a
token uses, unless their number is given (Hoffmann et al., arXiv:2203.15556, table 3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from simulator.accounting.scaling_law import critical_batch, loss
from simulator.errors import InfeasibleError
from simulator.planning._estimate_checks import model_of
from simulator.planning._estimate_options import Options
from simulator.planning._growth_model import as_files, grown, sizes
from simulator.planning.estimate import Desk, estimate
from simulator.planning.place import Fabric
from simulator.planning.plan import plan
from simulator.planning.search.space import Space, layouts, runnable
from workloads.model import Model

STEP = 1.25
MOST_STEPS = 40
MEMORY, NETWORK, POWER, TIME = "memory", "network", "power", "time"
TOKENS_PER_PARAMETER = 20.0
DAY = 86400.0
_FREE: dict[str, Any] = {  # what a layout anew does not take over from the start
    "tp": 1, "pp": 1, "vpp": 0, "dp": 0, "sp": None, "stage_layers": (), "schedule": "", "strategy": "",
    "zero": None, "recompute": "none", "recompute_modules": (), "recompute_layers": 0,
}  # fmt: skip
_SCHEDULES = ("1f1b", "interleaved")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where the walls stand.

    Parameters
    ----------
    most_exposed : float
        Share of a step in which no computation hides the communication.
    power : float or None
        W at the meter, the mean over a step; None: as much as it takes.
    days : float or None
        Of training; None: as long as it takes.
    tokens : float or None
        Of training; None: 20 for each active parameter.
    """

    most_exposed: float = 0.5
    power: float | None = None
    days: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How far a model grows.

    Parameters
    ----------
    rows : list of dict
        A row a size: the keys of ``estimate`` and of `figures`. The last one met the wall, if any did.
    walls : tuple of str
        ``memory network power time``: all that stand at the last size, the first of them first; empty if none.
    reason : str
        A sentence.
    tried : mapping of str to list of int
        Degrees that the layouts of the last size could have, where each size is laid out anew.
    warnings : tuple of str
        Of all sizes.
    """

    rows: list[Row]
    walls: tuple[str, ...]
    reason: str
    tried: Mapping[str, list[int]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def grow(
    options: Options,
    limits: Limits,
    *,
    step: float = STEP,
    most_steps: int = MOST_STEPS,
    fixed: bool = False,
    done: Callable[[], object] = lambda: None,
) -> Growth:
    """Return how far a model grows on the machines of a step.

    Parameters
    ----------
    options : Options
        The start.
    limits : Limits
        Where the walls stand.
    step : float
        Times as many parameters from one size to the next.
    most_steps : int
        After which nothing more is tried.
    fixed : bool
        Whether every size has the layout of the start.
    done : callable
        Called after each size.

    Raises
    ------
    CommsimError
        The start itself cannot be.
    """
    start, desk = model_of(options.model), Desk(Fabric(options.fabric))
    rows: list[Row] = []
    warnings: dict[str, None] = {}
    with as_files() as write:
        for number in range(most_steps + 1):
            model = _next(start, step**number, options, fixed=fixed)
            asked = options if model is start else replace(options, model=write(model))
            try:
                row, notes = _answer(asked, desk, fixed=fixed)
            except InfeasibleError as error:
                if not rows:
                    raise
                rows.append(
                    dict.fromkeys(rows[-1]) | {"model": model.name, "fits": False} | about(model, limits)
                )
                tried = {} if fixed else degrees(model, options)
                return Growth(
                    rows=rows, walls=(MEMORY,), reason=error.message, tried=tried, warnings=tuple(warnings)
                )
            warnings |= dict.fromkeys(notes)
            rows.append(row | {"model": model.name} | about(model, limits) | figures(row, model, limits))
            done()
            if walls := met(rows[-1], limits):
                said = "; ".join(sentence(wall, rows[-1], limits) for wall in walls)
                return Growth(rows=rows, walls=walls, reason=said, warnings=tuple(warnings))
    return Growth(rows=rows, walls=(), reason=f"no wall in {most_steps} steps", warnings=tuple(warnings))


def _next(start: Model, times: float, options: Options, *, fixed: bool) -> Model:
    """Return the model of a size; its layers and heads divide by a fixed layout, else by what most layouts have."""
    if not fixed:
        return grown(start, times, layers=2, heads=8 if start.heads % 8 == 0 else 1)
    deep = options.pp * max(1, options.vpp)
    return grown(start, times, layers=deep, heads=options.tp)


def space_of(options: Options) -> Space:
    """Return what a layout anew may choose: tensor and pipeline degrees, states sharded, recomputing.

    Context and expert degrees, microbatch and precision stay those of the start.
    """
    space = Space(
        cp=(options.cp,),
        ep=(options.ep,),
        mbs=(options.mbs,),
        schedules=_SCHEDULES,
        contexts=(options.context,),
        precisions=(options.precision,),
    )
    return runnable(space, options.stack)


def degrees(model: Model, options: Options) -> dict[str, list[int]]:
    """Return the degrees that the layouts of a model on these GPUs can have."""
    found = list(layouts(space_of(options), model, options.gpus, options.seq_len, options.etp))
    return {name: sorted({getattr(one, name) for one in found}) for name in ("tp", "pp", "dp")}


def _answer(options: Options, desk: Desk, *, fixed: bool) -> tuple[Row, list[str]]:
    """Return the row of a step, as it is laid out or in its fastest layout."""
    if fixed:
        answer = estimate(options, desk)
        return answer.row, list(answer.warnings)
    planned = plan([(replace(options, **_FREE), desk)], space_of(options), top=1, looked=1)
    return planned.rows[0], list(planned.warnings)


def about(model: Model, limits: Limits) -> Row:
    """Return how large a model is, on how many tokens it is trained, and what loss (nats a token) it then has.

    From the critical batch (tokens) on more samples hardly save steps. Both follow `simulator.accounting.scaling_law`,
    which was fitted on dense models far from here: they are for comparing sizes.
    """
    whole, active = sizes(model)
    tokens = limits.tokens or TOKENS_PER_PARAMETER * active
    reached = loss(active, tokens)
    return {
        "parameters": whole,
        "active_parameters": active,
        "layers": model.layers,
        "hidden": model.hidden,
        "tokens": tokens,
        "loss": reached,
        "critical_batch_tokens": critical_batch(reached),
    }


def figures(row: Mapping[str, Any], model: Model, limits: Limits) -> Row:
    """Return what the walls are about: share of exposed communication, W at the meter, days of training.

    Parameters
    ----------
    row : mapping
        Of ``estimate``.
    model : Model
        Its model.
    limits : Limits
        For the tokens.
    """
    spent, seconds = row["breakdown_s"], row["step_s"]
    joules, tokens = row["energy_J"], about(model, limits)["tokens"]
    return {
        "exposed": sum(value for name, value in spent.items() if name.startswith("exposed")) / seconds,
        "power_W": None if joules is None else joules / seconds,
        "days": tokens / (row["tokens_per_s_per_gpu"] * row["gpus"]) / DAY,
    }


def met(row: Mapping[str, Any], limits: Limits) -> tuple[str, ...]:
    """Return the walls that a size meets.

    Raises
    ------
    InfeasibleError
        A limit of the power on machines whose power nobody knows.
    """
    if limits.power is not None and row["power_W"] is None:
        raise InfeasibleError(
            f"--power-limit: the power of {row['gpu']} is not known",
            where="--power-limit",
            hint="leave it out",
        )
    stands = {
        NETWORK: row["exposed"] > limits.most_exposed,
        POWER: limits.power is not None and row["power_W"] > limits.power,
        TIME: limits.days is not None and row["days"] > limits.days,
    }
    return tuple(wall for wall, there in stands.items() if there)


def sentence(wall: str, row: Mapping[str, Any], limits: Limits) -> str:
    """Return what stands in the way."""
    if wall == NETWORK:
        return (
            f"{row['exposed']:.1%} of the step is exposed communication, more than {limits.most_exposed:.0%}"
        )
    if wall == POWER:
        return f"{row['power_W'] / 1e6:.3g} MW at the meter, more than {(limits.power or 0) / 1e6:.3g} MW"
    return f"{row['days']:,.1f} days for {row['tokens'] / 1e12:.3g}T tokens, more than {limits.days:g}"
