"""A file of measured runs, whatever its format."""

from pathlib import Path

from simulator.calibration.logs import LOGS
from simulator.calibration.logs._log import LIMIT_BYTES, Log, refuse
from simulator.errors import InputError
from simulator.reading import read_text


def read_measured(path: str | Path, need_time: bool = True) -> Log:
    """Return the measured points of a log or table; the format is found from the text.

    Parameters
    ----------
    path : str or Path
        The file as typed; gzip is accepted.
    need_time : bool
        Refuse rows without a time. With False they come back with ``time_s`` None.

    Returns
    -------
    Log
        At least one row.

    Raises
    ------
    InputError
        Not a format that a reader knows, or wrong in itself.
    """
    source = str(path)
    text = read_text(path, limit=LIMIT_BYTES)
    for name in LOGS:
        if LOGS[name].sniff(text):
            log: Log = LOGS[name].read(text, source)
            break
    else:
        raise InputError(
            source, "not a log or table that commsim reads (nccl-tests stdout, nccl-tests JSON, CSV)"
        )
    if need_time:
        blank = [(row.line, "time_us is blank") for row in log.rows if row.time_s is None]
        if blank:
            refuse(source, blank)
    return log
