"""What one training step is asked to do: the question that `workloads.training_step` turns into a graph."""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from workloads.layout import Layout
from workloads.model import Model
from workloads.strategies._parts import Wire

PRECISIONS = ("bf16", "fp16", "fp32", "fp8", "fp8row", "mxfp8", "nvfp4")
RECOMPUTE = ("none", "selective", "full")
MODULES = (  # what selective recomputation knows
    "core_attn", "attention", "attn_proj", "layernorm", "mamba", "mlp", "router", "moe", "moe_act", "shared_experts",
    "mla_up_proj", "elementwise", "half_products", "half_blocks",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What the training stack does; the defaults are those of a current Megatron.

    Parameters
    ----------
    attention, fusion : str
        Kernels, see `workloads.layers.Slice`.
    tp_overlap, cp_overlap, ep_overlap, p2p_overlap : bool
        Whether collectives of these axes are cut into pieces and run beside their neighbours.
    context : str
        How context parallelism exchanges: ``ring``, ``all_gather``, ``ulysses``.
    dispatch_width, combine_width : float
        Bytes of an element on its way to an expert and back.
    deduplicated : bool
        One copy of a token for each node that it goes to, not for each expert.
    node_limit : int
        Most nodes that a token may visit; 0: no limit.
    imbalance : float
        Rows of the fullest expert rank over the mean.
    graphs : bool
        Whether kernels are launched from recorded graphs, so that the host never holds the device up.
    sliced_sends : bool
        Whether each tensor rank sends its part of the activations to the next stage, or all of them.
    wide_layers : int
        Layers at both ends together whose products stay in 16 bits.
    host : str
        Which host law launches kernels: the name of the stack.

    Raises
    ------
    ValueError
        An imbalance below 1, a width that is not above 0, a negative count.
    """

    attention: str = "cudnn"
    fusion: str = "fused"
    tp_overlap: bool = True
    cp_overlap: bool = True
    ep_overlap: bool = False
    p2p_overlap: bool = True
    context: str = "ring"
    dispatch_width: float = 2.0
    combine_width: float = 2.0
    deduplicated: bool = False
    node_limit: int = 0
    imbalance: float = 1.0
    graphs: bool = False
    sliced_sends: bool = True
    wide_layers: int = 0
    host: str = "megatron"

    def __post_init__(self) -> None:
        if not 1 <= self.imbalance < inf:
            raise ValueError(f"--imbalance {self.imbalance}: must be 1, even, or more")
        for what, width in (("dispatch", self.dispatch_width), ("combine", self.combine_width)):
            if not 0 < width < inf:
                raise ValueError(f"{what} width {width}: must be above 0 bytes, as 2 for 16 bits")
        for what, count in (("node limit", self.node_limit), ("wide layers", self.wide_layers)):
            if count < 0:
                raise ValueError(f"{what} {count}: must be 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One step of training.

    Parameters
    ----------
    model, layout
        What is trained, and how it is spread.
    microbatch, global_batch, seq_len : int
        Samples of one forward pass of a rank, samples of a step, tokens of a sample.
    chunk_layers : tuple of int
        Layers of each virtual stage in the order of the forward pass; empty: equal shares.
    schedule, strategy : str
        Plugins of `workloads.schedules` and `workloads.strategies`.
    precision : str
        Of matrix products.
    recompute : str
        ``none``, ``selective`` or ``full``.
    recompute_modules : tuple of str
        What ``selective`` computes again, of `MODULES`; empty: the attention core unless its kernel does so by
        itself. ``half_products`` is every second matrix product, ``half_blocks`` every second layer in full.
    recompute_layers : int
        Layers of a stage that ``full`` means; 0: all.
    sequence_parallel : bool
        Norms and residuals sliced over the tensor group.
    packing : float
        Share of the score matrix that packed short samples leave.
    frozen : bool
        Whether the weights are frozen (LoRA): no gradients of them.
    gpus_per_node : int
        For one copy per node of tokens that visit experts.
    mtp : bool
        Whether layers of multi-token prediction are trained.
    software, wire
        What the stack does, and how gradients and parameters travel.

    Raises
    ------
    ValueError
        A batch that does not divide, an unknown precision or kind of recomputation, degrees that do not divide
        what they slice.
    """

    model: Model
    layout: Layout
    microbatch: int
    global_batch: int
    seq_len: int
    chunk_layers: tuple[int, ...] = ()
    schedule: str = "1f1b"
    strategy: str = "zero1"
    precision: str = "bf16"
    recompute: str = "none"
    recompute_modules: tuple[str, ...] = ()
    recompute_layers: int = 0
    sequence_parallel: bool = True
    packing: float = 1.0
    frozen: bool = False
    gpus_per_node: int = 8
    mtp: bool = False
    software: Software = field(default_factory=Software)
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        for flag, value in (("mbs", self.microbatch), ("gbs", self.global_batch), ("seq-len", self.seq_len)):
            if value < 1:
                raise ValueError(f"--{flag} {value}: must be 1 or more")
        if self.global_batch % (self.microbatch * self.layout.dp):
            raise ValueError(_batch_words(self.global_batch, self.microbatch, self.layout.dp))
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision {self.precision}: wanted one of {', '.join(PRECISIONS)}")
        if not 0 < self.packing <= 1:
            raise ValueError(f"packing {self.packing}: must be above 0 and at most 1")
        self._recomputes()
        self._slices()

    def _recomputes(self) -> None:
        """Check what is computed again."""
        if self.recompute not in RECOMPUTE:
            raise ValueError(f"--recompute {self.recompute}: wanted one of {', '.join(RECOMPUTE)}")
        for module in self.recompute_modules:
            if module not in MODULES:
                raise ValueError(f"--recompute-modules {module}: wanted some of {', '.join(MODULES)}")
        if self.recompute_layers < 0:
            raise ValueError(f"--recompute-layers {self.recompute_layers}: must be 0 (all) or more")

    def _slices(self) -> None:
        """Check that degrees divide what they slice."""
        at, model = self.layout, self.model
        if self.seq_len % at.cp:
            raise ValueError(f"--seq-len {self.seq_len} does not divide over --cp {at.cp}")
        if at.ep > 1 and (not model.experts or model.experts % at.ep):
            raise ValueError(f"--ep {at.ep}: {model.name} has {model.experts} experts; it must divide them")
        if model.heads % at.tp:
            raise ValueError(f"--tp {at.tp}: does not divide the {model.heads} heads of {model.name}")

    @property
    def microbatches(self) -> int:
        """Return the forward passes of a data-parallel rank in a step."""
        return self.global_batch // (self.microbatch * self.layout.dp)

    @property
    def layers(self) -> int:
        """Return the layers of all stacks of the model."""
        return self.model.layers + self.model.encoder_layers

    def replace(self, **changes: Any) -> "Training":
        """Return the step with some fields changed; checked like any other."""
        return replace(self, **changes)


def _batch_words(batch: int, microbatch: int, dp: int) -> str:
    each = microbatch * dp
    near = [str(each * n) for n in (batch // each, batch // each + 1) if n]
    return f"--gbs {batch} is not mbs {microbatch} x dp {dp} x microbatches; try: --gbs " + " or ".join(near)
