"""What can be wrong with a schedule, said all at once."""

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 8  # faults in the sentence; the rest is counted, and all are in `ScheduleError.faults`


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: what, on which stage, in which line of its file (None where there is no one)."""

    message: str
    stage: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Return it with its place."""
        place = [f"line {self.line}"] if self.line is not None else []
        place += [f"stage {self.stage}"] if self.stage is not None else []
        return f"{', '.join(place)}: {self.message}" if place else self.message


class ScheduleError(ValueError):
    """A schedule that cannot run.

    Parameters
    ----------
    faults : sequence of Fault
        All that was found.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        shown = [str(fault) for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            shown.append(f"and {len(self.faults) - SHOWN} more")
        super().__init__("; ".join(shown))
