"""The options of a training step, alike for every command that takes one; Megatron's long names are aliases."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from simulator import quantities
from simulator.cli._fabric import FABRIC
from simulator.errors import UsageError
from simulator.planning._estimate_options import FIDELITIES, FOLDS, MUST, READERS, STACKS, SWEPT, flag
from simulator.planning.presets import names as preset_names
from workloads.parallelism.context import WAYS
from workloads.schedules import SCHEDULES
from workloads.strategies import STRATEGIES
from workloads.training import PRECISIONS, RECOMPUTE

# ruff: noqa: ARG002  the signatures are click's
T = TypeVar("T")
Names = Callable[[], list[str]]


def _models() -> list[str]:
    from workloads.model import names

    return list(names())


def _gpus() -> list[str]:
    from topologies._catalogue import gpus

    return list(gpus())


def _regions() -> list[str]:
    from simulator.accounting.carbon import grids

    return list(grids())


_NAMED: Mapping[str, Names] = {
    "model": _models,
    "fabric": FABRIC.names,
    "gpu": _gpus,
    "schedule": lambda: list(SCHEDULES),
    "strategy": lambda: list(STRATEGIES),
    "stack": lambda: list(STACKS),
    "region": _regions,
    "precision": lambda: list(PRECISIONS),
    "recompute": lambda: list(RECOMPUTE),
    "context": lambda: list(WAYS),
    "fidelity": lambda: list(FIDELITIES),
    "fold": lambda: list(FOLDS),
}
_ABOUT: tuple[tuple[str, str, tuple[str, ...], str], ...] = (  # name, what it takes, Megatron's names, help
    ("model", "NAME|FILE", (), "A name of the catalogue, a .toml or a config.json."),
    ("fabric", "NAME|FILE", (), "A name of the catalogue or a file."),
    ("gpu", "NAME", (), "Another accelerator than the fabric's."),
    ("gpus", "N", ("--world-size",), "GPUs: tp x pp x cp x dp."),
    ("tp", "N", ("--tensor-model-parallel-size",), "Tensor parallelism; 1."),
    ("pp", "N", ("--pipeline-model-parallel-size",), "Pipeline stages; 1."),
    ("vpp", "N", ("--num-virtual-stages-per-pipeline-rank",), "Chunks of a stage; as the schedule needs."),
    ("cp", "N", ("--context-parallel-size",), "Context parallelism; 1."),
    ("ep", "N", ("--expert-model-parallel-size",), "Expert parallelism, divides dp x cp; 1."),
    ("etp", "N", ("--expert-tensor-parallel-size",), "Tensor parallelism of an expert; as --tp."),
    ("dp", "N", ("--data-parallel-size",), "Data parallelism; follows from the others, checked if given."),
    ("mbs", "N", ("--micro-batch-size",), "Samples of a microbatch; 1."),
    ("gbs", "N", ("--global-batch-size",), "Samples of a step: mbs x dp x microbatches."),
    ("seq_len", "N", ("--seq-length",), "Tokens of a sample."),
    ("stage_layers", "N,..", (), "Layers of each stage, where they do not divide."),
    ("order", "tp-cp-dp-pp", (), "Axes of ranks, neighbours first."),
    ("schedule", "NAME|FILE", (), "1f1b, with --vpp interleaved; a name or an own .toml."),
    ("strategy", "NAME", (), "How replicas exchange; as the stack does, zero1 as a rule."),
    ("zero", "0|1|2|3", ("--zero-stage",), "The same as a stage of ZeRO."),
    ("shard", "N", (), "Ranks that share states; all of dp x cp."),
    ("recompute", "|".join(RECOMPUTE), ("--recompute-granularity",), "What is computed again; none."),
    ("recompute_modules", "NAME,..", (), "What selective means; core_attn as a rule."),
    ("recompute_layers", "N", ("--recompute-num-layers",), "Layers of a stage that full means; all."),
    ("precision", "NAME", (), f"Of the products: {', '.join(PRECISIONS)}; bf16."),
    ("context", "|".join(WAYS), (), "How context ranks exchange; ring."),
    ("imbalance", "X", (), "Rows of the fullest expert rank over the mean; 1."),
    ("node_limit", "N", ("--moe-router-group-topk",), "Most nodes that a token may visit."),
    ("stack", "NAME", (), "Training software; megatron."),
    ("stack_version", "YY.MM", (), "Its release, of megatron-bridge and nemo."),
    ("price", "USD", (), "Of one GPU and hour; the catalogue's."),
    ("utilisation", "X", (), "Share of the paid time in which the job runs; 1."),
    ("pue", "X", (), "Joules at the meter for a joule of the machines; 1.1."),
    ("region", "NAME", (), "Whose grid: france, germany, usa, ..."),
    ("carbon_intensity", "g/kWh", (), "Of the grid, e.g. 400g/kWh; the region's."),
    ("fidelity", "|".join(FIDELITIES), (), "No events, bundles, or every message; fluid."),
    ("fold", "|".join(FOLDS), (), "Send one of each class of messages; changes no result; auto."),
)


class Value(click.ParamType[Any]):
    """The value of one option; of a number several where they may be swept over.

    Parameters
    ----------
    key : str
        The option.
    several : bool
        Whether ``8,16`` and ``8..64``, or names with commas between them, are several values.
    """

    def __init__(self, key: str, *, several: bool = False) -> None:
        self.key, self.several = key, several
        self.name = key

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value read; several as a list."""
        name = flag(self.key)
        if isinstance(value, list):
            return value
        try:
            if self.several and isinstance(value, str) and ("," in value or ".." in value):
                if self.key in SWEPT:
                    return [int(one) for one in quantities.values(value, quantities.COUNT)]
                if "," in value:
                    return list(dict.fromkeys(READERS[self.key](part.strip()) for part in value.split(",")))
            return READERS[self.key](value)
        except ValueError as error:
            said, _, way = str(error).partition("; try ")
            raise UsageError(f"{name}: {said}", where=name, hint=way or self._hint(str(value))) from None

    def _hint(self, value: str) -> str:
        return quantities.COUNT.hint(value) if self.key in SWEPT else ""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that go on from what was typed."""
        known = _NAMED.get(self.key, list)()
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


NAMED = (
    "model",
    "fabric",
    "gpu",
    "schedule",
    "strategy",
    "zero",
    "recompute",
    "precision",
    "context",
    "stack",
    "fidelity",
)


def training_options(
    *, several: bool = False, names: bool = False, without: tuple[str, ...] = ()
) -> Callable[[T], T]:
    """Add the options of a training step to a command; it gets them as keyword arguments, None where left out.

    Parameters
    ----------
    several : bool
        Whether numbers may have several values, as lists.
    names : bool
        Whether those of `NAMED` may, too.
    without : tuple of str
        Options that the command has not, or means something else by.
    """

    def add(command: T) -> T:
        for key, takes, others, text in reversed(_ABOUT):
            if key in without:
                continue
            spelt = [flag(key), *others, key]
            kind = Value(key, several=(several and key in SWEPT) or (names and key in NAMED))
            command = click.option(*spelt, type=kind, metavar=takes, help=text)(command)  # type: ignore[type-var]
        switch = click.option(
            "--sp/--no-sp",
            "--sequence-parallel/--no-sequence-parallel",
            "sp",
            default=None,
            help="Sequence parallelism; as the stack does.",
        )
        choice = click.option(
            "--preset", type=_Preset(), help="Options of a scenario that ships: commsim list presets."
        )
        layers = click.option(
            "--num-layers-per-virtual-pipeline-stage", "chunk", type=int, hidden=True, default=None
        )
        return layers(switch(choice(command)))  # type: ignore[type-var]

    return add


class _Preset(click.ParamType[str]):
    name = "preset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from simulator.planning.presets import table

        table(str(value))
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in preset_names() if name.startswith(incomplete)]


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a command line by name: what was typed over the preset over files of defaults.

    Raises
    ------
    UsageError
        One that nothing stands in for is missing.
    """
    context = click.get_current_context()
    typed = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    own = {name: value for name, value in values.items() if value is not None and name in READERS}
    found: dict[str, Any] = dict(own)
    if values.get("preset"):
        from simulator.planning.presets import preset

        base = preset(values["preset"])
        strong = {name: value for name, value in own.items() if context.get_parameter_source(name) in typed}
        if strong.keys() & {"strategy", "zero"}:
            base = {name: value for name, value in base.items() if name not in ("strategy", "zero")}
        found = own | base | strong
    if values.get("chunk") is not None:
        found["vpp"] = _chunks(found, values["chunk"])
    return found


def complete(found: Mapping[str, Any]) -> None:
    """Raise UsageError if an option is missing that nothing stands in for."""
    missing = [flag(name) for name in MUST if name not in found]
    if missing:
        more = f" (and {', '.join(missing[1:])})" if missing[1:] else ""
        raise UsageError(f"{missing[0]} is missing{more}", where=missing[0], hint="--preset demo")


def inputs(found: Mapping[str, Any]) -> list[str]:
    """Return the files that options name."""
    names = (str(found.get(name, "")) for name in ("model", "fabric", "schedule"))
    return [name for name in names if name and Path(name).is_file()]


def _chunks(found: Mapping[str, Any], layers: int) -> int:
    """Return the chunks of a stage that so many layers in each make, as Megatron counts them."""
    from simulator.planning._estimate_checks import model_of

    name = "--num-layers-per-virtual-pipeline-stage"
    complete(found)
    model, pp = model_of(found["model"]), found.get("pp", 1)
    whole = model.layers + model.encoder_layers
    if layers < 1 or isinstance(pp, list) or whole % (pp * layers):
        raise UsageError(f"{name} {layers}: {whole} layers are not pp {pp} x chunks x {layers}", where=name)
    return int(whole // (pp * layers))
