"""A log as a table of columns."""

from dataclasses import fields

import pandas as pd

from simulator.calibration.logs._log import Log, LogRow


def frame(log: Log) -> pd.DataFrame:
    """Return one row a point, a column for each field of `LogRow`; None becomes a missing value."""
    names = [field.name for field in fields(LogRow)]
    return pd.DataFrame([[getattr(row, name) for name in names] for row in log.rows], columns=names)
