"""What a sweep asks at each point: a collective, or a training step. A question can be sent to another process."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.collectives import _nccl as nccl
from simulator.collectives._names import resolve
from simulator.engine.fabric import is_file
from simulator.errors import unknown
from simulator.planning._estimate_options import READERS
from simulator.planning._what_if_changes import parse
from simulator.planning.collective import Fabric, ask
from simulator.planning.estimate import Desk, estimate, made
from simulator.planning.what_if import changed_estimate
from topologies import _fabrics

Point = Mapping[str, Any]
_KEPT = 2  # fabrics with what was worked out on them: each may hold a large graph


class Found:
    """What is known of one point.

    Parameters
    ----------
    rows : list of dict
        Its rows.
    warnings : list of str
        What the reader should know about them.
    """

    def __init__(self, rows: list[dict[str, Any]], warnings: list[str]) -> None:
        self.rows, self.warnings = rows, warnings


class Collectives:
    """Answers points ``fabric gpus algorithm_asked fidelity op protocol_asked nccl size_bytes``, graphs kept.

    Parameters
    ----------
    op : str
        The operation.
    fabrics, algorithms : sequence of str
        Everything that the points will name, so that a misspelt name is found before any work.

    Raises
    ------
    UsageError
        A fabric or an algorithm that there is not.
    """

    def __init__(self, op: str, fabrics: Sequence[str], algorithms: Sequence[str]) -> None:
        known_fabrics(fabrics)
        for name in algorithms:
            if name != "auto" and name.lower().replace("-", "_") not in nccl.ALGORITHMS:
                resolve(op, name)
        self._fabrics: dict[str, Fabric] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the graphs behind: another process makes its own."""
        return {"_fabrics": {}}

    def __call__(self, point: Point) -> Found:
        """Return the answer to one point; errors as `ask`."""
        if point["fabric"] not in self._fabrics:
            self._fabrics[point["fabric"]] = Fabric(point["fabric"])
        answer = ask(
            point["op"],
            size=point["size_bytes"],
            gpus=point["gpus"],
            fabric=self._fabrics[point["fabric"]],
            algorithm=point["algorithm_asked"],
            protocol=point["protocol_asked"],
            fidelity=point["fidelity"],
            release=point["nccl"],
        )
        return Found(answer.rows, answer.warnings)


class Steps:
    """Answers points that are the options of a training step, and changes of its machine as a what-if has them."""

    def __init__(self) -> None:
        self._desks: dict[str, Desk] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the fabrics behind: another process makes its own."""
        return {"_desks": {}}

    def __call__(self, point: Point) -> Found:
        """Return the answer to one point.

        Raises
        ------
        UsageError, InfeasibleError, InputError
            As `simulator.planning.estimate.estimate`.
        """
        asked = {name: value for name, value in point.items() if value is not None}
        options = made({name: value for name, value in asked.items() if name in READERS})
        changes = [parse(f"{name}={value}") for name, value in asked.items() if name not in READERS]
        if options.fabric not in self._desks:
            while len(self._desks) >= _KEPT:
                del self._desks[next(iter(self._desks))]
            self._desks[options.fabric] = Desk(Fabric(options.fabric))
        desk = self._desks[options.fabric]
        found = changed_estimate(options, changes, desk) if changes else estimate(options, desk)
        return Found([found.row], list(found.warnings))


def known_fabrics(names: Iterable[str]) -> None:
    """Raise UsageError for a fabric that is neither in the catalogue nor a file."""
    for name in names:
        if not is_file(name) and name not in _fabrics.names():
            listing = "commsim list fabrics"
            raise unknown("fabric", name, list(_fabrics.names()), listing=listing, where="--fabric")
