"""What notebooks and scripts import: questions in plain arguments, answers as pandas frames."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from simulator.planning.choice import Answer
from simulator.planning.collective import ask
from simulator.planning.estimate import Desk, made
from simulator.planning.estimate import estimate as _estimate
from simulator.planning.place import Fabric

__all__ = ["Answer", "Fabric", "ask", "collective", "estimate"]


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
