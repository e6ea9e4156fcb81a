"""What notebooks and scripts import: questions in plain arguments, answers as pandas frames."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from simulator.planning.choice import Answer
from simulator.planning.collective import ask
from simulator.planning.estimate import Desk, made
from simulator.planning.estimate import estimate as _estimate
from simulator.planning.place import Fabric

__all__ = ["Answer", "Fabric", "ask", "collective", "estimate", "plan", "sweep"]


def collective(
    op: str,
    *,
    size: int | Sequence[int],
    gpus: int | Sequence[int],
    fabric: str | Fabric,
    algorithm: str | Sequence[str] = "auto",
    protocol: str = "auto",
    fidelity: str = "formula",
    nccl: str = "2.30",
) -> pd.DataFrame:
    """Return the cost of a collective, one row for every combination of the lists given.

    Parameters
    ----------
    op : str
        Operation, e.g. ``all_reduce``.
    size : int or sequence of int
        Bytes, as nccl-tests counts them.
    gpus : int or sequence of int
        Ranks.
    fabric : str or Fabric
        A name of the catalogue or a file; a `Fabric` keeps its graphs between calls.
    algorithm : str or sequence of str
        ``auto`` or names.
    protocol, fidelity, nccl : str
        As `ask`.

    Returns
    -------
    pandas.DataFrame
        Columns of ``commsim collective --json``: ``time_s``, ``low_s``, ``high_s``, ``busbw_Bps``, ...
    """
    place = fabric if isinstance(fabric, Fabric) else Fabric(fabric)
    sizes = [size] if isinstance(size, int) else list(size)
    counts = [gpus] if isinstance(gpus, int) else list(gpus)
    names = [algorithm] if isinstance(algorithm, str) else list(algorithm)
    rows = []
    for count in counts:
        for name in names:
            for one in sizes:
                answer = ask(
                    op,
                    size=one,
                    gpus=count,
                    fabric=place,
                    algorithm=name,
                    protocol=protocol,
                    fidelity=fidelity,
                    release=nccl,
                )
                rows += answer.rows
    return pd.DataFrame(rows)


def estimate(**options: Any) -> pd.DataFrame:
    """Return one training step a row, for every combination of the options that are lists.

    Parameters
    ----------
    **options
        Those of ``commsim estimate`` with underscores: ``model``, ``fabric``, ``gpus``, ``tp``, ``pp``, ``vpp``,
        ``gbs``, ``seq_len``, ``fidelity`` ... ; a list stands for several steps.

    Returns
    -------
    pandas.DataFrame
        Columns of ``commsim estimate --json``: ``step_s``, ``low_s``, ``high_s``, ``mfu``, ``breakdown_s``, ...

    Raises
    ------
    UsageError, InfeasibleError, InputError
        As the command.
    """
    several = {name: value for name, value in options.items() if isinstance(value, list)}
    rows = []
    desks: dict[str, Desk] = {}
    for values in product(*several.values()):
        asked = made(options | dict(zip(several, values, strict=True)))
        desk = desks.setdefault(asked.fabric, Desk(Fabric(asked.fabric)))
        rows.append(_estimate(asked, desk).row)
    return pd.DataFrame(rows)


def sweep(*, folder: str | Path | None = None, jobs: int = 1, **options: Any) -> pd.DataFrame:
    """Return one training step a row over every combination of the options that are lists; refused ones say why.

    Parameters
    ----------
    folder : str or Path, optional
        Where finished points are kept and looked up, as ``commsim sweep -o`` does.
    jobs : int
        Processes.
    **options
        Those of ``commsim estimate`` with underscores; a list stands for several values.

    Returns
    -------
    pandas.DataFrame
        Options, ``status``, ``reason`` and the columns of `estimate`, inner tables flattened.

    Raises
    ------
    UsageError, InfeasibleError
        A grid that is empty or too large; no point can be.
    """
    from functools import partial

    from simulator.planning import _sweep_workers as workers
    from simulator.planning.store import Store, product_hash
    from simulator.planning.sweep import Steps, grid
    from simulator.planning.sweep import sweep as _sweep
    from simulator.reading import digest
    from simulator.reports.tables import flattened

    axes = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
    points = grid(axes)
    who = partial(workers.processes, jobs=jobs) if jobs > 1 else workers.here
    if folder is None:
        found = _sweep(points, Steps(), executor=who)
    else:
        named = [str(one) for values in axes.values() for one in values if Path(str(one)).is_file()]
        ground = {"product": product_hash()} | {name: digest(name) for name in named}
        with Store(Path(folder) / "results.db") as store:
            found = _sweep(points, Steps(), store=store, ground=ground, executor=who)
    return pd.DataFrame([flattened(row) for row in found.rows])


def plan(*, objective: str = "time", top: int = 10, **options: Any) -> pd.DataFrame:
    """Return the best layouts of a model on a cluster, best first.

    Parameters
    ----------
    objective : str
        ``time``, ``cost`` or ``energy``.
    top : int
        Rows.
    **options
        ``model fabric gpus gbs seq_len`` and what else is settled; ``fabric`` and ``gpus`` may be lists.

    Returns
    -------
    pandas.DataFrame
        Columns of ``commsim plan --json``.

    Raises
    ------
    UsageError, InfeasibleError
        As the command.
    """
    from simulator.planning._plan_space import chosen, spread
    from simulator.planning.plan import plan as _plan

    space, settled = chosen(options)
    asked = [made(point) for point in spread(settled, ("fabric", "gpus"))]
    desks: dict[str, Desk] = {}
    pairs = [(one, desks.setdefault(one.fabric, Desk(Fabric(one.fabric)))) for one in asked]
    return pd.DataFrame(_plan(pairs, space, objective=objective, top=top).rows)
