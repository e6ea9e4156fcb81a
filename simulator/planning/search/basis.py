"""What all layouts of a search have in common: model, machines, prices, and the software that each would run."""

from dataclasses import dataclass, field, replace
from typing import Any

from simulator.calibration.steps.stacks import looked_at
from simulator.planning._estimate_checks import model_of
from simulator.planning._estimate_machine import Desk
from simulator.planning._estimate_options import STACKS, Options
from simulator.planning._estimate_profile import values_of
from simulator.planning._estimate_question import case_of
from simulator.planning._estimate_step import asked as training_of
from simulator.planning.search.structure import Again
from workloads.layout import Layout
from workloads.training import Training

_OPEN = ("tp", "cp", "dp", "pp", "ep", "vp", "micro_batch", "precision", "fsdp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to run a step, beside its degrees of parallelism.

    Parameters
    ----------
    schedule, strategy, precision, context : str
        As `simulator.planning.estimate` takes them.
    mbs : int
        Samples of a microbatch.
    sp : bool
        Sequence parallelism.
    again : Again
        What is computed again.
    stage_layers : tuple of int
        Where layers do not divide.
    """

    schedule: str = "1f1b"
    strategy: str = "zero1"
    precision: str = "bf16"
    context: str = "ring"
    mbs: int = 1
    sp: bool = False
    again: Again = ("none", (), 0)
    stage_layers: tuple[int, ...] = ()


@dataclass(slots=True)
class Basis:
    """The settled part of a search.

    Parameters
    ----------
    options : Options
        Model, fabric, GPUs, batch; what the search chooses is left at its default.
    desk : Desk
        The fabric.
    """

    options: Options
    desk: Desk
    site: Any = field(init=False)
    model: Any = field(init=False)
    profile: Any = field(init=False)
    usual: tuple[str, ...] = field(init=False)  # what selective recomputation means to the software
    _attributes: dict[str, Any] = field(init=False)
    _looked_at: tuple[str, ...] = field(init=False)
    _templates: dict[tuple[Any, ...], Training] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self.model = model_of(options.model)
        self.site = self.desk.site(options.gpus, options.gpu)
        graph = self.desk.graph(options.gpus).graph
        self._attributes = graph | {"gpus_per_node": self.site.per_node}
        settled = {
            "gpu": self.site.device.name, "gpus": options.gpus, "model": self.model.name,
            "hidden": self.model.hidden, "layers": self.model.layers, "experts": self.model.experts > 0,
            "global_batch": options.gbs, "task": "pretrain", "seq_len": options.seq_len,
        }  # fmt: skip
        source, words = STACKS[options.stack]
        self._looked_at = looked_at(words or options.stack, source, settled, _OPEN)
        case = case_of(
            self._asked(Layout(dp=options.gpus), Recipe()), self._attributes, self.site.device.name
        )
        self.profile = values_of(case).profile
        kind = self._asked(Layout(dp=options.gpus), Recipe(again=("selective", (), 0)))
        self.usual = case_of(kind, self._attributes, self.site.device.name).recompute_modules

    def training(self, at: Layout, recipe: Recipe) -> Training:
        """Return the step that a layout and a recipe ask for.

        Raises
        ------
        ValueError
            As `workloads.training.Training`.
        """
        facts = {
            "tp": at.tp, "cp": at.cp, "dp": at.dp, "pp": at.pp, "ep": at.ep, "vp": at.vpp if at.vpp > 1 else 0,
            "micro_batch": recipe.mbs, "precision": recipe.precision, "fsdp": "fsdp" in recipe.strategy,
        }  # fmt: skip
        key = (recipe.precision, recipe.context, *(facts[name] for name in self._looked_at))
        if key not in self._templates:
            self._templates[key] = self._template(at, recipe, recipe.mbs)
        found = self._templates[key]
        kind, modules, layers = recipe.again
        return found.replace(
            layout=at,
            microbatch=recipe.mbs,
            global_batch=self.options.gbs,
            chunk_layers=recipe.stage_layers,
            schedule=recipe.schedule,
            strategy=recipe.strategy,
            sequence_parallel=recipe.sp and at.tp > 1,
            recompute=kind,
            recompute_modules=modules,
            recompute_layers=layers,
            wire=replace(found.wire, gathered=at.pp > 1),
        )

    def asked(self, at: Layout, recipe: Recipe, **changes: Any) -> Options:
        """Return a layout and a recipe as the options of an estimate."""
        return replace(self._asked(at, recipe), **changes)

    def _asked(self, at: Layout, recipe: Recipe) -> Options:
        kind, modules, layers = recipe.again
        return replace(
            self.options,
            **{name: getattr(at, name) for name in ("tp", "pp", "cp", "ep", "dp")},
            vpp=at.vpp if at.vpp > 1 else 0,
            mbs=recipe.mbs,
            sp=recipe.sp if at.tp > 1 else False,
            stage_layers=recipe.stage_layers,
            schedule=recipe.schedule,
            strategy=recipe.strategy,
            zero=None,
            recompute=kind,
            recompute_modules=modules,
            recompute_layers=layers,
            precision=recipe.precision,
            context=recipe.context,
        )

    def _template(self, at: Layout, recipe: Recipe, mbs: int) -> Training:
        """Return a step with the software of a layout; its batch is of no matter."""
        asked = self._asked(at, replace(recipe, mbs=mbs))
        case = case_of(asked, self._attributes, self.site.device.name)
        case = replace(case, global_batch=mbs * at.dp, micro_batch=mbs, chunk_layers=(), schedule="1f1b",
                       layout=replace(at, vpp=1, pp=1, dp=at.dp), strategy="zero1")  # fmt: skip
        return training_of(asked, case)
