"""What notebooks and scripts import: questions in plain arguments, answers as pandas frames."""

from collections.abc import Sequence

import pandas as pd

from simulator.planning.choice import Answer
from simulator.planning.collective import ask
from simulator.planning.place import Fabric

__all__ = ["Answer", "Fabric", "ask", "collective"]


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
