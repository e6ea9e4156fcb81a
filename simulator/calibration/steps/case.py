"""What a simulator of one training step needs to know of a measured run; nothing that was measured."""

from dataclasses import dataclass
from typing import Literal

from workloads.layout import Layout
from workloads.model import Model

Recompute = Literal["none", "selective", "full"]
Task = Literal["pretrain", "sft", "lora"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The software that ran: what it overlaps, fuses and computes with.

    Parameters
    ----------
    family : str
        ``megatron-2021``, ``megatron-deepspeed``, ``nemo``, ``megatron-bridge``, ``torchtitan`` ...
    version : str
        As printed: a container, a tag, a date; empty if nothing says it.
    released : float
        The same as a year with a fraction, to compare; 0: unknown.
    attention : str
        Kernel generation: ``unfused triton flash sdpa cudnn``.
    fusion : str
        Elementwise operations: ``eager`` one by one, ``fused`` in hand-written kernels, ``compiled`` by
        ``torch.compile`` or XLA.
    cuda_graph : str
        Empty; ``full``: the whole step; else the parts of a layer, joined by ``+``.
    tp_overlap : str
        Tensor-parallel exchanges beside the products: ``none``, ``userbuffers`` or ``async``.
    grad_overlap, param_overlap, p2p_overlap, ep_overlap : bool
        Gradient reduction beside the backward pass; parameter gathering beside the forward pass; pipeline
        sends; dispatch and combine of experts.
    bucket : float
        Bytes of a gradient bucket; 0: the stack's own choice; infinite: all gradients at once.
    grad_bytes, param_bytes : float
        Bytes of an element of a gradient, of a parameter, on the wire.
    optimizer : str
        ``adam`` or ``muon``.
    dispatcher : str
        How tokens reach experts: ``alltoall deepep hybridep``; empty in a dense model.
    grouped_gemm, fused_experts : bool
        All experts of a rank in one kernel; with activation and casts in it.
    dropless, balanced : bool
        No token is dropped; tokens are spread evenly by force.
    offload_layers : int
        Layers whose activations go to the host.
    wide_layers : int
        Layers at both ends together that stay in 16 bits when the others are narrower.
    fp8_attention : bool
        The attention core runs in 8 bits too.
    """

    family: str
    version: str = ""
    released: float = 0.0
    attention: str = "flash"
    fusion: str = "fused"
    cuda_graph: str = ""
    tp_overlap: str = "none"
    grad_overlap: bool = True
    param_overlap: bool = True
    p2p_overlap: bool = False
    ep_overlap: bool = False
    bucket: float = 0.0
    grad_bytes: float = 4.0
    param_bytes: float = 2.0
    optimizer: str = "adam"
    dispatcher: str = ""
    grouped_gemm: bool = True
    fused_experts: bool = False
    dropless: bool = True
    balanced: bool = False
    offload_layers: int = 0
    wide_layers: int = 0
    fp8_attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The machines that ran.

    Parameters
    ----------
    gpu : str
        Name in the catalogue of accelerators.
    memory_bandwidth, power, memory : float
        Bytes/s, W and bytes of a variant of that GPU; 0: as in the catalogue.
    gpus, gpus_per_node : int
        In all; that share a node or an NVLink domain.
    intra : str
        What connects them there.
    transport : str
        Between nodes: ``infiniband roce omnipath ethernet slingshot efa unstated``.
    nic_bandwidth : float
        Bytes/s that one GPU has towards other nodes, one direction.
    oversubscription : float
        Of the layer above the pods; 1: none.
    """

    gpu: str
    gpus: int
    gpus_per_node: int
    intra: str
    transport: str
    nic_bandwidth: float
    memory_bandwidth: float = 0.0
    power: float = 0.0
    memory: float = 0.0
    oversubscription: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration to predict.

    Parameters
    ----------
    case_id, source, group : str
        Key of the row; who printed it; which rows are left out together.
    model : Model
        With the dimensions of the row.
    system : System
        The machines.
    precision, scaling : str
        Of the matrix products: ``bf16 fp16 fp8 mxfp8 nvfp4``; how
        narrow numbers are scaled: ``delayed current row block``.
    seq_len, global_batch, micro_batch : int
        Tokens of a sample; samples of a step; samples of a forward pass.
    layout : Layout
        Degrees of parallelism.
    chunk_layers : tuple of int
        Layers of each virtual stage in the order of the forward pass; entry c * pp + s is chunk c of stage s.
    sequence_parallel : bool
        Norms and dropouts are sliced over the tensor-parallel group.
    schedule : str
        ``1f1b interleaved zb_h1 zb_h2``.
    strategy : str
        ``ddp zero1 zero2 fsdp hsdp``.
    recompute : str
        ``none selective full``.
    recompute_modules : tuple of str
        What ``selective`` computes again: ``core_attn attn_proj mlp moe moe_act layernorm mla_up_proj
        elementwise``, ``half_products`` (every second matrix product), ``half_blocks`` (every second layer);
        empty: the attention core.
    recompute_layers : int
        So many layers of a stage at ``full``; 0: all of them.
    task : str
        ``pretrain``, ``sft`` or ``lora`` (weights frozen, no gradient of them).
    packed : bool
        Short samples packed into a sequence: less attention than its length says.
    stack : Stack
        The software.
    assumed : tuple of str
        A sentence for everything that the row does not say.
    doubts : tuple of str
        Why the measurement may be wrong, if there is a reason.
    """

    case_id: str
    source: str
    group: str
    model: Model
    system: System
    precision: str
    scaling: str
    seq_len: int
    global_batch: int
    micro_batch: int
    layout: Layout
    chunk_layers: tuple[int, ...]
    sequence_parallel: bool
    schedule: str
    strategy: str
    recompute: Recompute
    task: Task
    stack: Stack
    recompute_modules: tuple[str, ...] = ()
    recompute_layers: int = 0
    packed: bool = False
    assumed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def microbatches(self) -> int:
        """Return the forward passes of a data-parallel rank in a step."""
        return self.global_batch // (self.micro_batch * self.layout.dp)

    @property
    def tokens(self) -> int:
        """Return the tokens of a step over all ranks."""
        return self.seq_len * self.global_batch

    @property
    def stage_layers(self) -> tuple[int, ...]:
        """Return the layers of each pipeline stage, all its chunks together."""
        pp = self.layout.pp
        return tuple(sum(self.chunk_layers[stage::pp]) for stage in range(pp))

    @property
    def kind(self) -> str:
        """Return ``dense``, ``moe`` or ``hybrid``."""
        if self.model.mamba is not None:
            return "hybrid"
        return "moe" if self.model.experts else "dense"

    @property
    def generation(self) -> str:
        """Return the generation of the GPU: ``ampere hopper blackwell other``."""
        known = {"a100": "ampere", "h100": "hopper", "h200": "hopper", "gh200": "hopper", "h800": "hopper"}
        known |= {"b200": "blackwell", "b300": "blackwell", "gb200": "blackwell", "gb300": "blackwell"}
        return known.get(self.system.gpu.split("-")[0], "other")

    @property
    def configuration_key(self) -> str:
        """Return what equal configurations share: model, GPU, GPUs, precision, layout, batches, layers.

        Software, heads, sequence length, schedule and chunks of a stage (often not printed) are left out on
        purpose: rows that differ in them alone are near copies and belong in one fold.
        """
        model, at = self.model, self.layout
        return (
            f"{model.family or model.name} h{model.hidden} L{model.layers}"
            f" {self.system.gpu} x{self.system.gpus} {self.precision}"
            f" tp{at.tp} pp{at.pp} cp{at.cp} ep{at.ep} dp{at.dp}"
            f" gb{self.global_batch} mb{self.micro_batch}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that cannot be predicted, and which input is missing, unknown or contradicted."""

    case_id: str
    source: str
    reason: str
