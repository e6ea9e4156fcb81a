"""What everything in a step takes on an idle network: the device's laws, and the predictor of collectives.

Collectives are predicted from collective benchmarks alone; a profile of training says how much slower they are
inside a step, beside all else that runs there.
"""

from collections.abc import Iterable, Mapping

from simulator.calibration.predictor import Predictor
from simulator.calibration.setting import Setting
from simulator.calibration.steps.site import Site
from simulator.engine.compute import Work, lookup
from workloads.layout import Layout, Shape
from workloads.step_graph import Collective, Compute, Operation, StepGraph

Asked = tuple[Setting, int]
_DIGITS = (
    10  # of a predicted time: the last bits of a product of matrices depend on what else was asked with it
)


class Times:
    """Predicted seconds of collectives alone on their machine, each asked for once.

    Parameters
    ----------
    predictor : Predictor
        From collective benchmarks.
    """

    def __init__(self, predictor: Predictor | None = None) -> None:
        self._predictor = predictor or Predictor()
        self._known: dict[Asked, float] = {}

    def learn(self, wanted: Iterable[Asked]) -> None:
        """Ask for several at once."""
        new = list(dict.fromkeys(one for one in wanted if one not in self._known))
        for one, answer in zip(new, self._predictor.predict(new), strict=True):
            self._known[one] = float(f"{answer.time_s:.{_DIGITS}g}")

    def seconds(self, setting: Setting, size: float) -> float:
        """Return the seconds of one collective; sizes are rounded to 1/16 of an octave's mantissa."""
        asked = (setting, rounded(size))
        if asked not in self._known:
            self.learn([asked])
        return self._known[asked] * (size / asked[1] if asked[1] else 1.0)


def rounded(size: float) -> int:
    """Return a size near by, so that few distinct ones are asked for: five binary digits."""
    whole = max(1, round(size))
    shift = max(0, whole.bit_length() - 5)
    return (whole >> shift) << shift


class StepPrices:
    """Prices of one step graph, as `simulator.engine.result.Prices` wants them.

    Parameters
    ----------
    graph : StepGraph
        The step.
    layout : Layout
        Which ranks talk.
    site : Site
        Machines.
    profile : mapping of str to float
        Values of the laws.
    times : Times
        Collectives.
    """

    def __init__(
        self, graph: StepGraph, layout: Layout, site: Site, profile: Mapping[str, float], times: Times
    ) -> None:
        self._layout, self._site, self._profile, self._times = layout, site, profile, times
        self._boundary = graph.boundary.size
        work = list(dict.fromkeys(one for _, _, _, one in graph.operations() if isinstance(one, Compute)))
        found = Work([(one, site.device) for one in work]).seconds(profile)
        self._compute = dict(zip(work, found.tolist(), strict=True))
        times.learn(
            (self.setting(one, stage), rounded(one.size))
            for stage, _, _, one in graph.operations()
            if isinstance(one, Collective)
        )

    def setting(self, operation: Collective, stage: int) -> Setting:
        """Return the machine as a collective's groups see it."""
        shape = self._layout.shape(operation.axis, self._site.per_node, stage)
        return self._site.setting(operation.op, shape)

    def seconds(self, operation: Operation, stage: int) -> float:
        """Return the seconds of an operation."""
        if isinstance(operation, Compute):
            return float(self._compute[operation])
        setting = self.setting(operation, stage)
        if setting.gpus == 1:
            return 0.0
        return self._times.seconds(setting, operation.size) * lookup(self._profile, slowdown(setting))

    def send(self, source: int, target: int) -> Setting:
        """Return the machine as two neighbours on the pipeline see it."""
        away = self._layout.crosses(source, target, self._site.per_node)
        return self._site.setting("send_recv", Shape(ranks=2, nodes=2 if away else 1))

    def transfer(self, source: int, target: int) -> float:
        """Return the seconds between two stages."""
        setting = self.send(source, target)
        return self._times.seconds(setting, self._boundary) * lookup(self._profile, slowdown(setting))

    def exposed(self, operation: Collective) -> float:
        """Return which share of a collective beside computation holds it up all the same."""
        name = exposure(operation)
        return min(1.0, lookup(self._profile, name)) if name else 0.0


def slowdown(setting: Setting) -> str:
    """Return the name of the value by which a collective is slower in a step than alone."""
    where = "outside" if setting.transport else "inside"
    return f"network.{where}.{setting.op}.{setting.family}"


def exposure(operation: Collective) -> str:
    """Return the name of the share of a collective that holds up computation; empty if none can."""
    kind = operation.overlap or operation.stream
    return f"exposed.{kind}.{operation.op}" if kind else ""
