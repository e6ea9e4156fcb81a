"""A step made ready for an engine: the question as a case, its graph, its prices, its memory."""

from dataclasses import dataclass, replace

from simulator.accounting import fits
from simulator.accounting import plan as memory_plan
from simulator.accounting.fits import Capacity
from simulator.accounting.memory import GAPS, StageMemory, account, fullest, in_flight
from simulator.accounting.plan import Plan
from simulator.calibration.steps.case import Case
from simulator.calibration.steps.prices import StepPrices
from simulator.calibration.steps.question import training_of
from simulator.calibration.steps.site import Site
from simulator.errors import InfeasibleError, UsageError
from simulator.planning._estimate_carried import Carried
from simulator.planning._estimate_checks import checked, usage
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_options import Options
from simulator.planning._estimate_profile import Values, values_of
from simulator.planning._estimate_question import case_of
from simulator.planning._estimate_schedule import enough, like, logits, own, peak, with_orders
from workloads.layout import Layout
from workloads.step_graph import StepGraph
from workloads.training import PRECISIONS, Training
from workloads.training_step import build, useful_flops

GIB = 2**30
Flight = tuple[tuple[float, int], ...]  # by stage, microbatches whose activations and whose logits are held
MOST_LOOKED = 2048  # GPUs up to which a formula looks at the links: more take seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step made ready: what is done, on what, at which prices.

    Parameters
    ----------
    options : Options
        What was asked.
    case : Case
        The same, as measured runs are known.
    training : Training
        The same, as the step graph is built from.
    graph : StepGraph
        The work.
    site : Site
        The machines.
    prices : Carried
        Seconds on an idle network.
    values : Values
        Of the laws, and how far they can be trusted.
    memory : tuple of StageMemory
        By stage.
    capacity : Capacity or None
        Of an accelerator; None where nobody knows its memory.
    """

    options: Options
    case: Case
    training: Training
    graph: StepGraph
    site: Site
    prices: Carried
    values: Values
    memory: tuple[StageMemory, ...]
    capacity: Capacity | None

    @property
    def layout(self) -> Layout:
        """Return which ranks talk."""
        return self.training.layout

    @property
    def fullest(self) -> StageMemory:
        """Return the stage that needs most memory."""
        return fullest(self.memory)


def prepared(options: Options, desk: Desk) -> Step:
    """Return a step made ready, its memory checked.

    Raises
    ------
    UsageError, InputError
        Options or files that cannot be.
    InfeasibleError
        It does not fit.
    """
    checked(options)
    site = desk.site(options.gpus, options.gpu)
    attributes = desk.graph(options.gpus).graph | {"gpus_per_node": site.per_node}
    case = case_of(options, attributes, site.device.name)
    training = asked(options, case)
    with usage("--precision", "--context", "--strategy", "--schedule", "--cp"):
        _rate(site, training.precision)
        built, training, flight = _graph(options, training)
        memory = _memory(training, flight)
    capacity = _checked(training, memory, site.device.name, whole=not flight)
    values = values_of(case)
    _priced(values, site, training.precision)
    return Step(
        options=options,
        case=case,
        training=training,
        graph=built,
        site=site,
        prices=_prices(options, built, training.layout, site, values, desk),
        values=values,
        memory=memory,
        capacity=capacity,
    )


def _prices(
    options: Options, built: StepGraph, at: Layout, site: Site, values: Values, desk: Desk
) -> Carried:
    """Return what everything takes; by formula the links of a very large machine are not looked at."""
    told = desk.told(options.gpus)
    looked = options.fidelity != "formula" or options.gpus <= MOST_LOOKED or not told
    return Carried(
        StepPrices(built, at, site, values.profile, desk.times),
        built.boundary.size,
        desk.traffic(at) if looked and at.world > 1 else None,
        told=told,
    )


def _priced(values: Values, site: Site, precision: str) -> None:
    """Refuse a precision for which no rate of such a device is known, measured or assumed."""
    generation = site.device.generation
    number = "bf16" if precision == "fp16" else precision
    if not any(f"gemm.share.{generation}.{number}".startswith(name) for name in values.profile):
        raise UsageError(
            f"--precision {precision}: nothing is known of how fast {site.device.name} multiplies in it",
            where="--precision",
            hint="--precision bf16",
        )


def _rate(site: Site, precision: str) -> None:
    """Refuse a precision that a device does not multiply in."""
    try:
        site.device.rate(precision)
    except ValueError as error:
        names = {"fp16": "bf16"}
        able = [one for one in PRECISIONS if names.get(one, one) in site.device.rates and one != "fp32"]
        raise UsageError(str(error), where="--precision", hint=f"--precision {', '.join(able)}") from None


def asked(options: Options, case: Case) -> Training:
    """Return what a case asks of the simulator, refined by options that no measured run is known by."""
    with usage("--strategy", "--precision"):
        found = training_of(case)
        software = replace(
            found.software,
            context=options.context,
            cp_overlap=options.context == "ring",
            imbalance=options.imbalance,
            node_limit=options.node_limit,
        )
        return found.replace(software=software)


def _graph(options: Options, training: Training) -> tuple[StepGraph, Training, Flight]:
    """Return the graph, the step that it is that of, and what an own schedule holds in flight by stage."""
    if not options.schedule.endswith(".toml"):
        return build(training), training, ()
    at = training.layout
    schedule = own(options, at.pp, training.microbatches)
    name = like(schedule, options.schedule, at.pp)
    training = training.replace(layout=replace(at, vpp=schedule.chunks), schedule=name)
    flops = useful_flops(training.model, training.seq_len) * training.global_batch
    graph = with_orders(build(enough(name, training)), schedule, training, flops)
    flight = tuple((peak(schedule, stage), logits(schedule, stage)) for stage in range(at.pp))
    return graph, training, flight


def _memory(training: Training, flight: Flight) -> tuple[StageMemory, ...]:
    """Return the memory of each stage; an own schedule's by what it holds in flight."""
    if not flight:
        return account(memory_plan.of(training))
    plan = memory_plan.of(enough(training.schedule, training))
    found = []
    for stage, (held, heads) in zip(account(plan), flight, strict=True):
        kept, loss = stage.activations * held / in_flight(plan, stage.stage), stage.logits * heads
        more = kept - stage.activations + loss - stage.logits
        found.append(replace(stage, activations=kept, logits=loss, reserved=stage.reserved + GAPS * more))
    return tuple(found)


def _checked(
    training: Training, memory: tuple[StageMemory, ...], gpu: str, *, whole: bool
) -> Capacity | None:
    """Return what an accelerator holds, if that is enough; None if nobody knows."""
    try:
        capacity = fits.capacity(gpu)
    except ValueError:
        return None
    plan: Plan = memory_plan.of(training if whole else enough(training.schedule, training))
    if whole:
        fits.check(plan, capacity)
        return capacity
    worst, room = fullest(memory), fits.usable(plan, capacity.visible)
    if worst.allocated > room:
        raise InfeasibleError(
            f"{training.model.name} does not fit: stage {worst.stage} needs {worst.allocated / GIB:.1f} GiB, "
            f"{gpu} has {capacity.visible / GIB:.1f} GiB ({room / GIB:.1f} usable)",
            hint="--recompute selective, or a schedule with fewer microbatches in flight",
        )
    return capacity
