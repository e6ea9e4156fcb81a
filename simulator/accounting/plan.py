"""What a training step is asked to hold: the question that `simulator.accounting.memory` answers."""

from dataclasses import dataclass, replace
from typing import Any

from simulator.accounting.activations import Held
from workloads.layers import Slice
from workloads.layout import Layout
from workloads.model import LayerKind, Model
from workloads.parallelism.pipeline import split
from workloads.schedules import SCHEDULES
from workloads.schedules._tasks import Routes
from workloads.training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The layers that one stage holds, and whether the two ends of the model are among them."""

    kinds: tuple[LayerKind, ...]
    first: bool
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Model, layout, batch and policies of one training step.

    Parameters
    ----------
    model : Model
        Dimensions.
    layout : Layout
        Degrees of parallelism.
    microbatch, seq_len, microbatches : int
        Samples of a forward pass on one rank; tokens of a sample; forward passes of a rank in a step.
    schedule : str
        A plugin of `workloads.schedules`.
    stage_layers : tuple of int
        Layers of every stage, or of every chunk in the order of the forward pass; empty: equal shares.
    strategy : str
        ``ddp zero1 zero2 zero3 zeropp fsdp hsdp``.
    gathered : bool
        Sharded weights stay gathered between forward and backward pass, as they do in pipelines.
    optimizer : str
        ``adam``, ``adam-bf16`` (moments in half precision), ``adam-remainders`` (the master copy shares 16
        bits with the weight), ``sgd`` or ``muon`` (one moment).
    grad_bytes : float
        Of a parameter's gradient as it is accumulated; 0: 4 (Megatron's main gradients), 2 for ``zero3``.
    bucket : float
        Bytes of a buffer that gradients are copied to before they are reduced; 0: reduced in place.
    step_bytes : float
        Of a parameter, sharded as the optimizer is, that its step takes beside the states: 4 where DeepSpeed
        copies gradients to single precision.
    frozen : bool
        Weights have neither gradients nor optimizer states (LoRA; the adapters are not counted).
    precision : str
        Of the products: ``bf16 fp16 fp32 fp8 mxfp8 nvfp4``.
    recompute : str
        ``none selective full``.
    recompute_modules : tuple of str
        What ``selective`` computes again, of `activations.MODULES`.
    recompute_layers : int
        So many layers of a chunk are recomputed at ``full``; 0: all.
    offload_layers : int
        So many layers of a chunk send what they keep to the host.
    sequence_parallel : bool
        Norms and residuals are split over the tensor group.
    attention, fusion : str
        As in `workloads.layers.Slice`: ``unfused`` or a fused kernel; ``eager fused compiled``.
    fused_loss : bool
        The loss never holds the logits in single precision.
    dropout : bool
        Dropout masks are kept.
    keeps_outputs : bool
        Stages keep what they sent on, as DeepSpeed's pipeline does and Megatron's does not.
    ulysses : bool
        Context parallelism by all-to-all: the output of the core is kept before and after it.
    load : float
        Rows that the fullest experts get over the mean, or the capacity factor they are padded to.
    prediction : bool
        Layers of multi-token prediction are trained.

    Raises
    ------
    ValueError
        Numbers below 1, stages that do not hold all layers, a schedule or strategy that cannot be.
    """

    model: Model
    layout: Layout
    microbatch: int
    seq_len: int
    microbatches: int
    schedule: str = "1f1b"
    stage_layers: tuple[int, ...] = ()
    strategy: str = "zero1"
    gathered: bool = False
    optimizer: str = "adam"
    grad_bytes: float = 0.0
    bucket: float = 0.0
    step_bytes: float = 0.0
    frozen: bool = False
    precision: str = "bf16"
    recompute: str = "none"
    recompute_modules: tuple[str, ...] = ("core_attn",)
    recompute_layers: int = 0
    offload_layers: int = 0
    sequence_parallel: bool = False
    attention: str = "flash"
    fusion: str = "fused"
    fused_loss: bool = True
    dropout: bool = False
    keeps_outputs: bool = False
    ulysses: bool = False
    load: float = 1.0
    prediction: bool = False

    def __post_init__(self) -> None:
        counts = {
            "--mbs": self.microbatch,
            "--seq-len": self.seq_len,
            "microbatches": self.microbatches,
        }
        for flag, value in counts.items():
            if value < 1:
                raise ValueError(f"{flag} {value}: must be 1 or more")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"--schedule {self.schedule}: must be one of {', '.join(SCHEDULES)}")
        for route in self.routes:
            self._shares(route)

    def replace(self, **changes: Any) -> "Plan":
        """Return the plan with some fields changed."""
        return replace(self, **changes)

    @property
    def layers(self) -> int:
        """Return the layers of all stacks."""
        return self.model.encoder_layers + self.model.layers

    @property
    def tokens(self) -> float:
        """Return the tokens of a microbatch on one rank."""
        return self.microbatch * self.seq_len / self.layout.cp

    @property
    def held(self) -> Held:
        """Return how a layer's activations are cut."""
        at = self.layout
        cut = Slice(
            tokens=self.tokens,
            seq_len=self.seq_len,
            tp=at.tp,
            etp=at.expert_tp,
            ep=at.ep,
            cp=at.cp,
            sequence_parallel=self.sequence_parallel,
            precision=self.precision,
            fusion=self.fusion,
            attention=self.attention,
        )
        return Held(cut=cut, dropout=self.dropout, load=self.load, exchanged=self.ulysses and at.cp > 1)

    @property
    def chunks(self) -> int:
        """Return the chunks of a stage: vpp, or what the schedule asks for."""
        allowed = SCHEDULES[self.schedule].CHUNKS
        return self.layout.vpp if self.layout.vpp in allowed else int(allowed[0])

    @property
    def routes(self) -> Routes:
        """Return the ways of a microbatch, along which the layers are cut."""
        found: Routes = SCHEDULES[self.schedule].routes(self.layout.pp, self.chunks)
        return found

    @property
    def copies(self) -> int:
        """Return how often the model is held: twice if microbatches enter at both ends."""
        return int(SCHEDULES[self.schedule].COPIES)

    def pieces(self) -> tuple[tuple[Piece, ...], ...]:
        """Return what each stage holds, chunk by chunk."""
        kinds = (*self.model.encoder_kinds(), *self.model.layer_kinds())
        found: list[list[Piece]] = [[] for _ in range(self.layout.pp)]
        for route in self.routes:
            start = 0
            for number, ((stage, _), share) in enumerate(zip(route, self._shares(route), strict=True)):
                own = kinds[start : start + share]
                found[stage].append(Piece(kinds=own, first=number == 0, last=number == len(route) - 1))
                start += share
        return tuple(map(tuple, found))

    def _shares(self, route: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
        pp = self.layout.pp
        way = [stage for stage, _ in route]
        return split(self.layers, pp, len(route) // pp, self.stage_layers, way=way)


def of(training: Training, **changes: Any) -> Plan:
    """Return the plan of a step as `workloads.training_step` builds it, some fields changed.

    Parameters
    ----------
    training : Training
        Model, layout, batch and policies.
    **changes
        Fields of `Plan` that a training step does not know: optimizer, bucket, dropout ...
    """
    software, sharded = training.software, training.strategy in ("fsdp", "hsdp")
    fields: dict[str, Any] = {
        "model": training.model,
        "layout": training.layout,
        "microbatch": training.microbatch,
        "seq_len": training.seq_len,
        "microbatches": training.microbatches,
        "schedule": training.schedule,
        "stage_layers": training.chunk_layers,
        "strategy": training.strategy,
        "gathered": training.wire.gathered or (sharded and training.layout.pp > 1),
        "grad_bytes": 0.0 if sharded else training.wire.grad_bytes,
        "frozen": training.frozen,
        "precision": training.precision,
        "recompute": training.recompute,
        "recompute_modules": training.recompute_modules or ("core_attn",),
        "recompute_layers": training.recompute_layers,
        "sequence_parallel": training.sequence_parallel and training.layout.tp > 1,
        "attention": software.attention,
        "fusion": software.fusion,
        "ulysses": software.context == "ulysses",
        "load": software.imbalance,
        "prediction": training.mtp,
    }
    return Plan(**(fields | changes))
