"""What can be said against the jobs of a file before any machine is looked at; nothing here imports numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simulator.errors import InfeasibleError, InputError, UsageError
from simulator.planning._estimate_checks import checked
from simulator.planning._estimate_options import Options, made
from simulator.planning._interference_read import Asked, Tenancy


def checked_jobs(tenancy: Tenancy, fidelity: str) -> dict[str, Options]:
    """Return the options of each training job by its name.

    Raises
    ------
    InputError
        A job that cannot be: axes that do not multiply, layers that do not divide, and so on.
    """
    found = {}
    for asked in tenancy.jobs:
        if asked.noise is None:
            shared: dict[str, Any] = {"fabric": tenancy.fabric, "gpus": asked.gpus, "fidelity": fidelity}
            with fault_of(tenancy, asked):
                found[asked.name] = made(dict(asked.options) | shared)
                checked(found[asked.name])
    return found


@contextmanager
def fault_of(tenancy: Tenancy, asked: Asked) -> Iterator[None]:
    """Let a fault name the file and the job that it is one of."""
    try:
        yield
    except UsageError as error:
        if error.where == "--fabric":  # of all jobs
            raise of_fabric(tenancy, error) from None
        where = f"line {asked.line}: " if asked.line else ""
        said = f"{where}job '{asked.name}': {error.message}"
        raise InputError(tenancy.source, said, hint=error.hint) from None
    except InfeasibleError as error:
        found = InfeasibleError(f"job '{asked.name}': {error.message}", where=error.where, hint=error.hint)
        found.details = error.details
        raise found from None


def of_fabric(tenancy: Tenancy, error: UsageError) -> UsageError | InputError:
    """Return a fault of the fabric as one of the file, where that names it."""
    if tenancy.typed or error.where != "--fabric":
        return error
    return InputError(tenancy.source, error.message, hint=error.hint)
